"""Real bars with no network: the five stocks that the package bokeh_sampledata carries.

Public domain, from Quandl WIKI: AAPL, FB, GOOG, IBM, MSFT, 2000-03-01..2013-03-01, prices and
volumes as traded, beside a close that the vendor adjusted for splits and dividends. The events are
not in the file; they are what explains the adjusted close:
(close + dividend) * split / previous close = adjusted close / previous adjusted close.
"""

from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from importlib import resources

import polars as pl

from stock_assets.errors import UnknownTickerError
from stock_assets.market.bars import BAR_SCHEMA

FIRST_SESSION, LAST_SESSION = date(2000, 3, 1), date(2013, 3, 1)
TICKERS = ("AAPL", "FB", "GOOG", "IBM", "MSFT")

# The largest dividend in the file is MSFT's special one of 2004, 11 % of the price; the smallest
# split doubles the shares. Anything between would need a person to tell which it was.
_SMALLEST_SPLIT = 1.25
# Adjusted closes carry 12 decimals: smaller factors are rounding. The smallest dividend is 1e-3.
_ROUNDING = 1e-6


@lru_cache(maxsize=1)
def vendor_bars() -> pl.DataFrame:
    """The file as it is: BAR_SCHEMA's prices and volume, and the vendor's `adjusted_close`."""
    path = resources.files("bokeh_sampledata").joinpath("_data/stocks.csv.gz")
    with resources.as_file(path) as file:
        table = pl.read_csv(file, try_parse_dates=True)
    return (
        table.rename(lambda name: name.lower().replace(" ", "_"))
        .rename({"date": "session", "adj_close": "adjusted_close"})
        .with_columns(pl.col("open", "high", "low", "close", "volume").cast(pl.Float64))
        .sort("ticker", "session")
    )


@lru_cache(maxsize=1)
def sample_bars() -> pl.DataFrame:
    """All bars of the sample with their events, in BAR_SCHEMA."""
    unexplained = (
        (pl.col("adjusted_close").pct_change() + 1) * pl.col("close").shift(1) / pl.col("close")
    )
    return (
        vendor_bars()
        .with_columns(event=unexplained.over("ticker").fill_null(1.0))
        .with_columns(
            split_ratio=pl.when(pl.col("event") >= _SMALLEST_SPLIT)
            .then(pl.col("event").round(0))
            .otherwise(1.0)
        )
        .with_columns(excess=pl.col("event") / pl.col("split_ratio") - 1)
        .with_columns(
            dividend=pl.when(pl.col("excess") > _ROUNDING)
            # Dividends were declared in hundredths or thousandths of a dollar.
            .then((pl.col("excess") * pl.col("close")).round(4))
            .otherwise(0.0)
        )
        .select(pl.col(name).cast(dtype) for name, dtype in BAR_SCHEMA.items())
    )


class SampleSource:
    """`PriceSource` over the packaged bars."""

    name = "sample"

    def default_tickers(self) -> tuple[str, ...]:
        return TICKERS

    def first_session(self) -> date:
        return FIRST_SESSION

    def last_session(self) -> date | None:
        return LAST_SESSION

    def fetch_bars(self, tickers: Sequence[str], first: date, last: date) -> pl.DataFrame:
        unknown = sorted(set(tickers) - set(TICKERS))
        if unknown:
            raise UnknownTickerError(
                f"the sample has no {', '.join(unknown)}; it has {', '.join(TICKERS)}"
            )
        return sample_bars().filter(
            pl.col("ticker").is_in(tickers), pl.col("session").is_between(first, last)
        )
