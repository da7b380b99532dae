"""What a row knows of the next session besides the ticker's own last moves, for its volatility.

News and their seasons (see `news`), what the market's returns have been beside what was forecast
for them, and where the next session lies in the calendar. Point forecasts do not see these columns.
"""

from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from stock_assets.forecasting.news import (
    NEWS_COLUMNS,
    SEASON_SESSIONS,
    news_columns,
    news_scores,
    season_rows,
)
from stock_assets.forecasting.panel import Panel, Sums
from stock_assets.market.plausibility import LONGEST_GAP
from stock_assets.market.sessions import ExchangeCalendar
from stock_assets.market.windows import Values, decaying_sums, in_blocks

_STIR_SPANS = (3, 10, 40)
_MOVE_SPAN = 5
_SESSIONS = 63  # that an exponential mean over sessions reaches back
MARKET_MOVES: tuple[str, ...] = (
    "market_move",
    f"market_move_{_MOVE_SPAN}",
    *(f"market_stir_{n}" for n in _STIR_SPANS),
)
"""Of the session's tickers' returns, in units of the volatility a session before: their mean, its
exponential mean, and the log of the exponential means of their mean size."""
SHARES = ("overnight_share_22", "close_share_22")
"""Log of the exponential mean of squared overnight and whole returns over that of range variance:
how much of what a ticker moves comes at night, and how much of its ranges is left at the close."""
NEXT_SESSION = ("days_to_next", "days_after_next")
"""Calendar days from the session to the next one, and from that to the one after it."""
OUTLOOK: dict[str, pl.DataType] = {
    **dict.fromkeys((*SHARES, *MARKET_MOVES, *NEWS_COLUMNS), pl.Float32()),
    **dict.fromkeys(NEXT_SESSION, pl.Int8()),
}
OUTLOOK_SESSIONS = SEASON_SESSIONS + LONGEST_GAP
"""Sessions before a row whose own rows, with their windows, its outlook is made of."""

_MOST_RETURN = 6.0  # in units of volatility
_MOST_VARIANCE, _MOST_VOLUME = 5.0, 3.0  # of a log, to either side
_LEAST_STIR = 0.05
_LEAST_SHARE, _MOST_SHARE = 0.01, 4.0


def share_logs(squares: Values, variance: Values) -> Values:
    """Log of a mean square over a mean variance, bounded: either may be next to nothing."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = squares / variance
    ratio[np.isnan(ratio)] = 1.0
    return np.asarray(np.log(np.clip(ratio, _LEAST_SHARE, _MOST_SHARE)))


def outlook_columns(
    panel: Panel, whole: NDArray[np.bool_], moves: Mapping[str, Values], calendar: ExchangeCalendar
) -> dict[str, NDArray[np.float32]]:
    """MARKET_MOVES and NEWS_COLUMNS of rows, each of shape (n_rows,); NaN where not known.

    Args:
        panel: Of the rows; known are those of the session's market whose window is whole.
        whole: Whether the row's window is, market or not, shape (n_rows,).
        moves: Of each row `one_return`, `variance`, `volatility`, `log_variance` (mean of the last
            sessions), `volume` (log, over the usual one).
        calendar: Counts the ordinals.

    Each of these values is bounded before a mean over tickers is taken: none has more than its
    share. Means over the others, not over all, or a ticker would be compared with itself.
    """
    by_session, scores = _moves_and_scores(panel, moves, whole)
    quarters = season_rows(panel.first, panel.first + panel.n_sessions, calendar)
    found = dict(news_columns(scores, panel.sessions, panel.starts, quarters))
    for name, values in by_session.items():
        found[name] = np.empty(len(scores), np.float32)
        panel.spread(values.astype(np.float32), out=found[name])
    return found


def _moves_and_scores(
    panel: Panel, moves: Mapping[str, Values], whole: NDArray[np.bool_]
) -> tuple[dict[str, Values], NDArray[np.float32]]:
    """MARKET_MOVES by session, and each row's score (see `news_scores`)."""
    at, known = panel.sessions, panel.known
    returns, variance, volume = _bounded_moves(moves, whole)
    by_session = _market_moves(panel.sums(returns), panel.sums(np.abs(returns, out=returns)))
    all_variance, all_volume = panel.sums(variance), panel.sums(volume)
    scores = np.empty(len(at), np.float32)

    def block(start: int, end: int) -> None:
        some = slice(start, end)

        def less_the_others(values: Values, total: Values, count: NDArray[np.int32]) -> Values:
            own = known[some] & np.isfinite(values[some])
            others = np.maximum(count[at[some]] - own, 1)
            of_others = total[at[some]] - np.where(own, values[some], 0)
            return np.asarray(values[some] - of_others / others)

        scores[some] = news_scores(
            less_the_others(variance, *all_variance), less_the_others(volume, *all_volume)
        )

    in_blocks(block, 0, len(at))
    return by_session, scores


