"""How the last run of each job ended."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg

from stock_assets.automation.jobs import DAILY_JOB, DATASET_TAG, MONTHLY_JOB, REFETCH_JOB

JOBS = (DAILY_JOB, MONTHLY_JOB, REFETCH_JOB)
_OVER = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
_LOOKED_AT = 50
"""The newest, among which a dataset's own is looked for: several may share an instance."""


@dataclass(frozen=True)
class FailedRun:
    """The last run of a job that is over, and failed."""

    job: str
    run_id: str
    ended: datetime


def failed_last(
    instance: dg.DagsterInstance, dataset: str, jobs: Iterable[str] = JOBS
) -> list[FailedRun]:
    """Jobs whose last run that is over failed, with that run.

    Args:
        instance: Where runs are looked up.
        dataset: Runs that say they are of another one are none of ours.
        jobs: Their names.
    """
    found = []
    for job in jobs:
        records = instance.get_run_records(
            dg.RunsFilter(job_name=job, statuses=_OVER), limit=_LOOKED_AT
        )
        own = (r for r in records if r.dagster_run.tags.get(DATASET_TAG, dataset) == dataset)
        last = next(own, None)
        if last and last.dagster_run.status == dg.DagsterRunStatus.FAILURE:
            ended = last.end_time or last.update_timestamp.timestamp()
            run_id = last.dagster_run.run_id
            found.append(FailedRun(job, run_id, datetime.fromtimestamp(ended, UTC)))
    return found
