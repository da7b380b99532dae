import json

import dagster as dg
import pytest

from stock_assets.automation.sensors import rmse_sensor
from stock_assets.definitions import build_definitions
from stock_assets.partitions import load_partitions
from stock_assets.settings import Settings

SETTINGS = Settings(rmse_threshold=0.02)
RMSE = dg.AssetKey("forecast_rmse")


@pytest.fixture
def instance() -> dg.DagsterInstance:
    return dg.DagsterInstance.ephemeral()


def scored(instance: dg.DagsterInstance, session: str, rmse: float) -> None:
    instance.report_runless_asset_event(
        dg.AssetMaterialization(
            RMSE,
            partition=session,
            metadata={"scored_session": session, "rolling_rmse_return": rmse},
        )
    )


def tick(instance: dg.DagsterInstance, cursor: str | None = None) -> dg.SensorResult:
    sensor = rmse_sensor(SETTINGS, load_partitions(SETTINGS))
    context = dg.build_sensor_context(
        instance=instance, cursor=cursor, definitions=build_definitions(SETTINGS)
    )
    result = sensor(context)
    assert isinstance(result, dg.SensorResult)
    return result


def test_a_breach_alerts_once_and_asks_for_one_retrain(instance: dg.DagsterInstance):
    scored(instance, "2013-03-01", 0.031)
    first = tick(instance)
    (request,) = first.run_requests or []
    assert request.run_key == "retrain-2013-03-01"
    assert request.partition_key == "2013-03"
    through = {"config": {"train_through": "2013-03-01"}}
    assert request.run_config == {"ops": {"train_set": through, "test_set": through}}
    (alert,) = first.asset_events
    assert alert.partition == "2013-03-01"
    assert alert.description == "RMSE breach: 0.0310, threshold 0.0200"

    scored(instance, "2013-03-01", 0.031)  # the session is run again
    second = tick(instance, first.cursor)
    assert not second.run_requests
    assert not second.asset_events


def test_an_error_below_the_threshold_is_no_alert(instance: dg.DagsterInstance):
    scored(instance, "2013-03-01", 0.0199)
    result = tick(instance)
    assert not result.run_requests
    assert not result.asset_events


def test_a_backfill_of_the_past_never_alerts(instance: dg.DagsterInstance):
    for day in range(4, 9):
        scored(instance, f"2012-06-{day:02}", 9.0)
    result = tick(instance)
    assert not result.run_requests
    assert not result.asset_events
    assert json.loads(result.cursor or "")["after"] is not None


def test_every_event_between_two_ticks_is_seen(instance: dg.DagsterInstance):
    scored(instance, "2013-03-01", 0.05)
    scored(instance, "2013-02-28", 0.001)  # arrives last, is not the newest session
    assert len(tick(instance).run_requests or []) == 1


def test_the_retrains_run_config_is_one_that_the_job_takes(instance: dg.DagsterInstance):
    scored(instance, "2013-03-01", 0.05)
    (request,) = tick(instance).run_requests or []
    job = build_definitions(SETTINGS).resolve_job_def("monthly_job")
    assert dg.validate_run_config(job, request.run_config)
