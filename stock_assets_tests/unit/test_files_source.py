from datetime import date
from pathlib import Path

import polars as pl
import pytest

from stock_assets.errors import InvalidFileError, UnknownTickerError
from stock_assets.market.sources.files import FilesSource
from stock_assets.market.sources.sample import sample_bars

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
