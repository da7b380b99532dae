"""Many daily runs in one process, as a worker that lives for months does them: `make soak`.

Open files, threads, temporary files and memory may not grow once everything has been used a few
times. What each run adds to the databases is shown too; `stock-assets prune` is what takes it away.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

MOST_MEMORY_KB_A_RUN = 40
"""Of resident memory: 2,000 runs would then add 80 MB, a seventh of what the process has."""
_NOISE = {"open_files": 2, "threads": 6, "temporary_files": 2}
"""By which pools come and go: of connections, and of threads for calls that wait."""
_NOISE_KB = 16 * 1024
"""By which the allocator's memory comes and goes, however few the runs."""
_READINGS = 40


@dataclass(frozen=True)
class Reading:
    """What the process holds after some runs.

    `memory_kb` is its resident memory, `database_bytes` what all databases take on disk.
    """

    runs: int
    open_files: int
    threads: int
    temporary_files: int
    memory_kb: float
    database_bytes: int


def growth(readings: Sequence[Reading]) -> dict[str, float]:
    """By how much each number grows per run, over the second half of the readings.

    Of open files and the like it is the step from the median of one quarter to that of the next: a
    pool that opens a connection now and then is no growth, and one file a run is one.
    """
    half = list(readings[len(readings) // 2 :])
    first, second = half[: len(half) // 2], half[len(half) // 2 :]
    runs = median(r.runs for r in second) - median(r.runs for r in first)
    return {
        field.name: (
            median(getattr(r, field.name) for r in second)
            - median(getattr(r, field.name) for r in first)
        )
        / runs
        for field in fields(Reading)
        if field.name != "runs"
    }


def faults(readings: Sequence[Reading]) -> list[str]:
    """What grows and should not, in words; databases may, since they keep a history."""
    found = growth(readings)
    half = readings[len(readings) // 2 :]
    span = half[-1].runs - half[0].runs
    said = [
        f"{name} grows by {found[name]:.3f} a run"
        for name, noise in _NOISE.items()
        if found[name] * span >= noise
    ]
    grown = found["memory_kb"] * span
    if grown > max(MOST_MEMORY_KB_A_RUN * span, _NOISE_KB):
        said.append(f"memory_kb grows by {found['memory_kb']:.1f} a run")
    return said


def soak(
    folder: Path, runs: int, say: Callable[[str], None], postgres: str | None = None
) -> list[Reading]:
    """Does the daily job of one session over and over; what the process held on the way.

    Args:
        folder: An empty one, for everything that is written.
        runs: How many, at least 8.
        say: Told of each reading.
        postgres: URL of an empty database for Dagster and MLflow; SQLite in the folder without.
    """
    from stock_assets.automation.jobs import DAILY_ASSETS, DAILY_JOB
    from stock_assets.backfill.execution import bring_up_to_date
    from stock_assets.backfill.progress import Progress
    from stock_assets.backfill.project import run_partitions
    from stock_assets_tests.benchmarks.homes import home_for, opened
    from stock_assets_tests.benchmarks.simulated import simulated_bars

    simulated_bars(5, 300).write_parquet(folder / "bars.parquet")
    readings = []
    every = max(1, runs // _READINGS)
    with _own_temporary_folder(folder) as temporary:
        home = home_for(folder, "home")
        with opened(home, folder / "bars.parquet", {"quick": 1}) as project:
            keys = project.partitions.sessions.get_partition_keys()
            newest = date.fromisoformat(keys[-1])
            bring_up_to_date(project, project.range_of(newest, newest).wanted(), Progress())
            for n in range(1, runs + 1):
                run_partitions(project, DAILY_JOB, DAILY_ASSETS, keys[-1:], keys, 1)
                if n % every == 0:
                    reading = _read(n, temporary, lambda: _database_bytes(home, postgres))
                    readings.append(reading)
                    say(json.dumps(asdict(reading)))
    return readings


@contextmanager
def _own_temporary_folder(folder: Path) -> Iterator[Path]:
    """Everything temporary goes where it can be counted, while the block runs."""
    temporary, before = folder / "tmp", tempfile.tempdir
    temporary.mkdir()
    tempfile.tempdir = str(temporary)
    try:
        yield temporary
    finally:
        tempfile.tempdir = before


def _read(runs: int, temporary: Path, database_bytes: Callable[[], int]) -> Reading:
    import psutil

    process = psutil.Process()
    return Reading(
        runs=runs,
        open_files=process.num_fds(),
        threads=process.num_threads(),
        temporary_files=sum(1 for _ in temporary.rglob("*")),
        memory_kb=process.memory_info().rss / 1024,
        database_bytes=database_bytes(),
    )


def _database_bytes(home: Path, postgres: str | None) -> int:
    if postgres is None:
        return sum(file.stat().st_size for file in (home / "var").rglob("*.db*"))
    import psycopg2

    with psycopg2.connect(postgres) as connection, connection.cursor() as cursor:
        cursor.execute("select pg_database_size(current_database())")
        return int(cursor.fetchone()[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2_000)
    parser.add_argument("--postgres", action="store_true", help="Debian's, started for this.")
    given = parser.parse_args()
    os.environ["DAGSTER_EVENT_BATCH_SIZE"] = "500"  # as the command has it
    start = time.monotonic()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sa")))
        url = stack.enter_context(_database()) if given.postgres else None
        readings = soak(folder, given.runs, lambda text: print(text, flush=True), url)
    found: dict[str, Any] = {
        "seconds_a_run": (time.monotonic() - start) / given.runs,
        **growth(readings),
        "faults": faults(readings),
    }
    print(json.dumps(found))
    sys.exit(bool(found["faults"]))


@contextmanager
def _database() -> Iterator[str]:
    from stock_assets_tests.services.postgres_server import postgres_server

    with postgres_server() as server:
        server.execute("postgres", "create database stock")
        os.environ["STOCK_ASSETS_POSTGRES_URL"] = server.url("stock")
        yield server.url("stock")


if __name__ == "__main__":
    main()
