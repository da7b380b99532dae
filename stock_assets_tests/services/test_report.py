"""The report in a real browser: read, sorted, searched, worn dark, narrowed, and read by axe."""

import json
import re
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import dagster as dg
import pytest
from PIL import Image
from prometheus_client import CollectorRegistry, make_wsgi_app

from stock_assets.alerting.site import Site
from stock_assets.asset_keys import Asset
from stock_assets.commands.exporter import _serving
from stock_assets.local.processes import free_port
from stock_assets.market.sessions import ExchangeCalendar
from stock_assets.report.page import render
from stock_assets.resources.object_store import open_store
from stock_assets.resources.page_io_manager import page_object
from stock_assets.settings import Settings
from stock_assets_tests.chromium import DESKTOP, PHONE, Page, chromium
from stock_assets_tests.screenshots import take
from stock_assets_tests.simulated_report import report_rows

TICKERS = ["MSFT", "AAPL", "<b>FB</b>", "IBM", *(f"T{n}" for n in range(12))]
ROWS = "[...document.querySelectorAll('#forecasts tbody tr')]"
BACKGROUND = "getComputedStyle(document.body).backgroundColor"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, xnys: ExchangeCalendar) -> Path:
    file = tmp_path_factory.mktemp("report") / "report.html"
    file.write_text(render(report_rows(xnys, TICKERS, model="ridge", limit=0.01)))
    return file


@pytest.fixture
def page(report: Path, tmp_path: Path) -> Iterator[Page]:
    with chromium(tmp_path / "profile") as opened:
        opened.look(DESKTOP)
        opened.open(report.as_uri())
        yield opened
        assert opened.complaints == []


def shown(page: Page) -> list[str]:
    return list(page.value(f"{ROWS}.filter(r => !r.hidden).map(r => r.cells[0].textContent)"))


def click(page: Page, words: str) -> None:
    page.value(
        "[...document.querySelectorAll('button')]"
        f".find(b => b.textContent.startsWith({json.dumps(words)})).click()"
    )


def test_rows_are_sorted_by_a_click_and_by_another_the_other_way(page: Page):
    assert shown(page)[:4] == ["<b>FB</b>", "AAPL", "IBM", "MSFT"]
    click(page, "Close")
    closes = f"{ROWS}.map(r => Number(r.cells[2].dataset.value))"
    ascending = page.value(closes)
    assert ascending == sorted(ascending)
    click(page, "Close")
    assert page.value(closes) == ascending[::-1]
    assert page.value("document.querySelector('[aria-sort]').ariaSort") == "descending"
    click(page, "Ticker")
    assert page.value("document.querySelectorAll('[aria-sort]').length") == 1


def test_searching_finds_rows_and_fans(page: Page):
    closed = "[...document.querySelectorAll('.fan')].filter(f => !f.open).length"
    assert page.value(closed) == len(TICKERS) - 12
    page.value("document.getElementById('search').focus()")
    page.type("t11")
    assert shown(page) == ["T11"]
    assert page.value("document.getElementById('found').textContent") == "1 found"
    fans = "[...document.querySelectorAll('.fan')].filter(f => !f.hidden)"
    assert page.value(f"{fans}.map(f => [f.dataset.ticker, f.open])") == [["T11", True]]
    page.value("document.getElementById('search').select()")
    page.type("nothing like this")
    assert shown(page) == []
    assert page.value("document.getElementById('found').textContent") == "0 found"


def test_the_theme_follows_the_system_until_it_is_chosen(page: Page):
    light = page.value(BACKGROUND)
    page.look(DESKTOP, "dark")
    dark = page.value(BACKGROUND)
    assert (light, dark) == ("rgb(246, 247, 249)", "rgb(13, 17, 23)")
    for name, ground in (("light", light), ("dark", dark), ("as the system", dark)):
        click(page, "Theme")
        assert page.value("document.querySelector('#theme span').textContent") == name
        assert page.value(BACKGROUND) == ground


