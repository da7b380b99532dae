"""The source and the tickers that settings open, and what of an answer lies on sessions."""

from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from stock_assets.environment import load_settings
from stock_assets.errors import (
    EmptyAnswerError,
    InvalidFileError,
    OffSessionError,
    SettingsError,
    UnknownTickerError,
)
from stock_assets.market.sources.sample import sample_bars
from stock_assets.resources.prices import Prices, load_membership, open_prices

FIRST, LAST = date(2012, 12, 3), date(2013, 1, 31)
FRIDAY, SATURDAY, MONDAY = date(2013, 1, 4), date(2013, 1, 5), date(2013, 1, 7)


@pytest.fixture
def bars() -> pl.DataFrame:
    return sample_bars().filter(pl.col("session").is_between(FIRST, LAST))


def opened(folder: Path, bars: pl.DataFrame, **settings: object) -> Prices:
    bars.write_parquet(folder / "prices.parquet")
    given = load_settings(source="files", files_uri=str(folder / "prices.parquet"), **settings)
    with open_prices(given) as prices:
        return prices


def on_saturday(bars: pl.DataFrame, **values: float) -> pl.DataFrame:
    """IBM's bar of Friday once more, dated Saturday."""
    friday = (pl.col("session") == FRIDAY) & (pl.col("ticker") == "IBM")
    return bars.filter(friday).with_columns(
        session=pl.lit(SATURDAY), **{name: pl.lit(value) for name, value in values.items()}
    )


# --- bars on days without a session ---------------------------------------------------------------


def test_a_weekends_events_come_with_the_session_after_it_whatever_is_asked(
    tmp_path: Path, bars: pl.DataFrame
):
    prices = opened(tmp_path, pl.concat([bars, on_saturday(bars, dividend=0.85, split_ratio=2.0)]))
    sessions = prices.calendar.between(FIRST, LAST)
    key = (pl.col("ticker") == "IBM") & (pl.col("session") == MONDAY)
    plain = bars.filter(~key)
    for asked in (sessions, (MONDAY,), (FRIDAY, MONDAY)):
        answer = prices.fetch(["AAPL", "IBM"], asked)
        monday = answer.bars.filter(key)
        assert monday.select("dividend", "split_ratio").row(0) == (0.85, 2.0)
        assert answer.off_session.select("ticker", "session", "carried_to").rows() == [
            ("IBM", SATURDAY, MONDAY)
        ]
        rest = plain.filter(pl.col("session").is_in(asked), pl.col("ticker").is_in(["AAPL", "IBM"]))
        assert answer.bars.filter(~key).equals(rest)
    assert prices.fetch(["IBM"], (FRIDAY,)).off_session.is_empty()


def test_an_answer_of_another_exchanges_days_is_refused_with_what_to_do(
    tmp_path: Path, bars: pl.DataFrame
):
    # Eight Mondays on Sundays; Christmas, New Year and Martin Luther King Day.
    shifted = bars.with_columns(pl.col("session") - timedelta(days=1))
    prices = opened(tmp_path, shifted)
    with pytest.raises(
        OffSessionError,
        match=r"55 of 205 bars of files lie on 11 days without a session of XNYS \(AAPL Sun"
        r" 2012-12-02, .*\); set STOCK_ASSETS_CALENDAR",
    ):
        prices.fetch(prices.tickers, prices.calendar.between(FIRST, LAST))


def test_nothing_but_other_days_is_an_empty_answer_that_says_so(tmp_path: Path, bars: pl.DataFrame):
    prices = opened(tmp_path, on_saturday(bars))
    with pytest.raises(EmptyAnswerError, match=r"2013-01-07\.\.2013-01-07, 1 on other days; check"):
        prices.fetch(["IBM"], (MONDAY,))


def test_the_exchanges_time_zone_reaches_the_files(tmp_path: Path, bars: pl.DataFrame):
    days = pl.col("session").cast(pl.Datetime("us")).dt.replace_time_zone("Asia/Tokyo")
    tokyo = bars.with_columns(days.dt.convert_time_zone("UTC"))
    prices = opened(tmp_path, tokyo, calendar="XTKS")
    assert prices.source.first_session() == FIRST
    with pytest.raises(InvalidFileError, match="is not midnight"):
        opened(tmp_path, tokyo).source.first_session()


# --- tickers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["POOLED", "pooled"])
def test_the_name_of_all_together_can_not_be_a_ticker(
    tmp_path: Path, bars: pl.DataFrame, name: str
):
    said = f"{name} can't be a ticker: scores"
    with pytest.raises(SettingsError, match=said):
        opened(tmp_path, bars.with_columns(pl.col("ticker").replace("FB", name)))
    (tmp_path / "tickers.txt").write_text(f"IBM\n{name}\n")
    for given in ({"tickers": f"IBM,{name}"}, {"tickers_file": tmp_path / "tickers.txt"}):
        with pytest.raises(SettingsError, match="POOLED can't be a ticker: scores"):
            opened(tmp_path, bars, **given)
    with pytest.raises(SettingsError, match=said):
        opened(tmp_path, bars).fetch([name], (MONDAY,))


def members(folder: Path, *rows: str) -> dict[str, str]:
    (folder / "members.csv").write_text("\n".join(["ticker,first,last", *rows]))
    return {"members_uri": str(folder / "members.csv")}


def test_the_table_of_members_names_the_tickers(tmp_path: Path, bars: pl.DataFrame):
    table = members(tmp_path, "IBM,2000-01-03,", "AAPL,2000-01-03,2012-12-31")
    prices = opened(tmp_path, bars, **table)
    assert prices.tickers == ("AAPL", "IBM")
    assert prices.membership is not None
    assert prices.membership.tickers == ("AAPL", "IBM")
    # A ticker's prices outside its spells are fetched: the features of a new member need them.
    assert prices.fetch(["AAPL"], (MONDAY,)).bars["ticker"].to_list() == ["AAPL"]
    assert opened(tmp_path, bars, tickers="IBM", **table).tickers == ("IBM",)
    with pytest.raises(SettingsError, match=r"STOCK_ASSETS_TICKERS names MSFT, and .*members\.csv"):
        opened(tmp_path, bars, tickers="IBM,MSFT", **table)
    assert opened(tmp_path, bars).membership is None
    assert load_membership(load_settings()) is None


def test_members_without_prices_are_named(tmp_path: Path, bars: pl.DataFrame):
    table = members(tmp_path, "IBM,2000-01-03,", "LEH,2000-01-03,2008-09-16", "ENE,2000-01-03,")
    with pytest.raises(
        InvalidFileError,
        match=r"members\.csv names 2 tickers of which .*prices\.parquet has no row: ENE, LEH;"
        r" add their prices, delisted ones included",
    ):
        opened(tmp_path, bars, **table)
    prices = opened(tmp_path, bars, tickers="IBM,LEH", **table)
    with pytest.raises(UnknownTickerError, match="has no LEH"):
        prices.fetch(prices.tickers, (MONDAY,))
