"""What the sections of the report show, held against numbers worked out by hand."""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import polars as pl

from stock_assets.forecasting.evaluation import SCORE_SCHEMA
from stock_assets.forecasting.intervals import GRID
from stock_assets.forecasting.promotion import ModelVersion, Promotion
from stock_assets.market.sessions import ExchangeCalendar
from stock_assets.monitoring.episodes import Rules
from stock_assets.monitoring.thresholds import Measure, Thresholds
from stock_assets.report.fans import fans
from stock_assets.report.intervals_right import intervals_right, pit_shares
from stock_assets.report.intervals_useful import interval_ratios, intervals_useful
from stock_assets.report.misses import largest_misses
from stock_assets.report.next_session import next_session
from stock_assets.report.points_useful import points_useful, skill_map
from stock_assets.report.prices_seen import bars_by_session, prices_seen
from stock_assets.report.rolling_errors import Episode, episodes, rolling_errors
from stock_assets.report.versions import models
from stock_assets_tests.simulated_report import registered, report_rows

NEWEST = date(2013, 3, 1)


def scores(*rows: dict[str, Any]) -> pl.DataFrame:
    blank = dict.fromkeys(SCORE_SCHEMA)
    return pl.DataFrame([blank | row for row in rows], schema=SCORE_SCHEMA)


def test_the_largest_misses_are_the_largest_by_their_own_volatility(xnys: ExchangeCalendar):
    day = date(2013, 2, 28)

    def calm(forecasts: pl.DataFrame) -> pl.DataFrame:
        return forecasts.with_columns(
            forecast_volatility=pl.when(pl.col("ticker") == "CALM").then(0.001).otherwise(0.02)
        )

    rows = report_rows(xnys, ["CALM", "WILD"], sessions=3, edit=calm)
    two = scores(
        {"ticker": "CALM", "session": day, "as_of_session": date(2013, 2, 27),
         "error_return": -0.01, "realised_return": -0.01, "forecast_return": 0.0,
         "covered_95": False},
        {"ticker": "WILD", "session": day, "as_of_session": date(2013, 2, 27),
         "error_return": 0.05, "realised_return": 0.05, "forecast_return": 0.0,
         "covered_95": False},
        {"ticker": "WILD", "session": NEWEST, "as_of_session": day,
         "error_return": None, "unscored_reason": "no bar"},
    )  # fmt: skip
    found = largest_misses(replace(rows, scores=two))
    assert [(m.ticker, round(m.sigmas, 9), m.realised, m.others, m.command) for m in found] == [
        ("CALM", -10.0, "-1.0%", 1, "stock-assets forecast --session 2013-02-27"),
        ("WILD", 2.5, "+5.0%", 1, "stock-assets forecast --session 2013-02-27"),
    ]


def test_at_most_ten_misses(xnys: ExchangeCalendar):
    assert len(largest_misses(report_rows(xnys, ["A"], sessions=30))) == 10


def test_pit_counts_the_quantiles_below_the_outcome():
    grid = [level - 0.5 for level in GRID]  # -0.49, -0.47, ... 0.49
    outcomes = [-1.0, -0.45, 0.0, 0.05, 1.0, None]
    tickers = [f"T{n}" for n in range(6)]
    grids = pl.DataFrame(
        {"ticker": tickers, "target_session": [NEWEST] * 6, "quantile_returns": [grid] * 6}
    )
    found = scores(
        *(
            {"ticker": t, "session": NEWEST, "realised_return": outcome}
            for t, outcome in zip(tickers, outcomes, strict=True)
        )
    )
    assert pit_shares(grids, found) == [0.4, 0, 0, 0, 0, 0.4, 0, 0, 0, 0.2]
    assert pit_shares(grids, found.clear()) == []


def test_right_intervals_are_called_right_and_wide_ones_wide(xnys: ExchangeCalendar):
    tickers = [f"T{n}" for n in range(30)]
    right = intervals_right(report_rows(xnys, tickers, sessions=100))
    assert [s.partition("): ")[2] for s in right.says[:3]] == ["as it should."] * 3
    assert right.says[3].startswith("Kupiec's test rejects the 95 % coverage of")
    wide = intervals_right(report_rows(xnys, tickers, sessions=100, width=1.4))
    assert [s.partition("): ")[2] for s in wide.says[:3]] == ["too wide."] * 3
    narrow = intervals_right(report_rows(xnys, tickers, sessions=100, width=0.5))
    assert [s.partition("): ")[2] for s in narrow.says[:3]] == ["too narrow."] * 3
    assert [f.title for f in right.figures] == [
        "Nominal and realised coverage",
        "Where outcomes fell (PIT)",
        "Coverage over 20 sessions",
    ]


