"""Verdicts on made-up bars around a price of 100 that moves by one percent a session."""

import math
from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest

from stock_assets.forecasting.features import BAR_SESSIONS, build_features
from stock_assets.market import plausibility
from stock_assets.market.bars import BAR_SCHEMA, PRICES, quarantine_reason
from stock_assets.market.plausibility import (
    IMPOSSIBLE,
    IMPOSSIBLE_RANGE,
    INSANE_VOLUME,
    JUDGING_SESSIONS,
    LARGE_DIVIDEND,
    LARGE_MOVE,
    LARGE_RATIO,
    LOST_EVENT,
    MISSED_SPLIT,
    WRONG_DIVIDEND,
    WRONG_SPLIT,
    judge_bars,
)
from stock_assets.market.sessions import ExchangeCalendar
from stock_assets.market.sources.sample import sample_bars
from stock_assets_tests.simulated_prices import simulated_bars

DAY = date(2012, 6, 1)
FOUND = ("quarantine_reason", "jump_finding", "event_finding", "volume_finding")


def calm_bars(xnys: ExchangeCalendar) -> pl.DataFrame:
    """Closes of 100 and 101 in turn, in 2012."""
    sessions = xnys.between(date(2012, 1, 3), date(2012, 12, 31))
    rows = [
        {
            "ticker": "A",
            "session": session,
            "open": 100.5,
            "high": 101.5,
            "low": 99.5,
            "close": 100.0 + n % 2,
            "volume": 1e6,
            "dividend": 0.0,
            "split_ratio": 1.0,
        }
        for n, session in enumerate(sessions)
    ]
    return pl.DataFrame(rows, schema=BAR_SCHEMA)


def changed(
    bars: pl.DataFrame, first: date, last: date, times: float = 1.0, **values: Any
) -> pl.DataFrame:
    """The bars with prices multiplied and values set between two dates."""
    inside = pl.col("session").is_between(first, last)
    return bars.with_columns(
        *(pl.when(inside).then(pl.col(c) * times).otherwise(c).alias(c) for c in PRICES)
    ).with_columns(
        pl.when(inside).then(pl.lit(value)).otherwise(name).alias(name)
        for name, value in values.items()
    )


def findings(bars: pl.DataFrame, xnys: ExchangeCalendar) -> dict[date, dict[str, str]]:
    """What was found, by session; nothing for a bar without findings."""
    judged = judge_bars(bars, xnys).filter(pl.any_horizontal(pl.col(*FOUND).is_not_null()))
    return {
        row["session"]: {name: row[name] for name in FOUND if row[name]}
        for row in judged.iter_rows(named=True)
    }


def quarantined(reason: str, kind: str) -> dict[str, str]:
    return {"quarantine_reason": reason, kind: reason}


@pytest.mark.parametrize("times", [1 / 2, 1 / 3, 1 / 4, 1 / 10, 1 / 20, 2.0, 10.0, 100.0])
def test_a_missed_split_costs_one_row_and_the_ticker_goes_on(xnys: ExchangeCalendar, times: float):
    bars = changed(calm_bars(xnys), DAY, date.max, times)
    found = findings(bars, xnys)
    assert list(found) == [DAY]
    assert found[DAY]["quarantine_reason"] in {MISSED_SPLIT, IMPOSSIBLE}
    features = build_features(bars, xnys)
    assert DAY not in features["session"].to_list()
    after = features.filter(pl.col("session") > DAY)
    assert after["return_1d"].abs().max() < 0.011
    assert after["volatility_1d"].null_count() == 0
    assert after["volatility_1d"].max() < 0.02


@pytest.mark.parametrize("times", [10.0, 0.1, 100.0, 0.01])
def test_one_wild_close_costs_the_jump_there_and_the_jump_back(
    xnys: ExchangeCalendar, times: float
):
    found = findings(changed(calm_bars(xnys), DAY, DAY, times), xnys)
    assert list(found) == [DAY, date(2012, 6, 4)]
    assert {f["quarantine_reason"] for f in found.values()} <= {MISSED_SPLIT, IMPOSSIBLE}


