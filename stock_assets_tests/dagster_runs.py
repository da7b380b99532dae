"""Runs in an instance that nobody executes, and an instance that records none."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
import pytest
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.storage.event_log import InMemoryEventLogStorage

from stock_assets.definitions import build_definitions
from stock_assets.settings import Settings


def leave_run(
    instance: dg.DagsterInstance, settings: Settings, job: str, status: str, **tags: str
) -> str:
    """A run of a job in the given status, as if it had come that far; its id."""
    origin = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("stock_assets"), "__repository__")
    fails = status == "FAILURE"
    run = instance.create_run_for_job(
        build_definitions(settings).resolve_job_def(job),
        status=dg.DagsterRunStatus["STARTED" if fails else status],
        remote_job_origin=RemoteJobOrigin(origin, job),
        tags=tags,
    )
    if fails:  # the event, not the status, dates a run's end
        instance.report_run_failed(run)
    return run.run_id


@contextmanager
def unrecorded_instance() -> Iterator[dg.DagsterInstance]:
    """An instance without a history, which would take a third of the time of runs within it."""
    with pytest.MonkeyPatch.context() as patch, dg.DagsterInstance.ephemeral() as instance:
        drop_events(patch)
        yield instance


def drop_events(patch: pytest.MonkeyPatch) -> None:
    """No ephemeral instance keeps events."""
    patch.setattr(InMemoryEventLogStorage, "store_event", lambda *_: None)
