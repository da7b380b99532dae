"""Projects to run benchmarks on: a folder each, prices from one file, settings as they come."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

from stock_assets_tests.benchmarks.case import CHECKOUT, Measurement, Size, measured

QUICK: dict[str, Any] = {
    "train_months": 6,
    "min_train_sessions": 60,
    "test_sessions": 10,
    "tuning_trials": 2,
    "tuning_folds": 2,
    "tuning_trees": 5,
    "trees": 10,
}


def home_for(folder: Path, name: str) -> Path:
    """An empty home."""
    home = folder / name
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    shutil.copy(CHECKOUT / "dagster.yaml", home)
    return home


@contextmanager
def opened(home: Path, bars: Path, size: Size, **changed: Any) -> Iterator[Any]:
    """A project on the bars of a file. `quick` in the size makes its models small, `folder` its
    store a folder instead of the local S3 server, `last` its last session."""
    from stock_assets.backfill.project import open_project
    from stock_assets.settings import Settings

    given: dict[str, Any] = {"home": home, "source": "files", "files_uri": str(bars), **changed}
    if size.get("quick"):
        given |= QUICK | {"store_uri": f"file://{home / 'objects'}"}
    if isinstance(given.get("last_session"), str):
        given["last_session"] = date.fromisoformat(given["last_session"])
    with open_project(Settings(**given)) as project:
        yield project


def newest_months(project: Any, n_months: int) -> Any:
    """The range that the newest months of a project need, up to its newest session."""
    from stock_assets.market.months import month_of

    months = project.partitions.months.get_partition_keys()[-n_months:]
    newest = date.fromisoformat(project.partitions.sessions.get_partition_keys()[-1])
    return project.range_of(month_of(months[0]), newest)


def walked_forward(project: Any, n_months: int) -> Measurement:
    """The newest months of a project, made from nothing."""
    from stock_assets.backfill.execution import bring_up_to_date
    from stock_assets.backfill.progress import Progress

    wanted = newest_months(project, n_months)
    progress = Progress()
    with measured() as result:
        bring_up_to_date(project, wanted.wanted(), progress)
    return result | {
        "stages": {name: round(took, 2) for name, took in progress.seconds.items()},
        "sessions": len(wanted.targets),
        "months": len(wanted.months),
    }
