"""docs/kubernetes.md's sizes are worked out from docs/benchmarks.json, not typed."""

import json

import pytest

from stock_assets.settings import Settings
from stock_assets_tests.benchmarks.sizing import EXTENTS, PAGE, RESULTS, Extent, made_page, needs

MEASURED = {
    "sizes": {"best": {"stored": {
        "row_bytes": {
            "raw_prices": 50.0, "features": 100.0, "daily_forecast": 60.0, "forecast_rmse": 40.0,
            "train_set": 200.0, "test_set": 300.0,
        },
        "sessions": 100, "session_objects": 400, "months": 2, "month_objects": 20,
        "model_bytes": 1_000_000.0,
        "backfill_requests": {"PUT": 420, "LIST": 180, "GET": 1_000},
        "day_requests": {"PUT": 10, "LIST": 90, "GET": 250},
    }}},
    "growth": {"best": {"chain by tickers": {"points": {
        "10 tickers x 252 sessions": 2.52, "2000 tickers x 252 sessions": 2.52 + 1_990 * 252 * 1e-5,
    }}}},
    "backfill": {"best": {"backfill": {"stages": {"forecasts": 1.5, "scores": 1.0}}}},
    "fold": {"best": {
        "project": {"rows": 75_600, "cpu_seconds": 30.0, "peak_mb": 300.0},
        "reusing": {"rows": 75_600, "cpu_seconds": 3.0, "peak_mb": 300.0},
    }},
    "imports": {"best": {"project": {"peak_mb": 100.0}}},
    "features": {"best": {"project": {
        "rows": 1_000_000, "peak_mb": 100.0 + 1_000_000 * 300 / 2**20,
    }}},
}  # fmt: skip


def test_the_page_has_what_the_benchmarks_say():
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    page = PAGE.read_text(encoding="utf-8")
    assert page == made_page(page, results)
    assert all(name in page for name in EXTENTS)


def test_each_number_is_what_pencil_and_paper_make_of_it():
    found = needs(Extent(100, 10), MEASURED, Settings(train_months=36, test_sessions=30))
    # 2,520 sessions x 4 and 120 months x 10 objects.
    assert found.objects == 10_080 + 1_200
    assert found.prices_gb == pytest.approx(252_000 * 50 / 1e9)
    # 75,600 rows of training and 3,000 of testing, 120 times.
    assert found.train_sets_gb == pytest.approx(120 * (75_600 * 200 + 3_000 * 300) / 1e9)
    assert found.stored_gb == pytest.approx(
        found.train_sets_gb + 252_000 * 250 / 1e9 + 120 * 1_000_000 / 1e9
    )
    # 10 ms a session; 10 and 50 microseconds a row.
    assert found.data_cpu_hours * 3600 == pytest.approx(25.2 + 252_000 * 60e-6)
    # A search in one month of three, each on as many rows as were measured.
    assert found.training_cpu_hours * 3600 == pytest.approx(40 * 30 + 80 * 3)
    assert found.run_gb == pytest.approx((100 * 2**20 + 507 * 100 * 300) / 1e9)
    assert found.training_gb == pytest.approx(300 * 2**20 / 1e9)
    # 11,280 PUT of which 420 came with 180 LIST and 1,000 GET; three pages a LIST.
    dollars = (960 * 0.005 + 1_000 * 0.0004) / 1_000 * 11_280 / 420
    assert found.backfill_dollars == pytest.approx(dollars)
    daily = (280 * 0.005 + 250 * 0.0004) / 1_000
    assert found.month_dollars == pytest.approx(found.stored_gb * 0.023 + 21 * daily)


def test_ten_times_the_tickers_make_no_more_objects_and_ten_times_the_rows():
    few, many = (needs(Extent(n, 20), MEASURED, Settings()) for n in (5_000, 50_000))
    assert few.objects == many.objects
    assert few.backfill_dollars == many.backfill_dollars
    assert many.prices_gb == pytest.approx(10 * few.prices_gb)
    assert many.training_cpu_hours == pytest.approx(10 * few.training_cpu_hours)
