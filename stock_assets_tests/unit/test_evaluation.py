import math
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from stock_assets.forecasting.baselines import beside_baselines, summarise_baselines
from stock_assets.forecasting.evaluation import (
    NO_BAR,
    NO_BAR_BETWEEN,
    SCORE_SCHEMA,
    add_rolling,
    score_forecasts,
)
from stock_assets.forecasting.forecast import Serving, forecast_sessions
from stock_assets.forecasting.forecast_schema import FORECAST_SCHEMA
from stock_assets.forecasting.intervals import GRID, normal_quantiles
from stock_assets.forecasting.long_run_variance import diebold_mariano_t
from stock_assets.forecasting.summary import (
    summarise,
    summarise_by_month,
    summarise_by_ticker,
    summarise_range,
)
from stock_assets.market.bars import BAR_SCHEMA
from stock_assets.market.sessions import load_calendar
from stock_assets.monitoring.live_scores import live_scores

XNYS = load_calendar("XNYS")
D1, D2 = date(2013, 1, 2), date(2013, 1, 3)


def one_forecast(**changes: object) -> pl.DataFrame:
    row = {
        "ticker": "A",
        "as_of_session": D1,
        "target_session": D2,
        "close_usd": 100.0,
        "volatility_1d": 0.01,
        "forecast_return": math.log(1.01),
        "forecast_close_usd": 101.0,
        "lower_50_usd": 99.5,
        "upper_50_usd": 101.5,
        "lower_80_usd": 99.0,
        "upper_80_usd": 102.0,
        "lower_95_usd": 98.0,
        "upper_95_usd": 103.0,
        "quantile_returns": [0.01 * q for q in normal_quantiles().grid],
        "model": "random_forest",
        "model_version": 3,
        "trained_through": date(2012, 12, 31),
        "is_fallback": False,
        "fallback_reason": None,
    }
    return pl.DataFrame([row | changes], schema=FORECAST_SCHEMA)


def one_bar(close: float, dividend: float = 0.0, split_ratio: float = 1.0) -> pl.DataFrame:
    return bars_of((D2, close, dividend, split_ratio))


def bars_of(
    *rows: tuple[date, float, float, float], wrong: Mapping[date, str] | None = None
) -> pl.DataFrame:
    """Judged bars of A: session, close, dividend, split ratio; some in quarantine."""
    full = [
        ("A", day, close, close, close, close, 1.0, paid, ratio, (wrong or {}).get(day))
        for day, close, paid, ratio in rows
    ]
    judged = BAR_SCHEMA | {"quarantine_reason": pl.String()}
    return pl.DataFrame(full, schema=judged, orient="row")


def test_errors_stand_beside_the_random_walks():
    score = score_forecasts(one_forecast(), one_bar(102.0)).row(0, named=True)
    assert (score["session"], score["as_of_session"]) == (D2, D1)
    assert score["realised_return"] == pytest.approx(math.log(1.02))
    assert score["error_return"] == pytest.approx(math.log(1.02) - math.log(1.01))
    assert score["error_return_random_walk"] == pytest.approx(math.log(1.02))
    assert (score["error_usd"], score["error_usd_random_walk"]) == (1.0, 2.0)


def test_a_split_and_a_dividend_on_the_target_session_are_no_error():
    # 2-for-1 and a dividend of 1: 50 + 1 a new share is 102 an old one.
    score = score_forecasts(one_forecast(), one_bar(50.0, 1.0, 2.0)).row(0, named=True)
    assert score["error_usd"] == 1.0
    assert score["realised_return"] == pytest.approx(math.log(1.02))


def test_coverage_and_interval_score():
    score = score_forecasts(one_forecast(), one_bar(104.0)).row(0, named=True)
    assert [score[f"covered_{c}"] for c in (50, 80, 95)] == [False, False, False]
    # Width, plus 2 / 0.05 = 40 times the distance above the upper bound.
    expected = math.log(1.03 / 0.98) + 40 * math.log(1.04 / 1.03)
    assert score["interval_score_95"] == pytest.approx(expected)
    inside = score_forecasts(one_forecast(), one_bar(101.8)).row(0, named=True)
    assert [inside[f"covered_{c}"] for c in (50, 80, 95)] == [False, True, True]


