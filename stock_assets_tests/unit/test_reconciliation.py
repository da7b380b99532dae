"""Differences between issued forecasts and hindsight, and the cause of each."""

from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest

from stock_assets.forecasting.forecast_schema import FORECAST_SCHEMA
from stock_assets.forecasting.reconciliation import reconcile
from stock_assets.market.revisions import STORED_SCHEMA

DAY, BEFORE, LONG_AGO = date(2024, 3, 4), date(2024, 3, 1), date(2023, 1, 3)
ISSUED = datetime(2024, 3, 5, 11, tzinfo=UTC)
EARLIER, LATER = datetime(2024, 3, 2, tzinfo=UTC), datetime(2024, 3, 6, tzinfo=UTC)


def forecasts(at: datetime | None, *rows: dict[str, Any]) -> pl.DataFrame:
    usual = {"as_of_session": DAY, "close_usd": 10.0, "forecast_close_usd": 10.0,
             "model_version": 3, "intervals_version": 3, "issued_at": at}  # fmt: skip
    return pl.DataFrame([usual | row for row in rows], schema=FORECAST_SCHEMA)


def bars(*rows: dict[str, Any]) -> pl.DataFrame:
    usual = {"session": BEFORE, "fetched_at": LATER, "first_fetched_at": EARLIER, "revisions": []}
    return pl.DataFrame([usual | row for row in rows], schema=STORED_SCHEMA)


def revised(at: datetime) -> dict[str, Any]:
    return {
        "revisions": [{"column": "close", "from": 27.25, "to": 27.2, "revised_at": at}],
    }


A, B = {"ticker": "A"}, {"ticker": "B"}
MOVED = {"ticker": "A", "forecast_close_usd": 10.1}
LATE_A = "A of 2024-03-01 was fetched later"
OF_A = "A of 2024-03-01: close 27.25 -> 27.2"


@pytest.mark.parametrize(
    ("now", "prices", "cause", "because"),
    [
        (A, [A | revised(LATER)], "none", None),
        (A | {"forecast_close_usd": 10.0 + 1e-12}, [A], "none", None),
        (A | {"model_version": 4}, [A], "none", None),  # it forecasts the same
        (MOVED, [A | revised(LATER)], "revision", OF_A),
        (MOVED | {"model_version": 4}, [A | revised(LATER)], "revision", OF_A),
        (MOVED, [A | {"first_fetched_at": LATER}], "late data", LATE_A),
        (MOVED, [A | {"first_fetched_at": None}], "late data", LATE_A),
        (MOVED | {"intervals_version": 4}, [A, B | revised(LATER)], "version",
         "model_version 3, intervals_version 3; now model_version 3, intervals_version 4"),
        (MOVED, [A, B | revised(LATER)], "revision", "B of 2024-03-01: close 27.25 -> 27.2"),
        (MOVED, [A | revised(EARLIER)], "code", "neither its prices nor its versions are others"),
        (MOVED, [A | revised(LATER) | {"session": LONG_AGO}], "code",
         "neither its prices nor its versions are others"),
        (MOVED, [A | revised(LATER) | {"session": date(2024, 3, 5)}], "code",
         "neither its prices nor its versions are others"),
    ],
)  # fmt: skip
def test_each_difference_has_its_cause(
    now: dict[str, Any], prices: list[dict[str, Any]], cause: str, because: str | None
):
    found = reconcile(
        forecasts(ISSUED, A), forecasts(None, now), bars(*prices), {DAY: date(2023, 6, 1)}
    )
    assert found.select("ticker", "cause", "because").rows() == [("A", cause, because)]
    assert found["issued_at"].to_list() == [ISSUED]


def test_a_ticker_that_came_late_or_went_is_a_difference():
    found = reconcile(
        forecasts(ISSUED, A, B),
        forecasts(None, A, {"ticker": "C"}),
        bars(A, B, {"ticker": "C", "first_fetched_at": LATER}),
        {DAY: LONG_AGO},
    )
    columns = ("ticker", "forecast_close_usd", "forecast_close_usd_hindsight", "cause")
    assert found.select(*columns).rows() == [
        ("A", 10.0, 10.0, "none"),
        ("B", 10.0, None, "late data"),  # of C, which moves the market's means
        ("C", None, 10.0, "late data"),
    ]
