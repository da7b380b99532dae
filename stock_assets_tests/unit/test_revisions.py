from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest

from stock_assets.asset_keys import Asset
from stock_assets.market.bars import BAR_SCHEMA
from stock_assets.market.revisions import (
    STORED_SCHEMA,
    Merged,
    but_for_the_absent,
    giver,
    merge_bars,
    stored_form,
)
from stock_assets.market.vendors import VALUES, VENDOR
from stock_assets.planning.value_digest import value_digest

DAY, NEXT = date(2013, 1, 2), date(2013, 1, 3)
THEN, NOW = datetime(2013, 1, 4, 12, tzinfo=UTC), datetime(2013, 1, 7, 12, tzinfo=UTC)
BAR = {
    "ticker": "A",
    "session": DAY,
    "open": 10.0,
    "high": 11.0,
    "low": 9.0,
    "close": 10.5,
    "volume": 100.0,
    "dividend": 0.0,
    "split_ratio": 1.0,
}


def fetched(*bars: dict[str, Any], at: datetime = NOW) -> pl.DataFrame:
    return stored_form(pl.DataFrame([BAR | bar for bar in bars], BAR_SCHEMA), "yahoo", at)


def merged(stored: pl.DataFrame, new: pl.DataFrame, **options: Any) -> Merged:
    outcome = merge_bars(stored, new, **options)
    assert outcome.bars.schema == pl.Schema(STORED_SCHEMA)
    assert outcome.bars.select("ticker", "session").is_duplicated().sum() == 0
    return outcome


def nothing(outcome: Merged) -> bool:
    return all(f.is_empty() for f in (outcome.revised, outcome.refused, outcome.removed))


def test_a_first_fetch_is_stored_as_it_is():
    new = fetched({}, {"ticker": "B"})
    outcome = merged(pl.DataFrame(schema=STORED_SCHEMA), new)
    assert outcome.bars.equals(new)
    assert nothing(outcome)


def test_the_same_answer_changes_only_the_fetch_time():
    stored = fetched({}, {"ticker": "B", "volume": None}, at=THEN)
    outcome = merged(stored, fetched({}, {"ticker": "B", "volume": None}))
    assert nothing(outcome)
    assert outcome.bars.drop("fetched_at").equals(stored.drop("fetched_at"))
    assert outcome.bars["fetched_at"].unique().to_list() == [NOW]


def test_tickers_and_sessions_that_the_answer_leaves_out_stay():
    stored = fetched({}, {"ticker": "B"}, {"ticker": "B", "session": NEXT}, at=THEN)
    outcome = merged(stored, fetched({"ticker": "C"}, {"ticker": "A", "session": NEXT}))
    assert outcome.bars.select("ticker", "session").rows() == [
        ("A", DAY), ("A", NEXT), ("B", DAY), ("B", NEXT), ("C", DAY),
    ]  # fmt: skip
    assert nothing(outcome)


def test_a_change_is_taken_and_recorded_in_the_bar():
    first = merged(fetched({}, at=THEN), fetched({"close": 10.75, "volume": 120.0}))
    record = [
        {"column": "close", "from": 10.5, "to": 10.75, "revised_at": NOW},
        {"column": "volume", "from": 100.0, "to": 120.0, "revised_at": NOW},
    ]
    assert first.bars["revisions"].to_list() == [record]
    assert first.bars.select("close", "volume").row(0) == (10.75, 120.0)
    assert first.revised.rows() == [
        ("A", DAY, "close", 10.5, 10.75, NOW),
        ("A", DAY, "volume", 100.0, 120.0, NOW),
    ]
    later = datetime(2013, 1, 8, tzinfo=UTC)
    second = merged(first.bars, fetched({"close": 10.5, "volume": 120.0}, at=later))
    assert second.bars["revisions"].to_list() == [
        [*record, {"column": "close", "from": 10.75, "to": 10.5, "revised_at": later}]
    ]
    assert second.revised.height == 1


def test_an_event_that_appears_later_is_a_revision():
    outcome = merged(fetched({}, at=THEN), fetched({"dividend": 0.3}))
    assert outcome.revised.select("column", "from", "to").rows() == [("dividend", 0.0, 0.3)]


def test_rounding_is_no_revision_and_the_first_value_stays():
    stored = fetched({"close": 10.5}, at=THEN)
    outcome = merged(stored, fetched({"close": 10.500003}))
    assert nothing(outcome)
    assert outcome.bars["close"].to_list() == [10.5]
    assert merged(stored, fetched({"close": 10.50003})).revised.height == 1


@pytest.mark.parametrize("worse", [{"close": None}, {"low": 10.9}, {"high": float("nan")}])
def test_a_worse_bar_is_refused_unless_forced(worse: dict[str, Any]):
    stored, new = fetched({}, at=THEN), fetched(worse)
    outcome = merged(stored, new)
    assert outcome.bars.equals(stored)
    assert outcome.refused.select("ticker", "session").rows() == [("A", DAY)]
    assert outcome.revised.is_empty()
    forced = merged(stored, new, force=True)
    others = ("revisions", "first_fetched_at")
    assert forced.bars.drop(others).equals(new.drop(others), null_equal=True)
    assert forced.bars["first_fetched_at"].to_list() == [THEN]
    assert forced.revised["column"].to_list() == list(worse)
    assert forced.bars["quarantine_reason"][0] is not None


def test_a_sound_bar_replaces_a_quarantined_one():
    outcome = merged(fetched({"close": None}, at=THEN), fetched({}))
    assert outcome.bars.select("close", "quarantine_reason").row(0) == (10.5, None)
    assert outcome.revised.select("column", "from", "to").rows() == [("close", None, 10.5)]


