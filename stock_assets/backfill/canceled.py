"""A run that Ctrl-C ends is canceled. Dagster calls it failed unless someone asked for its end."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import dagster as dg

from stock_assets.automation.jobs import COMMAND_TAG


@contextmanager
def canceled_by(
    interrupted: Callable[[], bool], instance: dg.DagsterInstance, command: str
) -> Iterator[None]:
    """Asks for the end of a command's run, should an interrupt have struck it within the block.

    What a run ends with, Dagster decides by the status that it looks up last of all: canceled where
    it is being canceled, else failed, whatever the interrupt had become on its way. So this is when
    it is told. A thread that waits for the signal would often come too late, and an event after the
    end would leave the failure in the log.

    Args:
        interrupted: Whether there was one.
        instance: Where the run is.
        command: The run's COMMAND_TAG: other runs are looked up too, and go on.
    """
    look_up = instance.get_run_by_id

    def asked_for(run_id: str) -> dg.DagsterRun | None:
        run = look_up(run_id)
        if not run or run.tags.get(COMMAND_TAG) != command or not interrupted():
            return run
        if run.status in {dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED}:
            instance.report_run_canceling(run, "Ctrl-C, or a signal to end the command.")
        return look_up(run_id)

    instance.get_run_by_id = asked_for  # type: ignore[method-assign]  # for the block
    try:
        yield
    finally:
        del instance.get_run_by_id  # the class has its own