def _bounded_moves(
    moves: Mapping[str, Values], whole: NDArray[np.bool_]
) -> tuple[Values, Values, Values]:
    """Returns in units of the volatility a row before; log variance and volume over the usual.

    The first two are NaN where the ticker's row before has no whole window.
    """
    returns, variance, volume = (np.empty(len(whole)) for _ in range(3))
    returns[:1] = variance[:1] = np.nan

    def block(start: int, end: int) -> None:
        now, before = slice(max(start, 1), end), slice(max(start, 1) - 1, end - 1)
        follows = whole[now] & whole[before]  # a whole window is of one ticker
        scaled = moves["one_return"][now] / moves["volatility"][before]
        returns[now] = np.where(follows, np.clip(scaled, -_MOST_RETURN, _MOST_RETURN), np.nan)
        least = 0.02 * moves["volatility"][now] ** 2
        excess = np.log(np.maximum(moves["variance"][now], least)) - moves["log_variance"][before]
        variance[now] = np.where(follows, np.clip(excess, -_MOST_VARIANCE, _MOST_VARIANCE), np.nan)
        some = slice(start, end)
        surprise = np.clip(moves["volume"][some], -_MOST_VOLUME, _MOST_VOLUME)
        volume[some] = np.where(whole[some], surprise, np.nan)

    in_blocks(block, 0, len(whole))
    return returns, variance, volume


def _market_moves(returns: Sums, sizes: Sums) -> dict[str, Values]:
    """MARKET_MOVES by session from sums and counts over tickers; NaN where nothing is known."""
    with np.errstate(divide="ignore", invalid="ignore"):
        move, stir = (total / count for total, count in (returns, sizes))
    stirs = {
        f"market_stir_{n}": np.log(np.maximum(_mean(stir, n), _LEAST_STIR)) for n in _STIR_SPANS
    }
    return {"market_move": move, f"market_move_{_MOVE_SPAN}": _mean(move, _MOVE_SPAN), **stirs}


def _mean(values: Values, span: int) -> Values:
    """Exponential mean of the known ones of the past _SESSIONS values, shape as given."""
    decay = 1 - 2 / (span + 1)
    known = np.isfinite(values)
    lead = np.zeros(_SESSIONS - 1)
    total = decaying_sums(np.concatenate([lead, np.where(known, values, 0)]), decay, _SESSIONS)
    weight = decaying_sums(np.concatenate([lead, known.astype(float)]), decay, _SESSIONS)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(weight > 0, total / weight, np.nan))


def next_session_columns(ordinals: pl.Series, calendar: ExchangeCalendar) -> list[pl.Series]:
    """NEXT_SESSION of rows by their session's ordinal; null where the calendar's table ends."""
    gaps = pl.Series(calendar.days).diff().cast(pl.Int8)
    # The gap of an ordinal is the one before it.
    at = ordinals.cast(pl.UInt32)
    return [gaps.shift(-by).gather(at).alias(name) for by, name in enumerate(NEXT_SESSION, 1)]
