"""Runs of commands that were killed: Dagster would show them as under way for ever.

A run in another process is watched by Dagster; one inside a command is not. So each command holds a
lock, which the system lets go of however the command ends, and the next one looks who is gone.
Events are written in batches, so a kill may leave objects that Dagster knows nothing of: the next
command reports them, and the page offers only what is missing.
"""

import fcntl
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from dagster import DagsterEvent, DagsterEventType

from stock_assets.automation.jobs import COMMAND_TAG, DAILY_ASSETS, MONTHLY_ASSETS
from stock_assets.local.dagster_private.runs import (
    RUNLESS_JOB_NAME,
    RUNLESS_RUN_ID,
    DagsterEventBatchMetadata,
    StepMaterializationData,
)
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
    killed = _end_runs_of_the_dead(folder, instance)
    made = {key for run in killed for key in run.asset_selection or ()}
    if not instance.get_runs_count():
        # Nothing is known: the history was moved aside, or this is the first command of all.
        made = {
            dg.AssetKey(asset) for asset in (*DAILY_ASSETS, *MONTHLY_ASSETS) if store.keys(asset)
        }
    _report_stored(instance, store, made)
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


def _report_stored(
    instance: dg.DagsterInstance, store: ObjectStore, assets: Iterable[dg.AssetKey]
) -> None:
    for asset in assets:
        known = instance.get_materialized_partitions(asset)
        stored = stored_partitions(store, asset.to_user_string())
        missing = [key for key in stored if key not in known]
        batch = uuid.uuid4().hex
        for number, key in enumerate(missing, 1):
            event = DagsterEvent(
                DagsterEventType.ASSET_MATERIALIZATION.value,
                RUNLESS_JOB_NAME,
                event_specific_data=StepMaterializationData(
                    dg.AssetMaterialization(
                        asset, partition=key, description="Stored when Dagster did not know of it."
                    )
                ),
            )
            # As `report_runless_asset_event` does, which writes events one by one.
            instance.report_dagster_event(
                event,
                RUNLESS_RUN_ID,
                batch_metadata=DagsterEventBatchMetadata(batch, number == len(missing)),
            )


def _end_runs_of_the_dead(folder: Path, instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    ended = []
    for path in folder.glob("*.lock"):
        try:
            with path.open("a") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for run in instance.get_runs(dg.RunsFilter(tags={COMMAND_TAG: path.stem})):
                    if run.status not in _OVER:
                        instance.report_run_failed(run, "The command of this run was killed.")
                        ended.append(run)
                path.unlink(missing_ok=True)
        except BlockingIOError:
            continue
    return ended
