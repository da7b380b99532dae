"""What a benchmark case is, and how one contender of it is measured in a process of its own."""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).parents[2]

Size = Mapping[str, int]
Measurement = dict[str, Any]
Work = Callable[[Path, Size], Measurement]


@dataclass(frozen=True)
class Ratio:
    """What is compared: the `key` of one contender over the sum of others', and the promise.

    `contender:part` is the measurement that the contender calls `part_<key>`.
    """

    name: str
    of: str
    over: Sequence[str]
    key: str = "seconds"
    at_most: float | None = None
    at_least: float | None = None
    allowance: float = 0.0
    """Seconds that the numerator may take on top of the ratio."""

    def value(self, best: Mapping[str, Measurement]) -> float | None:
        """None where a contender was not measured, as without the benchmark-only packages."""
        numbers = []
        for name in (self.of, *self.over):
            contender, _, part = name.partition(":")
            if contender not in best:
                return None
            numbers.append(best[contender][f"{part}_{self.key}" if part else self.key])
        whole, *parts = numbers
        if not sum(parts):
            return None
        return float(max(0.0, whole - self.allowance) / sum(parts))

    def holds(self, value: float | None) -> bool | None:
        if value is None or (self.at_most is None and self.at_least is None):
            return None
        return (self.at_most is None or value <= self.at_most) and (
            self.at_least is None or value >= self.at_least
        )


@dataclass(frozen=True)
class Case:
    """Contenders for the same work.

    Args:
        title: One line for the table.
        sizes: `full` is the figure that counts, `tiny` shows that it runs.
        prepare: Makes the data that all contenders read, in a folder; not timed.
        contenders: By name. Each runs in a process of its own.
        ratios: Of the best measurements.
        needs: Modules that a contender needs beyond the project's own; left out without them.
        repeats: Rounds through the contenders, each in the reverse order of the one before.
        once: Contenders too slow to repeat.
        bounds: (contender, key, most): what a contender's own measurement must not exceed;
            without a bound it is shown only.
        notes: What a reader of the table should know.
    """

    title: str
    sizes: Mapping[str, Size]
    contenders: Mapping[str, Work]
    prepare: Callable[[Path, Size], None] = lambda _folder, _size: None
    ratios: Sequence[Ratio] = ()
    needs: Mapping[str, str] = field(default_factory=dict)
    repeats: int = 3
    once: Sequence[str] = ()
    bounds: Sequence[tuple[str, str, float | None]] = ()
    notes: str = ""


@contextmanager
def measured() -> Iterator[Measurement]:
    """Fills in the block's seconds and CPU seconds; the process's peak is measured from outside."""
    result: Measurement = {}
    before = _cpu_seconds()
    start = time.perf_counter()
    yield result
    result["seconds"] = time.perf_counter() - start
    result["cpu_seconds"] = _cpu_seconds() - before


def _cpu_seconds() -> float:
    """Of this process and its children that ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def in_two_processes(work: Callable[..., Any], *arguments: Iterable[Any]) -> list[Any]:
    """What `work` gives for each of the arguments taken together, in their order."""
    # Not forked: a copy of polars' threads would wait for ever.
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        return list(pool.map(work, *arguments))


def run_contender(module: str, contender: str, folder: Path, size: Size) -> Measurement:
    """One measurement in a new process: what it says itself, and wall and CPU of the whole.

    Without a name of a contender, the case's preparation.

    Raises:
        RuntimeError: It failed; the message ends with its last lines.
    """
    folder.mkdir(parents=True, exist_ok=True)
    environment = {
        # The same line as `stock-assets`: fewer, larger writes to Dagster's database.
        "DAGSTER_EVENT_BATCH_SIZE": "500",
        **{
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("STOCK_ASSETS_", "MLFLOW_", "AWS_"))
        },
        "PYTHONPATH": str(CHECKOUT),
        "PYTHONWARNINGS": "ignore",
    }
    environment.pop("DAGSTER_HOME", None)
    line = [sys.executable, "-m", f"{__package__}.contender", module, contender]
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        process = subprocess.Popen(
            [*line, str(folder), json.dumps(dict(size))],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=errors,
        )
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        if process.returncode:
            tail = errors.read().decode(errors="replace")[-2000:]
            raise RuntimeError(f"{module} {contender}: exit code {process.returncode}\n{tail}")
        said = json.loads(output.read().decode().splitlines()[-1])
    return {
        **said,
        "process_seconds": wall,
        "process_cpu_seconds": used.ru_utime + used.ru_stime,
    }