@pytest.mark.parametrize("times", [0.8, 0.75, 0.72, 1.3, 0.6, 0.45, 2.6])
def test_what_markets_do_is_kept(xnys: ExchangeCalendar, times: float):
    """October 1987, earnings, takeovers, panics."""
    bars = changed(calm_bars(xnys), DAY, date.max, times)
    found = findings(bars, xnys)
    assert all(f == {"jump_finding": LARGE_MOVE} for f in found.values())
    assert build_features(bars, xnys).height == bars.height


def test_a_fall_by_half_with_a_crowd_is_no_missed_split(xnys: ExchangeCalendar):
    bars = changed(calm_bars(xnys), DAY, date.max, 0.5)
    assert findings(bars, xnys)[DAY]["quarantine_reason"] == MISSED_SPLIT
    crowd = changed(bars, DAY, DAY, volume=19e6)
    assert findings(crowd, xnys) == {DAY: {"jump_finding": LARGE_MOVE}}


def test_the_sample_has_one_large_move_and_nothing_to_quarantine(xnys: ExchangeCalendar):
    # Apple's warning of 2000-09-28: 53.50 to 25.75 overnight, the largest fall in the file.
    judged = judge_bars(sample_bars(), xnys)
    large = judged.filter(pl.any_horizontal(pl.col(*FOUND).is_not_null()))
    assert large.select("ticker", "session", "jump_finding", "quarantine_reason").rows() == [
        ("AAPL", date(2000, 9, 29), LARGE_MOVE, None)
    ]


def test_a_split_that_is_recorded_is_no_jump(xnys: ExchangeCalendar):
    bars = changed(calm_bars(xnys), DAY, date.max, 0.5)
    assert findings(changed(bars, DAY, DAY, split_ratio=2.0), xnys) == {}


@pytest.mark.parametrize("recorded", [3.0, 4.0, 0.5, 20.0])
def test_a_wrong_split_ratio_is_found(xnys: ExchangeCalendar, recorded: float):
    bars = changed(calm_bars(xnys), DAY, date.max, 0.5)
    found = findings(changed(bars, DAY, DAY, split_ratio=recorded), xnys)
    assert list(found) == [DAY]
    assert found[DAY]["event_finding"] == WRONG_SPLIT


def test_a_split_without_its_price_and_one_a_day_late_are_found(xnys: ExchangeCalendar):
    phantom = changed(calm_bars(xnys), DAY, DAY, split_ratio=1.5)
    assert findings(phantom, xnys) == {DAY: quarantined(WRONG_SPLIT, "event_finding")}
    late = changed(calm_bars(xnys), DAY, date.max, 0.5)
    late = changed(late, date(2012, 6, 4), date(2012, 6, 4), split_ratio=2.0)
    assert list(findings(late, xnys)) == [DAY, date(2012, 6, 4)]


def test_a_dividend_that_the_price_never_saw_is_found(xnys: ExchangeCalendar):
    wrong = changed(calm_bars(xnys), DAY, DAY, dividend=25.0)
    assert findings(wrong, xnys) == {DAY: quarantined(WRONG_DIVIDEND, "event_finding")}
    right = changed(changed(calm_bars(xnys), DAY, date.max, 0.75), DAY, DAY, dividend=25.0)
    assert findings(right, xnys) == {}


def test_events_out_of_all_measure_are_reported(xnys: ExchangeCalendar):
    paid_out = changed(changed(calm_bars(xnys), DAY, date.max, 0.4), DAY, DAY, dividend=60.0)
    assert findings(paid_out, xnys) == {DAY: {"event_finding": LARGE_DIVIDEND}}
    thousandth = changed(calm_bars(xnys), DAY, date.max, 1 / 250)
    thousandth = changed(thousandth, DAY, DAY, split_ratio=250.0)
    assert findings(thousandth, xnys) == {DAY: {"event_finding": LARGE_RATIO}}


def test_a_high_without_its_decimal_point_is_found(xnys: ExchangeCalendar):
    bars = changed(calm_bars(xnys), DAY, DAY, high=10_150.0)
    assert findings(bars, xnys) == {DAY: quarantined(IMPOSSIBLE_RANGE, "jump_finding")}


def test_a_volume_out_of_all_measure_is_reported_and_kept(xnys: ExchangeCalendar):
    bars = changed(calm_bars(xnys), DAY, DAY, volume=2e9)
    assert findings(bars, xnys) == {DAY: {"volume_finding": INSANE_VOLUME}}


