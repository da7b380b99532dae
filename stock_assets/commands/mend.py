"""What is damaged is set aside and made again from what it was made of, as if it were missing.

Whatever a command meets damaged it mends by itself; `stock-assets mend` looks at every object. The
key is noted before its object goes, so that a killed command leaves no hole outside of the range
that the next one is asked for.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from stock_assets.automation.jobs import DAILY_ASSETS, MONTHLY_ASSETS, MONTHLY_JOB
from stock_assets.commands.mended_models import with_models_mended
from stock_assets.commands.project import Project, open_project, run_partitions
from stock_assets.commands.stages import Progress, fill_prices, fill_sessions
from stock_assets.errors import DamagedObjectError, MissingPartitionsError, SourceError
from stock_assets.partitions import session_of
from stock_assets.resources.damage import find_damaged
from stock_assets.resources.io_managers import partition_object, stored_partitions
from stock_assets.resources.model_registry import ModelRegistry
from stock_assets.resources.model_settings import settings_of_studies
from stock_assets.resources.stored_values import read_values
from stock_assets.settings import Settings

T = TypeVar("T")

ASSETS = ("raw_prices", "features", *MONTHLY_ASSETS, "daily_forecast", "forecast_rmse")
"""In the order in which they are made."""


def mend(settings: Settings) -> str:
    """Looks at every object of the dataset and mends the damaged ones; what was done, in words."""
    with open_project(settings) as project:
        number, damaged = find_damaged(project.store, ASSETS)
        _set_aside(project, damaged)
        progress = Progress()
        mending(project, progress, lambda: _mend_models(project, progress))
        return f"{number} objects looked at, {len(damaged)} were damaged and are made again"


def _mend_models(project: Project, progress: Progress) -> None:
    """Trains those months again whose versions' files can't be read as what was stored."""
    registry = ModelRegistry(project.settings, project.store)
    every = project.partitions.months.get_partition_keys()

    def read_all() -> None:
        for version in registry.versions():
            registry.load(version)

    def train(month: str) -> None:
        stored = stored_partitions(project.store, "daily_forecast")
        project.due.note("daily_forecast", (s for s in stored if s.startswith(month)))
        with progress.stage("training", month):
            run_partitions(project, MONTHLY_JOB, MONTHLY_ASSETS, [month], every, 1)

    with_models_mended(project, read_all, train)


def mending(project: Project, progress: Progress, work: Callable[[], T]) -> T:
    """What `work` returns; it begins anew after what it meets damaged was made again.

    Raises:
        DamagedObjectError: Something that no asset is made of, or that is damaged again.
    """
    known: set[str] = set()
    while True:
        try:
            _make_again(project, progress)
            return work()
        except DamagedObjectError as error:
            if known & error.damaged.keys():
                raise
            known |= error.damaged.keys()
            _set_aside(project, error.damaged)
        except MissingPartitionsError as error:
            # A run makes what it needs before it needs it: what is missing then may only be hidden.
            by = "session" if error.asset in DAILY_ASSETS else "month"
            project.store.refuse_unlisted(
                partition_object(error.asset, by, key, "part.parquet") for key in error.keys
            )
            raise


def fill_months(project: Project, months: Iterable[str], progress: Progress) -> None:
    """Makes what registered months lack of their train set, test set and study.

    Whether a month is to be trained its version tells alone: what else it lacks is made beside it.
    """
    stored = [set(stored_partitions(project.store, asset)) for asset in MONTHLY_ASSETS]
    registered = stored[MONTHLY_ASSETS.index("registered_version")]
    lacking = sorted(
        {m for m in registered.intersection(months) if not all(m in s for s in stored)}
    )
    if lacking:
        every = project.partitions.months.get_partition_keys()
        with progress.stage("training", f"what {lacking[0]}..{lacking[-1]} lack"):
            for month in lacking:
                _make_month_again(project, month, every)


def _set_aside(project: Project, damaged: Iterable[str]) -> None:
    """Moves damaged objects aside, each noted first."""
    keys: dict[str, list[str]] = {}
    for path in damaged:
        asset, _, rest = path.partition("/")
        if asset not in ASSETS:
            raise project.store.damaged({path: "no asset is made of it"})
        keys.setdefault(asset, []).append(rest.partition("/")[0].partition("=")[2])
    for asset, found in keys.items():
        project.due.note(asset, found)
    for path in damaged:
        aside = project.store.set_aside(path)
        print(
            f"note: {path} is damaged: moved to {aside}, it is made again",
            file=sys.stderr,
            flush=True,
        )


def _make_again(project: Project, progress: Progress) -> None:
    """Makes what is noted and not there, upstream first."""
    due = project.due
    for asset in ASSETS:
        noted = due.keys(asset)
        gone = sorted(noted - stored_partitions(project.store, asset).keys()) if noted else []
        if not gone:
            continue
        daily = asset in DAILY_ASSETS
        definition = project.partitions.sessions if daily else project.partitions.months
        every = definition.get_partition_keys()
        known = [key for key in gone if key in every]
        if asset == "raw_prices":
            _fetch_again(project, known, progress)
        elif daily and known:
            fill_sessions(project, asset, [session_of(key) for key in known], progress)
        elif known:
            with progress.stage(
                "training", f"{len(known)} months {known[0]}..{known[-1]}: {asset}"
            ):
                for month in known:
                    _make_month_again(project, month, every)
        due.strike(asset, gone)


def _fetch_again(project: Project, keys: list[str], progress: Progress) -> None:
    try:
        fill_prices(project, [session_of(key) for key in keys], progress)
    except SourceError as error:
        print(
            f"note: raw_prices of {', '.join(keys)} can't be fetched again: {error}",
            file=sys.stderr,
            flush=True,
        )


def _make_month_again(project: Project, month: str, every: Sequence[str]) -> None:
    """The assets of a month that are missing, from those that are there.

    A month of other settings is made whole, and one that was trained through a session of its own
    month gets the data through that session again.
    """
    store = project.store
    missing = [a for a in MONTHLY_ASSETS if month not in stored_partitions(store, a)]
    through = None
    if "tuned_model" not in missing:
        (study,) = read_values(store, [f"tuned_model/month={month}/value.json"], dict)
        if study.get("settings") != settings_of_studies(project.settings):
            missing = list(MONTHLY_ASSETS)
        elif str(study.get("trained_through")).startswith(month):
            through = study["trained_through"]
    config = {
        asset: {"train_through": through} for asset in missing if through and asset.endswith("_set")
    }
    run_partitions(project, MONTHLY_JOB, missing, [month], every, 1, config)
