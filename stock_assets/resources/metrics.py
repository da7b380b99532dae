"""Metrics for people on call: pushed to a Prometheus Pushgateway, where one is set.

A Pushgateway never forgets, so each group (one ticker) carries the time of its last success, and
only the newest session is ever pushed.
"""

import logging
import time
from collections.abc import Mapping

from stock_assets.settings import Settings

logger = logging.getLogger(__name__)

JOB = "stock_assets"
METRICS = {
    "stock_assets_rmse_return": "Rolling RMSE of the forecast, in log return.",
    "stock_assets_rmse_return_random_walk": "Rolling RMSE of the random walk, in log return.",
    "stock_assets_rmse_usd": "Rolling RMSE of the forecast close, in dollars per share.",
    "stock_assets_rmse_threshold": "Rolling RMSE above which an alert is raised, in log return.",
    "stock_assets_last_success_timestamp_seconds": "When these metrics were pushed.",
    "stock_assets_session_timestamp_seconds": "Midnight UTC of the session that was scored.",
}


class MetricsGateway:
    """Pushes gauges; a gateway that is down is a warning, never a failed forecast."""

    def __init__(self, settings: Settings) -> None:
        self.url = settings.pushgateway_url

    def push(self, ticker: str, values: Mapping[str, float]) -> bool:
        """Replaces the ticker's group by `values` (of METRICS); whether that worked.

        Raises:
            KeyError: A metric without a description.
        """
        if not self.url:
            return False
        from prometheus_client import CollectorRegistry, Gauge, push_to_gateway

        registry = CollectorRegistry()
        for name, value in values.items():
            Gauge(name, METRICS[name], registry=registry).set(value)
        name = "stock_assets_last_success_timestamp_seconds"
        Gauge(name, METRICS[name], registry=registry).set(time.time())
        try:
            push_to_gateway(
                self.url, job=JOB, registry=registry, grouping_key={"ticker": ticker}, timeout=10
            )
        except OSError as error:
            logger.warning("metrics of %s did not reach %s: %s", ticker, self.url, error)
            return False
        return True
