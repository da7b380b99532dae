"""Two vendors of the same bars: planted errors are found and mended, sound bars are left alone."""

import time
from datetime import date
from typing import Any

import polars as pl

from stock_assets.market.bars import BAR_SCHEMA
from stock_assets.market.sources.sample import sample_bars
from stock_assets.market.vendors import VALUES, Compared, compare_bars
from stock_assets_tests.two_vendors import KINDS, Planted, as_seen, bars_with_events, planted

NAMES = ("first", "second")
DAYS = [date(2013, 1, day) for day in (14, 15, 16, 17, 18)]


def found(compared: Compared) -> dict[tuple[str, date, str], dict[str, Any]]:
    return {
        (row["ticker"], row["session"], row["kind"]): row
        for row in compared.disagreements.to_dicts()
    }


def shares(made: Planted, compared: Compared) -> tuple[float, float, int]:
    """Of the planted errors those found, and those with the right culprit; sound bars accused."""
    rows = found(compared)
    named = [error for error in made.errors if error in rows]
    right = [e for e in named if rows[e]["wrong"] == NAMES[made.errors[e]]]
    accused = {key[:2] for key in rows} - made.spoilt
    return len(named) / len(made.errors), len(right) / len(made.errors), len(accused)


def not_true(compared: Compared, truth: pl.DataFrame) -> pl.DataFrame:
    """Bars whose close is off by more than vendors' noise, or whose events are others."""
    return compared.bars.join(truth, on=["ticker", "session"], suffix="_true").filter(
        ((pl.col("close") - pl.col("close_true")).abs() > 0.02 + 0.002 * pl.col("close_true"))
        | ((pl.col("dividend") - pl.col("dividend_true")).abs() > 0.006)
        | (pl.col("split_ratio") != pl.col("split_ratio_true"))
    )


def test_200_planted_errors_of_simulated_vendors_are_found_and_mended():
    truth = bars_with_events(1, n_tickers=80, n_sessions=504)
    made = planted(truth, 1, 40, KINDS)
    assert (len(made.errors), truth.height) == (200, 40_320)
    compared = compare_bars(*made.frames, NAMES)
    named, right, accused = shares(made, compared)
    assert named >= 0.95
    assert right >= 0.95
    assert accused <= truth.height / 10_000
    assert not_true(compared, truth).height <= 0.05 * len(made.spoilt)
    assert compared.missing.is_empty()


def test_errors_planted_into_real_bars_are_found_and_mended():
    truth = sample_bars()
    made = planted(truth, 5, 10, tuple(kind for kind in KINDS if kind != "missed split"))
    compared = compare_bars(*made.frames, NAMES)
    named, right, accused = shares(made, compared)
    assert (named, right, accused) == (1.0, 1.0, 0)
    assert not_true(compared, truth).height <= 1


def test_sound_bars_of_vendors_that_round_otherwise_are_not_accused():
    truth = bars_with_events(3, n_tickers=60, n_sessions=500)
    compared = compare_bars(as_seen(truth, 1, 2), as_seen(truth, 2, 4), NAMES)
    assert compared.n_both == 30_000
    assert compared.disagreements.height <= 3


def test_one_session_at_a_time_names_what_the_whole_range_does():
    """As a live source is asked: with five sessions before, and what was stored of them."""
    truth = bars_with_events(4, n_tickers=16, n_sessions=205)
    truth = truth.filter(pl.col("session") >= date(2011, 7, 1))
    made = planted(truth, 4, 3, ("missed split", "decimal error", "stale bar", "lost dividend"))
    sessions = truth["session"].unique().sort().to_list()
    stored: list[pl.DataFrame] = []
    named: set[tuple[str, date, str]] = set()
    for at, session in enumerate(sessions):
        since = sessions[max(0, at - 5)]
        one, two = (f.filter(pl.col("session").is_between(since, session)) for f in made.frames)
        accepted = pl.concat(stored[-5:]).select("ticker", "session", "close") if stored else None
        compared = compare_bars(one, two, NAMES, accepted)
        stored.append(compared.bars.filter(pl.col("session") == session))
        named |= {key for key in found(compared) if key[1] == session}
    bars = pl.concat(stored).sort("ticker", "session")
    whole = compare_bars(*made.frames, NAMES)
    assert set(made.errors) <= named
    assert not_true(Compared(bars, bars, bars, 0), truth).is_empty()
    assert bars.drop("vendor").equals(whole.bars.drop("vendor"))


