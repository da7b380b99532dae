"""Settings of the http source: what can't work is refused in one line that holds no secret."""

import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from stock_assets.environment import load_settings
from stock_assets.errors import SettingsError
from stock_assets.market.sources.http_source import HttpSource
from stock_assets.resources.prices import open_prices
from stock_assets_tests.conftest import CHECKOUT

URL = "https://api.example.com/{ticker}?from={first}&to={last}&token={key}"
KEY = "s3cr3t-key"
ALONE = {
    "source": "http",
    "tickers": "AAPL",
    "http_url": URL,
    "http_key": KEY,
    "http_columns": "dividend=divCash,split_ratio=splitFactor",
}


def test_it_is_the_only_source_or_the_second():
    with open_prices(load_settings(**ALONE)) as prices:
        assert isinstance(prices.source, HttpSource)
        assert (prices.second, prices.tickers, prices.is_live) == (None, ("AAPL",), True)
    beside = ALONE | {"source": "sample", "second_source": "http", "http_columns": ""}
    with open_prices(load_settings(**beside)) as prices:
        assert [vendor.name for vendor in prices.vendors] == ["sample", "http"]
        assert not prices.is_live
        assert prices.context([date(2013, 1, 2)]) == (
            date(2012, 12, 24),
            date(2012, 12, 26),
            date(2012, 12, 27),
            date(2012, 12, 28),
            date(2012, 12, 31),
        )
        assert prices.context([date(1990, 1, 2)]) == ()


def test_each_address_has_a_dataset_of_its_own():
    settings = load_settings(**ALONE)
    # The second vendor mends the first one's dataset; the key names none.
    assert load_settings(**ALONE | {"http_key": "other"}).dataset_name == settings.dataset_name
    other = load_settings(**ALONE | {"http_url": URL.replace("api", "eod")}).dataset_name
    assert len({settings.dataset_name, other, "http"}) == 3
    assert settings.dataset_name.startswith("http-")
    assert load_settings(second_source="http", **_but_source()).dataset_name == "sample"


def _but_source() -> dict[str, Any]:
    return {name: value for name, value in ALONE.items() if name != "source"}


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"tickers": ""}, "source=http knows no tickers of its own; set STOCK_ASSETS_TICKERS or"),
        ({"http_url": None}, "STOCK_ASSETS_HTTP_URL must be https://host/"),
        ({"http_url": "ftp://h/{ticker}{key}"}, "HTTP_URL must be https://host/"),
        ({"http_url": "https://{key}.h/{ticker}"}, "with the host written out"),
        ({"http_url": "https://h/{symbol}{key}"}, r"HTTP_URL has \{symbol\}; it may have"),
        ({"http_url": "https://h/{ticker.__class__}{key}"}, r"has \{ticker.__class__\}"),
        ({"http_url": "https://h/{ticker"}, "HTTP_URL is no template of a URL: expected '}'"),
        ({"http_url": "https://h/{first}{key}"}, r"has no \{ticker\}"),
        (
            {"http_url": "https://h/{ticker}"},
            r"HTTP_KEY is set, and STOCK_ASSETS_HTTP_URL has no \{key\}",
        ),
        ({"http_url": "http://h/{ticker}{key}"}, "would send the key in the clear"),
        ({"http_key": None}, r"has \{key\}, and STOCK_ASSETS_HTTP_KEY is not set"),
        ({"http_columns": "kurs=Last"}, "names kurs; our columns are session, open, high"),
        ({"http_columns": "dividend=0"}, "names no split_ratio: as the only source"),
        ({"http_columns": ""}, "names no dividend and no split_ratio: as the only source"),
        ({"http_columns": "close"}, "HTTP_COLUMNS: must be a list like session=Date,close=Last"),
        (
            {"http_adjusted": "splits", "http_columns": "dividend=0,split_ratio=1"},
            "HTTP_ADJUSTED=splits needs the splits to undo",
        ),
        ({"http_adjusted": "all"}, "HTTP_ADJUSTED: prices that are adjusted for dividends too can"),
        ({"second_source": "http"}, "SECOND_SOURCE is the first one, http; name another vendor"),
        ({"second_source": "files"}, "source=files needs STOCK_ASSETS_FILES_URI"),
    ],
)
def test_what_can_not_work_is_refused(changed: dict[str, Any], says: str):
    with (
        pytest.raises(SettingsError, match=says) as error,
        open_prices(load_settings(**ALONE | changed)),
    ):
        pass
    assert "\n" not in str(error.value)
    assert "s3cr3t" not in str(error.value)


def test_no_print_of_the_settings_shows_address_or_key():
    settings = load_settings(**ALONE)
    for shown in (repr(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert "s3cr3t" not in shown
        assert "api.example.com" not in shown


def test_an_error_of_another_setting_does_not_repeat_the_key(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("STOCK_ASSETS_HTTP_ADJUSTED", "dividends")
    monkeypatch.setenv("STOCK_ASSETS_HTTP_KEY", "s3cr3t")
    with pytest.raises(SettingsError, match="Input should be 'none' or 'splits'") as error:
        load_settings()
    assert "s3cr3t" not in str(error.value)


def test_what_the_page_of_data_shows_are_settings_that_work():
    page = (CHECKOUT / "docs" / "data.md").read_text(encoding="utf-8")
    shown = re.findall(r"^```ini\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    vendors = []
    for lines in shown:
        Path(".env").write_text(lines, encoding="utf-8")
        settings = load_settings()
        given = {f"STOCK_ASSETS_{name.upper()}" for name in settings.model_fields_set}
        assert given == {line.partition("=")[0] for line in lines.splitlines()}
        with open_prices(settings) as prices:
            vendors.append([vendor.name for vendor in prices.vendors])
    assert vendors == [["http"], ["yahoo", "http"]]
