"""A whole backfill beside the pure computation in it plus the same partitions through empty assets.

Prices, features, training, forecasts and scores through the assets, as `stock-assets backtest` runs
them, from nothing, on the local S3 server and MLflow's database. `pure` is the time inside
`market` and `forecasting` during the very same run (see `pure`), so what is left over is Dagster,
the object store, MLflow and the glue. `empty` runs the same ranges of a hollow copy of the graph.
"""

from datetime import date
from pathlib import Path
from typing import Any

from stock_assets_tests.benchmarks.case import Case, Measurement, Ratio, Size, measured
from stock_assets_tests.benchmarks.homes import home_for, opened


def prepare(folder: Path, size: Size) -> None:
    from stock_assets_tests.benchmarks.simulated import simulated_bars

    bars = simulated_bars(size["tickers"], size["history"] + size["sessions"])
    bars.write_parquet(folder / "bars.parquet")


def _range(project: Any, size: Size) -> Any:
    keys = project.partitions.sessions.get_partition_keys()
    first, last = keys[-size["sessions"]], keys[-1]
    return project.range_of(date.fromisoformat(first), date.fromisoformat(last))


def backfill(folder: Path, size: Size) -> Measurement:
    from stock_assets.backfill.execution import bring_up_to_date
    from stock_assets.backfill.progress import Progress
    from stock_assets_tests.benchmarks.pure import watch_the_pure_core

    watch = watch_the_pure_core()
    with opened(home_for(folder, "backfill"), folder / "bars.parquet", size) as project:
        wanted = _range(project, size)
        progress = Progress()
        before, cpu_before = watch.seconds, watch.cpu_seconds
        with measured() as result:
            bring_up_to_date(project, wanted.wanted(), progress)
    slowest = sorted(watch.by_function.items(), key=lambda item: -item[1])
    return result | {
        "pure_seconds": watch.seconds - before,
        "pure_cpu_seconds": watch.cpu_seconds - cpu_before,
        "stages": {name: round(took, 2) for name, took in progress.seconds.items()},
        "pure_functions": {name: round(took, 2) for name, took in slowest[:12]},
        "sessions": len(wanted.targets),
        "months": len(wanted.months),
    }


def empty(folder: Path, size: Size) -> Measurement:
    from stock_assets_tests.benchmarks.hollow import walked_hollow

    with opened(home_for(folder, "empty"), folder / "bars.parquet", size) as project:
        return walked_hollow(project, _range(project, size).wanted())


CASE = Case(
    title="Backfill of 500 sessions x 100 tickers x 24 months from nothing, default settings",
    sizes={
        "full": {"tickers": 100, "sessions": 500, "history": 760},
        "tiny": {"tickers": 3, "sessions": 4, "history": 230, "quick": 1},
    },
    prepare=prepare,
    contenders={"backfill": backfill, "empty": empty},
    ratios=[
        Ratio(
            "backfill / (its pure computation + empty assets)",
            "backfill",
            ["backfill:pure", "empty"],
            at_most=1.25,
        ),
        Ratio(
            "CPU of the same",
            "backfill",
            ["backfill:pure", "empty"],
            key="cpu_seconds",
        ),
    ],
    repeats=2,
    notes="With the 36 months of history that the first month's model wants.",
)
