"""Metrics for people on call: pushed to a Prometheus Pushgateway, where one is set.

A Pushgateway never forgets, so each group (one ticker) carries the time of its last success, only
the newest session is ever pushed, and groups of tickers that are no longer scored are deleted.
Other datasets' groups are left alone.
"""

import json
import logging
import time
import urllib.request
from collections.abc import Mapping
from datetime import UTC, date, datetime
from datetime import time as clock_time
from typing import TYPE_CHECKING

from stock_assets.monitoring.live_scores import LiveScore, TickerScore
from stock_assets.monitoring.thresholds import Measure
from stock_assets.resources.alert_settings import thresholds_of
from stock_assets.settings import Settings

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

logger = logging.getLogger(__name__)

JOB = "stock_assets"
METRICS = {
    "stock_assets_rmse_return": "Rolling RMSE of the forecast, in log return.",
    "stock_assets_rmse_return_random_walk": "Rolling RMSE of the random walk, in log return.",
    "stock_assets_rmse_ratio": "Rolling RMSE as a multiple of the random walk's.",
    "stock_assets_rmse_usd": "Rolling RMSE of the forecast close, in dollars per share.",
    "stock_assets_rmse_threshold": "Rolling RMSE above which an alert is raised, in log return.",
    "stock_assets_rmse_threshold_usd": "The same in dollars per share.",
    "stock_assets_rmse_threshold_ratio": "The same as a multiple of the random walk's.",
    "stock_assets_coverage": "Rolling share of targets inside the interval of that name.",
    "stock_assets_issued_share": "Share of these forecasts that were issued, not hindsight.",
    "stock_assets_champion_version": "Version behind the newest scored forecast; 0 for none.",
    "stock_assets_last_success_timestamp_seconds": "When these metrics were pushed.",
    "stock_assets_session_timestamp_seconds": "Midnight UTC of the session that was scored.",
}
_SECONDS = 5


class MetricsGateway:
    """Pushes gauges; a gateway that is down is a warning, never a failed forecast."""

    def __init__(self, settings: Settings) -> None:
        self.url = settings.pushgateway_url
        self._dataset = settings.dataset_name
        self._thresholds = thresholds_of(settings)

    def push(self, score: LiveScore) -> str | None:
        """Replaces the groups of a session's tickers, deletes those of tickers that are gone.

        Args:
            score: The newest session's.

        Returns:
            Why it failed; None where all arrived, or where no gateway is set.
        """
        if not self.url:
            return None
        if not score.tickers:
            return f"{score.session}: nothing was scored, so nothing was pushed"
        try:
            for group, values in score.groups.items():
                self._push(group, _gauges(score.session, values) | self._limits(group), values)
            for retired in self._groups() - set(score.groups):
                self._delete(retired)
        except (OSError, ValueError) as error:
            # urllib's errors are OSErrors; an answer that is not the gateway's is a ValueError.
            logger.warning("metrics of %s did not reach %s: %s", score.session, self.url, error)
            return f"{self.url}: {error}"
        return None

    def _key(self, group: str) -> dict[str, str]:
        return {"dataset": self._dataset, "ticker": group}

    def _limits(self, group: str) -> dict[str, float | None]:
        return {
            f"stock_assets_rmse_threshold{suffix}": self._thresholds.limit(group, measure)
            for suffix, measure in (
                ("", Measure.RETURN),
                ("_usd", Measure.USD),
                ("_ratio", Measure.RATIO),
            )
        }

    def _push(self, group: str, gauges: Mapping[str, float | None], values: TickerScore) -> None:
        from prometheus_client import CollectorRegistry, Gauge, push_to_gateway

        registry = CollectorRegistry()
        for name, value in gauges.items():
            if value is not None:
                Gauge(name, METRICS[name], registry=registry).set(value)
        _labelled(registry, values)
        name = "stock_assets_last_success_timestamp_seconds"
        Gauge(name, METRICS[name], registry=registry).set(time.time())
        push_to_gateway(
            str(self.url),
            job=JOB,
            registry=registry,
            grouping_key=self._key(group),
            timeout=_SECONDS,
        )

    def _groups(self) -> set[str]:
        """Tickers of this dataset of which the gateway holds a group."""
        with urllib.request.urlopen(  # noqa: S310  # the address of the settings
            f"{str(self.url).rstrip('/')}/api/v1/metrics", timeout=_SECONDS
        ) as answer:
            listed = json.load(answer)["data"]
        labels = [group["labels"] for group in listed]
        return {
            label["ticker"]
            for label in labels
            if label.get("job") == JOB
            and label.get("dataset") == self._dataset
            and "ticker" in label
        }

    def _delete(self, group: str) -> None:
        from prometheus_client import delete_from_gateway

        delete_from_gateway(str(self.url), job=JOB, grouping_key=self._key(group), timeout=_SECONDS)
        logger.info("deleted the metrics of %s, which is no longer scored", group)


def _gauges(session: str, values: TickerScore) -> dict[str, float | None]:
    midnight = datetime.combine(date.fromisoformat(session), clock_time(), tzinfo=UTC)
    return {
        "stock_assets_rmse_return": values.rmse_return,
        "stock_assets_rmse_return_random_walk": values.rmse_return_random_walk,
        "stock_assets_rmse_ratio": values.ratio,
        "stock_assets_rmse_usd": values.rmse_usd,
        "stock_assets_issued_share": values.issued_share,
        "stock_assets_session_timestamp_seconds": midnight.timestamp(),
    }


def _labelled(registry: "CollectorRegistry", values: TickerScore) -> None:
    """What has a label of its own; a version is one too, so that a page can print it."""
    from prometheus_client import Gauge

    name = "stock_assets_champion_version"
    version = Gauge(name, METRICS[name], ["version"], registry=registry)
    version.labels(str(values.version or "none")).set(values.version or 0)
    name = "stock_assets_coverage"
    gauge = Gauge(name, METRICS[name], ["interval"], registry=registry)
    for interval, share in (values.coverage or {}).items():
        gauge.labels(interval).set(share)