# --- the policy, by hand --------------------------------------------------------------------------


def bar(day: int, close: float, dividend: float | None = 0.0, ratio: float | None = 1.0) -> tuple:
    """A bar of the ticker A, whose range is a per cent either way."""
    high, low = close * 1.01, close * 0.99
    return ("A", DAYS[day], close, high, low, close, 1000.0, dividend, ratio)


def bars(*rows: tuple) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=BAR_SCHEMA, orient="row")


def kept(compared: Compared, day: int) -> dict[str, Any]:
    return compared.bars.filter(pl.col("session") == DAYS[day]).row(0, named=True)


def told(compared: Compared) -> list[tuple]:
    return compared.disagreements.drop("ticker", "first", "second").rows()


def test_where_both_agree_the_first_ones_bar_is_taken_as_a_whole():
    compared = compare_bars(bars(bar(0, 100.0)), bars(bar(0, 100.2)), NAMES)
    assert told(compared) == []
    assert (kept(compared, 0)["close"], kept(compared, 0)["high"]) == (100.0, 101.0)
    assert kept(compared, 0)["vendor"] == dict.fromkeys(VALUES, "first")
    apart = compare_bars(bars(bar(0, 100.0)), bars(bar(0, 100.3)), NAMES)
    assert told(apart) == [(DAYS[0], "close differs", None, "first", "close")]
    cents = compare_bars(bars(bar(0, 1.0)), bars(bar(0, 1.01)), NAMES)
    assert told(cents) == []  # a cent is one per cent, and the same price


def test_where_one_lacks_a_bar_the_others_is_taken():
    one, two = bars(bar(0, 10.0), bar(2, 12.0)), bars(bar(0, 10.0), bar(1, 11.0), bar(2, 12.0))
    for pair, names in (((one, two), NAMES), ((two, one), NAMES[::-1])):
        compared = compare_bars(*pair, names)
        assert compared.bars["close"].to_list() == [10.0, 11.0, 12.0]
        assert compared.missing.rows() == [("A", DAYS[1], "first")]
        assert kept(compared, 1)["vendor"] == dict.fromkeys(VALUES, "second")
        assert compared.n_both == 2
        assert told(compared) == []


def test_one_vendor_alone_gives_all_that_there_is():
    only = bars(bar(0, 10.0), bar(1, 11.0))
    for pair, name in (((only, only.clear()), "first"), ((only.clear(), only), "second")):
        compared = compare_bars(*pair, NAMES)
        assert compared.bars.drop("vendor").equals(only)
        assert kept(compared, 1)["vendor"] == dict.fromkeys(VALUES, name)
        assert compared.missing.is_empty()  # an outage is told otherwise


def test_events_that_nobody_knows_are_none_and_nobodys():
    blind = bars(bar(0, 10.0, None, None))
    compared = compare_bars(blind.clear(), blind, NAMES)
    (row,) = compared.bars.to_dicts()
    assert (row["dividend"], row["split_ratio"]) == (0.0, 1.0)
    assert row["vendor"]["close"] == "second"
    assert row["vendor"]["dividend"] is row["vendor"]["split_ratio"] is None
    seen = compare_bars(blind, bars(bar(0, 10.0, 0.5)), NAMES)
    assert (kept(seen, 0)["dividend"], kept(seen, 0)["vendor"]["dividend"]) == (0.5, "second")
    assert told(seen) == []  # who does not know of events loses none


