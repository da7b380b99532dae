"""The project as a command sees it: settings, definitions, Dagster's instance, the store."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg
from sqlalchemy.exc import SQLAlchemyError
from yaml import YAMLError

from stock_assets.asset_keys import asset_key
from stock_assets.automation.jobs import COMMAND_TAG, config_of
from stock_assets.backfill.canceled import canceled_by
from stock_assets.backfill.command_runs import execute_job
from stock_assets.backfill.interrupts import noted_interrupts
from stock_assets.backfill.killed import living_command
from stock_assets.backfill.progress import is_watched, shown
from stock_assets.definitions import build_definitions
from stock_assets.deployment import lineage_of, load_partitions
from stock_assets.errors import (
    BlockingCheckError,
    MissingPartitionsError,
    SettingsError,
    StockAssetsError,
)
from stock_assets.local.dagster_private.instance import InstanceRef
from stock_assets.local.dagster_private.runs import DagsterAssetCheckFailedError
from stock_assets.local.locks import one_at_a_time
from stock_assets.local.postgres import database_of, refuse_cut_off
from stock_assets.local.sqlite_files import refuse_unusable
from stock_assets.partitions import Partitions, range_tags
from stock_assets.planning.extent import Range, plan_range
from stock_assets.planning.lineage import Lineage
from stock_assets.planning.plan import Plan, Wanted, make_plan
from stock_assets.planning.work import neighbouring_ranges
from stock_assets.resources.model_registry import ModelRegistry
from stock_assets.resources.object_store import ObjectStore, open_store
from stock_assets.resources.price_history import PriceHistory
from stock_assets.resources.prices import Prices, open_prices
from stock_assets.resources.stored_state import stored_state
from stock_assets.resources.writer_lease import Lease, writing
from stock_assets.settings import Settings


@dataclass(frozen=True)
class Project:
    """Everything that a command needs, opened once.

    `lost`: assets and keys of damaged objects that this command has set aside.
    """

    settings: Settings
    partitions: Partitions
    definitions: dg.Definitions
    instance: dg.DagsterInstance
    store: ObjectStore
    prices: Prices
    command: str
    lost: set[tuple[str, str]] = field(default_factory=set)

    @property
    def price_history(self) -> PriceHistory:
        return PriceHistory(self.store)

    @cached_property
    def lineage(self) -> Lineage:
        return lineage_of(self.settings, self.partitions)

    def range_of(self, first: date, last: date) -> Range:
        """What the target sessions from `first` to `last` need."""
        return plan_range(self.settings, self.partitions, self.lineage, first, last)

    def writing(self) -> AbstractContextManager[Lease]:
        """The right to write the dataset; waits for whoever has it."""
        return writing(self.store, "stock-assets", on_wait=shown().say)

    def plan(self, wanted: Wanted, answered: Mapping[str, frozenset[str]] | None = None) -> Plan:
        """What is due of some keys, as of now.

        `answered`: by session, tickers whose prices are not asked for again.
        """
        stored = stored_state(self.store, wanted, is_live=self.partitions.is_live)
        stored = stored.with_asked(answered or {})
        versions = ModelRegistry(self.settings, self.store).versions()
        return make_plan(self.lineage, stored, wanted, versions, self.prices.tickers)


@contextmanager
def open_project(settings: Settings) -> Iterator[Project]:
    """The project on the same instance that the page uses, with the store up for the block."""
    with (
        open_store(settings) as store,
        open_instance(settings) as instance,
        open_prices(settings) as prices,
        living_command(settings, instance, store) as command,
    ):
        yield Project(
            settings,
            load_partitions(settings),
            build_definitions(settings),
            instance,
            store,
            prices,
            command,
        )


_NO_CAPTURE = {
    "compute_logs": {
        "module": "dagster.core.storage.noop_compute_log_manager",
        "class": "NoOpComputeLogManager",
    }
}
"""At a terminal. To keep what a step prints Dagster turns its output to a file, where no bar can be
drawn, and starts processes that Ctrl-C reaches too: they leave a stack trace each."""


@contextmanager
def open_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """Dagster's instance, as the page has it.

    Raises:
        SettingsError: There is no dagster.yaml, or Dagster can't use it.
        DatabaseError: Its database can't be reached.
    """
    home = Path(os.environ.get("DAGSTER_HOME") or settings.home)
    if not (home / "dagster.yaml").is_file():
        raise SettingsError(
            f"no dagster.yaml in {home}; run in the checkout, or set STOCK_ASSETS_HOME or"
            " DAGSTER_HOME to a folder that has one"
        )
    os.chdir(settings.working_folder)
    # Two processes that create its SQLite databases at once leave them unusable.
    with one_at_a_time(settings, "dagster"):
        refuse_unusable_history(settings)
        try:
            instance = dg.DagsterInstance.from_ref(
                InstanceRef.from_dir(str(home), overrides=_NO_CAPTURE if is_watched() else None)
            )
        except (dg.DagsterInvalidConfigError, YAMLError) as error:
            raise SettingsError(f"{home / 'dagster.yaml'}: {_reason(error)}; mend it") from error
        instance.get_runs_count()
    with instance:
        try:
            yield instance
        except StockAssetsError:
            raise
        except Exception as error:  # each library has its own for a database that is gone
            if url := database_of("dagster", settings.dagster_url, settings.postgres_url):
                refuse_cut_off(url, error)
            elif isinstance(error, SQLAlchemyError):
                refuse_unusable_history(settings, thorough=True)  # where that is why
            raise


def _reason(error: dg.DagsterInvalidConfigError | YAMLError) -> str:
    """The first thing that is wrong, without the stack and the whole schema after it."""
    listed = [] if isinstance(error, YAMLError) else error.errors
    message = listed[0].message if listed else str(error)
    for noise in ("\n\nStack Trace", " Expected:"):
        message = message.partition(noise)[0]
    return " ".join(message.split())


def refuse_unusable_history(settings: Settings, *, thorough: bool = False) -> None:
    """Refuses Dagster's files of this machine where one is damaged, or locked for long.

    Raises:
        DatabaseFileError: They hold history alone, so it names the command that moves them aside.
    """
    folder = settings.state_folder / "dagster"
    remedy = (
        "Dagster's files hold history alone, the objects are the truth:"
        f" `stock-assets down; mv {folder} {folder}.damaged-1`, and run again"
    )
    for name, table in (
        ("history/runs.db", "runs"),
        ("history/runs/index.db", "asset_keys"),
        ("schedules/schedules.db", "jobs"),
    ):
        refuse_unusable(folder / "storage" / name, remedy, table, thorough=thorough)


def run_partitions(
    project: Project,
    job: str,
    assets: Sequence[str],
    keys: Sequence[str],
    all_keys: Sequence[str],
    per_run: int,
    config: Mapping[str, Mapping[str, Any]] | None = None,
    on_run: Callable[[int], None] | None = None,
) -> int:
    """Materialises assets for the keys, in runs of neighbouring keys; the number of runs.

    What a run stored stays, whatever becomes of the next: a kill loses the run under way at most.

    Args:
        project: Where to.
        job: Whose partitions the keys are.
        assets: A part of the job's assets.
        keys: Partition keys, ascending.
        all_keys: Every key of the job, ascending: tells which keys are neighbours.
        per_run: What one failure can lose at the most.
        config: Of assets by name, where they take some.
        on_run: Called after each run with the number of keys that are done.

    Raises:
        MissingPartitionsError: A key is none of the job's: Dagster would run for nothing, and
            call that a success.
        BlockingCheckError: A check failed that stops a run.
        KeyboardInterrupt: A run was interrupted.
    """
    resolved = project.definitions.resolve_job_def(project.settings.named(job))
    if strangers := sorted(set(keys) - set(all_keys)):
        raise MissingPartitionsError(
            f"{', '.join(assets)}: {job} has no partition {', '.join(strangers[:5])}; it has"
            f" {f'{all_keys[0]}..{all_keys[-1]}' if all_keys else 'none'}: see the source's first"
            " and last session with `stock-assets doctor`"
        )
    runs = done = 0
    for first, last in neighbouring_ranges(keys, all_keys, per_run):
        with (
            noted_interrupts() as interrupted,
            project.writing(),
            canceled_by(interrupted, project.instance, project.command),
        ):
            _run_range(project, resolved, assets, first, last, config or {})
            if interrupted():
                raise KeyboardInterrupt
        runs += 1
        done += sum(first <= key <= last for key in keys)
        if on_run:
            on_run(done)
    return runs


def _run_range(
    project: Project,
    job: dg.JobDefinition,
    assets: Sequence[str],
    first: str,
    last: str,
    config: Mapping[str, Mapping[str, Any]],
) -> None:
    dataset = project.settings.dataset_name
    try:
        execute_job(
            project.instance,
            project.settings.code_location,
            job,
            {**range_tags(first, last), COMMAND_TAG: project.command},
            run_config={
                # Without a logger named here Dagster prints every event; ours prints what
                # assets say.
                "loggers": {"console": {"config": {"log_level": shown().log_level}}},
                **config_of(project.settings, config),
            },
            asset_selection=[asset_key(dataset, asset) for asset in assets],
        )
    except DagsterAssetCheckFailedError as error:
        raise BlockingCheckError(
            f"{', '.join(assets)} of {first}..{last}: {str(error).splitlines()[0]}; the check's"
            " metadata say what is missing (`make ui`, or the log); run again when it is there"
        ) from error
