"""Bars on days on which the exchange does not trade: set apart, while their events are kept.

Nothing is keyed by such a day, so its prices have no place; but a holder got its dividend and its
new shares. Many such bars are no odd days: the calendar is another exchange's, or the dates moved.
"""

from datetime import date, timedelta

import polars as pl

from stock_assets.errors import OffSessionError, OutsideCalendarError
from stock_assets.market.bars import BAR_SCHEMA
from stock_assets.market.corporate_actions import carry_events
from stock_assets.market.sessions import ExchangeCalendar

OFF_SESSION_SCHEMA: dict[str, pl.DataType] = {**BAR_SCHEMA, "carried_to": pl.Date()}
"""A bar off session as it came. `carried_to`: the session whose bar now holds its events, null
where it had none or where none could take them."""

_MOST_DAYS, _LARGEST_SHARE = 3, 0.02
_EXAMPLES = 3
_KEY = ("ticker", "session")


def has_event() -> pl.Expr:
    """Whether a bar records a dividend or a split; null values are none."""
    return (pl.col("dividend") != 0).fill_null(False) | (pl.col("split_ratio") != 1).fill_null(
        False
    )


def first_day_of(session: date, calendar: ExchangeCalendar) -> date:
    """The first day that belongs to a session: the one after the session before it."""
    try:
        return calendar.last_before(session) + timedelta(days=1)
    except OutsideCalendarError:
        return session  # the table's first


def set_apart(bars: pl.DataFrame, calendar: ExchangeCalendar) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The bars on sessions, and those off session.

    Args:
        bars: BAR_SCHEMA, one row per ticker and session, sorted by both.
        calendar: Whose sessions count.

    Returns:
        The bars on sessions in BAR_SCHEMA and in the same order, the next one of a ticker with the
        events of those off session before it, so that a holder's wealth is what it was. And
        OFF_SESSION_SCHEMA, sorted by ticker and session. A null or unsound event is not carried.
    """
    days = bars.select(pl.col("session").unique().sort())["session"].to_list()
    off_days = [day for day in days if not calendar.is_session(day)]
    if not off_days:
        return bars, pl.DataFrame(schema=OFF_SESSION_SCHEMA)
    is_off = pl.col("session").is_in(off_days)
    can_be_carried = pl.all_horizontal(
        has_event(),
        (pl.col("dividend") >= 0) & pl.col("dividend").is_finite(),
        (pl.col("split_ratio") > 0) & pl.col("split_ratio").is_finite(),
    ).fill_null(False)
    # What can't be carried is reported: it must not cost the next session's bar its own events.
    lost = is_off & ~can_be_carried
    readable = bars.with_columns(
        pl.when(lost).then(nothing).otherwise(event).alias(event)
        for event, nothing in (("dividend", 0.0), ("split_ratio", 1.0))
    )
    kept = carry_events(readable, ~bars.select(is_off).to_series())
    off = bars.filter(is_off)
    off = off.join_asof(
        kept.select(*_KEY, carried_to="session"),
        on="session",
        by="ticker",
        strategy="forward",
        check_sortedness=False,  # by ticker they are
    ).with_columns(pl.when(can_be_carried).then("carried_to"))
    return kept.select(*BAR_SCHEMA), off.select(*OFF_SESSION_SCHEMA)


def refuse_many(off: pl.DataFrame, n_bars: int, calendar: ExchangeCalendar, source: str) -> None:
    """Refuses an answer that can't be of this exchange.

    Args:
        off: OFF_SESSION_SCHEMA.
        n_bars: All bars of the answer, those off session included.
        calendar: The exchange.
        source: The source's name, for the message.

    Raises:
        OffSessionError: More than 2 % of the bars lie on more than three days off session.
    """
    days = off["session"].unique().sort()
    if len(days) <= _MOST_DAYS or off.height <= _LARGEST_SHARE * n_bars:
        return
    examples = ", ".join(
        f"{ticker} {day:%a %Y-%m-%d}" for ticker, day in off.select(*_KEY).head(_EXAMPLES).rows()
    )
    raise OffSessionError(
        f"{off.height} of {n_bars} bars of {source} lie on {len(days)} days without a session of"
        f" {calendar.exchange} ({examples}); set STOCK_ASSETS_CALENDAR to the exchange that they"
        " are of, or look whether their dates were shifted by a time zone"
    )