def test_ratios_beside_simple_rules_have_error_bars():
    sessions = [date(2013, 1, n) for n in range(1, 31)]
    beside = pl.DataFrame({"session": sessions, "ticker": ["A"] * 30, "crps": [0.5, 0.7] * 15,
                           "interval_score_95": [2.0] * 30,
                           "crps_expanding_normal": [0.6, 0.8] * 15,
                           "interval_score_95_expanding_normal": [2.0] * 30})  # fmt: skip
    crps, score = interval_ratios(beside)
    assert (crps.rule, crps.score, round(crps.ratio, 12)) == ("normal law", "CRPS", 0.857142857143)
    assert crps.verdict == "better"
    assert (score.ratio, score.bounds, score.verdict) == (1.0, (1.0, 1.0), "can't be told apart")
    assert interval_ratios(beside.head(19))[0].bounds is None
    assert interval_ratios(beside.clear()) == []


def test_wide_intervals_are_worse_than_every_rule(xnys: ExchangeCalendar):
    found = intervals_useful(report_rows(xnys, [f"T{n}" for n in range(20)], width=2.5))
    assert {r.verdict for r in found.ratios} == {"worse"}
    assert found.says.startswith(
        "Of 5 comparisons, with 95 % confidence each, 0 say better, 5 say worse, 0"
    )


def test_skill_by_month_and_ticker():
    def row(ticker: str, day: date, error: float, naive: float) -> dict[str, Any]:
        return {"ticker": ticker, "session": day, "error_return": error,
                "error_return_random_walk": naive, "model": "ridge"}  # fmt: skip

    january, february = date(2013, 1, 2), date(2013, 2, 1)
    months, cells, left_out = skill_map(
        scores(
            row("A", january, 0.9, 1.0),
            row("A", february, 1.015, 1.0),
            row("B", february, 1.0, 1.0),
        )
    )
    assert (months, left_out) == (["2013-01", "2013-02"], 0)
    shown = {ticker: [(c.text, c.css) for c in of_ticker] for ticker, of_ticker in cells}
    assert shown == {
        "A": [("+10.0%", "heat-up-3"), ("-1.5%", "heat-down-2")],
        "B": [("-", "heat-none"), ("0", "heat-0")],
    }


def test_of_many_tickers_the_best_and_the_worst_are_mapped():
    rows = [
        {"ticker": f"T{n:02d}", "session": NEWEST, "error_return": 1 + n / 100,
         "error_return_random_walk": 1.0}
        for n in range(30)
    ]  # fmt: skip
    _, cells, left_out = skill_map(scores(*rows))
    assert [ticker for ticker, _ in cells] == [f"T{n:02d}" for n in (*range(12), *range(18, 30))]
    assert left_out == 6


def test_points_of_the_random_walk_are_said_to_gain_nothing(xnys: ExchangeCalendar):
    assert "nothing was gained and nothing lost" in points_useful(report_rows(xnys, ["A"])).says


def test_episodes_are_those_of_the_sensor():
    readings = {
        f"2013-01-{n:02d}": {"A": {Measure.RETURN: value}}
        for n, value in enumerate([0.01, 0.05, 0.05, 0.01, 0.01, 0.06], start=1)
    }
    limits = Thresholds({Measure.RETURN: 0.04})
    assert episodes(readings, limits, Rules(2, 20)) == [
        Episode("2013-01-02", "2013-01-05", "A in log return"),
        Episode("2013-01-06", "", "A in log return"),
    ]


def test_rolling_errors_say_how_near_each_is_to_its_limit(xnys: ExchangeCalendar):
    rows = report_rows(xnys, ["A", "B"], limit=0.02)
    calm = rolling_errors(rows)
    assert calm.says.endswith("No threshold was broken in the range.")
    assert calm.newest[0].name == "all tickers"
    assert {r.name for r in calm.newest} == {"all tickers", "A", "B"}
    broken = rolling_errors(report_rows(xnys, ["A", "B"], limit=0.001))
    assert broken.says.endswith("1 episode above a threshold; the last is still open.")
    assert broken.episodes[0].ended == ""


def test_bars_that_are_missing_or_apart_are_counted_from_a_tickers_first_on(
    xnys: ExchangeCalendar,
):
    listed, gone, odd = date(2013, 2, 20), date(2013, 2, 27), date(2013, 2, 28)

    def edit(bars: pl.DataFrame) -> pl.DataFrame:
        late, b = pl.col("session") < listed, pl.col("ticker") == "B"
        kept = bars.filter(~(b & (late | (pl.col("session") == gone))))
        reason = pl.when((pl.col("session") == odd) & b).then(pl.lit("high is below close"))
        return kept.with_columns(quarantine_reason=reason)

    rows = report_rows(xnys, ["A", "B"], sessions=10, edit_bars=edit)
    assert bars_by_session(rows)[-5:] == [
        (date(2013, 2, 25), 2, 2, 0),
        (date(2013, 2, 26), 2, 2, 0),
        (gone, 1, 2, 0),
        (odd, 2, 2, 1),
        (NEWEST, 2, 2, 0),
    ]
    assert bars_by_session(rows)[0] == (date(2013, 2, 15), 1, 1, 0)
    seen = prices_seen(rows)
    assert seen.says == "17 bars of 10 sessions, 1 expected bar missing, 1 in quarantine."
    assert seen.listings[0].rows[0][1:] == ("B", seen.listings[0].rows[0][2], "high is below close")


