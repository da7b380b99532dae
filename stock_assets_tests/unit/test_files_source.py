from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from stock_assets.errors import InvalidFileError, UnknownTickerError
from stock_assets.market.sources.files import FilesSource
from stock_assets.market.sources.sample import sample_bars
from stock_assets.market.sources.tables import Table

FIRST, LAST = date(2013, 1, 2), date(2013, 1, 8)


@pytest.fixture
def bars() -> pl.DataFrame:
    return sample_bars().filter(pl.col("session").is_between(FIRST, LAST))


def test_parquet_and_csv_give_the_bars_back(tmp_path: Path, bars: pl.DataFrame):
    bars.write_parquet(tmp_path / "a.parquet")
    bars.write_csv(tmp_path / "a.csv")
    for name in ("a.parquet", "a.csv"):
        source = FilesSource(str(tmp_path / name))
        assert source.fetch_bars(["AAPL", "IBM"], FIRST, LAST).equals(
            bars.filter(pl.col("ticker").is_in(["AAPL", "IBM"]))
        )
        assert source.default_tickers() == ("AAPL", "FB", "GOOG", "IBM", "MSFT")
        assert (source.first_session(), source.last_session()) == (FIRST, LAST)


def test_a_folder_may_mix_formats_and_depths(tmp_path: Path, bars: pl.DataFrame):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    bars.filter(pl.col("ticker") == "FB").write_csv(tmp_path / "fb.csv")
    bars.filter(pl.col("ticker") == "IBM").write_parquet(tmp_path / "deep" / "ibm.parquet")
    bars.filter(pl.col("ticker") == "AAPL").with_columns(note=pl.lit("extra")).write_parquet(
        tmp_path / "deep" / "er" / "aapl.parquet"
    )
    source = FilesSource(f"file://{tmp_path}")
    assert source.default_tickers() == ("AAPL", "FB", "IBM")
    assert source.fetch_bars(["FB"], FIRST, FIRST).height == 1


def test_a_missing_column_is_named_with_its_file(tmp_path: Path, bars: pl.DataFrame):
    bars.drop("split_ratio").write_parquet(tmp_path / "a.parquet")
    with pytest.raises(InvalidFileError, match=r"a\.parquet: no column split_ratio; needed: tick"):
        FilesSource(str(tmp_path)).fetch_bars(["IBM"], FIRST, LAST)


def test_a_value_that_cannot_be_read_is_named_with_file_row_and_column(
    tmp_path: Path, bars: pl.DataFrame
):
    text = bars.write_csv().splitlines()
    text[3] = text[3].replace(text[3].split(",")[5], "n/a")
    (tmp_path / "a.csv").write_text("\n".join(text))
    with pytest.raises(InvalidFileError, match=r"a\.csv: row 4, column close: 'n/a' can't be read"):
        FilesSource(str(tmp_path)).fetch_bars(["IBM"], FIRST, LAST)


def test_two_rows_of_one_ticker_and_session_are_refused(tmp_path: Path, bars: pl.DataFrame):
    pl.concat([bars, bars.head(1)]).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(InvalidFileError, match="share ticker and session, first AAPL 2013-01-02"):
        FilesSource(str(tmp_path)).fetch_bars(["AAPL"], FIRST, LAST)


def test_nothing_to_read_and_unknown_tickers_are_said(tmp_path: Path, bars: pl.DataFrame):
    with pytest.raises(InvalidFileError, match=r"no \.parquet or \.csv file at"):
        FilesSource(str(tmp_path)).default_tickers()
    bars.write_parquet(tmp_path / "a.parquet")
    with pytest.raises(UnknownTickerError, match="has no NVDA"):
        FilesSource(str(tmp_path)).fetch_bars(["IBM", "NVDA"], FIRST, LAST)


# --- dates ----------------------------------------------------------------------------------------


def with_sessions(bars: pl.DataFrame, sessions: pl.Expr) -> pl.DataFrame:
    return bars.with_columns(sessions.alias("session"))


STAMPS = pl.col("session").cast(pl.Datetime("us"))


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "Europe/London", "America/New_York", "UTC"])
def test_midnight_in_a_columns_own_zone_is_that_date(tmp_path: Path, bars: pl.DataFrame, zone: str):
    stamps = STAMPS.dt.replace_time_zone(zone)
    with_sessions(bars, stamps).write_parquet(tmp_path / "a.parquet")
    for exchange in (None, "Asia/Tokyo", "America/New_York"):
        source = FilesSource(str(tmp_path), time_zone=exchange)
        found = source.fetch_bars(["AAPL", "FB", "GOOG", "IBM", "MSFT"], FIRST, LAST)
        assert found.equals(bars)
        assert (source.first_session(), source.last_session()) == (FIRST, LAST)


