"""The sensor that makes the report anew after each daily run."""

import dagster as dg

from stock_assets.automation.jobs import (
    COMMAND_TAG,
    DAILY_JOB,
    DATASET_TAG,
    REPORT_JOB,
    is_of_dataset,
)
from stock_assets.local.dagster_private.runs import BACKFILL_ID_TAG, UnresolvedAssetJobDefinition
from stock_assets.settings import Settings


def sensor_status(settings: Settings) -> dg.DefaultSensorStatus:
    """Whether sensors are on until somebody turns them off."""
    return (
        dg.DefaultSensorStatus.RUNNING if settings.schedules_on else dg.DefaultSensorStatus.STOPPED
    )


def report_sensor(
    settings: Settings, jobs: list[UnresolvedAssetJobDefinition]
) -> dg.SensorDefinition:
    by_name = {job.name: job for job in jobs}

    @dg.run_status_sensor(
        name=settings.named("report_after_daily"),
        run_status=dg.DagsterRunStatus.SUCCESS,
        monitored_jobs=[by_name[settings.named(DAILY_JOB)]],
        default_status=sensor_status(settings),
        request_job=by_name[settings.named(REPORT_JOB)],
        description="Makes the report anew after a daily run; not after one of a backfill or a"
        " command.",
    )
    def report_after_daily(
        context: dg.RunStatusSensorContext,
    ) -> dg.RunRequest | dg.SkipReason:
        run = context.dagster_run
        if not is_of_dataset(run, settings.dataset_name):
            return dg.SkipReason(f"a run of the dataset {run.tags.get(DATASET_TAG)}")
        if COMMAND_TAG in run.tags:
            return dg.SkipReason("a command's run: `stock-assets run` ends by making the report")
        if BACKFILL_ID_TAG in run.tags:
            return dg.SkipReason("a backfill's run: materialise forecast_report when it is over")
        return dg.RunRequest(run_key=f"report-{run.run_id}")

    return report_after_daily