def test_the_keyboard_reaches_the_report_first(page: Page):
    page.press("Tab", 9)
    assert page.value("document.activeElement.className") == "skip"
    outline = "getComputedStyle(document.activeElement).outlineWidth"
    assert page.value(outline) == "3px"
    page.press("Enter", 13, "\r")
    assert page.value("document.activeElement.id") == "main"


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_no_part_is_wider_than_the_screen(page: Page, width: int):
    page.look(width)
    assert page.value("document.documentElement.scrollWidth") <= width
    cut = page.value(
        "[...document.querySelectorAll('figure, figcaption, p, h1, h2, .light, .facts, .fan')]"
        f".filter(e => e.getBoundingClientRect().right > {width}).map(e => e.className)"
    )
    assert cut == []
    # A chart's own text, as drawn: at least nine pixels high.
    assert page.value(
        "Math.min(...[...document.querySelectorAll('figure svg[role=img], .fan[open] svg')].map("
        "s => 11 * s.getBoundingClientRect().width / s.viewBox.baseVal.width))"
    ) >= 9  # fmt: skip


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_axe_finds_nothing_serious(page: Page, theme: str, width: int):
    page.look(width, theme)
    page.value((files("axe_core_python") / "axe.min.js").read_text() + "; 0")
    found = page.value(
        "axe.run().then(r => r.violations.map(v => [v.impact, v.id, v.nodes[0].html]))"
    )
    assert [one for one in found if one[0] in {"serious", "critical"}] == []


def test_readmes_picture_is_made_and_small(page: Page, report: Path, tmp_path: Path):
    file = tmp_path / "report.png"
    take(page, report.as_uri(), file)
    with Image.open(file) as picture:
        assert picture.size == (1280, 1560)
    assert 50_000 < file.stat().st_size < 300_000


def test_the_policy_keeps_a_foreign_script_out(report: Path, tmp_path: Path):
    """Should a name ever get through unescaped, the browser still runs nothing of it."""
    broken = tmp_path / "broken.html"
    injected = "<script>document.title = 'taken over'</script><img src='https://example.com/x.png'>"
    broken.write_text(report.read_text().replace("<main", f"{injected}<main", 1))
    with chromium(tmp_path / "profile") as opened:
        opened.open(broken.as_uri())
        assert opened.value("document.title") == "Forecasts of 2013-03-04: simulated"
        refused = " ".join(opened.complaints)
        assert "script" in refused
        assert "https://example.com/x.png" in refused


def test_a_report_that_the_exporter_serves_works_and_reaches_nothing(report: Path, tmp_path: Path):
    """As whoever can write the store could leave it: without its own policy, with a script."""
    settings = Settings(home=tmp_path, store_uri=f"file://{tmp_path / 'objects'}")
    policy = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
    script = "<script>fetch('/metrics').then(() => { document.title = 'taken over' })</script>"
    whole = report.read_text()
    assert policy.search(whole)
    with dg.DagsterInstance.ephemeral() as instance, open_store(settings) as store:
        port = free_port(19_208)
        site = Site(settings, instance, make_wsgi_app(CollectorRegistry()))
        for page in (whole, policy.sub("", whole).replace("<main", f"{script}<main", 1)):
            store.put_encoded({page_object(Asset.FORECAST_REPORT): f"{page}\n".encode()}, bytes)
            with (
                _serving(site, "127.0.0.1", port),
                chromium(tmp_path / f"profile-{len(page)}") as opened,
            ):
                opened.look(DESKTOP)
                opened.open(f"http://127.0.0.1:{port}/report")
                click(opened, "Close")
                assert opened.value("document.querySelector('[aria-sort]').ariaSort") == "ascending"
                assert opened.value("document.title") == "Forecasts of 2013-03-04: simulated"
                refused = " ".join(opened.complaints)
                assert ("/metrics" in refused) == (page is not whole)


def test_five_hundred_tickers_open_at_once(tmp_path: Path, xnys: ExchangeCalendar):
    file = tmp_path / "large.html"
    rows = report_rows(xnys, [f"T{n:03d}" for n in range(500)], sessions=126)
    start = time.process_time()
    file.write_text(render(rows))
    made = time.process_time() - start
    with chromium(tmp_path / "profile") as opened:
        opened.look(PHONE)
        # Of the page's own thread, whatever else the machine does meanwhile.
        opened.call("Performance.enable", timeDomain="threadTicks")
        opened.open(file.as_uri())
        opened.value("new Promise(r => setTimeout(r, 100))")
        metrics = opened.call("Performance.getMetrics")["metrics"]
    (busy,) = (one["value"] for one in metrics if one["name"] == "TaskDuration")
    assert made < 20
    assert 0 < busy < 2, f"{busy:.2f} s"
