"""Lines for a person while a command works, and how long its stages took."""

import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

STAGES = ("prices", "features", "training", "forecasts", "scores")


@dataclass
class Progress:
    """Lines on standard error while stages work, and how long each took."""

    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))

    def stage(self, name: str, what: str) -> "AbstractContextManager[None]":
        @contextmanager
        def timed() -> Any:
            print(f"{name:<10} {what}", file=sys.stderr, flush=True)
            start = time.monotonic()
            yield
            took = time.monotonic() - start
            self.seconds[name] += took
            print(f"{'':<10} done in {took:.1f} s", file=sys.stderr, flush=True)

        return timed()

    def of(self, total: int) -> Callable[[int], None]:
        """A line for each run of many: how much is done, and how long the rest may take."""
        start = time.monotonic()

        def report(done: int) -> None:
            if done < total:
                left = (time.monotonic() - start) * (total - done) / done
                print(
                    f"{'':<10} {done} of {total}, about {left:.0f} s left",
                    file=sys.stderr,
                    flush=True,
                )

        return report
