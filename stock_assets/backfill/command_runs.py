"""Runs inside a command, as the page wants them: of its code location.

A job's page lists the runs of its location, and so do the timeline and the home page. A run inside
a process is given no location by Dagster, and was to be found in the list of all runs alone.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg

from stock_assets.local.dagster_private.runs import (
    MAX_RETRIES_TAG,
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)

_REPOSITORY = "__repository__"
"""As Dagster calls that of definitions."""


def execute_job(
    instance: dg.DagsterInstance,
    location: str,
    job: dg.JobDefinition,
    tags: Mapping[str, str],
    **given: Any,
) -> None:
    """Runs a job in this process; what fails is raised.

    Args:
        instance: Where the run is recorded.
        location: Name of the code location that it belongs to.
        job: Resolved.
        tags: Of the run, beside the job's own.
        given: What `execute_in_process` takes beside these.
    """
    # Who called the command sees it fail: a daemon that retries failed runs leaves it alone.
    once = {MAX_RETRIES_TAG: "0"}
    with _of_the_code_location(instance, location):
        job.execute_in_process(instance=instance, tags={**tags, **once}, **given)


@contextmanager
def _of_the_code_location(instance: dg.DagsterInstance, location: str) -> Iterator[None]:
    """Gives the runs that are created within the block the origin that those of the page have."""
    create = instance.create_run_for_job
    repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(location), _REPOSITORY)

    def create_with_origin(job_def: dg.JobDefinition, **given: Any) -> dg.DagsterRun:
        origin = RemoteJobOrigin(repository, job_def.name)
        return create(job_def=job_def, remote_job_origin=origin, **given)

    instance.create_run_for_job = create_with_origin  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        del instance.create_run_for_job
