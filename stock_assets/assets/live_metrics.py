"""What `forecast_rmse` publishes of the sessions that it scored: events and metrics."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime

import dagster as dg
import polars as pl

from stock_assets.asset_keys import Asset
from stock_assets.monitoring.live_scores import LiveScore, live_scores
from stock_assets.monitoring.thresholds import in_breach
from stock_assets.partitions import Partitions
from stock_assets.resources.alert_settings import thresholds_of
from stock_assets.resources.metrics import MetricsGateway
from stock_assets.settings import Settings

LIVE_SCORE = "live_score"
"""Metadata of a session's event: its LiveScore, which the sensor judges."""
JUDGED_SESSIONS = 10
"""An older session is no news, so its event carries no score."""
METRICS_WERE_PUSHED = "metrics_were_pushed"
BELOW_THRESHOLD = "rolling_rmse_is_below_threshold"
_PUSHED = dg.AssetCheckSpec(
    METRICS_WERE_PUSHED,
    asset=Asset.FORECAST_RMSE,
    description="Whether the newest session's metrics are at the Pushgateway. The sensor"
    " rmse_above_threshold tries again.",
)
_BELOW = dg.AssetCheckSpec(
    BELOW_THRESHOLD,
    asset=Asset.FORECAST_RMSE,
    description="Of the run's newest session: in log return, dollars, and beside the random"
    " walk, as the settings say. What people are told is up to rmse_above_threshold.",
)


def score_checks(*, metrics_are_pushed: bool) -> list[dg.AssetCheckSpec]:
    """Without a Pushgateway there is no check of it, which could only be green."""
    return [_PUSHED, _BELOW] if metrics_are_pushed else [_BELOW]


def publish_scores(
    context: dg.AssetExecutionContext,
    metrics: MetricsGateway,
    settings: Settings,
    partitions: Partitions,
    scores: pl.DataFrame,
) -> list[dg.AssetCheckResult]:
    """Attaches the newest sessions' scores to their events and pushes those of the newest there is.

    Args:
        context: Of the run.
        metrics: Where to.
        settings: Whose dataset.
        partitions: Tell which sessions are new.
        scores: SCORE_SCHEMA of the run's sessions.

    Returns:
        The results of `score_checks`.
    """
    recent = recent_sessions(partitions)
    *_, last = live_scores(scores, settings.dataset_name, [_day(context.partition_keys[-1])])
    told = [_day(key) for key in context.partition_keys if key in recent]
    newest: LiveScore | None = None
    failure: str | None = None
    for score in live_scores(scores, settings.dataset_name, told):
        if score.session == recent[-1]:
            newest, failure = score, metrics.push(score)
        # Each session's own event: a run over many would repeat one record for all.
        record = replace(score, pushed=failure is None).as_json()
        context.add_asset_metadata(
            {LIVE_SCORE: dg.MetadataValue.json(record)}, partition_key=score.session
        )
    if failure:
        context.log.warning(f"metrics were not pushed: {failure}")
    below = _threshold_check(last, settings)
    if not settings.pushgateway_url:
        return [below]
    return [metrics_check(failure, newest.session if newest else None, metrics), below]


def _day(key: str) -> date:
    return date.fromisoformat(key)


def _threshold_check(score: LiveScore, settings: Settings) -> dg.AssetCheckResult:
    breaches = in_breach(score.readings(), thresholds_of(settings))
    return dg.AssetCheckResult(
        check_name=BELOW_THRESHOLD,
        passed=not breaches,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{score.session}: above the threshold: {', '.join(breaches) or 'nothing'}",
        metadata={"threshold": settings.rmse_threshold, "above": breaches},
    )


def metrics_check(
    failure: str | None, session: str | None, metrics: MetricsGateway
) -> dg.AssetCheckResult:
    said = failure or (
        f"{session} is at {metrics.url}"
        if session
        else "not the newest session: only that one is pushed"
    )
    return dg.AssetCheckResult(
        check_name=METRICS_WERE_PUSHED,
        passed=failure is None,
        severity=dg.AssetCheckSeverity.WARN,
        description=said,
        metadata={"session": session or ""},
    )


def recent_sessions(partitions: Partitions, now: datetime | None = None) -> Sequence[str]:
    """The newest keys there are now, ascending."""
    return partitions.sessions.get_partition_keys(current_time=now)[-JUDGED_SESSIONS:]