def test_crps_of_a_normal_law_has_its_closed_form():
    # Gneiting & Raftery (2007), eq. 21, at the mean: sigma * (2 / sqrt(2 pi) - 1 / sqrt(pi)).
    score = score_forecasts(one_forecast(), one_bar(100.0)).row(0, named=True)
    closed = 0.01 * (2 / math.sqrt(2 * math.pi) - 1 / math.sqrt(math.pi))
    assert score["crps"] == pytest.approx(closed, rel=0.01)
    assert len(GRID) == 50


def test_a_forecast_without_interval_has_no_coverage_and_no_crps():
    bare = one_forecast(
        quantile_returns=None,
        volatility_1d=None,
        **{f"{s}_{c}_usd": None for s in ("lower", "upper") for c in (50, 80, 95)},
    )
    score = score_forecasts(bare, one_bar(102.0)).row(0, named=True)
    assert score["covered_95"] is score["crps"] is score["interval_score_95"] is None
    assert score["error_usd"] == 1.0


ERRORS = (
    "realised_return", "error_return", "error_return_random_walk", "error_usd",
    "error_usd_random_walk", "crps", "interval_score_95",
)  # fmt: skip


def test_a_target_without_a_bar_is_counted_and_not_scored():
    score = score_forecasts(one_forecast(), one_bar(1.0).clear()).row(0, named=True)
    assert (score["ticker"], score["session"], score["model_version"]) == ("A", D2, 3)
    assert score["unscored_reason"] == "no bar in the target session"
    assert [score[name] for name in ERRORS] == [None] * len(ERRORS)
    assert [score[f"covered_{c}"] for c in (50, 80, 95)] == [None] * 3


@pytest.mark.parametrize(("close", "covered"), [(10.0, [False] * 3), (101.8, [False, True, True])])
def test_a_bar_in_quarantine_is_no_error_but_is_held_against_the_interval(
    close: float, covered: list[bool]
):
    bars = bars_of((D2, close, 0, 1), wrong={D2: "the return is too large to be true"})
    score = score_forecasts(one_forecast(), bars).row(0, named=True)
    assert score["unscored_reason"] == (
        "the return is too large to be true, so what the share was worth is not known"
    )
    assert [score[name] for name in ERRORS] == [None] * len(ERRORS)
    assert [score[f"covered_{c}"] for c in (50, 80, 95)] == covered


def test_splits_and_dividends_within_the_horizon_are_no_error():
    days = [D1 + timedelta(days=n) for n in range(4)]
    # A dividend of 2 at 98, then 2-for-1: one old share is 100/98 of one, then twice that.
    bars = bars_of(
        (days[0], 100, 0, 1), (days[1], 98, 2, 1), (days[2], 49, 0, 2), (days[3], 50, 0, 1)
    )
    forecast = one_forecast(target_session=days[3])
    score = score_forecasts(forecast, bars, horizon=3).row(0, named=True)
    assert score["session"] == days[3]
    assert score["realised_return"] == pytest.approx(math.log(50 * 2 * (100 / 98) / 100))
    assert score["error_usd"] == pytest.approx(100 * 100 / 98 - 101)


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_a_forecast_over_a_missing_bar_has_no_score(lost: int):
    days = [D1 + timedelta(days=n) for n in range(5)]
    bars = bars_of(*((day, 100, 0, 1) for n, day in enumerate(days) if n != lost))
    score = score_forecasts(one_forecast(target_session=days[3]), bars, horizon=3)
    assert score["unscored_reason"].to_list() == [NO_BAR if lost == 3 else NO_BAR_BETWEEN]
    assert score["error_return"][0] is score["covered_95"][0] is None


def test_a_forecast_over_a_bar_in_quarantine_has_no_score():
    days = [D1 + timedelta(days=n) for n in range(5)]
    rows = [(day, 100, 0, 1) for day in days]
    for wrong in days[1:4]:
        bars = bars_of(*rows, wrong={wrong: "wrong"})
        score = score_forecasts(one_forecast(target_session=days[3]), bars, horizon=3)
        assert score["unscored_reason"][0].startswith("wrong, so")
        assert score["covered_95"][0] is True
    outside = bars_of(*rows, wrong={days[0]: "wrong", days[4]: "wrong"})
    score = score_forecasts(one_forecast(target_session=days[3]), outside, horizon=3)
    assert score["unscored_reason"][0] is None