@pytest.mark.parametrize("volume", [None, 0.0])
def test_a_volume_that_is_gone_is_kept_and_the_rest_taken(volume: float | None):
    outcome = merged(fetched({}, at=THEN), fetched({"volume": volume, "close": 10.75}))
    assert outcome.bars.select("volume", "close").row(0) == (100.0, 10.75)
    assert outcome.revised["column"].to_list() == ["close"]
    assert outcome.refused["reason"].to_list() == ["the new answer has no volume"]


def test_a_forced_answer_removes_what_it_no_longer_has_of_the_tickers_asked_for():
    stored = fetched({}, {"session": NEXT}, {"ticker": "B"}, at=THEN)
    outcome = merged(stored, fetched({}), force=True, answered=["A"])
    assert outcome.bars.select("ticker", "session").rows() == [("A", DAY), ("B", DAY)]
    assert outcome.removed.rows() == [("A", NEXT)]


# --- two vendors ----------------------------------------------------------------------------------


def of_vendors(bar: dict[str, Any], prices: str, dividend: str | None) -> pl.DataFrame:
    """A bar of one vendor, with the dividend of another or of nobody."""
    who = dict.fromkeys(VALUES, prices) | {"dividend": dividend}
    row = pl.DataFrame([BAR | bar | {"vendor": who}], {**BAR_SCHEMA, "vendor": VENDOR})
    return stored_form(row, "yahoo", NOW)


def givers(bars: pl.DataFrame) -> tuple[str, str | None]:
    """The source, and who gave other values."""
    row: tuple[str, str | None]
    (row,) = bars.select("source", "vendor").rows()
    return row


def test_only_bars_of_two_vendors_say_who_gave_which_value():
    assert givers(fetched({})) == ("yahoo", None)
    assert givers(fetched({"volume": None})) == ("yahoo", None)
    assert givers(of_vendors({"volume": None}, "http", "http")) == ("http", None)
    assert givers(of_vendors({}, "http", "yahoo")) == ("http", "dividend=yahoo")
    assert givers(of_vendors({}, "http", None)) == ("http", "dividend=")  # nobody


def test_each_value_says_who_gave_it_after_a_merge():
    new = of_vendors({"dividend": 0.1}, "http", "yahoo")
    outcome = merged(fetched({"volume": None}), new)
    assert givers(outcome.bars) == ("yahoo", "volume=http")
    assert [row[2] for row in outcome.revised.rows()] == ["volume", "dividend"]
    again = merged(outcome.bars, of_vendors({"close": 10.75, "dividend": 0.1}, "http", None))
    assert givers(again.bars) == (
        "http",
        "open=yahoo,high=yahoo,low=yahoo,dividend=yahoo,split_ratio=yahoo",
    )
    assert [row[2:5] for row in again.revised.rows()] == [("close", 10.5, 10.75)]
    assert again.bars.select(
        *(giver(name).alias(name) for name in ("high", "close", "dividend"))
    ).row(0) == ("yahoo", "http", "yahoo")


def test_another_vendor_that_agrees_as_vendors_do_revises_nothing():
    stored = fetched({"dividend": 0.2}, at=THEN)
    alike = {"close": 10.51, "high": 11.02, "volume": 180.0}
    outcome = merged(stored, of_vendors(alike, "http", None))
    assert nothing(outcome)
    assert outcome.bars.drop("fetched_at").equals(stored.drop("fetched_at"))
    # The same vendor corrects itself by less; and force is believed.
    assert merged(stored, fetched(alike | {"dividend": 0.2})).revised.height == 3
    forced = merged(stored, of_vendors(alike, "http", None), force=True)
    assert forced.bars.select("close", "dividend").row(0) == (10.51, 0.0)


def test_another_vendor_that_disagrees_revises():
    outcome = merged(
        fetched({}, at=THEN), of_vendors({"close": 10.9, "dividend": 0.3}, "http", "http")
    )
    assert [row[2:5] for row in outcome.revised.rows()] == [
        ("close", 10.5, 10.9),
        ("dividend", 0.0, 0.3),
    ]
    assert givers(outcome.bars) == (
        "http",
        "open=yahoo,high=yahoo,low=yahoo,volume=yahoo,split_ratio=yahoo",
    )


def test_a_vendor_that_is_out_is_not_overruled_while_it_is():
    stored = pl.concat([fetched({}, at=THEN), fetched({"session": NEXT, "close": 99.0}, at=THEN)])
    others = [of_vendors({"session": day, "close": 10.9}, "http", None) for day in (DAY, NEXT)]
    new = pl.concat(others)
    out = pl.DataFrame({"source": ["yahoo", "http"], "ticker": ["A", "B"]})
    # What can't be right (the close of NEXT is above its high) is replaced all the same.
    assert but_for_the_absent(stored, new, out)["session"].to_list() == [NEXT]
    assert but_for_the_absent(stored, new, out.clear()).equals(new)
    assert but_for_the_absent(stored, new, out.with_columns(ticker=pl.lit("B"))).equals(new)
    assert but_for_the_absent(stored.clear(), new, out).equals(new)


def test_who_gave_a_value_makes_nothing_stale():
    bars = of_vendors({}, "http", "yahoo")
    of_all = {
        value_digest(Asset.RAW_PRICES, one)
        for one in (bars, bars.drop("vendor"), bars.with_columns(vendor=pl.lit(None, pl.String)))
    }
    assert len(of_all) == 1
    assert value_digest(Asset.RAW_PRICES, bars.with_columns(pl.col("close") + 1)) not in of_all
