"""Asking a vendor for one ticker after the other: until when, how often, and what a failure means.

Knows nothing of any vendor's addresses and answers.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import polars as pl

from stock_assets.errors import (
    AccessRefusedError,
    PartialAnswerError,
    RateLimitedError,
    SourceError,
    SourceUnreachableError,
    UnknownTickerError,
    UnsettledSessionError,
)
from stock_assets.market.bars import PRICES, empty_bars
from stock_assets.market.sessions import ExchangeCalendar

if TYPE_CHECKING:
    from tenacity import RetryCallState, Retrying

_logger = logging.getLogger(__name__)

# One ticker may have trouble of its own; several in a row are the vendor's trouble, or the
# network's, or the key's.
_HOPELESS_IN_A_ROW = 3
_NAMED = 5


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how patiently one ticker is asked for.

    Args:
        attempts: Tries in all, at least 1.
        first_wait: Seconds before the second try, doubled before each further one. Up to as much
            again is added at random, so that several processes do not ask in step.
        longest_wait: Seconds at which the doubling ends. A vendor that asks for a longer wait is
            not asked again.
        timeout: Seconds to wait for any one response.
    """

    attempts: int = 4
    first_wait: float = 2.0
    longest_wait: float = 60.0
    timeout: float = 20.0


def retrying(ticker: str, policy: RetryPolicy, kinds: tuple[type[SourceError], ...]) -> "Retrying":
    """Calls again after errors of some kinds, and raises the last one."""
    from tenacity import (
        Retrying,
        retry_if_exception_type,
        wait_exponential,
        wait_random,
    )

    usual = wait_exponential(multiplier=policy.first_wait, max=policy.longest_wait) + wait_random(
        0, policy.first_wait
    )
    return Retrying(
        stop=lambda state: (
            state.attempt_number >= policy.attempts or _wait_asked_for(state) > policy.longest_wait
        ),
        wait=lambda state: max(usual(state), _wait_asked_for(state)),
        retry=retry_if_exception_type(kinds),
        before_sleep=_retry_logger(ticker, policy.attempts),
        reraise=True,
    )


def _wait_asked_for(state: "RetryCallState") -> float:
    error = state.outcome.exception() if state.outcome else None
    return error.retry_after if isinstance(error, RateLimitedError) else 0.0


def _retry_logger(ticker: str, attempts: int) -> "Callable[[RetryCallState], None]":
    def log(state: "RetryCallState") -> None:
        reason = state.outcome.exception() if state.outcome else None
        wait = state.next_action.sleep if state.next_action else 0.0
        number = state.attempt_number
        _logger.warning(
            "%s: try %d of %d, next in %.1f s: %s", ticker, number, attempts, wait, reason
        )

    return log


def fetch_each(
    tickers: Sequence[str],
    fetch: Callable[[str], pl.DataFrame],
    progress: Callable[[int, int, str], None] | None = None,
) -> pl.DataFrame:
    """Bars of all tickers, sorted by ticker and session.

    Every ticker is asked for, also after one that failed, until the vendor limits the rate or
    several in a row can't be reached: then the rest is left.

    Args:
        tickers: Wanted; each is asked for once.
        fetch: Bars of one ticker, in BAR_SCHEMA.
        progress: Called after each ticker with how many are done, of how many, and its name.

    Raises:
        SourceError: Some could not be fetched. Its kind says what to do about them, and its `bars`
            are those of the others.
    """
    wanted = tuple(dict.fromkeys(tickers))
    fetched: dict[str, pl.DataFrame] = {}
    failed: dict[str, SourceError] = {}
    for number, ticker in enumerate(wanted, 1):
        try:
            fetched[ticker] = fetch(ticker)
        except SourceError as error:
            failed[ticker] = error
        if progress:
            progress(number, len(wanted), ticker)
        if _is_hopeless([failed.get(ticker) for ticker in wanted[:number]]):
            break
    bars = pl.concat([empty_bars(), *fetched.values()]).sort("ticker", "session")
    if failed:
        newest = [*failed.values()][-1]
        raise _joint_error(wanted, [*fetched], failed, bars) from newest
    return bars