@pytest.mark.parametrize(
    ("zone", "first", "last"),
    # London's summer time begins on 2013-03-31: midnights there are at 00:00 and 23:00 UTC.
    [
        ("Asia/Tokyo", date(2013, 1, 2), date(2013, 1, 8)),
        ("Europe/London", date(2012, 10, 22), date(2012, 11, 2)),
    ],
)
def test_midnight_at_the_exchange_is_that_date(tmp_path: Path, zone: str, first: date, last: date):
    bars = sample_bars().filter(
        pl.col("session").is_between(first, last), pl.col("ticker") == "IBM"
    )
    stamps = STAMPS.dt.replace_time_zone(zone).dt.convert_time_zone("UTC")
    with_sessions(bars, stamps).write_parquet(tmp_path / "a.parquet")
    source = FilesSource(str(tmp_path), time_zone=zone)
    assert source.fetch_bars(["IBM"], first, last).equals(bars)
    # What another exchange would have to guess is refused.
    with pytest.raises(InvalidFileError, match="is not midnight in its own time zone"):
        FilesSource(str(tmp_path), time_zone="America/New_York").first_session()


def test_a_naive_midnight_is_a_date_and_any_other_time_is_refused(
    tmp_path: Path, bars: pl.DataFrame
):
    with_sessions(bars, STAMPS).write_parquet(tmp_path / "a.parquet")
    source = FilesSource(str(tmp_path), time_zone="Asia/Tokyo")
    assert source.fetch_bars(["IBM"], FIRST, LAST)["session"].to_list()[0] == FIRST
    late = STAMPS + pl.when(pl.int_range(pl.len()) == 3).then(pl.duration(hours=16)).otherwise(
        pl.duration()
    )
    with_sessions(bars, late).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(
        InvalidFileError,
        match=r"a\.parquet: row 4 \(the first is 1\), column session: 2013-01-07 16:00:00 is not"
        r" midnight in its own time zone nor Asia/Tokyo, .*; write dates without a time",
    ):
        source.fetch_bars(["IBM"], FIRST, LAST)


def test_the_row_named_is_where_the_better_reading_ends(tmp_path: Path, bars: pl.DataFrame):
    tokyo = STAMPS.dt.replace_time_zone("Asia/Tokyo").dt.convert_time_zone("UTC")
    odd = tokyo + pl.when(pl.int_range(pl.len()) == 7).then(pl.duration(hours=1)).otherwise(
        pl.duration()
    )
    with_sessions(bars, odd).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(InvalidFileError, match=r"row 8 \(the first is 1\), column session: 2013"):
        FilesSource(str(tmp_path), time_zone="Asia/Tokyo").first_session()


# --- values of other kinds ------------------------------------------------------------------------


def test_parquet_of_other_numbers_and_texts_gives_the_same_bars(tmp_path: Path, bars: pl.DataFrame):
    bars.with_columns(
        pl.col("ticker").cast(pl.Categorical),
        pl.col("session").dt.to_string("%Y-%m-%d"),
        pl.col("open").cast(pl.String),
        pl.col("close").cast(pl.Decimal(20, 4)),
        pl.col("volume").cast(pl.Int64),
        pl.col("dividend").cast(pl.Float32),
        pl.col("split_ratio").cast(pl.Int8),
    ).write_parquet(tmp_path / "a.parquet")
    source = FilesSource(str(tmp_path))
    assert source.default_tickers() == ("AAPL", "FB", "GOOG", "IBM", "MSFT")
    assert source.fetch_bars(source.default_tickers(), FIRST, LAST).equals(bars)


def test_a_ticker_may_be_a_number_and_a_missing_price_stays_missing(
    tmp_path: Path, bars: pl.DataFrame
):
    ibm = bars.filter(pl.col("ticker") == "IBM")
    ibm.with_columns(
        ticker=pl.lit(7203), open=pl.lit(""), high=pl.lit(None), low=pl.lit(None, pl.Float64)
    ).write_parquet(tmp_path / "a.parquet")
    source = FilesSource(str(tmp_path))
    assert source.default_tickers() == ("7203",)
    found = source.fetch_bars(["7203"], FIRST, LAST)
    assert found.schema == bars.schema
    assert found.select("open", "high", "low").null_count().row(0) == (5, 5, 5)
    assert found["close"].equals(ibm["close"])