def scores(errors: dict[tuple[str, date], float]) -> pl.DataFrame:
    rows = [
        {
            "ticker": ticker,
            "session": session,
            "error_return": error,
            "error_return_random_walk": 2 * error,
            "error_usd": 10 * error,
            "error_usd_random_walk": 20 * error,
            "is_fallback": False,
            "model_version": 1,
        }
        for (ticker, session), error in errors.items()
    ]
    return pl.DataFrame(rows, schema_overrides=SCORE_SCHEMA).with_columns(
        pl.lit(None, dtype=SCORE_SCHEMA[name]).alias(name)
        for name in SCORE_SCHEMA
        if name not in rows[0]
    )


def test_a_rolling_window_counts_sessions_not_scores():
    days = [date(2013, 1, d) for d in (2, 3, 4, 7)]
    unrolled = scores({("A", days[0]): 3.0, ("A", days[1]): 4.0, ("A", days[3]): 1.0})
    unrolled = unrolled.drop(name for name in SCORE_SCHEMA if name.startswith("rolling"))
    found = add_rolling(unrolled, days, window=2)
    assert found["rolling_forecasts"].to_list() == [1, 2, 1]
    assert found["rolling_rmse_return"].to_list() == pytest.approx([3.0, math.sqrt(12.5), 1.0])
    assert found["rolling_rmse_usd"].to_list() == pytest.approx([30.0, math.sqrt(1250), 10.0])


def unscored(ticker: str, session: date, reason: str, covered: bool | None) -> pl.DataFrame:
    row = {"ticker": ticker, "session": session, "unscored_reason": reason, "model": "m"}
    row |= {f"covered_{c}": covered for c in (50, 80, 95)} | {"is_fallback": True}
    return pl.DataFrame([row], schema_overrides=SCORE_SCHEMA)


def test_what_is_not_scored_is_counted_and_changes_nothing_else():
    known = scores({("A", D1): 3.0, ("B", D1): 1.0, ("B", D2): 3.0, ("B", date(2013, 1, 4)): 1.0})
    known = known.with_columns(covered_95=pl.int_range(pl.len()) % 2 == 0)
    more = [unscored("C", D2, NO_BAR, None), unscored("A", D2, "wrong, so", False)]
    whole = pl.concat([known, *more], how="diagonal")
    found, before = summarise(whole), summarise(known)
    assert (found["forecasts"], found["unscored"], found["tickers"]) == (4, 2, 2)
    assert found["unscored_reasons"] == {NO_BAR: 1, "wrong, so": 1}
    # Two of four that are scored were inside; the one in quarantine was outside.
    assert found["coverage"]["95"] == 0.5
    assert found["coverage_with_unscored"]["95"] == 0.4
    assert (before["unscored"], before["unscored_reasons"]) == (0, {})
    different = ("unscored", "unscored_reasons", "coverage_with_unscored")
    assert {k: v for k, v in found.items() if k not in different} == {
        k: v for k, v in before.items() if k not in different
    }
    assert summarise(known.drop("unscored_reason")) == before
    by_ticker = summarise_by_ticker(whole)
    assert (by_ticker["C"]["forecasts"], by_ticker["C"]["unscored"]) == (0, 1)
    assert by_ticker["C"]["rmse_return"] is None
    assert summarise_by_month(whole)["2013-01"]["unscored"] == 2
    assert summarise_range(whole, by_ticker) == summarise_range(known, summarise_by_ticker(known))