def test_a_leap_that_the_other_does_not_make_is_wrong():
    sound, leaping = (bars(bar(0, 10.0), bar(1, last), bar(2, 10.1)) for last in (10.2, 1020.0))
    compared = compare_bars(leaping, sound, NAMES)
    assert told(compared) == [(DAYS[1], "decimal error", "first", "second", "close")]
    assert kept(compared, 1)["close"] == 10.2
    # On its own day nothing is known but what was stored before, or nothing at all.
    today = (leaping.tail(2).head(1), sound.tail(2).head(1))
    assert told(compare_bars(*today, NAMES))[0][2:4] == (None, "first")
    stored = pl.DataFrame({"ticker": "A", "session": DAYS[0], "close": 10.0})
    one, two = (frame.head(2) for frame in (leaping, sound))
    assert told(compare_bars(one, two, NAMES, stored))[0][2:4] == ("first", "second")


def test_a_level_that_stays_wrong_is_known_from_what_was_stored():
    high, low = (bars(*(bar(day, close) for day in range(3))) for close in (40.0, 10.0))
    stored = pl.DataFrame({"ticker": "A", "session": DAYS[:2], "close": [10.0, 10.0]})
    for accepted, wrong in ((None, None), (stored, "first")):
        rows = told(compare_bars(high, low, NAMES, accepted))
        assert [row[1:3] for row in rows] == [("missed split", wrong)] * 3


def test_a_split_is_taken_if_the_price_made_it():
    split = bars(bar(0, 10.0), bar(1, 5.1, ratio=2.0))
    lost = bars(bar(0, 10.0), bar(1, 5.1))
    compared = compare_bars(lost, split, NAMES)
    assert told(compared) == [(DAYS[1], "missed split", "first", "second", "split_ratio")]
    assert kept(compared, 1)["split_ratio"] == 2.0
    assert kept(compared, 1)["vendor"] | {"split_ratio": "first"} == dict.fromkeys(VALUES, "first")
    invented = compare_bars(
        bars(bar(0, 10.0), bar(1, 10.1, ratio=2.0)), bars(bar(0, 10.0), bar(1, 10.1)), NAMES
    )
    assert told(invented) == [(DAYS[1], "split differs", "first", "second", "split_ratio")]
    old_shares = compare_bars(bars(bar(0, 10.0), bar(1, 10.2)), split, NAMES)
    assert told(old_shares) == [(DAYS[1], "missed split", "first", "second", "close")]
    assert (kept(old_shares, 1)["close"], kept(old_shares, 1)["split_ratio"]) == (5.1, 2.0)


def test_a_dividend_that_one_lost_is_taken_from_the_other():
    paid, lost = (bars(bar(0, 10.0), bar(1, 10.0, amount)) for amount in (0.2, 0.0))
    compared = compare_bars(lost, paid, NAMES)
    assert told(compared) == [(DAYS[1], "lost dividend", "first", "second", "dividend")]
    assert kept(compared, 1)["dividend"] == 0.2
    rounded = compare_bars(paid, bars(bar(0, 10.0), bar(1, 10.0, 0.205)), NAMES)
    assert told(rounded) == []
    other = compare_bars(paid, bars(bar(0, 10.0), bar(1, 10.0, 0.3)), NAMES)
    assert told(other) == [(DAYS[1], "dividend differs", None, "first", "dividend")]
    absurd = compare_bars(lost, bars(bar(0, 10.0), bar(1, 10.0, 6.0)), NAMES)
    assert told(absurd) == [(DAYS[1], "lost dividend", None, "first", "dividend")]
    assert kept(absurd, 1)["dividend"] == 0.0


def test_a_dividend_that_is_dated_otherwise_is_counted_once_on_the_earlier_day():
    early, late = (
        bars(*(bar(day, 10.0, 0.2 if day == paid else 0.0) for day in range(4))) for paid in (1, 2)
    )
    for pair in ((early, late), (late, early)):
        whole = compare_bars(*pair, NAMES)
        assert whole.bars["dividend"].to_list() == [0.0, 0.2, 0.0, 0.0]
        assert {row[1] for row in told(whole)} == {"dividend dated otherwise"}
        # Day by day the earlier date is all that is known at first.
        first_day = compare_bars(*(frame.head(2) for frame in pair), NAMES)
        assert kept(first_day, 1)["dividend"] == 0.2