ROW = {
    "ticker": "A",
    "session": date(2013, 1, 2),
    "open": 1.0,
    "high": 1.0,
    "low": 1.0,
    "close": 1.0,
    "volume": 1.0,
    "dividend": 0.0,
    "split_ratio": 1.0,
}


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        (
            "session",
            "n/a",
            r"row 2 \(the first is 1\), column session: 'n/a' can't be read as Date",
        ),
        ("session", 20130103, r"row 1 .*, column session: 20130103 of type Int64 can't be read as"),
        ("session", True, r"row 1 .*, column session: True of type Boolean can't be read as Date"),
        ("ticker", 1.5, r"row 1 .*, column ticker: 1\.5 of type Float64 can't be read as String"),
        ("ticker", True, r"row 1 .*, column ticker: True of type Boolean can't be read as String"),
        ("close", "1,5", r"row 2 \(the first is 1\), column close: '1,5' can't be read as Float64"),
        ("close", True, r"row 1 .*, column close: True of type Boolean can't be read as Float64"),
        ("close", {"a": 1}, r"row 1 .*, column close: {'a': 1} of type Struct"),
        ("close", [1.0], r"row 1 .*, column close: .* of type List\(Float64\) can't be read as Fl"),
        ("close", b"1", r"row 1 .*, column close: b'1' of type Binary can't be read as Float64"),
        ("close", date(2013, 1, 2), r"row 1 .*, column close: 2013-01-02 of type Date can't be"),
    ],
)
def test_what_parquet_can_not_mean_is_refused_by_name(
    tmp_path: Path, column: str, value: object, message: str
):
    good = "2013-01-02" if column == "session" else "1.0"
    first = good if isinstance(value, str) else value
    rows = [ROW | {column: first}, ROW | {"ticker": "B", column: value}]
    if column == "ticker":
        rows = [ROW | {column: value}]
    pl.DataFrame(rows).write_parquet(tmp_path / "a.parquet")
    source = FilesSource(str(tmp_path))
    for read in (
        source.default_tickers,
        source.last_session,
        lambda: source.fetch_bars(["A"], FIRST, LAST),
    ):
        with pytest.raises(InvalidFileError, match=rf"a\.parquet: {message}"):
            read()


@pytest.mark.parametrize("name", ["a.parquet", "a.csv"])
@pytest.mark.parametrize("column", ["ticker", "session"])
@pytest.mark.parametrize("empty", [None, ""])
def test_a_row_without_ticker_or_session_is_refused_by_name(
    tmp_path: Path, name: str, column: str, empty: str | None
):
    rows = pl.DataFrame([ROW, ROW | {"session": date(2013, 1, 3)}])
    if empty == "" and column == "session":
        rows = rows.with_columns(pl.col("session").cast(pl.String))
    lacking = pl.when(pl.int_range(pl.len()) == 1).then(pl.lit(empty)).otherwise(column)
    rows = rows.with_columns(lacking.cast(rows.schema[column]).alias(column))
    (rows.write_csv if name == "a.csv" else rows.write_parquet)(tmp_path / name)
    source = FilesSource(str(tmp_path))
    number = "3" if name == "a.csv" else r"2 \(the first is 1\)"
    said = rf"{name}: row {number}, column {column}: is missing; complete or leave out the row"
    with pytest.raises(InvalidFileError, match=said):
        source.fetch_bars(["A"], FIRST, FIRST)
    with pytest.raises(InvalidFileError, match=said):
        source.default_tickers() if column == "ticker" else source.first_session()


def test_a_damaged_file_is_refused_by_name(tmp_path: Path, bars: pl.DataFrame):
    bars.write_parquet(tmp_path / "a.parquet")
    whole = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InvalidFileError, match="can't be read"):
        FilesSource(str(tmp_path)).first_session()


def test_plain_columns_are_read_by_no_scan_of_their_own(
    tmp_path: Path, bars: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
):
    bars.write_parquet(tmp_path / "a.parquet")
    collected = []
    collect = pl.LazyFrame.collect

    def counted(self: pl.LazyFrame, **options: Any) -> Any:
        collected.append(self)
        return collect(self, **options)

    monkeypatch.setattr(pl.LazyFrame, "collect", counted)
    FilesSource(str(tmp_path)).fetch_bars(["IBM"], FIRST, LAST)
    assert len([frame for frame in collected if "a.parquet" in frame.explain()]) == 1


def test_a_row_found_by_a_pattern_is_named_in_its_own_file(tmp_path: Path):
    """As of a remote prefix, whose files polars finds."""
    for name, closes in (("a", ["1", "2"]), ("b", ["3", "x"])):
        pl.DataFrame({"close": closes}).write_csv(tmp_path / f"{name}.csv")
    table = Table(
        f"{tmp_path}/*.csv", {"close": pl.Float64()}, (), storage_options={"unused": "here"}
    )
    with pytest.raises(InvalidFileError, match=r"/b\.csv: row 3, column close: 'x' can't be read"):
        table.scan()
