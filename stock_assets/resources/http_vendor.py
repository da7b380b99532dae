"""The vendor that the settings of the http source describe, or why they can't be used."""

from datetime import date
from string import Formatter
from urllib.parse import urlsplit

from stock_assets.errors import SettingsError
from stock_assets.local.processes import LOOPBACK
from stock_assets.market.bars import BAR_SCHEMA
from stock_assets.market.sessions import load_calendar
from stock_assets.market.sources.http_answers import EVENTS, constant
from stock_assets.market.sources.http_source import HttpSource, HttpVendor
from stock_assets.settings import Settings

_FIELDS = ("ticker", "first", "last", "key")
_URL, _KEY = "STOCK_ASSETS_HTTP_URL", "STOCK_ASSETS_HTTP_KEY"
_COLUMNS = "STOCK_ASSETS_HTTP_COLUMNS"


def http_source(settings: Settings) -> HttpSource:
    """The source; nothing is fetched yet.

    Raises:
        SettingsError: A setting of it is missing, or says what can't be done. No message holds the
            URL, in which somebody may have written a key.
    """
    url = settings.http_url.get_secret_value() if settings.http_url else ""
    key = settings.http_key.get_secret_value() if settings.http_key else ""
    vendor = HttpVendor(
        url, settings.http_columns, settings.http_records, settings.http_adjusted == "splits", key
    )
    _check_url(vendor)
    _check_columns(settings)
    if settings.source == "http" and not settings.wanted_tickers:
        raise SettingsError(
            "source=http knows no tickers of its own; set STOCK_ASSETS_TICKERS or"
            " STOCK_ASSETS_TICKERS_FILE"
        )
    return HttpSource(vendor, calendar=load_calendar(settings.calendar))


def _check_url(vendor: HttpVendor) -> None:
    try:
        asked = {name for _, name, _, _ in Formatter().parse(vendor.url) if name is not None}
        parts = urlsplit(vendor.url)
        if strange := sorted(asked - set(_FIELDS)):
            raise SettingsError(
                f"{_URL} has {{{strange[0]}}}; it may have {{ticker}}, {{first}}, {{last}}, {{key}}"
            )
        vendor.address("A", date.min, date.max)
    except ValueError as error:
        raise SettingsError(f"{_URL} is no template of a URL: {vendor.cleaned(error)}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or "{" in parts.netloc:
        raise SettingsError(f"{_URL} must be https://host/… with the host written out")
    if "ticker" not in asked:
        raise SettingsError(f"{_URL} has no {{ticker}}, so it would give every ticker the same")
    if ("key" in asked) != bool(vendor.key):
        said = (
            f"{_URL} has {{key}}, and {_KEY} is not set"
            if "key" in asked
            else f"{_KEY} is set, and {_URL} has no {{key}}"
        )
        raise SettingsError(f"{said}; give both, or neither")
    if vendor.key and parts.scheme == "http" and vendor.host not in LOOPBACK:
        raise SettingsError(f"{_URL} would send the key in the clear; write https://")


def _check_columns(settings: Settings) -> None:
    columns = settings.http_columns
    if strange := sorted(columns.keys() - (BAR_SCHEMA.keys() - {"ticker"})):
        known = ", ".join(name for name in BAR_SCHEMA if name != "ticker")
        raise SettingsError(f"{_COLUMNS} names {strange[0]}; our columns are {known}")
    if settings.http_adjusted == "splits" and (
        constant(columns.get("split_ratio", "1")) is not None
    ):
        raise SettingsError(
            f"STOCK_ASSETS_HTTP_ADJUSTED=splits needs the splits to undo: name their column in"
            f" {_COLUMNS} (split_ratio=…), or ask the vendor for unadjusted prices and set none"
        )
    is_alone = settings.source == "http" and settings.second_source is None
    if is_alone and (absent := [name for name in EVENTS if name not in columns]):
        raise SettingsError(
            f"{_COLUMNS} names no {' and no '.join(absent)}: as the only source, http must tell of"
            " them; name the vendor's columns, write dividend=0,split_ratio=1 where there are none,"
            " or set STOCK_ASSETS_SECOND_SOURCE to a vendor that knows them"
        )
