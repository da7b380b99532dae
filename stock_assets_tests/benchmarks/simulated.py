"""Simulated bars by the million: random walks, a split now and then, four dividends a year."""

from datetime import date

import numpy as np
import polars as pl

from stock_assets.market.bars import BAR_SCHEMA
from stock_assets.market.sessions import load_calendar

CALENDAR = load_calendar("XNYS")


def simulated_bars(tickers: int, sessions: int, last: date = date(2021, 12, 31)) -> pl.DataFrame:
    """BAR_SCHEMA, sorted by ticker and session; `sessions` sessions up to `last`."""
    days = CALENDAR.between(CALENDAR.first, last)[-sessions:]
    random = np.random.default_rng(1)
    shape = (tickers, len(days))
    split = np.where(random.random(shape) < 4e-4, 2.0, 1.0)
    walk = np.cumsum(random.normal(0, 0.015, shape), axis=1)
    close = 100 * np.exp(walk) / np.cumprod(split, axis=1)
    opened = close * np.exp(random.normal(0, 0.007, shape))
    # Wicks of random length: a range that is always the same would flatter nothing but pictures.
    columns = {
        "open": opened,
        "high": np.maximum(opened, close) * np.exp(np.abs(random.normal(0, 0.006, shape))),
        "low": np.minimum(opened, close) * np.exp(-np.abs(random.normal(0, 0.006, shape))),
        "close": close,
        "volume": np.round(1e6 * np.exp(random.normal(0, 0.4, shape))),
        "dividend": np.where(random.random(shape) < 4 / 252, 0.005 * close, 0.0),
        "split_ratio": split,
    }
    return pl.DataFrame(
        {
            "ticker": np.repeat([f"T{n:04}" for n in range(tickers)], len(days)),
            "session": pl.Series(list(days) * tickers, dtype=pl.Date),
            **{name: values.ravel() for name, values in columns.items()},
        }
    ).select(pl.col(name).cast(dtype) for name, dtype in BAR_SCHEMA.items())
