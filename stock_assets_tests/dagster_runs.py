"""Runs in an instance that nobody executes, and an instance that records none."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import dagster as dg
import pytest
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.storage.event_log import InMemoryEventLogStorage

from stock_assets.backfill.project import Project, open_project
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
def unrecorded_project(settings: Settings) -> Iterator[Project]:
    """A project whose runs leave neither history nor pictures: half of the time of small ones."""
    with (
        pytest.MonkeyPatch.context() as patch,
        open_project(settings) as project,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        drop_history_and_pictures(patch)
        yield replace(project, instance=instance)


def drop_history_and_pictures(patch: pytest.MonkeyPatch) -> None:
    """No ephemeral instance keeps events, and no study is drawn."""
    patch.setattr(InMemoryEventLogStorage, "store_event", lambda *_: None)
    patch.setattr("stock_assets.assets.studies.pictures_of", lambda *_: {})
