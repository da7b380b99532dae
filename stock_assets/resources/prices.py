"""The price source that the settings name, and the tickers to ask it for."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date

import polars as pl

from stock_assets.errors import EmptyAnswerError, InvalidFileError, SettingsError, SourceError
from stock_assets.market.membership import Membership
from stock_assets.market.off_session import (
    OFF_SESSION_SCHEMA,
    first_day_of,
    refuse_many,
    set_apart,
)
from stock_assets.market.sessions import ExchangeCalendar, load_calendar
from stock_assets.market.sources import PriceSource
from stock_assets.monitoring.thresholds import POOLED
from stock_assets.resources.object_store import configured_connection
from stock_assets.settings import Settings

_NAMED = 5


@dataclass(frozen=True)
class Prices:
    """A source with the tickers wanted of it.

    `calendar`: the exchange whose sessions are stored. `membership`: who belonged to the universe
    when; None: everyone, always.
    """

    source: PriceSource
    tickers: tuple[str, ...]
    calendar: ExchangeCalendar
    membership: Membership | None = None

    @property
    def is_live(self) -> bool:
        """Whether the source goes on: its newest session is due, not just absent."""
        return self.source.last_session() is None

    def fetch(self, tickers: Sequence[str], sessions: Sequence[date]) -> "Answer":
        """The bars of some sessions (ascending), of all tickers or of those that could be fetched.

        The days without trading before a session belong to it: bars of theirs are set apart, and
        their dividends and splits go to the ticker's next bar.

        Raises:
            SettingsError: A ticker has a name that is none.
            SourceError: Not a single bar of these sessions could be fetched, or too many lie on
                days without a session.
        """
        refuse_pooled(tickers)
        failure: SourceError | None = None
        try:
            bars = self.source.fetch_bars(
                tickers, first_day_of(sessions[0], self.calendar), sessions[-1]
            )
        except SourceError as error:
            if error.bars is None or error.bars.is_empty():
                raise
            bars, failure = error.bars, error
        on_sessions, off_session = set_apart(bars, self.calendar)
        refuse_many(off_session, bars.height, self.calendar, self.source.name)
        wanted = on_sessions.filter(pl.col("session").is_in(list(sessions)))
        if wanted.is_empty():
            apart = f", {off_session.height} on other days" if off_session.height else ""
            raise failure or EmptyAnswerError(
                f"{self.source.name} has no bar of {', '.join(tickers[:_NAMED])} for"
                f" {sessions[0]}..{sessions[-1]}{apart}; check the tickers and the range"
            )
        return Answer(wanted, failure, off_session)


@dataclass(frozen=True)
class Answer:
    """Bars of a source (BAR_SCHEMA), and why some tickers' are missing, if they are.

    `off_session`: OFF_SESSION_SCHEMA, what it had on days without a session.
    """

    bars: pl.DataFrame
    failure: SourceError | None
    off_session: pl.DataFrame = field(
        default_factory=lambda: pl.DataFrame(schema=OFF_SESSION_SCHEMA)
    )


def price_source(settings: Settings) -> PriceSource:
    """The source itself; nothing is fetched yet."""
    if settings.source == "sample":
        from stock_assets.market.sources.sample import SampleSource

        return SampleSource()
    if settings.source == "yahoo":
        from stock_assets.market.sources.yahoo import YahooSource

        return YahooSource(calendar=load_calendar(settings.calendar))
    from stock_assets.market.sources.files import FilesSource

    uri = settings.files_uri or ""
    time_zone = load_calendar(settings.calendar).time_zone
    return FilesSource(uri, _storage_options(settings, uri), time_zone=time_zone)


def load_membership(settings: Settings) -> Membership | None:
    """The table of members that the settings name, if they name one.

    Raises:
        InvalidFileError: It can't be read, or contradicts itself.
    """
    if settings.members_uri is None:
        return None
    from stock_assets.market.sources.members import read_members

    return read_members(
        settings.members_uri,
        _storage_options(settings, settings.members_uri),
        time_zone=load_calendar(settings.calendar).time_zone,
    )


def _storage_options(settings: Settings, uri: str) -> Mapping[str, str] | None:
    return configured_connection(settings).options() if uri.startswith("s3://") else None


def refuse_pooled(tickers: Sequence[str]) -> None:
    """Raises SettingsError for a ticker whose name is taken by the score of all together."""
    for ticker in tickers:
        if ticker.upper() == POOLED:
            raise SettingsError(
                f"{ticker} can't be a ticker: scores, thresholds and metrics of all tickers"
                " together have that name; take it out, or give it another in the price files"
            )


def _wanted_tickers(
    settings: Settings, source: PriceSource, membership: Membership | None
) -> tuple[str, ...]:
    """The settings' tickers, else the table's, else the source's."""
    listed = settings.wanted_tickers
    if membership is None:
        return listed or source.default_tickers()
    members = membership.tickers
    if strangers := sorted(set(listed) - set(members)):
        raise SettingsError(
            f"STOCK_ASSETS_TICKERS names {', '.join(strangers[:_NAMED])}, and"
            f" {settings.members_uri} has no row of it; add its spells, or take it out"
        )
    if listed:
        return listed
    if absent := sorted(set(members) - set(source.default_tickers())):
        raise InvalidFileError(
            f"{settings.members_uri} names {len(absent)} tickers of which {settings.files_uri} has"
            f" no row: {', '.join(absent[:_NAMED])}; add their prices, delisted ones included, or"
            " choose tickers with STOCK_ASSETS_TICKERS"
        )
    return members


@contextmanager
def open_prices(settings: Settings) -> Iterator[Prices]:
    """The source, its tickers, the exchange and the members.

    Raises:
        SettingsError: A ticker has a name that is none, or is in no spell of the table.
        InvalidFileError: The table of members can't be used, or names tickers without prices.
    """
    source, membership = price_source(settings), load_membership(settings)
    tickers = _wanted_tickers(settings, source, membership)
    refuse_pooled(tickers)
    yield Prices(source, tickers, load_calendar(settings.calendar), membership)
