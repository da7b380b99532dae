"""Five years as Dagster's runs: in one process on SQLite, and by two workers of Celery.

Both do what a click on *Launch backfill* does, with the same runs: sessions follow each other, and
so do months in one process. Workers have homes of their own and share a folder of objects,
PostgreSQL and Redis; two runs of months go on at once. Debian's servers are needed. On one machine
two workers share its cores, which one process uses too: what is shown there is what it costs to
hand steps over, not what a second machine gains.
"""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from stock_assets_tests.benchmarks.case import Case, Measurement, Ratio, Size, measured
from stock_assets_tests.benchmarks.homes import QUICK, home_for

_OF_SESSIONS = ("raw_prices", "features"), ("daily_forecast", "forecast_rmse")


def prepare(folder: Path, size: Size) -> None:
    from stock_assets_tests.benchmarks.simulated import simulated_bars

    bars = simulated_bars(size["tickers"], size["sessions"])
    bars.write_parquet(folder / "bars.parquet")


def daily() -> Any:
    """The job of sessions, as workers find it."""
    return _job("daily_job")


def monthly() -> Any:
    """The job of months."""
    return _job("monthly_job")


def _job(name: str) -> Any:
    from stock_assets.definitions import build_definitions
    from stock_assets.environment import load_settings

    return build_definitions(load_settings()).resolve_job_def(name)


def _run(job: Any, keys: Sequence[str], assets: Sequence[str] = ()) -> None:
    """One run over neighbouring keys, as a process of Dagster's does it."""
    import dagster as dg

    from stock_assets.asset_keys import asset_key
    from stock_assets.backfill.project import open_instance
    from stock_assets.environment import load_settings
    from stock_assets.partitions import range_tags

    settings = load_settings()
    selected = [asset_key(settings.dataset_name, asset) for asset in assets] or None
    with (
        open_instance(settings) as instance,
        dg.execute_job(
            dg.reconstructable(job),
            instance,
            tags=range_tags(keys[0], keys[-1]),
            raise_on_error=True,
            asset_selection=selected,
        ),
    ):
        pass


def _backfilled(n_months: int, at_once: int) -> Measurement:
    """The newest months, made from nothing; of runs of months so many go on at once."""
    from stock_assets.deployment import load_partitions
    from stock_assets.environment import load_settings

    partitions = load_partitions(load_settings())
    sessions = partitions.sessions.get_partition_keys()
    months = partitions.months.get_partition_keys()[-n_months:]
    seconds = {}
    with measured() as result:
        for stage, keys, per_run in (
            ("prices and features", sessions, partitions.sessions_per_run),
            ("training", months, partitions.months_per_run),
            ("forecasts", [one for one in sessions if one >= months[0]], 250),
        ):
            start = time.perf_counter()
            parts = [keys[first : first + per_run] for first in range(0, len(keys), per_run)]
            if stage == "training":
                with ThreadPoolExecutor(at_once) as pool:
                    runs = []
                    for part in parts:
                        runs.append(pool.submit(_run, monthly, part))
                        time.sleep(at_once - 1)  # a queue starts them one after the other
                    for run in runs:
                        run.result()
            else:
                assets = _OF_SESSIONS[stage == "forecasts"]
                for part in parts:
                    _run(daily, part, assets)
            seconds[stage] = round(time.perf_counter() - start, 2)
    return result | {"stages": seconds, "sessions": len(sessions), "months": len(months)}


def _settings(folder: Path, home: Path, size: Size, **others: Any) -> dict[str, str]:
    given = {
        "home": home, "source": "files", "files_uri": folder / "bars.parquet",
        "store_uri": f"file://{home.parent}/{home.name}_objects",
        **(QUICK if size.get("quick") else {}), **others,
    }  # fmt: skip
    return {f"STOCK_ASSETS_{name}".upper(): str(value) for name, value in given.items()}


def in_process(folder: Path, size: Size) -> Measurement:
    os.environ.update(_settings(folder, home_for(folder, "alone"), size))
    return _backfilled(size["months"], at_once=1)


@contextmanager
def _workers(homes: Sequence[Path]) -> Iterator[None]:
    from stock_assets.local.processes import running

    command = [sys.executable, "-m", "celery", "--app", "stock_assets.automation.celery_worker"]
    command += ["worker", "--queues", "dagster", "--concurrency", "1", "--loglevel", "info"]
    with ExitStack() as stack:
        for home in homes:
            environment = {**os.environ, "STOCK_ASSETS_HOME": str(home)}
            one = [*command, "--hostname", f"{home.name}@%h"]
            log = home / "logs" / "worker.log"
            process = stack.enter_context(running("worker", one, log.parent, environment, home))
            while "ready." not in log.read_text():
                if process.poll() is not None:
                    raise RuntimeError(log.read_text())
                time.sleep(0.2)
        yield


def two_workers(folder: Path, size: Size) -> Measurement:
    from stock_assets_tests.services.postgres_server import postgres_server
    from stock_assets_tests.services.redis_server import redis_server

    page, *homes = (home_for(folder, name) for name in ("page", "one", "two"))
    with postgres_server() as server, redis_server() as broker:
        server.execute("postgres", "create database stock")
        given = {"postgres_url": server.url("stock"), "celery_broker_url": broker}
        os.environ.update(_settings(folder, page, size, executor="celery", **given))
        with _workers(homes):
            return _backfilled(size["months"], at_once=2)


CASE = Case(
    title="Five years of 120 tickers as runs of Dagster, small models: one process, two workers",
    sizes={
        "full": {"tickers": 120, "sessions": 1_420, "months": 60, "quick": 1},
        "tiny": {"tickers": 3, "sessions": 200, "months": 2, "quick": 1},
    },
    prepare=prepare,
    contenders={"one process": in_process, "two workers": two_workers},
    ratios=[Ratio("two workers / one process", "two workers", ["one process"])],
    needs={"two workers": "dagster_celery"},
    repeats=1,
)
