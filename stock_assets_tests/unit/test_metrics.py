"""What is pushed, of whom, and what becomes of it when the gateway is down."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date

import polars as pl
import pytest
from prometheus_client.parser import text_string_to_metric_families

from stock_assets.forecasting.evaluation import SCORE_SCHEMA
from stock_assets.monitoring.live_scores import LiveScore, TickerScore, live_scores
from stock_assets.resources.metrics import METRICS, MetricsGateway
from stock_assets.settings import Settings
from stock_assets_tests.loopback import Inbox, inbox

SCORE = LiveScore(
    "sample",
    "2013-03-01",
    {
        "AAPL": TickerScore(0.03, 0.02, 5.0, {"95": 0.9}, 7, 0.5),
        "^GSPC": TickerScore(0.01, 0.02, 1.0),
    },
    TickerScore(0.02, 0.02, None, {"95": 0.95}, 7),
)


@pytest.fixture
def gateway() -> Iterator[Inbox]:
    with inbox() as taken:
        yield taken


def push(gateway: Inbox, **given: object) -> str | None:
    settings = Settings(pushgateway_url=gateway.url, **given)  # type: ignore[arg-type]
    return MetricsGateway(settings).push(SCORE)


def gauges(body: str) -> dict[str, float]:
    return {
        sample.name + "".join(sample.labels.values()): sample.value
        for family in text_string_to_metric_families(body)
        for sample in family.samples
    }


def test_every_ticker_is_a_group_and_so_are_all_together(gateway: Inbox):
    assert push(gateway, rmse_threshold_by_ticker="AAPL=0.05,POOLED=0.03") is None
    pushed = {path: gauges(body) for method, path, body in gateway.requests if method == "PUT"}
    start = "/metrics/job/stock_assets/dataset/sample/ticker/"
    assert list(pushed) == [f"{start}AAPL", f"{start}%5EGSPC", f"{start}POOLED"]
    values = pushed[f"{start}AAPL"]
    assert values.pop("stock_assets_last_success_timestamp_seconds") > 1_700_000_000
    assert values == {
        "stock_assets_rmse_return": 0.03,
        "stock_assets_rmse_return_random_walk": 0.02,
        "stock_assets_rmse_ratio": 1.5,
        "stock_assets_rmse_usd": 5.0,
        "stock_assets_rmse_threshold": 0.05,
        "stock_assets_rmse_threshold_ratio": 1.1,
        "stock_assets_issued_share": 0.5,
        "stock_assets_coverage95": 0.9,
        "stock_assets_champion_version7": 7.0,
        "stock_assets_session_timestamp_seconds": 1_362_096_000.0,
    }
    # Dollars of several tickers do not make one number; pooled thresholds are those named so.
    pooled = pushed[f"{start}POOLED"]
    assert "stock_assets_rmse_usd" not in pooled
    assert pooled["stock_assets_rmse_threshold"] == 0.03
    assert "stock_assets_rmse_threshold_ratio" not in pooled


def test_groups_of_retired_tickers_are_deleted_and_nobody_elses(gateway: Inbox):
    def group(**labels: str) -> dict[str, dict[str, str]]:
        return {"labels": labels}

    gateway.groups = [
        group(job="stock_assets", dataset="sample", ticker="AAPL"),
        group(job="stock_assets", dataset="sample", ticker="GONE"),
        group(job="stock_assets", dataset="yahoo", ticker="META"),
        group(job="another", dataset="sample", ticker="IBM"),
        group(job="stock_assets"),
    ]
    assert push(gateway) is None
    assert [path for method, path, _ in gateway.requests if method == "DELETE"] == [
        "/metrics/job/stock_assets/dataset/sample/ticker/GONE"
    ]


def test_a_gateway_that_is_down_or_refuses_is_a_reason_not_an_error(gateway: Inbox):
    gateway.status = 500
    assert "500" in str(push(gateway))
    settings = Settings(pushgateway_url="http://127.0.0.1:9")
    assert "refused" in str(MetricsGateway(settings).push(SCORE))


def test_nothing_scored_pushes_nothing(gateway: Inbox):
    settings = Settings(pushgateway_url=gateway.url)
    failure = MetricsGateway(settings).push(replace(SCORE, tickers={}))
    assert failure == "2013-03-01: nothing was scored, so nothing was pushed"
    assert gateway.requests == []
    assert MetricsGateway(Settings()).push(SCORE) is None


def test_a_record_survives_its_way_through_an_event():
    assert LiveScore.of(SCORE.as_json()) == SCORE


def test_pooled_scores_weigh_tickers_by_their_forecasts():
    def row(ticker: str, forecasts: int, own: float, covered: float) -> dict[str, object]:
        return {
            "ticker": ticker,
            "session": date(2013, 3, 1),
            "model_version": 7,
            "rolling_forecasts": forecasts,
            "rolling_issued": forecasts - 1,
            "rolling_rmse_return": own,
            "rolling_rmse_return_random_walk": 0.02,
            "rolling_rmse_usd": 1.0,
            "rolling_coverage_95": covered,
        }

    scores = pl.DataFrame([row("A", 3, 0.01, 1.0), row("B", 1, 0.03, 0.6)])
    missing = [pl.lit(None, t).alias(n) for n, t in SCORE_SCHEMA.items() if n not in scores.columns]
    empty, (_, score) = (
        [],
        live_scores(scores.with_columns(missing), "sample", [date(2013, 2, 28), date(2013, 3, 1)]),
    )
    assert empty == []
    # sqrt((3 * 0.01^2 + 1 * 0.03^2) / 4), and 3/4 * 1 + 1/4 * 0.6.
    assert score.pooled.rmse_return == pytest.approx(0.0173205)
    assert score.pooled.coverage == {"95": pytest.approx(0.9)}
    # 2 + 0 of 4, and 2 of A's 3.
    assert score.pooled.issued_share == 0.5
    assert score.tickers["A"].issued_share == pytest.approx(0.6667, abs=1e-4)
    assert score.pooled.ratio == pytest.approx(0.866025)
    assert score.tickers["B"].coverage == {"95": 0.6}


def test_every_metric_says_what_it_is():
    assert all(text.endswith(".") for text in METRICS.values())
