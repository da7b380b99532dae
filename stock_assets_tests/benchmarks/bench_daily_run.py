"""A daily run beside an empty run of as many assets: the whole process, as a schedule starts one.

The day before yesterday's history, months' models and forecasts exist. `daily run` materialises one
more session through `daily_job`; `empty run` does so with a hollow copy of the graph.
"""

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from stock_assets_tests.benchmarks.case import Case, Measurement, Ratio, Size, measured
from stock_assets_tests.benchmarks.homes import home_for, opened


def prepare(folder: Path, size: Size) -> None:
    from stock_assets.backfill.execution import bring_up_to_date
    from stock_assets.backfill.progress import Progress
    from stock_assets_tests.benchmarks.simulated import simulated_bars

    bars = simulated_bars(size["tickers"], size["sessions"])
    bars.write_parquet(folder / "bars.parquet")
    with opened(home_for(folder, "home"), folder / "bars.parquet", size) as project:
        # As many sessions at the end are left as there will be daily runs.
        last = date.fromisoformat(
            project.partitions.sessions.get_partition_keys()[-size["left"] - 1]
        )
        bring_up_to_date(project, project.range_of(last, last).wanted(), Progress())


def _newest(project: Any) -> str:
    """The first session without a forecast."""
    from stock_assets.resources.partition_objects import stored_partitions

    done = max(stored_partitions(project.store, "raw_prices"))
    return min(k for k in project.partitions.sessions.get_partition_keys() if k > done)


def daily_run(folder: Path, size: Size) -> Measurement:
    return _run(folder, size, hollow=False)


def empty_run(folder: Path, size: Size) -> Measurement:
    return _run(folder, size, hollow=True)


def _run(folder: Path, size: Size, hollow: bool) -> Measurement:
    with measured() as result:
        from stock_assets.automation.jobs import DAILY_ASSETS, DAILY_JOB
        from stock_assets.backfill.project import run_partitions

        with opened(folder / "home", folder / "bars.parquet", size) as project:
            key = _newest(project)
            ran = project
            if hollow:
                from stock_assets_tests.benchmarks.hollow import hollow_definitions

                ran = replace(project, definitions=hollow_definitions(project))
            with measured() as inside:
                run_partitions(ran, DAILY_JOB, DAILY_ASSETS, [key], [key], 1)
            stored = len(project.store.keys("forecast_rmse"))
    return result | {"run_seconds": inside["seconds"], "scored_sessions": stored}


CASE = Case(
    title="A daily run of one session, 120 tickers, beside an empty run of as many assets",
    sizes={
        "full": {"tickers": 120, "sessions": 420, "left": 4, "quick": 1},
        "tiny": {"tickers": 3, "sessions": 260, "left": 2, "quick": 1},
    },
    prepare=prepare,
    contenders={"daily run": daily_run, "empty run": empty_run},
    ratios=[
        Ratio(
            "(daily run - 10 s) / empty run",
            "daily run",
            ["empty run"],
            key="process_seconds",
            at_most=1.5,
            allowance=10.0,
        ),
        Ratio("daily run / empty run", "daily run", ["empty run"], key="process_seconds"),
        Ratio("the run itself: daily / empty", "daily run", ["empty run"], key="run_seconds"),
    ],
    notes="Start of the process, imports and the local store included; models are small ones.",
)