def test_a_new_listing_is_not_judged_by_a_volatility_it_has_not_shown(xnys: ExchangeCalendar):
    young = calm_bars(xnys).head(3)
    second = young["session"][1]
    assert findings(changed(young, second, date.max, 0.4), xnys) == {
        second: {"jump_finding": LARGE_MOVE}
    }


def test_verdicts_need_no_more_history_than_they_say_and_no_future(xnys: ExchangeCalendar):
    bars = calm_bars(xnys)
    for n, (session, times) in enumerate(
        [(DAY, 0.5), (date(2012, 6, 5), 10.0), (date(2012, 8, 1), 1 / 3), (date(2012, 8, 2), 30.0)]
    ):
        bars = changed(bars, session, date.max if n % 2 else session, times)
    bars = bars.filter(pl.col("session") != date(2012, 7, 10))
    judged, features = judge_bars(bars, xnys), build_features(bars, xnys)
    assert judged["quarantine_reason"].count() >= 5
    for session in xnys.between(date(2012, 6, 1), date(2012, 12, 31)):
        for sessions, everything, of in (
            (JUDGING_SESSIONS, judged.drop("log_growth"), lambda b: judge_bars(b, xnys)),
            (BAR_SESSIONS, features, lambda b: build_features(b, xnys)),
        ):
            start = max(xnys.offset(session, -sessions), date(2012, 1, 3))
            alone = of(bars.filter(pl.col("session").is_between(start, session)))
            assert (
                alone.select(everything.columns)
                .filter(pl.col("session") == session)
                .equals(everything.filter(pl.col("session") == session))
            ), session


def test_closes_to_score_against_are_those_that_can_be_trusted(xnys: ExchangeCalendar):
    bars = changed(calm_bars(xnys), DAY, DAY, 10.0)
    kept = judge_bars(bars, xnys).filter(pl.col("quarantine_reason").is_null())
    missing = set(bars["session"]) - set(kept["session"])
    assert missing == {DAY, date(2012, 6, 4)}


def return_after(bars: pl.DataFrame, xnys: ExchangeCalendar, ticker: str, session: date) -> float:
    """The return from the last usable bar to that session, as a fraction."""
    judged = judge_bars(bars, xnys).filter(pl.col("ticker") == ticker)
    return math.expm1(
        judged.row(by_predicate=pl.col("session") == session, named=True)["log_growth"]
    )


def test_the_largest_dividend_of_the_sample_outlives_a_wrong_low(xnys: ExchangeCalendar):
    """MSFT paid $3.08 on 2004-11-15 and had closed at 29.97 before."""
    paid = pl.col("session") == date(2004, 11, 15)
    bars = (
        sample_bars()
        .filter(pl.col("ticker") == "MSFT")
        .with_columns(low=pl.when(paid).then(pl.col("high") + 1).otherwise("low"))
    )
    closes = dict(bars.filter(pl.col("session").is_between(date(2004, 11, 12), date(2004, 11, 16)))
                  .select("session", "close").iter_rows())  # fmt: skip
    assert closes[date(2004, 11, 12)] == 29.97
    found = return_after(bars, xnys, "MSFT", date(2004, 11, 16))
    # What was paid, and the price of two sessions on.
    assert found == pytest.approx((closes[date(2004, 11, 16)] + 3.08) / 29.97 - 1)
    assert abs(found) < 0.02


def test_a_split_outlives_the_null_close_of_its_session(xnys: ExchangeCalendar):
    """AAPL split 2:1 on 2005-02-28; without its bar the next return was that of half a share."""
    split = pl.col("session") == date(2005, 2, 28)
    bars = (
        sample_bars()
        .filter(pl.col("ticker") == "AAPL")
        .with_columns(close=pl.when(split).then(None).otherwise("close"))
    )
    assert abs(return_after(bars, xnys, "AAPL", date(2005, 3, 1))) < 0.06
    assert judge_bars(bars, xnys)["quarantine_reason"].null_count() == bars.height - 1


def test_a_return_across_an_event_that_cannot_be_read_costs_one_row(xnys: ExchangeCalendar):
    bars = changed(calm_bars(xnys), DAY, DAY, dividend=-1.0)
    after = xnys.next_session(DAY)
    assert findings(bars, xnys) == {after: quarantined(LOST_EVENT, "event_finding")}
    assert after not in build_features(bars, xnys)["session"].to_list()


