"""The price source that the settings name, and the tickers to ask it for."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from stock_assets.market.sessions import load_calendar
from stock_assets.market.sources import PriceSource
from stock_assets.resources.object_store import configured_connection
from stock_assets.settings import Settings


@dataclass(frozen=True)
class Prices:
    """A source with the tickers wanted of it."""

    source: PriceSource
    tickers: tuple[str, ...]


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
    yield Prices(source, settings.tickers or source.default_tickers())
