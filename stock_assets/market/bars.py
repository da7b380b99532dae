"""The bar: what one ticker did in one session, as traded.

"As traded" means in the shares and the currency of that day: no later split or dividend has been
applied. Adjustment is a function of the bars (see `corporate_actions`), never a stored state.
"""

import numpy as np
import polars as pl

from stock_assets.market.corporate_actions import carry_events

BAR_SCHEMA: dict[str, pl.DataType] = {
    "ticker": pl.String(),
    "session": pl.Date(),
    "open": pl.Float64(),
    "high": pl.Float64(),
    "low": pl.Float64(),
    "close": pl.Float64(),
    "volume": pl.Float64(),
    "dividend": pl.Float64(),
    "split_ratio": pl.Float64(),
}
"""Columns of a bar. `dividend`: currency per share, on the ex-date, else 0. `split_ratio`: 2.0 on
the session from which a 2-for-1 split is in the price, else 1."""

PRICES = ("open", "high", "low", "close")
_UNMOVED = 1e-9
"""Relative: a close that was stored and read again, or divided by a split ratio, is the same."""


def empty_bars() -> pl.DataFrame:
    return pl.DataFrame(schema=BAR_SCHEMA)


def quarantine_reason() -> pl.Expr:
    """Why a bar must not enter features: a string, or null for a bar that is sound.

    NaN and null in a price, dividend or split ratio are reasons; a null volume is not (indices).
    """
    numbers = (*PRICES, "dividend", "split_ratio")
    unreadable = pl.any_horizontal(
        (pl.col(c).is_null() | ~pl.col(c).is_finite()).fill_null(True) for c in numbers
    )
    return (
        pl.when(unreadable)
        .then(pl.lit("a price, dividend or split ratio is missing or not finite"))
        .when(pl.min_horizontal(*PRICES) <= 0)
        .then(pl.lit("a price is not positive"))
        .when(pl.col("low") > pl.min_horizontal("open", "close"))
        .then(pl.lit("low is above open or close"))
        .when(pl.col("high") < pl.max_horizontal("open", "close"))
        .then(pl.lit("high is below open or close"))
        .when(pl.col("dividend") < 0)
        .then(pl.lit("the dividend is negative"))
        .when(pl.col("split_ratio") <= 0)
        .then(pl.lit("the split ratio is not positive"))
        .when(pl.col("volume") < 0)
        .then(pl.lit("the volume is negative"))
        .alias("quarantine_reason")
    )


def nothing_traded() -> pl.Expr:
    """Whether a bar only repeats the close before it: no range, no volume, no move.

    Vendors fill the sessions of a suspended share so. Such a bar says nothing: taken for a session
    it would be the calmest ever seen. A fund's price is as flat and without volume, but moves, so
    it stays; so does a bar without volume that has a range, as an index has. Never of a ticker's
    first bar. Of coherent bars sorted by ticker and session.
    """
    before = pl.col("close").shift(1)
    unmoved = (pl.col("close") * pl.col("split_ratio") - before).abs() <= _UNMOVED * before
    return (
        (pl.col("high") == pl.col("low"))
        & (pl.col("volume").fill_null(0.0) == 0)
        & (pl.col("ticker") == pl.col("ticker").shift(1)).fill_null(False)
        & unmoved.fill_null(False)
    )


def sound_bars(bars: pl.DataFrame) -> pl.DataFrame:
    """The bars that features can be made of, in BAR_SCHEMA, sorted by ticker and session.

    Left out are bars with a `quarantine_reason` (of that column, or judged here where there is
    none) and those in which nothing traded. Their dividends and splits are on the ticker's next
    bar, whose `dividend` is null where one of them can't be read.
    """
    is_judged = "quarantine_reason" in bars.columns
    reason = pl.col("quarantine_reason") if is_judged else quarantine_reason()
    bars = bars.select(*BAR_SCHEMA, kept=reason.is_null())
    if bars["kept"].all():
        bars = by_ticker(bars.drop("kept"))
    else:
        bars = by_ticker(bars)
        bars = carry_events(bars, bars["kept"]).drop("kept")
    # Nearly every bar has a range, and then there is no need to look at the one before.
    if not bars.select((pl.col("high") == pl.col("low")).any()).item():
        return bars
    return carry_events(bars, ~bars.select(nothing_traded()).to_series())


def by_ticker(rows: pl.DataFrame) -> pl.DataFrame:
    """The same rows, of whatever columns, sorted by ticker and session; neither may be null.

    Rows that come session by session, as partitions do, only need their tickers' ranks sorted,
    which for 16 bits is a count. One number per row sorts three times as fast as a string and a
    date. In one piece: a scan leaves a chunk per partition, and gathering from thousands is slow.
    """
    rows = rows.rechunk()
    tickers = rows["ticker"].unique().sort()
    rank = rows["ticker"].cast(pl.Enum(tickers)).to_physical()
    if len(tickers) < 2**16 and rows["session"].is_sorted():
        order = np.argsort(rank.to_numpy().astype(np.uint16), kind="stable")
        return rows[pl.Series(order.astype(np.uint32))]
    return rows.sort(rank.cast(pl.Int64) * 2**32 + rows["session"].to_physical())
