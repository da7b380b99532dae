"""When a run that waits for a step of Celery would wait for ever, by literal logs and answers."""

import dagster as dg
import pytest
from dagster import DagsterEvent
from dagster._core.events import EngineEventData

from stock_assets.automation.celery_workers import CeleryWorkers
from stock_assets.automation.lost_steps import SubmittedStep, submitted_steps, why_lost

NOW = 1_000.0
IDLE = CeleryWorkers({"w@a": []}, waiting=0)
NOBODY = CeleryWorkers({}, waiting=0)


def logged(step: str, at: float, kind: dg.DagsterEventType, **data: object) -> dg.EventLogEntry:
    given = EngineEventData(**data) if data else None  # type: ignore[arg-type]
    event = DagsterEvent(kind.value, "job", step_key=step, event_specific_data=given, pid=7)
    return dg.EventLogEntry(
        error_info=None, level="debug", user_message="", run_id="r", timestamp=at,
        step_key=step, job_name="job", dagster_event=event,
    )  # fmt: skip


SUBMITTED = logged(
    "prices", 1.0, dg.DagsterEventType.ENGINE_EVENT, marker_start="celery_queue_wait"
)
TAKEN = logged(
    "prices", 2.0, dg.DagsterEventType.ENGINE_EVENT,
    metadata={"Celery worker": dg.MetadataValue.text("w@a")},
)  # fmt: skip
BEGUN = logged("prices", 3.0, dg.DagsterEventType.STEP_START)
DONE = logged("prices", 4.0, dg.DagsterEventType.STEP_SKIPPED)


def test_a_log_tells_how_far_each_step_is():
    assert submitted_steps([SUBMITTED]) == {"prices": SubmittedStep(1.0)}
    assert submitted_steps([SUBMITTED, TAKEN]) == {"prices": SubmittedStep(2.0, "w@a")}
    begun = submitted_steps([SUBMITTED, TAKEN, BEGUN])
    assert begun == {"prices": SubmittedStep(3.0, "w@a", 7)}
    assert submitted_steps([SUBMITTED, TAKEN, BEGUN, DONE])["prices"].is_over


def test_a_step_that_nobody_handed_to_celery_is_none_of_ours():
    assert submitted_steps([BEGUN, DONE]) == {}
    assert why_lost({}, NOBODY, NOW) is None


@pytest.mark.parametrize(
    ("step", "workers", "reason"),
    [
        (SubmittedStep(1.0), NOBODY, "step prices is neither in the queue nor at a worker"),
        (SubmittedStep(1.0), IDLE, "step prices is neither in the queue nor at a worker"),
        (
            SubmittedStep(1.0, "w@a", 7),
            CeleryWorkers({"w@b": [7]}, 0),
            "worker w@a, which began step prices, does not answer",
        ),
        (
            SubmittedStep(1.0, "w@a", 7),
            CeleryWorkers({"w@a": [8]}, 0),
            "worker w@a, which began step prices, knows no more of it",
        ),
        (
            SubmittedStep(1.0, "w@a", 7, is_over=True),
            IDLE,
            "the result of step prices did not come back",
        ),
    ],
)
def test_a_step_that_nobody_does_is_lost_but_not_at_once(
    step: SubmittedStep, workers: CeleryWorkers, reason: str
):
    assert why_lost({"prices": step}, workers, NOW) == reason
    assert why_lost({"prices": step}, workers, step.since + 29) is None


@pytest.mark.parametrize(
    ("step", "workers"),
    [
        (SubmittedStep(1.0), CeleryWorkers({}, waiting=1)),  # no worker is up: one may come
        (SubmittedStep(1.0), CeleryWorkers({"w@b": [9]}, waiting=0)),  # perhaps it is this one
        (SubmittedStep(1.0, "w@a"), CeleryWorkers({"w@a": [9]}, waiting=0)),
        (SubmittedStep(1.0, "w@a", 7), CeleryWorkers({"w@a": [7]}, waiting=0)),
    ],
)
def test_a_step_that_somebody_may_do_is_waited_for_however_long(
    step: SubmittedStep, workers: CeleryWorkers
):
    assert why_lost({"prices": step}, workers, NOW) is None


def test_a_run_between_two_steps_goes_on():
    done = SubmittedStep(1.0, "w@a", 7, is_over=True)
    under_way = SubmittedStep(NOW - 5, "w@a", 7)
    assert why_lost({"prices": done, "features": under_way}, IDLE, NOW) is None
