"""Runs of commands that were killed: Dagster would show them as under way for ever.

A run in another process is watched by Dagster; one inside a command is not. So each command holds a
lock, which the system lets go of however the command ends, and the next one looks who is gone.
"""

import fcntl
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from stock_assets.settings import Settings

COMMAND_TAG = "stock_assets/command"
_OVER = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)


@contextmanager
def living_command(settings: Settings, instance: dg.DagsterInstance) -> Iterator[str]:
    """The value of COMMAND_TAG for runs within the block; runs of dead commands are ended first."""
    folder = settings.state_folder / "commands"
    folder.mkdir(parents=True, exist_ok=True)
    _end_runs_of_the_dead(folder, instance)
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


def other_commands(settings: Settings, command: str) -> frozenset[str]:
    """Names of the commands under way on this machine but one."""
    folder = settings.state_folder / "commands"
    return frozenset(path.stem for path in folder.glob("*.lock")) - {command}


def _end_runs_of_the_dead(folder: Path, instance: dg.DagsterInstance) -> None:
    for path in folder.glob("*.lock"):
        try:
            with path.open("a") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for run in instance.get_runs(dg.RunsFilter(tags={COMMAND_TAG: path.stem})):
                    if run.status not in _OVER:
                        instance.report_run_failed(run, "The command of this run was killed.")
                path.unlink(missing_ok=True)
        except BlockingIOError:
            continue
