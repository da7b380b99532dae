"""Splits and dividends: returns that include them, and prices adjusted as of any session.

Formula: G[t] = (close[t] + dividend[t]) * split[t] / close[t-1]. A dividend is counted per share as
it stands after that session's split, which is how vendors of as-traded prices list it. CRSP's
holding-period return counts it per share as held before, (close * split + dividend) / close before;
the two differ only where a split and a dividend take effect in the same session.
"""

import math
from datetime import date

import polars as pl

from stock_assets.errors import UnsortedBarsError


def check_sorted(bars: pl.DataFrame) -> None:
    """Raises UnsortedBarsError unless each ticker is one block whose sessions strictly increase."""
    before = pl.col("ticker").shift(1)
    backwards = (pl.col("ticker") == before) & (pl.col("session") <= pl.col("session").shift(1))
    starts, wrong = bars.select(
        starts=(pl.col("ticker") != before).fill_null(True), wrong=backwards.fill_null(False)
    )
    if wrong.any():
        ticker, session = bars.filter(wrong).select("ticker", "session").row(0)
        raise UnsortedBarsError(
            f"{ticker}: {session} does not come after the session before it; sort by ticker and"
            " session, one row per pair"
        )
    blocks = bars["ticker"].filter(starts)
    if blocks.n_unique() != len(blocks):
        raise UnsortedBarsError("rows of a ticker are scattered; sort by ticker and session")


def growth_factor() -> pl.Expr:
    """Gross return of holding the share over the session, of bars sorted by ticker and session.

    Null on a ticker's first row and where the dividend is not known. Where a ticker missed
    sessions, it spans them.
    """
    previous = pl.when(pl.col("ticker") == pl.col("ticker").shift(1)).then(pl.col("close").shift(1))
    return (pl.col("close") + pl.col("dividend")) * pl.col("split_ratio") / previous


def carry_events(bars: pl.DataFrame, kept: pl.Series) -> pl.DataFrame:
    """The kept bars, each with the events of the bars that were left out just before it.

    A dividend or split happened whether or not the prices beside it can be used. A holder of one
    share owns `split_ratio` shares after it and was paid `dividend` on each of those; that is told
    in terms of the next kept bar's shares, so that `growth_factor` across the gap is what the
    holder earned. The cash waits: it is not reinvested at a price that nobody trusts.

    Args:
        bars: At least `ticker, close, dividend, split_ratio`, sorted by ticker and session.
        kept: Which of them stay, boolean, shape (n_bars,).

    Returns:
        The rows of `bars` that are kept. `dividend` is null where an event since the kept bar
        before can't be read (null, not finite, negative, a split ratio of zero): what the holder
        earned is unknown. A left-out row without close and events claims nothing and is passed
        over. Events after a ticker's last kept bar go with the bars that held them.
    """
    if kept.all():
        return bars
    rows = bars.filter(kept)
    events = bars.select(
        "ticker",
        "dividend",
        "split_ratio",
        following=kept.cast(pl.Int64).cum_sum(),  # the kept row that comes next
        is_event=~kept
        & ((pl.col("dividend") != 0) | (pl.col("split_ratio") != 1)).fill_null(True)
        & ~pl.all_horizontal(pl.col("close", "dividend", "split_ratio").is_null()),
    ).filter("is_event")
    if events.is_empty():
        return rows
    owed: dict[int, tuple[float, float]] = {}
    for ticker, dividend, ratio, following, _ in events.iter_rows():
        if following < rows.height and rows["ticker"][following] == ticker:
            owed[following] = _after(*owed.get(following, (0.0, 1.0)), dividend, ratio)
    dividends, ratios = rows["dividend"].to_list(), rows["split_ratio"].to_list()
    for at, (paid, shares) in owed.items():
        total = _after(paid, shares, dividends[at], ratios[at])
        dividends[at], ratios[at] = total if math.isfinite(sum(total)) else (None, 1.0)
    return rows.with_columns(
        pl.Series("dividend", dividends, pl.Float64), pl.Series("split_ratio", ratios, pl.Float64)
    )


def _after(
    paid: float, shares: float, dividend: float | None, ratio: float | None
) -> tuple[float, float]:
    """Cash per share and shares after one more event; NaN where it can't be read."""
    if dividend is None or ratio is None or not (0 <= dividend < math.inf and 0 < ratio < math.inf):
        return math.nan, math.nan
    return paid / ratio + dividend, shares * ratio


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
        `ticker, session, adjusted_close`; on each ticker's last row it equals the close. Null
        before a row whose dividend is null: what a share of then became is not known.

    Raises:
        UnsortedBarsError: A ticker's sessions do not strictly increase.
    """
    known = bars.filter(pl.col("session") <= as_of)
    check_sorted(known)
    # A NaN goes through the product to every row before it; a null would be passed over.
    following = pl.col("growth").fill_null(math.nan).shift(-1, fill_value=1.0).over("ticker")
    return known.with_columns(growth=growth_factor()).select(
        "ticker",
        "session",
        (pl.col("close").last().over("ticker") / following.cum_prod(reverse=True).over("ticker"))
        .fill_nan(None)
        .alias("adjusted_close"),
    )