def crashed(xnys: ExchangeCalendar) -> pl.DataFrame:
    """A fall to 0.22 on thirty times the volume, after which the price stays there."""
    bars = changed(calm_bars(xnys), DAY, date.max, 0.22)
    # It opened where it had closed, and fell within the session.
    return changed(bars, DAY, DAY, open=100.5, high=101.5, volume=30e6)


def test_a_collapse_is_doubted_on_its_day_and_believed_the_day_after(xnys: ExchangeCalendar):
    bars = crashed(xnys)
    assert findings(bars, xnys)[DAY]["quarantine_reason"] == IMPOSSIBLE
    features = build_features(bars, xnys)
    assert DAY not in features["session"].to_list()
    after = features.row(by_predicate=pl.col("session") == xnys.next_session(DAY), named=True)
    assert after["volatility_1d"] > 0.1
    calm = build_features(bars.filter(pl.col("session") < DAY), xnys)
    assert after["volatility_1d"] > 8 * calm["volatility_1d"][-1]


def test_a_collapse_changes_nothing_that_was_known_before_it_was_believed(xnys: ExchangeCalendar):
    bars = crashed(xnys)
    on_the_day = build_features(bars.filter(pl.col("session") <= DAY), xnys)
    later = build_features(bars, xnys).filter(pl.col("session") <= DAY)
    assert later.equals(on_the_day)


@pytest.mark.parametrize(
    ("what", "last", "volume"),
    [
        ("back the next day", DAY, 30e6),
        ("without a crowd", date.max, 1e6),
        ("more shares, as of a split of 1:5", date.max, 5e6),
    ],
)
def test_an_error_is_not_believed(xnys: ExchangeCalendar, what: str, last: date, volume: float):
    bars = changed(changed(calm_bars(xnys), DAY, last, 0.2), DAY, DAY, volume=volume)
    features = build_features(bars, xnys)
    assert judge_bars(bars, xnys)["confirmed"].sum() == 0, what
    assert features["volatility_1d"].max() < 0.02


def test_a_session_in_which_nothing_traded_is_no_bar(xnys: ExchangeCalendar):
    """A vendor fills a suspended share's sessions with its last close."""
    calm = calm_bars(xnys)
    last = date(2012, 6, 8)
    close = calm.filter(pl.col("session") < DAY)["close"][-1]
    filled = changed(calm, DAY, last, volume=0.0, **dict.fromkeys(PRICES, close))
    held = calm.filter(~pl.col("session").is_between(DAY, last))
    assert judge_bars(filled, xnys).equals(judge_bars(held, xnys))
    # A fund's price is as flat and has no volume, but it moves.
    fund = calm.with_columns(
        open=pl.col("close"), high=pl.col("close"), low=pl.col("close"), volume=0.0
    )
    assert judge_bars(fund, xnys).height == calm.height


def test_a_dividend_paid_while_nothing_traded_is_not_lost(xnys: ExchangeCalendar):
    calm = calm_bars(xnys)
    close = calm.filter(pl.col("session") < DAY)["close"][-1]
    filled = changed(calm, DAY, DAY, volume=0.0, **dict.fromkeys(PRICES, close))
    paid = changed(filled, DAY, DAY, dividend=2.0)
    judged = judge_bars(paid, xnys)
    after = judged.row(by_predicate=pl.col("session") == xnys.next_session(DAY), named=True)
    assert after["dividend"] == 2.0
    assert after["log_growth"] == pytest.approx(math.log((after["close"] + 2.0) / close))


@pytest.mark.parametrize("wrong", [{"close": None}, {"high": 1.0}, {"split_ratio": 0.0}])
def test_a_range_of_unsound_bars_has_no_verdicts_and_no_features(
    xnys: ExchangeCalendar, wrong: dict[str, Any]
):
    bars = changed(calm_bars(xnys), date.min, date.max, **wrong)
    assert judge_bars(bars, xnys).is_empty()
    assert build_features(bars, xnys).is_empty()