def test_what_is_not_scored_is_in_no_window_and_is_told_nobody():
    days = [date(2013, 1, d) for d in (2, 3, 4)]
    known = scores({("A", days[0]): 3.0, ("B", days[1]): 1.0, ("A", days[2]): 4.0})
    known = known.with_columns(covered_95=pl.lit(True))
    whole = pl.concat([known, unscored("A", days[1], "wrong, so", False)], how="diagonal")
    whole = whole.drop(name for name in SCORE_SCHEMA if name.startswith("rolling"))
    found = add_rolling(whole.sort("session", "ticker"), days, window=3)
    assert dict(found.schema) == SCORE_SCHEMA
    assert found.select("session", "ticker").rows() == [
        (days[0], "A"), (days[1], "A"), (days[1], "B"), (days[2], "A"),
    ]  # fmt: skip
    assert found["rolling_forecasts"].to_list() == [1, None, 1, 2]
    assert found["rolling_rmse_return"].to_list() == [3.0, None, 1.0, math.sqrt(12.5)]
    assert found["rolling_coverage_95"].to_list() == [1.0, None, 1.0, 1.0]
    (told,) = live_scores(found, "sample", [days[1]])
    assert (list(told.tickers), told.pooled.rmse_return) == (["B"], 1.0)


def test_the_summary_of_two_tickers():
    found = scores({("A", D1): 3.0, ("B", D1): 1.0, ("A", D2): 1.0, ("B", D2): 3.0})
    summary = summarise(found)
    assert summary["forecasts"] == 4
    assert (summary["sessions"], summary["tickers"]) == (2, 2)
    assert summary["rmse_return"] == pytest.approx(math.sqrt(5))
    assert summary["rmse_return_random_walk"] == pytest.approx(2 * math.sqrt(5))
    assert summary["skill"] == pytest.approx(0.5)
    assert summary["coverage"] == {"50": None, "80": None, "95": None}
    assert summary["versions"] == [1]
    by_ticker = summarise_by_ticker(found)
    assert list(by_ticker) == ["A", "B"]
    assert by_ticker["A"]["rmse_usd"] == pytest.approx(math.sqrt(500))


def test_a_summary_of_nothing_has_no_numbers():
    summary = summarise(pl.DataFrame(schema=SCORE_SCHEMA))
    assert summary["forecasts"] == 0
    assert summary["rmse_return"] is summary["skill"] is summary["dm_t"] is None


def test_scores_by_month_of_the_target():
    found = scores({("A", D1): 3.0, ("A", date(2013, 2, 1)): 1.0})
    by_month = summarise_by_month(found)
    assert list(by_month) == ["2013-01", "2013-02"]
    assert by_month["2013-01"]["mae_return"] == 3.0
    assert by_month["2013-01"]["mae_return_random_walk"] == 6.0


def test_baselines_are_normal_laws_of_what_was_known():
    days = [D1 + timedelta(days=n) for n in range(65)]
    # Plus and minus one per cent in turn: mean zero after an even number, variance 1e-4.
    past = pl.DataFrame(
        {"ticker": "A", "session": days, "return_1d": [0.01 * (-1) ** n for n in range(64)] + [9.0]}
    )
    scored = score_forecasts(
        one_forecast(as_of_session=days[63], target_session=days[64]),
        one_bar(100.0).with_columns(session=pl.lit(days[64])),
    )
    found = summarise_baselines(beside_baselines(scored, past))
    # The realised return is zero: sigma * (2 / sqrt(2 pi) - 1 / sqrt(pi)) and 2 * 1.96 sigma.
    closed = 0.01 * (2 / math.sqrt(2 * math.pi) - 1 / math.sqrt(math.pi))
    for name in ("expanding_normal", "ewma_normal"):
        assert found[name]["crps"] == pytest.approx(closed)
        assert found[name]["interval_score_95"] == pytest.approx(2 * 1.96 * 0.01, rel=1e-4)
        assert found[name]["coverage_95"] == 1.0
        assert found[name]["crps_forecast"] == scored["crps"][0]
    # Of 64 absolute returns that are all one per cent, any is as large.
    conformal = found["split_conformal"]
    assert conformal["interval_score_95"] == pytest.approx(2 * 0.01)
    assert (conformal["crps"], conformal["coverage_95"]) == (None, 1.0)
    assert summarise_baselines(beside_baselines(scored, past.head(62))) == {}
    assert summarise_baselines(beside_baselines(scored.clear(), past)) == {}


