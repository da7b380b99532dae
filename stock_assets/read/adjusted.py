"""Prices as they were known at a session's close."""

from datetime import date

import polars as pl

from stock_assets.market.bars import PRICES
from stock_assets.market.corporate_actions import adjusted_closes
from stock_assets.market.plausibility import judge_bars
from stock_assets.market.sessions import ExchangeCalendar

PRICE_SCHEMA: dict[str, pl.DataType] = {
    "ticker": pl.String(),
    "session": pl.Date(),
    **{f"adjusted_{name}": pl.Float64() for name in PRICES},
    "close": pl.Float64(),
    "volume": pl.Float64(),
    "dividend": pl.Float64(),
    "split_ratio": pl.Float64(),
    "quarantine_reason": pl.String(),
}
"""Columns of `Dataset.prices`."""


def adjusted_prices(
    bars: pl.DataFrame, calendar: ExchangeCalendar, as_of: date, first: date
) -> pl.DataFrame:
    """PRICE_SCHEMA from `first` on, see `Dataset.prices`.

    Args:
        bars: STORED_SCHEMA, up to `as_of`, and those of JUDGING_SESSIONS before `first`.
        calendar: Of the exchange.
        as_of: The last session.
        first: The first one of the rows.
    """
    judged = judge_bars(bars, calendar)
    factor = pl.col("adjusted_close") / pl.col("close")
    return (
        judged.join(adjusted_closes(judged, as_of), on=["ticker", "session"], maintain_order="left")
        .filter(pl.col("session") >= first)
        .with_columns(
            (pl.col(name) * factor).alias(f"adjusted_{name}") for name in PRICES if name != "close"
        )
        .select(pl.col(name).cast(dtype) for name, dtype in PRICE_SCHEMA.items())
    )
