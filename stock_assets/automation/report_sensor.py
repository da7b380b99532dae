"""The sensor that makes the report anew after each daily run."""

import dagster as dg

from stock_assets.automation.jobs import DAILY_JOB, REPORT_JOB
from stock_assets.local.dagster_private.runs import BACKFILL_ID_TAG, UnresolvedAssetJobDefinition


def report_sensor(jobs: list[UnresolvedAssetJobDefinition]) -> dg.SensorDefinition:
    """Off until turned on, like the schedules."""
    by_name = {job.name: job for job in jobs}

    @dg.run_status_sensor(
        name="report_after_daily",
        run_status=dg.DagsterRunStatus.SUCCESS,
        monitored_jobs=[by_name[DAILY_JOB]],
        request_job=by_name[REPORT_JOB],
        description="Makes the report anew after a daily run; after a backfill's runs it does not.",
    )
    def report_after_daily(
        context: dg.RunStatusSensorContext,
    ) -> dg.RunRequest | dg.SkipReason:
        run = context.dagster_run
        if BACKFILL_ID_TAG in run.tags:
            return dg.SkipReason("a backfill's run: materialise forecast_report when it is over")
        return dg.RunRequest(run_key=f"report-{run.run_id}")

    return report_after_daily
