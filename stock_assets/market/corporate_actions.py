"""Splits and dividends: returns that include them, and prices adjusted as of any session.

Formula: CRSP's holding-period return, G[t] = (close[t] + dividend[t]) * split[t] / close[t-1].
"""

from datetime import date

import polars as pl

from stock_assets.errors import UnsortedBarsError


def check_sorted(bars: pl.DataFrame) -> None:
    """Raises UnsortedBarsError unless each ticker is one block whose sessions strictly increase."""
    same = pl.col("ticker") == pl.col("ticker").shift(1)
    backwards = bars.lazy().filter(same & (pl.col("session") <= pl.col("session").shift(1)))
    worst = backwards.select("ticker", "session").head(1).collect()
    blocks = bars.select((pl.col("ticker") != pl.col("ticker").shift(1)).sum() + 1).item()
    if worst.height:
        ticker, session = worst.row(0)
        raise UnsortedBarsError(
            f"{ticker}: {session} does not come after the session before it; sort by ticker and"
            " session, one row per pair"
        )
    if bars.height and blocks != bars["ticker"].n_unique():
        raise UnsortedBarsError("rows of a ticker are scattered; sort by ticker and session")


def growth_factor() -> pl.Expr:
    """Gross return of holding the share over the session, of bars sorted by ticker and session.

    Null on a ticker's first row. Where a ticker missed sessions, it spans them.
    """
    previous = pl.when(pl.col("ticker") == pl.col("ticker").shift(1)).then(pl.col("close").shift(1))
    return (pl.col("close") + pl.col("dividend")) * pl.col("split_ratio") / previous


def realised_returns(bars: pl.DataFrame) -> pl.DataFrame:
    """Log return of each session, corporate actions included.

    Args:
        bars: One row per (ticker, session), as traded, sorted by both; prices in the ticker's
            currency.

    Returns:
        `ticker, session, return_1d` in the same order; null on a ticker's first session.

    Raises:
        UnsortedBarsError: A ticker's sessions do not strictly increase.

    Row t uses bars up to t only.
    """
    check_sorted(bars)
    return bars.select("ticker", "session", growth_factor().log().alias("return_1d"))


def adjusted_closes(bars: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """Closes up to `as_of`, adjusted for every split and dividend known by then.

    Args:
        bars: One row per (ticker, session), as traded, sorted by both.
        as_of: Corporate actions after this session are not applied; neither are its later bars.

    Returns:
        `ticker, session, adjusted_close`; on each ticker's last row it equals the close.

    Raises:
        UnsortedBarsError: A ticker's sessions do not strictly increase.
    """
    known = bars.filter(pl.col("session") <= as_of)
    check_sorted(known)
    return known.with_columns(growth=growth_factor().fill_null(1.0)).select(
        "ticker",
        "session",
        (
            pl.col("close").last().over("ticker")
            / pl.col("growth").shift(-1, fill_value=1.0).cum_prod(reverse=True).over("ticker")
        ).alias("adjusted_close"),
    )
