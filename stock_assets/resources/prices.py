"""The price source that the settings name, and the tickers to ask it for."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date

import polars as pl

from stock_assets.errors import EmptyAnswerError, SourceError
from stock_assets.market.bars import empty_bars
from stock_assets.market.sessions import load_calendar
from stock_assets.market.sources import PriceSource
from stock_assets.resources.object_store import configured_connection
from stock_assets.settings import Settings


@dataclass(frozen=True)
class Prices:
    """A source with the tickers wanted of it."""

    source: PriceSource
    tickers: tuple[str, ...]

    @property
    def is_live(self) -> bool:
        """Whether the source goes on: its newest session is due, not just absent."""
        return self.source.last_session() is None

    def fetch(self, tickers: Sequence[str], sessions: Sequence[date]) -> "Answer":
        """The bars of some sessions (ascending), of all tickers or of those that could be fetched.

        Raises:
            SourceError: Not a single bar of these sessions could be fetched.
        """
        failure: SourceError | None = None
        try:
            bars = self.source.fetch_bars(tickers, sessions[0], sessions[-1])
        except SourceError as error:
            if error.bars is None or error.bars.is_empty():
                raise
            bars, failure = error.bars, error
        bars = bars.filter(pl.col("session").is_in(list(sessions)))
        if bars.is_empty():
            raise failure or EmptyAnswerError(
                f"{self.source.name} has no bar of {', '.join(tickers[:5])} for"
                f" {sessions[0]}..{sessions[-1]}; check the tickers and the range"
            )
        return Answer(bars, failure)

    def fetch_or_none(self, tickers: Sequence[str], sessions: Sequence[date]) -> pl.DataFrame:
        """The same bars, or no rows where the source has none: tickers may be listed later.

        Raises:
            SourceError: The source did not say what it has.
        """
        try:
            return self.fetch(tickers, sessions).bars
        except EmptyAnswerError:
            return empty_bars()


@dataclass(frozen=True)
class Answer:
    """Bars of a source (BAR_SCHEMA), and why some tickers' are missing, if they are."""

    bars: pl.DataFrame
    failure: SourceError | None


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
    options = configured_connection(settings).options() if uri.startswith("s3://") else None
    return FilesSource(uri, options)


@contextmanager
def open_prices(settings: Settings) -> Iterator[Prices]:
    source = price_source(settings)
    yield Prices(source, settings.wanted_tickers or source.default_tickers())