def test_summaries_do_not_depend_on_the_chunks_of_their_rows():
    draw = np.random.default_rng(5)
    days = [D1 + timedelta(days=n) for n in range(400)]
    whole = scores({(ticker, day): 1.0 for day in days for ticker in "ABCDE"})
    past = whole.select("ticker", "session", return_1d=draw.normal(0, 0.01, whole.height))
    whole = whole.with_columns(
        pl.Series(name, draw.normal(0, 0.01, whole.height))
        for name, kind in SCORE_SCHEMA.items()
        if kind == pl.Float64
    ).with_columns(
        pl.Series(name, draw.random(whole.height) < 0.9)
        for name, kind in SCORE_SCHEMA.items()
        if kind == pl.Boolean
    )
    whole = whole.with_columns(as_of_session=pl.col("session") - pl.duration(days=1))

    def cut(rows: pl.DataFrame, sizes: int) -> pl.DataFrame:
        return pl.concat([rows[n : n + sizes] for n in range(0, rows.height, sizes)], rechunk=False)

    def summaries(sizes: int) -> list[Any]:
        rows, known = cut(whole, sizes), cut(past, sizes + 3)
        return [
            summarise(rows),
            summarise_by_ticker(rows),
            summarise_by_month(rows),
            summarise_baselines(beside_baselines(rows, known)),
            summarise_range(rows, summarise_by_ticker(rows)),
        ]

    expected = summaries(whole.height)
    assert expected[3]["ewma_normal"]["forecasts"] > 1_000
    assert (expected[4]["rank_ic_sessions"], expected[4]["kupiec"]["95"]["tickers"]) == (400, 5)
    assert sum(r["forecasts"] for r in expected[4]["coverage_by_regime"].values()) == 5 * 378
    for sizes in (4, 7, 100, 1_000):
        assert cut(whole, sizes).n_chunks() > 1
        assert summaries(sizes) == expected


def test_diebold_mariano_by_hand():
    # Ten sessions: floor(4 * 0.1 ** (2 / 9)) = 2 lags, Bartlett weights 2/3 and 1/3.
    difference = np.array([1, 2, 0, 1, 3, 1, 0, 2, 1, 1], dtype=float)
    centred = [d - 1.2 for d in difference]
    gamma = [sum(centred[n] * centred[n - lag] for n in range(lag, 10)) / 10 for lag in range(3)]
    variance = gamma[0] + 2 * (2 / 3 * gamma[1] + 1 / 3 * gamma[2])
    expected = 1.2 / math.sqrt(variance / 10)
    assert diebold_mariano_t(np.zeros(10), difference) == pytest.approx(expected)
    assert diebold_mariano_t(difference, np.zeros(10)) == pytest.approx(-expected)


def test_overlapping_losses_are_weighed_over_twice_their_overlap():
    difference = np.random.default_rng(1).standard_normal(100)
    centred = difference - difference.mean()
    # Horizon 5: 8 lags, more than the rule's 4.
    gamma = [float(centred[lag:] @ centred[: 100 - lag]) / 100 for lag in range(9)]
    variance = gamma[0] + 2 * sum((1 - lag / 9) * gamma[lag] for lag in range(1, 9))
    expected = difference.mean() / math.sqrt(variance / 100)
    assert diebold_mariano_t(np.zeros(100), difference, horizon=5) == pytest.approx(expected)
    assert diebold_mariano_t(np.zeros(100), difference, horizon=3) == diebold_mariano_t(
        np.zeros(100), difference
    )


def test_diebold_mariano_without_difference_or_data():
    assert diebold_mariano_t(np.ones(5), np.ones(5)) == 0.0
    assert math.isnan(diebold_mariano_t(np.ones(1), np.zeros(1)))


def test_the_random_walk_forecasts_no_change_with_normal_intervals():
    features = pl.DataFrame(
        {"ticker": ["A"], "session": [D1], "close_usd": [100.0], "volatility_1d": [0.01]}
    )
    targets = {D1: D1 + timedelta(days=1)}
    row = forecast_sessions(features, targets, Serving(), XNYS).row(0, named=True)
    assert (row["forecast_return"], row["forecast_close_usd"]) == (0.0, 100.0)
    assert row["upper_95_usd"] == pytest.approx(100 * math.exp(0.01 * 1.959964))
    assert (row["model"], row["model_version"], row["is_fallback"]) == ("random_walk", None, True)
    assert row["fallback_reason"] == "no approved version with these settings was trained before it"
