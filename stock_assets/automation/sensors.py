"""The sensor over `forecast_rmse`: an alert and one retrain when the error is too large."""

import json
from dataclasses import asdict
from typing import Any

import dagster as dg

from stock_assets.assets.forecasts import ROLLING_RMSE, SCORED_SESSION
from stock_assets.automation.episodes import EpisodeState, Event, judge
from stock_assets.automation.jobs import MONTHLY_JOB
from stock_assets.partitions import Partitions, month_key, session_of
from stock_assets.settings import Settings

FORECAST_RMSE = dg.AssetKey("forecast_rmse")
_EVENTS_PER_TICK = 1000


def rmse_sensor(settings: Settings, partitions: Partitions) -> dg.SensorDefinition:
    @dg.sensor(
        name="rmse_above_threshold",
        job_name=MONTHLY_JOB,
        minimum_interval_seconds=60,
        description="Raises an alert and asks for one retrain when the rolling RMSE of the newest"
        " session crosses the threshold; says so when it is back.",
    )
    def rmse_above_threshold(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        # An asset sensor would deliver only the last of several materialisations between two ticks.
        memory = json.loads(context.cursor or "{}")
        state = EpisodeState(**memory.get("state", {}))
        after = memory.get("after")
        found = context.instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=FORECAST_RMSE, after_storage_id=after),
            limit=_EVENTS_PER_TICK,
            ascending=True,
        )
        newest = partitions.sessions.get_last_partition_key()
        alerts: list[dg.AssetObservation] = []
        retrains: list[dg.RunRequest] = []
        for record in found.records:
            after = record.storage_id
            materialization = record.asset_materialization
            session = materialization.partition if materialization else None
            # A backfill of the past is no news: only the newest session there is can alert.
            if materialization is None or session is None or session != newest:
                continue
            values: dict[str, Any] = {
                name: entry.value for name, entry in materialization.metadata.items()
            }
            if values.get(SCORED_SESSION) != session:
                continue  # another session of the same run: its numbers are not in this event
            state, event = judge(state, session, values.get(ROLLING_RMSE), settings.rmse_threshold)
            if event:
                alerts.append(_alert(event, session, values, settings.rmse_threshold))
            if event is Event.BREACH:
                retrains.append(_retrain(session))
        return dg.SensorResult(
            run_requests=retrains,
            asset_events=alerts,
            cursor=json.dumps({"after": after, "state": asdict(state)}),
            skip_reason=None if retrains else _explain(state, len(found.records)),
        )

    return rmse_above_threshold


def _alert(
    event: Event, session: str, values: dict[str, Any], threshold: float
) -> dg.AssetObservation:
    return dg.AssetObservation(
        asset_key=FORECAST_RMSE,
        partition=session,
        description=f"RMSE {event}: {values[ROLLING_RMSE]:.4f}, threshold {threshold:.4f}",
        metadata={
            "alert": event.value,
            ROLLING_RMSE: float(values[ROLLING_RMSE]),
            "threshold": threshold,
        },
    )


def _retrain(session: str) -> dg.RunRequest:
    """One retrain with all data through the session, in the month where it lies."""
    config = {"config": {"train_through": session}}
    return dg.RunRequest(
        run_key=f"retrain-{session}",
        partition_key=month_key(session_of(session)),
        run_config={"ops": {"train_set": config, "test_set": config}},
        tags={"reason": "rmse_breach", "train_through": session},
    )


def _explain(state: EpisodeState, events: int) -> str:
    standing = "in breach" if state.in_breach else "below the threshold"
    return f"{events} new materialisations; newest judged {state.newest_session or '-'}: {standing}"
