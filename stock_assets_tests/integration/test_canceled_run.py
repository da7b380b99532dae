"""Ctrl-C within a run: Dagster shows it as canceled, with nothing of a failure."""

import os
import signal
from datetime import date

import dagster as dg
import pytest

from stock_assets.asset_keys import Asset
from stock_assets.backfill.project import Project
from stock_assets.local.steps import Step, listened_to
from stock_assets_tests.filled import fill

SESSION = date(2013, 2, 28)
_ENDS = {
    dg.DagsterEventType.RUN_FAILURE,
    dg.DagsterEventType.RUN_CANCELING,
    dg.DagsterEventType.RUN_CANCELED,
    dg.DagsterEventType.RUN_SUCCESS,
}


def ends(project: Project) -> tuple[dg.DagsterRunStatus, list[dg.DagsterEventType]]:
    """The newest run's status, and what its log says of its end."""
    (run,) = project.instance.get_runs(limit=1)
    events = [entry.dagster_event_type for entry in project.instance.all_logs(run.run_id)]
    return run.status, [event for event in events if event in _ENDS]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_is_canceled_and_the_next_one_succeeds(project: Project, number: int):
    before = signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))

    def strike(_step: Step) -> None:
        os.kill(os.getpid(), number)

    try:
        with pytest.raises(KeyboardInterrupt), listened_to(strike):
            fill(project, [SESSION], Asset.RAW_PRICES)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ends(project) == (
        dg.DagsterRunStatus.CANCELED,
        [dg.DagsterEventType.RUN_CANCELING, dg.DagsterEventType.RUN_CANCELED],
    )
    fill(project, [date(2013, 3, 1)], Asset.RAW_PRICES)
    assert ends(project) == (
        dg.DagsterRunStatus.SUCCESS,
        [dg.DagsterEventType.RUN_SUCCESS],
    )


def test_a_run_that_fails_by_itself_is_a_failure(project: Project):
    def fail(_step: Step) -> None:
        raise ValueError("by itself")

    with pytest.raises(ValueError, match="by itself"), listened_to(fail):
        fill(project, [SESSION], Asset.RAW_PRICES)
    assert ends(project) == (dg.DagsterRunStatus.FAILURE, [dg.DagsterEventType.RUN_FAILURE])
