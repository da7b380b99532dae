"""How far a command is, on standard error, and how long its stages took.

At a terminal it is a live bar per stage (`bars`), elsewhere a line now and then.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol

STAGES = ("prices", "features", "training", "forecasts", "scores")


@dataclass(frozen=True)
class StageWork:
    """What a stage is about to do: `words` for a person, and the keys of each of the assets."""

    name: str
    words: str
    assets: Sequence[str] = ()
    keys: Sequence[str] = ()


class Shown(Protocol):
    """A way to show how far a command is.

    `log_level`: from which on messages of assets are shown.
    """

    log_level: str

    def say(self, line: str) -> None: ...

    def stage(self, work: StageWork) -> AbstractContextManager[None]: ...

    def portion(self, done: int, total: int, seconds: float) -> None:
        """Some of a stage's keys are done, after so many seconds of it."""


class Lines:
    """Lines for a log."""

    log_level = "INFO"

    def say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    @contextmanager
    def stage(self, work: StageWork) -> Iterator[None]:
        self.say(f"{work.name:<10} {work.words}")
        start = time.monotonic()
        yield
        self.say(f"{'':<10} done in {time.monotonic() - start:.1f} s")

    def portion(self, done: int, total: int, seconds: float) -> None:
        if done < total:
            left = seconds * (total - done) / done
            self.say(f"{'':<10} {done} of {total}, about {left:.0f} s left")


class Silence:
    """Nothing but warnings."""

    log_level = "WARNING"

    def say(self, line: str) -> None:
        pass

    def stage(self, work: StageWork) -> AbstractContextManager[None]:  # noqa: ARG002
        return nullcontext()

    def portion(self, done: int, total: int, seconds: float) -> None:
        pass


_shown: list[Shown] = [Lines()]


def shown() -> Shown:
    """How this process shows its progress now."""
    return _shown[-1]


def is_watched() -> bool:
    """Whether a person sees standard error, on something that can move its cursor."""
    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") not in {"", "dumb"}


@contextmanager
def showing(way: Shown) -> Iterator[None]:
    """Another way for the block."""
    _shown.append(way)
    try:
        yield
    finally:
        _shown.pop()


@dataclass
class Progress:
    """The stages of one command, shown while they work; `seconds`: how long each took."""

    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))

    @contextmanager
    def stage(
        self, name: str, words: str, assets: Sequence[str] = (), keys: Sequence[str] = ()
    ) -> Iterator[None]:
        with shown().stage(StageWork(name, words, assets, keys)):
            start = time.monotonic()
            yield
            self.seconds[name] += time.monotonic() - start

    def of(self, total: int) -> Callable[[int], None]:
        """To be called after each run of many with how many keys of `total` are done."""
        start = time.monotonic()

        def report(done: int) -> None:
            shown().portion(done, total, time.monotonic() - start)

        return report
