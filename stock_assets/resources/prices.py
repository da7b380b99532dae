"""The price source that the settings name, and the tickers to ask it for."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date

import polars as pl

from stock_assets.errors import (
    EmptyAnswerError,
    InvalidFileError,
    OutsideCalendarError,
    SettingsError,
    SourceError,
    UnknownTickerError,
)
from stock_assets.market.bars import empty_bars
from stock_assets.market.membership import Membership
from stock_assets.market.names import fault_of
from stock_assets.market.off_session import first_day_of, refuse_many, set_apart
from stock_assets.market.sessions import ExchangeCalendar, load_calendar
from stock_assets.market.sources import PriceSource
from stock_assets.market.vendors import CONTEXT_SESSIONS
from stock_assets.monitoring.thresholds import POOLED
from stock_assets.resources.answers import Answer, joined
from stock_assets.resources.s3_connection import configured_connection
from stock_assets.settings import Settings

_NAMED = 5


@dataclass(frozen=True)
class Prices:
    """A source with the tickers wanted of it.

    `calendar`: the exchange whose sessions are stored. `membership`: who belonged to the universe
    when; None: everyone, always. `second`: another vendor that is asked too; None: there is none.
    """

    source: PriceSource
    tickers: tuple[str, ...]
    calendar: ExchangeCalendar
    membership: Membership | None = None
    second: PriceSource | None = None

    @property
    def is_live(self) -> bool:
        """Whether the source goes on: its newest session is due, not just absent."""
        return self.source.last_session() is None

    def context(self, sessions: Sequence[date]) -> tuple[date, ...]:
        """The sessions before some (ascending) that two vendors are compared on as well."""
        try:
            start = self.calendar.offset(sessions[0], -CONTEXT_SESSIONS)
        except OutsideCalendarError:
            return ()  # the table's first
        return self.calendar.between(start, sessions[0])[:-1]

    def fetch(
        self,
        tickers: Sequence[str],
        sessions: Sequence[date],
        accepted: pl.DataFrame | None = None,
    ) -> Answer:
        """The bars of some sessions (ascending), of all tickers or of those that could be fetched.

        The days without trading before a session belong to it: bars of theirs are set apart, and
        their dividends and splits go to the ticker's next bar.

        Args:
            tickers: To ask for.
            sessions: To ask for.
            accepted: `ticker, session, close` of what is stored of the `context`, for two vendors.

        Raises:
            SettingsError: A ticker has a name that is none.
            SourceError: Not a single bar of these sessions could be fetched, or too many lie on
                days without a session; of two vendors, neither could give one.
        """
        refuse_names(tickers)
        if self.second is None:
            answer = self._ask(self.source, tickers, sessions)
        else:
            days = [*self.context(sessions), *sessions]
            answers = [self._ask_or_do_without(one, tickers, days) for one in self.vendors]
            answer = joined(answers, self.vendors, tickers, accepted)
            if answer.about(sessions, sessions[0]).bars.is_empty() and not answer.failure:
                # Asked for these sessions alone, a vendor says so if they are not over.
                answer = self._ask(self.source, tickers, sessions)
        wanted = answer.about(sessions, first_day_of(sessions[0], self.calendar))
        if wanted.bars.is_empty():
            apart = f", {wanted.off_session.height} on other days"
            raise answer.failure or EmptyAnswerError(
                f"{' and '.join(one.name for one in self.vendors)} has no bar of"
                f" {', '.join(tickers[:_NAMED])} for {sessions[0]}..{sessions[-1]}"
                f"{apart if wanted.off_session.height else ''}; check the tickers and the range"
            )
        return wanted

    @property
    def vendors(self) -> tuple[PriceSource, ...]:
        return (self.source,) if self.second is None else (self.source, self.second)

    def _ask(self, source: PriceSource, tickers: Sequence[str], sessions: Sequence[date]) -> Answer:
        """What one vendor has, of whatever sessions."""
        failure: SourceError | None = None
        try:
            bars = source.fetch_bars(
                tickers, first_day_of(sessions[0], self.calendar), sessions[-1]
            )
        except SourceError as error:
            if error.bars is None or error.bars.is_empty():
                raise
            bars, failure = error.bars, error
        on_sessions, off_session = set_apart(bars, self.calendar)
        refuse_many(off_session, bars.height, self.calendar, source.name)
        return Answer(on_sessions, failure, off_session)

    def _ask_or_do_without(
        self, source: PriceSource, tickers: Sequence[str], sessions: Sequence[date]
    ) -> Answer:
        """The same; a vendor that gives nothing costs nothing while there is another."""
        try:
            return self._ask(source, tickers, sessions)
        except SourceError as error:
            if isinstance(error, UnknownTickerError):
                # A source of files refuses all for one that it lacks.
                has = set(source.default_tickers())
                some = [ticker for ticker in tickers if ticker in has]
                if 0 < len(some) < len(tickers):
                    return replace(self._ask_or_do_without(source, some, sessions), failure=error)
            return Answer(empty_bars(), error)


def price_source(settings: Settings) -> PriceSource:
    """The source itself; nothing is fetched yet."""
    return opened_source(settings, settings.source)


def opened_source(settings: Settings, name: str) -> PriceSource:
    """The source of a name.

    Raises:
        SettingsError: Its settings can't be used.
    """
    if name == "sample":
        from stock_assets.market.sources.sample import SampleSource

        return SampleSource()
    if name == "http":
        from stock_assets.resources.http_vendor import http_source

        return http_source(settings)
    if name == "yahoo":
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
    if not uri.startswith("s3://"):
        return None
    bucket = uri.removeprefix("s3://").partition("/")[0]
    return configured_connection(settings).options(bucket)


def refuse_names(tickers: Sequence[str]) -> None:
    """Raises SettingsError for what is no name, or is that of the score of all together."""
    for ticker in tickers:
        if fault := fault_of(ticker):
            raise SettingsError(
                f"{ticker!r} can't be a ticker: {fault}; take it out, or give it another name in"
                " the price files"
            )
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
    refuse_names(settings.wanted_tickers)
    source, membership = price_source(settings), load_membership(settings)
    second = opened_source(settings, settings.second_source) if settings.second_source else None
    tickers = _wanted_tickers(settings, source, membership)
    refuse_names(tickers)
    yield Prices(source, tickers, load_calendar(settings.calendar), membership, second)
