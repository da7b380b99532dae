"""After a daily run the report is made anew; a backfill's runs and those of others make none."""

import dagster as dg
import pytest

from stock_assets.definitions import build_definitions
from stock_assets.settings import Settings


@pytest.mark.parametrize(
    ("tags", "asked"),
    [
        ({}, 1),
        ({"dagster/backfill": "abc"}, 0),
        ({"stock_assets/command": "abc"}, 0),
        ({"stock_assets/dataset": "another"}, 0),
    ],
)
def test_the_report_follows_a_daily_run(tags: dict[str, str], asked: int):
    definitions = build_definitions(Settings())
    sensor = definitions.resolve_sensor_def("report_after_daily")
    with dg.DagsterInstance.ephemeral() as instance:
        run = instance.create_run_for_job(
            definitions.resolve_job_def("daily_job"),
            status=dg.DagsterRunStatus.SUCCESS,
            tags=tags,
        )
        event = dg.DagsterEvent(
            event_type_value=dg.DagsterEventType.RUN_SUCCESS.value, job_name="daily_job"
        )
        context = dg.build_run_status_sensor_context(
            sensor_name="report_after_daily",
            dagster_event=event,
            dagster_instance=instance,
            dagster_run=run,
        )
        answer = sensor(context)
    assert isinstance(answer, dg.RunRequest) == bool(asked)
    assert sensor.default_status == dg.DefaultSensorStatus.STOPPED
    assert sensor.job.name == "report_job"
