"""What it costs to load 500 tickers x 5 years from one file and store them as partitions.

    python stock_assets_tests/benchmarks/bench_price_storage.py [--tickers 500] [--sessions 1260]

Each measurement is a process of its own, so that peak memory is its own. `plain` reads the file
with polars and writes the same rows to the same number of Parquet objects, without Dagster; `empty`
runs the same partitions through an asset that does nothing, on the same instance, and `checked`
through one with as many checks as `raw_prices` has: that is Dagster's own cost. `asset` is
`raw_prices` itself, first into an empty store and then, `again`, over what it stored.
"""

import argparse
import io
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).parents[2]
LAST = date(2021, 12, 31)


def simulated_bars(tickers: int, sessions: int) -> Any:
    """Random walks with a split now and then and four dividends a year."""
    import numpy as np
    import polars as pl

    from stock_assets.market.bars import BAR_SCHEMA
    from stock_assets.market.sessions import load_calendar

    days = load_calendar("XNYS").between(date(2010, 1, 4), LAST)[-sessions:]
    random = np.random.default_rng(1)
    shape = (tickers, len(days))
    split = np.where(random.random(shape) < 4e-4, 2.0, 1.0)
    close = (
        100 * np.exp(np.cumsum(random.normal(0, 0.015, shape), axis=1)) / np.cumprod(split, axis=1)
    )
    opened = close * np.exp(random.normal(0, 0.007, shape))
    columns = {
        "open": opened,
        "high": np.maximum(opened, close) * 1.005,
        "low": np.minimum(opened, close) * 0.995,
        "close": close,
        "volume": np.round(1e6 * np.exp(random.normal(0, 0.4, shape))),
        "dividend": np.where(random.random(shape) < 4 / 252, 0.005 * close, 0.0),
        "split_ratio": split,
    }
    return pl.DataFrame(
        {
            "ticker": np.repeat([f"T{n:03}" for n in range(tickers)], len(days)),
            "session": pl.Series(list(days) * tickers, dtype=pl.Date),
            **{name: values.ravel() for name, values in columns.items()},
        }
    ).select(pl.col(n).cast(t) for n, t in BAR_SCHEMA.items())


def settings_of(home: Path, kind: str) -> Any:
    from stock_assets.settings import Settings

    local = {"store_uri": f"file://{home / 'objects'}"} if kind == "file" else {}
    return Settings(
        home=home,
        source="files",
        files_uri=str(home / "bars.parquet"),
        sessions_per_run=10**6,
        **local,
    )


@contextmanager
def measured() -> Iterator[dict[str, float]]:
    """Fills in the seconds of the block, its CPU seconds, and the process's peak memory."""
    result: dict[str, float] = {}
    before = time.process_time()
    start = time.perf_counter()
    yield result
    result["seconds"] = round(time.perf_counter() - start, 2)
    result["cpu_seconds"] = round(time.process_time() - before, 2)
    result["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def plain(home: Path, kind: str) -> dict[str, float]:
    import polars as pl

    from stock_assets.resources.object_store import open_store

    with open_store(settings_of(home, kind)) as store, measured() as result:
        bars = pl.read_parquet(home / "bars.parquet")
        parts = bars.partition_by("session", as_dict=True)
        objects = {}
        for (session,), part in parts.items():
            buffer = io.BytesIO()
            part.write_parquet(buffer, compression="zstd", statistics=False)
            objects[f"plain/session={session}/part.parquet"] = buffer.getvalue()
        store.put_many(objects)
    return result


def asset(home: Path, kind: str) -> dict[str, float]:
    from stock_assets.commands.project import open_project, run_partitions

    with open_project(settings_of(home, kind)) as project:
        keys = project.partitions.sessions.get_partition_keys()
        with measured() as result:
            run_partitions(project, "daily_job", ["raw_prices"], keys, keys, len(keys))
    return result


def empty(home: Path, kind: str, checks: Sequence[str] = ()) -> dict[str, float]:
    import dagster as dg

    from stock_assets.commands.project import open_project
    from stock_assets.partitions import range_tags

    with open_project(settings_of(home, kind)) as project:
        sessions = project.partitions.sessions
        keys = sessions.get_partition_keys()

        @dg.asset(
            partitions_def=sessions,
            backfill_policy=dg.BackfillPolicy.single_run(),
            check_specs=[dg.AssetCheckSpec(name, asset="nothing") for name in checks],
        )
        def nothing() -> dg.MaterializeResult:
            results = [dg.AssetCheckResult(check_name=name, passed=True) for name in checks]
            return dg.MaterializeResult(check_results=results)

        job = dg.define_asset_job("nothing_job", [nothing], partitions_def=sessions)
        definitions = dg.Definitions([nothing], jobs=[job])
        with measured() as result:
            definitions.resolve_job_def("nothing_job").execute_in_process(
                instance=project.instance,
                run_config={"loggers": {"console": {"config": {"log_level": "WARNING"}}}},
                tags=range_tags(keys[0], keys[-1]),
            )
    return result


def checked(home: Path, kind: str) -> dict[str, float]:
    from stock_assets.assets.bar_checks import PRICE_CHECKS

    return empty(home, kind, tuple(PRICE_CHECKS))


MEASUREMENTS = {
    "plain": plain, "empty": empty, "checked": checked, "asset": asset, "again": asset,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tickers", type=int, default=500)
    parser.add_argument("--sessions", type=int, default=1260)
    parser.add_argument("--stores", default="file,seaweed")
    parser.add_argument("--only", choices=MEASUREMENTS, help=argparse.SUPPRESS)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.only:
        print(json.dumps(MEASUREMENTS[given.only](given.home, given.stores)))
        return
    with tempfile.TemporaryDirectory() as folder:
        for kind in given.stores.split(","):
            home = Path(folder) / kind
            home.mkdir()
            shutil.copy(CHECKOUT / "dagster.yaml", home)
            simulated_bars(given.tickers, given.sessions).write_parquet(home / "bars.parquet")
            print(f"{kind}: {given.tickers} tickers, {given.sessions} sessions")
            for name in MEASUREMENTS:
                # The same line as `stock-assets`: fewer, larger writes to Dagster's database.
                environment = {"DAGSTER_EVENT_BATCH_SIZE": "500", **os.environ}
                line = [sys.executable, __file__, "--only", name, "--stores", kind]
                done = subprocess.run(
                    [*line, "--home", str(home)],
                    env={**environment, "PYTHONPATH": str(CHECKOUT), "PYTHONWARNINGS": "ignore"},
                    stdout=subprocess.PIPE,
                    text=True,
                    check=True,
                )
                found = json.loads(done.stdout.splitlines()[-1])
                print(
                    "  " + f"{name:<8}" + "  ".join(f"{k} {v:>8}" for k, v in found.items()),
                    flush=True,
                )


if __name__ == "__main__":
    main()