def _is_hopeless(outcomes: Sequence[SourceError | None]) -> bool:
    """Whether to leave the rest of the tickers alone: the circuit breaker of one batch.

    Args:
        outcomes: Per ticker that was asked for, in that order; None is a success.
    """
    if isinstance(outcomes[-1], RateLimitedError):
        return True
    newest = outcomes[-_HOPELESS_IN_A_ROW:]
    return len(newest) == _HOPELESS_IN_A_ROW and all(
        isinstance(outcome, (SourceUnreachableError, AccessRefusedError)) for outcome in newest
    )


def _joint_error(
    wanted: Sequence[str],
    fetched: Sequence[str],
    failed: dict[str, SourceError],
    bars: pl.DataFrame,
) -> SourceError:
    """One error for all tickers that are missing; its kind says what to do about them."""
    newest = [*failed.values()][-1]
    if len(wanted) == 1:
        return type(newest)(str(newest), bars)
    missing = [ticker for ticker in wanted if ticker not in fetched]
    named = ", ".join(missing[:_NAMED]) + (", …" if len(missing) > _NAMED else "")
    kinds = {type(error) for error in failed.values()}
    was_stopped = len(missing) > len(failed) or isinstance(newest, RateLimitedError)
    speaks_for_all = kinds == {UnknownTickerError} or (len(kinds) == 1 and not fetched)
    kind = type(newest) if was_stopped or speaks_for_all else PartialAnswerError
    return kind(
        f"{newest}; {len(fetched)} of {len(wanted)} tickers were fetched, {len(missing)} not:"
        f" {named}",
        bars,
    )


def last_settled_day(calendar: ExchangeCalendar, now: datetime, settle_minutes: int) -> date:
    """The newest date whose bars are final: its close is at least `settle_minutes` ago.

    Args:
        calendar: Whose close counts. It knows no early closes: such a session settles later here.
        now: With a time zone.
        settle_minutes: After the close, the exchange corrects and vendors catch up.
    """
    moment = (now - timedelta(minutes=settle_minutes)).astimezone(ZoneInfo(calendar.time_zone))
    is_over = moment.time() >= time.fromisoformat(calendar.close)
    return moment.date() if is_over else moment.date() - timedelta(days=1)


def settled_end(
    calendar: ExchangeCalendar, now: datetime, settle_minutes: int, first: date, last: date
) -> date:
    """The last day of a range that is settled.

    Raises:
        UnsettledSessionError: No session of the range is.
    """
    settled = last_settled_day(calendar, now, settle_minutes)
    # A range may begin on the days without trading before its first session.
    opening = next(iter(calendar.between(first, last)), first)
    if opening > settled:
        close = datetime.combine(opening, time.fromisoformat(calendar.close))
        settles = close + timedelta(minutes=settle_minutes)
        raise UnsettledSessionError(
            f"bars of {opening} are not settled before {settles:%Y-%m-%d %H:%M}"
            f" {calendar.time_zone}; ask again then, or for earlier sessions"
        )
    return min(last, settled)


def as_traded(history: pl.DataFrame) -> pl.DataFrame:
    """Undoes the split adjustment of one ticker's history.

    Args:
        history: `session, open, high, low, close, volume, dividend, split_ratio`, ascending, up to
            the newest session there is; split ratio 0 or 1 where there was none.

    Returns:
        The same columns as traded. Null prices stay null.
    """
    ratio = pl.when(pl.col("split_ratio") > 0).then(pl.col("split_ratio")).otherwise(1.0)
    later = ratio.shift(-1, fill_value=1.0).cum_prod(reverse=True)
    return history.with_columns(
        pl.col(*PRICES, "dividend") * later, pl.col("volume") / later, split_ratio=ratio
    )
