"""Runs of commands that were killed: Dagster would show them as under way for ever.

A run in another process is watched by Dagster; one inside a command is not. So each command holds a
lock, which the system lets go of however the command ends, and the next one looks who is gone.
Events are written in batches, so a kill may leave objects that Dagster knows nothing of: the
dataset's next command reports them, and the page offers only what is missing. The same brings back
a history that is lost, or that older releases kept under keys without the dataset.
"""

import fcntl
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from dagster import DagsterEvent, DagsterEventType

from stock_assets.asset_keys import Asset, asset_key
from stock_assets.automation.jobs import (
    COMMAND_TAG,
    DAILY_ASSETS,
    MONTHLY_ASSETS,
    assets_asked_of,
    is_of_dataset,
)
from stock_assets.automation.under_way import UNFINISHED
from stock_assets.local.dagster_private.runs import (
    RUNLESS_JOB_NAME,
    RUNLESS_RUN_ID,
    DagsterEventBatchMetadata,
    StepMaterializationData,
)
from stock_assets.resources.mlflow_tracking import MlflowTracking
from stock_assets.resources.object_store import ObjectStore
from stock_assets.resources.partition_objects import stored_partitions
from stock_assets.settings import Settings

_OVER = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)


@contextmanager
def living_command(
    settings: Settings, instance: dg.DagsterInstance, store: ObjectStore
) -> Iterator[str]:
    """The value of COMMAND_TAG for runs within the block; runs of dead commands are ended first."""
    folder = settings.state_folder / "commands"
    folder.mkdir(parents=True, exist_ok=True)
    dataset = settings.dataset_name
    made = _asked_of_the_dead(folder, instance, dataset)
    _report_stored(instance, store, dataset, made)
    if Asset.TUNED_MODEL in made:
        # No training need follow: all months may have been stored before the kill.
        tracking = MlflowTracking(settings, store)
        with tracking.client() as client:
            tracking.close_orphans(client, instance)
    restore_history(instance, store, dataset)
    name = uuid.uuid4().hex[:12]
    path = folder / f"{name}.lock"
    new = path.with_suffix(".new")
    with new.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        new.rename(path)  # only now can others see it: a file without its lock would look dead
        try:
            yield name
        finally:
            path.unlink(missing_ok=True)


def restore_history(instance: dg.DagsterInstance, store: ObjectStore, dataset: str) -> None:
    """Tells Dagster what is stored of the assets that it knows nothing of.

    It lost its files, or has them from before keys had the dataset in them. What a run is about to
    report itself is left to it.
    """
    every = {asset_key(dataset, asset): asset for asset in (*DAILY_ASSETS, *MONTHLY_ASSETS)}
    newest = instance.get_latest_materialization_events(every)
    unknown = [asset for key, asset in every.items() if not newest.get(key)]
    _report_stored(instance, store, dataset, unknown, unless_under_way=True)


def _report_stored(
    instance: dg.DagsterInstance,
    store: ObjectStore,
    dataset: str,
    assets: Iterable[str],
    *,
    unless_under_way: bool = False,
) -> None:
    for asset in assets:
        # In this order: what a run stores after the look is not seen, and of a run that is over
        # before the second look the third one sees the events.
        stored = stored_partitions(store, asset)
        if not stored or (unless_under_way and _is_being_made(instance, dataset, asset)):
            continue
        key_of_asset = asset_key(dataset, asset)
        known = instance.get_materialized_partitions(key_of_asset)
        missing = [key for key in stored if key not in known]
        batch = uuid.uuid4().hex
        for number, key in enumerate(missing, 1):
            event = DagsterEvent(
                DagsterEventType.ASSET_MATERIALIZATION.value,
                RUNLESS_JOB_NAME,
                event_specific_data=StepMaterializationData(
                    dg.AssetMaterialization(
                        key_of_asset,
                        partition=key,
                        description="Stored when Dagster did not know of it.",
                    )
                ),
            )
            # As `report_runless_asset_event` does, which writes events one by one.
            instance.report_dagster_event(
                event,
                RUNLESS_RUN_ID,
                batch_metadata=DagsterEventBatchMetadata(batch, number == len(missing)),
            )


def _is_being_made(instance: dg.DagsterInstance, dataset: str, asset: str) -> bool:
    """Whether a run that is not over may have stored what it has not told of yet."""
    return any(
        is_of_dataset(run, dataset) and asset in (assets_asked_of(run) or {asset})
        for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))
    )


def _asked_of_the_dead(folder: Path, instance: dg.DagsterInstance, dataset: str) -> set[str]:
    """Ends the runs of dead commands; what those of a dataset were asked for.

    What they stored lies in their dataset's store, which its own next command opens: until then the
    file of a dead command stays.
    """
    asked: set[str] = set()
    for path in folder.glob("*.lock"):
        try:
            with path.open("a") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                runs = instance.get_runs(dg.RunsFilter(tags={COMMAND_TAG: path.stem}))
                for run in runs:
                    if run.status not in _OVER:
                        instance.report_run_failed(run, "The command of this run was killed.")
                if all(is_of_dataset(run, dataset) for run in runs):
                    asked.update(*map(assets_asked_of, runs))
                    path.unlink(missing_ok=True)
        except BlockingIOError:
            continue
    return asked & {*DAILY_ASSETS, *MONTHLY_ASSETS}