def test_a_bar_that_repeats_the_one_before_is_stale():
    moving = bars(bar(0, 10.0), bar(1, 10.01))
    for stale in (
        bars(bar(0, 10.0), bar(1, 10.0)),
        bars(bar(0, 10.0), ("A", DAYS[1], 10.0, 10.0, 10.0, 10.0, 0.0, 0.0, 1.0)),
    ):
        still = compare_bars(stale, bars(bar(0, 10.0), bar(1, 10.1)), NAMES)
        assert told(still) == [(DAYS[1], "stale bar", "first", "second", "close")]
    # Who moves by a cent may as well be still, and who is still with the other is sound.
    assert told(compare_bars(bars(bar(0, 10.0), bar(1, 10.0)), moving, NAMES)) == []


def test_a_bar_that_can_not_be_right_gives_way_to_one_that_can():
    broken = bars(bar(0, 10.0), ("A", DAYS[1], 10.0, 9.0, 9.9, 10.0, 5.0, 0.0, 1.0))
    sound = bars(bar(0, 10.0), bar(1, 10.0))
    compared = compare_bars(broken, sound, NAMES)
    assert told(compared) == [(DAYS[1], "unsound bar", "first", "second", "close")]
    assert compared.bars.drop("vendor").equals(sound)
    null = compare_bars(bars(bar(0, 10.0), (*bar(1, 10.0)[:5], None, 5.0, 0.0, 1.0)), sound, NAMES)
    assert kept(null, 1)["close"] == 10.0
    both = compare_bars(broken, broken, NAMES)
    assert told(both) == []  # quarantine says it


def test_a_price_that_can_not_be_right_takes_no_dividend_with_it():
    broken = bars(bar(0, 10.0), ("A", DAYS[1], 10.0, 9.0, 9.9, 10.0, 5.0, 0.2, 1.0))
    compared = compare_bars(broken, bars(bar(0, 10.0), bar(1, 10.0)), NAMES)
    assert {row[1] for row in told(compared)} == {"unsound bar", "lost dividend"}
    assert kept(compared, 1)["dividend"] == 0.2
    minus = compare_bars(
        bars(bar(0, 10.0), bar(1, 10.0, -0.2)), bars(bar(0, 10.0), bar(1, 10.0)), NAMES
    )
    assert [row[1] for row in told(minus)] == ["unsound bar"]
    assert kept(minus, 1)["dividend"] == 0.0


def test_a_bad_bar_in_a_level_that_is_wrong_is_judged_for_itself():
    high = bars(bar(0, 10.0), *(bar(day, 40.0 + day) for day in (1, 2, 3)))
    rows = [bar(0, 10.0), bar(1, 10.25), ("A", DAYS[2], 10.5, 9.0, 9.9, 10.5, 5.0, 0.0, 1.0)]
    low = bars(*rows, bar(3, 10.75))
    compared = compare_bars(high, low, NAMES)
    assert [row[2] for row in told(compared)] == ["first", "second", "first"]


def test_a_long_stretch_is_judged_at_once():
    truth = bars_with_events(6, n_tickers=1, n_sessions=2_000).with_columns(
        split_ratio=pl.lit(1.0), dividend=pl.lit(0.0)
    )
    ahead = truth.with_columns(pl.col("session").shift(1)).drop_nulls()
    began = time.process_time()
    for wrong in (truth.with_columns(pl.col("open", "high", "low", "close") * 4), ahead):
        assert compare_bars(wrong, truth, NAMES).disagreements.height > 1_800
    assert time.process_time() - began < 5


def test_a_volume_that_is_missing_comes_from_the_other():
    lacks = bars(bar(0, 10.0)).with_columns(volume=pl.lit(None, pl.Float64))
    compared = compare_bars(lacks, bars(bar(0, 10.0)), NAMES)
    assert kept(compared, 0)["volume"] == 1000.0
    assert kept(compared, 0)["vendor"]["volume"] == "second"


def test_two_tickers_do_not_see_each_other():
    other = bars(bar(0, 1000.0)).with_columns(ticker=pl.lit("B"))
    compared = compare_bars(
        pl.concat([bars(bar(0, 10.0)), other]), pl.concat([bars(bar(0, 10.0)), other]), NAMES
    )
    assert told(compared) == []