def test_revisions_splits_and_dividends_are_listed(xnys: ExchangeCalendar):
    at = datetime(2013, 3, 2, 6, 30, tzinfo=UTC)

    def edit(bars: pl.DataFrame) -> pl.DataFrame:
        of = pl.col("session") == NEWEST
        revised = [{"column": "close", "from": 27.25, "to": 27.2, "revised_at": at}]
        return bars.with_columns(
            split_ratio=pl.when(of).then(2.0).otherwise(1.0),
            dividend=pl.when(of).then(0.25).otherwise(0.0),
            revisions=pl.when(of).then(pl.lit(revised, bars.schema["revisions"]))
            .otherwise("revisions"),
        )  # fmt: skip

    _, revisions, events = prices_seen(report_rows(xnys, ["A"], edit_bars=edit)).listings
    assert revisions.rows == [("2013-03-01", "A", "close", "27.25", "27.2", "2013-03-02 06:30")]
    assert events.rows == [("2013-03-01", "A", "split 2 for 1, dividend 0.25 per share")]


def test_the_coming_session_says_what_is_unusual(xnys: ExchangeCalendar):
    newest = pl.col("as_of_session") == NEWEST

    def edit(forecasts: pl.DataFrame) -> pl.DataFrame:
        wide = newest & (pl.col("ticker") == "WIDE")
        bare = newest & (pl.col("ticker") == "BARE")
        shift = pl.when(wide).then(0.9).when(bare).then(None).otherwise(1.0)
        return forecasts.with_columns(
            is_fallback=bare,
            fallback_reason=pl.when(bare).then(pl.lit("too young")),
            lower_95_usd=pl.col("lower_95_usd") * shift,
            upper_95_usd=pl.col("upper_95_usd") / shift,
            lower_80_usd=pl.when(~bare).then("lower_80_usd"),
            upper_80_usd=pl.when(~bare).then("upper_80_usd"),
        )

    rows = next_session(report_rows(xnys, ["BARE", "EVEN", "WIDE"], edit=edit)).rows
    assert [(r.ticker, r.flags) for r in rows] == [
        ("BARE", ("no version: too young", "no interval: too little history")),
        ("EVEN", ()),
        ("WIDE", ("unusually wide",)),
    ]
    assert (rows[0].width_ratio, round(rows[1].width_ratio or 0, 9)) == (None, 1.0)
    assert [r.made_by for r in rows[:2]] == ["random walk, intervals v1", "random walk v1"]


def test_a_fan_speaks_of_its_misses_and_survives_a_split(xnys: ExchangeCalendar):
    """A 10-for-1 split on the newest session divides what was forecast and closed before it."""

    def split(bars: pl.DataFrame) -> pl.DataFrame:
        of = pl.col("session") == NEWEST
        return bars.with_columns(
            pl.when(of).then(pl.col(name) / 10).otherwise(name).alias(name)
            for name in ("open", "high", "low", "close")
        ).with_columns(split_ratio=pl.when(of).then(10.0).otherwise(1.0))

    def divided(forecasts: pl.DataFrame) -> pl.DataFrame:
        of = pl.col("as_of_session") == NEWEST
        prices = [n for n in forecasts.columns if n.endswith("_usd")]
        return forecasts.with_columns(
            pl.when(of).then(pl.col(n) / 10).otherwise(n).alias(n) for n in prices
        )

    (whole,) = fans(report_rows(xnys, ["A"], sessions=59))
    (fan,) = fans(report_rows(xnys, ["A"], sessions=59, edit=divided, edit_bars=split))
    outside = whole.says.rpartition("; ")[2]
    assert fan.says.endswith(outside)
    assert outside in {"0 outside", "1 outside", "2 outside", "3 outside", "4 outside", "5 outside"}

    def drawn(svg: str) -> list[str]:
        return [part.partition('"')[0] for part in svg.split(' d="')[1:]]

    # In other shares everything is the same but the scale of prices.
    assert drawn(fan.drawing) == drawn(whole.drawing)


def test_the_models_with_the_gates_words_and_peoples_decisions(xnys: ExchangeCalendar):
    promoted = ModelVersion(
        date(2012, 8, 31), 1, False, "ridge",
        (Promotion(date(2013, 2, 1), "2013-02-01T09:30:00+00:00", ("intervals",)),),
    )  # fmt: skip
    months = {
        "2012-08": registered("2012-08", None, approved=False, reason="no model: too short",
                              family=None, trained_through=None, mlflow_run_id=None),
        "2012-09": registered("2012-09", 1),
    }  # fmt: skip
    rows = report_rows(xnys, ["A"], versions=(promoted,), months=months)
    found = models(rows)
    assert [(m.month, m.version, m.family, m.points) for m in found.registered] == [
        ("2012-09", "1", "random walk", "approved: margin +2.00%"),
        ("2012-08", "-", "no model", "no model: too short"),
    ]
    (decision,) = found.promotions
    assert (decision.version, decision.after, decision.at, decision.parts) == (
        1, "2013-02-01", "2013-02-01 09:30", "intervals",
    )  # fmt: skip
