"""Which step of a run nobody does any more, by what its log and Celery's workers say.

A worker takes a step out of the queue before it begins, and Redis may forget what it keeps. So a
machine that dies takes a step with it, and the run would wait for its result for ever.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg

from stock_assets.automation.celery_workers import CeleryWorkers

GRACE_SECONDS = 30.0
"""What happened within the last ones may not be seen everywhere yet."""
_QUEUED = "celery_queue_wait"
_WORKER = "Celery worker"
_OVER = {
    dg.DagsterEventType.STEP_SUCCESS,
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.STEP_SKIPPED,
    dg.DagsterEventType.STEP_UP_FOR_RETRY,
}
LOOKED_AT = {*_OVER, dg.DagsterEventType.STEP_START, dg.DagsterEventType.ENGINE_EVENT}
"""Kinds of events that say how far a step is."""


@dataclass
class SubmittedStep:
    """A step that was handed to Celery.

    `since`: when it was last heard of, in seconds since 1970. `worker`, `process`: who does it,
    where somebody has begun.
    """

    since: float
    worker: str | None = None
    process: int | None = None
    is_over: bool = False


def submitted_steps(events: Iterable[dg.EventLogEntry]) -> dict[str, SubmittedStep]:
    """By the step's name, from a run's events of the kinds `LOOKED_AT`, oldest first."""
    steps: dict[str, SubmittedStep] = {}
    for entry in events:
        event = entry.dagster_event
        if event is None or entry.step_key is None:
            continue
        if event.is_engine_event and event.engine_event_data.marker_start == _QUEUED:
            steps[entry.step_key] = SubmittedStep(entry.timestamp)
        if (step := steps.get(entry.step_key)) is None:
            continue
        step.since = entry.timestamp
        if event.is_engine_event and (worker := event.engine_event_data.metadata.get(_WORKER)):
            step.worker = str(worker.value)
        elif event.event_type == dg.DagsterEventType.STEP_START:
            step.process = event.pid
        elif event.event_type in _OVER:
            step.is_over = True
    return steps


def why_lost(steps: Mapping[str, SubmittedStep], workers: CeleryWorkers, now: float) -> str | None:
    """Why a run would wait for ever; None where it goes on, or that is not certain yet."""
    for name, step in steps.items():
        if step.is_over or now - step.since < GRACE_SECONDS:
            continue
        if step.worker is None:
            if not workers.waiting and not any(workers.busy.values()):
                return f"step {name} is neither in the queue nor at a worker"
        elif step.worker not in workers.busy:
            return f"worker {step.worker}, which began step {name}, does not answer"
        elif not _is_at(step, workers.busy[step.worker]):
            return f"worker {step.worker}, which began step {name}, knows no more of it"
    if steps and all(step.is_over and now - step.since >= GRACE_SECONDS for step in steps.values()):
        return f"the result of step {list(steps)[-1]} did not come back"
    return None


def _is_at(step: SubmittedStep, processes: Sequence[int]) -> bool:
    return bool(processes) if step.process is None else step.process in processes