def odd_bars(xnys: ExchangeCalendar) -> pl.DataFrame:
    """Bars with every kind of fault, two in a hundred, some of them side by side."""
    bars = simulated_bars(xnys, "2010-01-04", 500, 20, seed=9, steps=4)
    random = np.random.default_rng(4)
    n = bars.height

    def some(share: float, values: list[float | None], otherwise: pl.Expr) -> pl.Expr:
        chosen = pl.Series(random.random(n) < share)
        drawn = pl.Series(random.choice(len(values), n))
        return (
            pl.when(chosen)
            .then(pl.lit(pl.Series(values, dtype=pl.Float64)).gather(drawn))
            .otherwise(otherwise)
        )

    factor = some(0.01, [0.01, 0.1, 0.25, 0.5, 2 / 3, 1.5, 2, 3, 4, 10, 100], pl.lit(1.0))
    bars = bars.with_columns(factor=factor).with_columns(
        pl.col(c) * pl.col("factor") for c in PRICES
    )
    bars = bars.with_columns(
        high=some(0.003, [4.5, 1.3], pl.lit(1.0)) * pl.col("high"),
        dividend=some(0.004, [0.2, 0.4, 0.6, None], pl.lit(0.0)) * pl.col("close"),
        split_ratio=some(0.004, [0.5, 2.0, 300.0, 1 / 300], pl.lit(1.0)),
        volume=some(0.02, [0.0, 1.0, 1e9, 1e13, None], pl.col("volume")),
    )
    bars = bars.select(*BAR_SCHEMA).sample(fraction=0.97, seed=1)
    # A collapse with a crowd, which the next bar confirms.
    collapsed = changed(calm_bars(xnys), DAY, date(2012, 12, 31), 0.15)
    return pl.concat([bars, changed(collapsed, DAY, DAY, volume=1e8)])


def test_what_is_not_worth_a_median_could_not_have_been_found(
    xnys: ExchangeCalendar, monkeypatch: pytest.MonkeyPatch
):
    bars = odd_bars(xnys)
    quick = judge_bars(bars, xnys)
    # The oracle takes the medians of every bar.
    monkeypatch.setattr(plausibility, "_may_be_found", lambda bars: np.ones(bars.height, bool))
    assert quick.equals(judge_bars(bars, xnys))
    kinds = {kind for name in FOUND for kind in quick[name].drop_nulls()}
    assert kinds == {
        LOST_EVENT, IMPOSSIBLE, MISSED_SPLIT, IMPOSSIBLE_RANGE, WRONG_SPLIT, WRONG_DIVIDEND,
        LARGE_MOVE, INSANE_VOLUME,
    }  # fmt: skip
    assert quick["confirmed"].any()


def test_a_bar_is_sound_where_no_word_speaks_against_it():
    random = np.random.default_rng(6)
    numbers = [*(1.0, 2.0, 3.0) * 6, 0.0, -0.0, -1.0, math.inf, -math.inf, math.nan, None]
    names = (*PRICES, "volume", "dividend", "split_ratio")
    bars = pl.DataFrame(
        {
            name: pl.Series(numbers, dtype=pl.Float64).gather(random.choice(len(numbers), 200_000))
            for name in names
        }
    )
    # To polars NaN is the largest number: below infinity it is not.
    inside = [pl.col(price).is_between("low", "high") for price in ("open", "close")]
    is_sound = (
        (pl.col("low") > 0)
        & (pl.col("high") < math.inf)
        & pl.all_horizontal(inside)
        & pl.col("dividend").is_between(0, math.inf, closed="left")
        & pl.col("split_ratio").is_between(0, math.inf, closed="none")
        & ~(pl.col("volume") < 0).fill_null(False)
    ).fill_null(False)
    told, sound = bars.select(quarantine_reason(), sound=is_sound)
    assert told.n_unique() == 8  # every reason, and none
    assert sound.equals(told.is_null(), check_names=False)


def test_calm_bars_take_no_median(xnys: ExchangeCalendar, monkeypatch: pytest.MonkeyPatch):
    judged: list[int] = []
    medians = plausibility.medians_before

    def counted(values: np.ndarray, *rest: Any) -> np.ndarray:
        judged.append(len(values))
        return medians(values, *rest)

    monkeypatch.setattr(plausibility, "medians_before", counted)
    bars = simulated_bars(xnys, "2010-01-04", 500, 20, seed=9, steps=4)
    judge_bars(bars, xnys)
    assert sum(judged) < bars.height / 10
