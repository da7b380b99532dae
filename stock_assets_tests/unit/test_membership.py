from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from stock_assets.errors import InvalidFileError
from stock_assets.forecasting.features import build_features
from stock_assets.forecasting.outlook import OUTLOOK
from stock_assets.market.membership import MEMBER_SCHEMA, Membership, members_on
from stock_assets.market.sessions import ExchangeCalendar
from stock_assets.market.sources.members import read_members
from stock_assets.market.sources.sample import sample_bars

TABLE = """ticker,first,last,note
LEH,2000-01-03,2008-09-16,delisted
AAPL,2000-01-03,,
DELL,2000-01-03,2013-10-28,taken private
DELL,2016-09-07,,back
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "members.csv"
    path.write_text(TABLE)
    return path


def test_a_session_knows_its_own_members_delisted_ones_included(table: Path):
    membership = read_members(str(table))
    assert membership.tickers == ("AAPL", "DELL", "LEH")
    days = {
        date(1999, 12, 31): [],
        date(2000, 1, 3): ["LEH", "DELL", "AAPL"],
        date(2008, 9, 16): ["LEH", "DELL", "AAPL"],
        date(2008, 9, 17): ["DELL", "AAPL"],
        date(2013, 10, 29): ["AAPL"],
        date(2016, 9, 6): ["AAPL"],
        date(2016, 9, 7): ["DELL", "AAPL"],
        date(2030, 12, 31): ["DELL", "AAPL"],
    }
    rows = pl.DataFrame(
        [
            (ticker, day, n)
            for day in days
            for n, ticker in enumerate(("IBM", "LEH", "DELL", "AAPL"))
        ],
        {"ticker": pl.String, "session": pl.Date, "value": pl.Int64},
        orient="row",
    )
    found = members_on(rows, membership)
    assert found.schema == rows.schema
    for day, tickers in days.items():
        assert found.filter(pl.col("session") == day)["ticker"].to_list() == tickers
    assert found["session"].is_sorted()  # the order of the rows stays
    assert members_on(rows, None) is rows
    assert members_on(rows.clear(), membership).schema == rows.schema


def test_parquet_with_dates_or_time_stamps_says_the_same(table: Path, tmp_path: Path):
    from_csv = read_members(str(table)).spells
    from_csv.write_parquet(tmp_path / "a.parquet")
    stamps = pl.col("first", "last").cast(pl.Datetime("us")).dt.replace_time_zone("Asia/Tokyo")
    from_csv.with_columns(stamps).write_parquet(tmp_path / "b.parquet")
    for name in ("a.parquet", "b.parquet"):
        assert read_members(str(tmp_path / name)).spells.equals(from_csv)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("A,2000-01-03,soon", r"row 2, column last: 'soon' can't be read as Date"),
        ("A,,2001-01-01", r"row 2, column first: is missing"),
        (",2000-01-03,", r"row 2, column ticker: is missing"),
        (
            "B,2000-01-03,\nA,2000-01-03,2000-01-02",
            r"row 3, column last: 2000-01-02 is before first",
        ),
        (
            "A,2000-01-03,2001-01-01\nB,2000-01-03,\nA,2001-01-01,",
            r"row 4, column first: A's spell 2001-01-01\.\.now shares days with another of its",
        ),
        (
            "A,2000-01-03,\nA,2005-01-03,2006-01-03",
            r"row 3, column first: A's spell 2005-01-03\.\.",
        ),
        (
            "A,2005-01-03,2006-01-03\nA,2000-01-03,",
            r"row 3, column first: A's spell 2000-01-03\.\.",
        ),
        ("A,2000-01-03,\nA,2000-01-03,", r"row 3, column first: A's spell"),
        ("", r"has no rows"),
    ],
)
def test_a_table_that_can_not_be_meant_is_refused_by_row(tmp_path: Path, rows: str, message: str):
    (tmp_path / "m.csv").write_text(f"ticker,first,last\n{rows}")
    with pytest.raises(InvalidFileError, match=rf"m\.csv:? {message}"):
        read_members(str(tmp_path / "m.csv"))


def test_a_table_that_is_not_there_or_of_no_known_format_is_named(tmp_path: Path):
    with pytest.raises(InvalidFileError, match=r"none\.csv can't be read"):
        read_members(str(tmp_path / "none.csv"))
    with pytest.raises(InvalidFileError, match=r"members\.txt: a table of members is one"):
        read_members(str(tmp_path / "members.txt"))
    (tmp_path / "m.csv").write_text("ticker,last\nA,2000-01-03\n")
    with pytest.raises(InvalidFileError, match=r"m\.csv: no column first; needed: ticker, first"):
        read_members(str(tmp_path / "m.csv"))


START = date(2013, 1, 1)


@given(
    st.dictionaries(st.sampled_from("ABC"), st.sets(st.integers(0, 20), max_size=12), min_size=1),
    st.permutations(range(60)),
)
@hypothesis_settings(deadline=None, max_examples=60)
def test_members_are_those_of_a_list_day_by_day(days: dict[str, set[int]], order: list[int]):
    """The oracle keeps a set of days per ticker; neighbouring days make a spell."""
    spells = [
        (ticker, START + timedelta(a), START + timedelta(b))
        for ticker, on in days.items()
        for a in on
        if a - 1 not in on
        for b in [next(n for n in range(a, 60) if n + 1 not in on)]
    ]
    membership = Membership(pl.DataFrame(spells, MEMBER_SCHEMA, orient="row"))
    rows = [("ABC"[n % 3], START + timedelta(n // 3)) for n in order]
    found = members_on(
        pl.DataFrame(rows, {"ticker": pl.String, "session": pl.Date}, orient="row"), membership
    )
    assert found.rows() == [(t, d) for t, d in rows if (d - START).days in days.get(t, ())]


def test_a_session_knows_its_members_alone(xnys: ExchangeCalendar):
    """GOOG joins on 2012-06-01 with a whole window of its own; IBM leaves on 2012-08-31."""
    bars = sample_bars().filter(pl.col("session") >= date(2012, 1, 3))
    spells = [
        ("AAPL", date(2012, 1, 3), None),
        ("GOOG", date(2012, 6, 1), None),
        ("IBM", date(2012, 1, 3), date(2012, 8, 31)),
    ]
    membership = Membership(pl.DataFrame(spells, MEMBER_SCHEMA, orient="row"))
    rows = build_features(bars, xnys, membership)
    seen = rows.group_by("ticker").agg(first=pl.col("session").min(), last=pl.col("session").max())
    assert sorted(seen.rows()) == [
        ("AAPL", date(2012, 1, 3), date(2013, 3, 1)),
        ("GOOG", date(2012, 6, 1), date(2013, 3, 1)),
        ("IBM", date(2012, 1, 3), date(2012, 8, 31)),
    ]
    assert rows.filter(pl.col("ticker") == "GOOG")["volatility_1d"].null_count() == 0
    # Who is no member is no part of the market either: after August, that is two tickers.
    late = pl.col("session") > date(2012, 8, 31)
    two = build_features(bars.filter(pl.col("ticker").is_in(["AAPL", "GOOG"])), xnys)
    # The outlook looks back on markets of which IBM was a part; a session's own it is not.
    past = [name for name in OUTLOOK if name != "market_move"]
    assert rows.filter(late).drop(past).equals(two.filter(late).drop(past))


def test_what_became_of_a_member_later_changes_nothing(xnys: ExchangeCalendar):
    bars = sample_bars().filter(pl.col("session") >= date(2012, 1, 3))

    def known_in_june(last: date | None) -> pl.DataFrame:
        spells = [(t, date(2012, 1, 3), last if t == "IBM" else None) for t in ("AAPL", "IBM")]
        table = Membership(pl.DataFrame(spells, MEMBER_SCHEMA, orient="row"))
        return build_features(bars, xnys, table).filter(pl.col("session") <= date(2012, 6, 29))

    assert known_in_june(date(2012, 6, 29)).equals(known_in_june(None))
