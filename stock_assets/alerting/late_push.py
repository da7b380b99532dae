"""Metrics that the gateway did not take at first: pushed again from the session's event."""

from dataclasses import replace

import dagster as dg

from stock_assets.alerting.memory import UnpushedMetrics
from stock_assets.alerting.patience import next_try
from stock_assets.asset_keys import Asset, asset_key
from stock_assets.assets.live_metrics import metrics_check
from stock_assets.monitoring.live_scores import LiveScore
from stock_assets.resources.metrics import MetricsGateway

_FIRST_WAIT = 60.0


def push_again(
    instance: dg.DagsterInstance,
    metrics: MetricsGateway,
    unpushed: UnpushedMetrics,
    score: LiveScore | None,
    now: float,
) -> tuple[UnpushedMetrics | None, str | None]:
    """What is still to push after another try, and why that failed, if it did.

    Args:
        instance: Where the check `metrics_were_pushed` is reported.
        metrics: The gateway.
        unpushed: Of the newest session.
        score: That session's; None where its event is gone.
        now: Seconds since 1970.
    """
    if now < unpushed.not_before:
        return unpushed, None
    if score is None:
        return None, None
    failure = metrics.push(score)
    if failure:
        due = next_try(now, _FIRST_WAIT, unpushed.attempts)
        return replace(unpushed, attempts=unpushed.attempts + 1, not_before=due), failure
    result = metrics_check(None, score.session, metrics)
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=asset_key(score.dataset, Asset.FORECAST_RMSE),
            check_name=str(result.check_name),
            passed=True,
            severity=result.severity,
            description=result.description,
            metadata=result.metadata,
        )
    )
    return None, None
