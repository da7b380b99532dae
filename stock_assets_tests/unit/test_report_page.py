"""The page as a file: nothing from outside, nothing unescaped, whole for any rows, small enough."""

import base64
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256
from html.parser import HTMLParser
from importlib.resources import files
from typing import Any

import polars as pl
import pytest

from stock_assets.market.sessions import ExchangeCalendar
from stock_assets.report.page import SECTIONS, render
from stock_assets_tests.simulated_report import registered, report_rows

HOSTILE = "<script>alert(1)</script>"
QUOTED = '"><img src=//evil onerror=x>'
VOID = {"meta", "link", "input", "br", "img"}


@dataclass
class Read(HTMLParser):
    """The page's elements; a tag that is not closed in order fails."""

    open: list[str] = field(default_factory=list)
    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    texts: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self.open[-1] if self.open else "", []).append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def read(page: str) -> Read:
    found = Read()
    found.feed(page)
    found.close()
    assert found.open == []
    return found


def hostile(forecasts: pl.DataFrame) -> pl.DataFrame:
    return forecasts.with_columns(
        model=pl.lit("<b>walk</b>"), fallback_reason=pl.lit("<i>why</i>"), is_fallback=True
    )


def a_split(bars: pl.DataFrame) -> pl.DataFrame:
    return bars.with_columns(quarantine_reason=pl.lit("<u>too high</u>"))


PAGES: dict[str, dict[str, Any]] = {
    "five tickers": {"tickers": ["AAPL", "FB", "GOOG", "IBM", "MSFT"]},
    "one ticker": {"tickers": ["A"], "sessions": 1},
    "nothing scored": {"tickers": ["A", "B"], "sessions": 0, "months": {}},
    "a forest, in breach": {"tickers": ["A", "B"], "model": "random_forest", "limit": 0.001},
    "no version": {"tickers": ["A"], "months": {}, "edit": hostile},
    "hostile": {
        "tickers": [HOSTILE, QUOTED],
        "edit": hostile,
        "edit_bars": a_split,
        "dataset": HOSTILE,
        "command": f"stock-assets report --tickers {HOSTILE}",
        "months": {"2012-09": registered("2012-09", 1, reason=HOSTILE, family=HOSTILE)},
    },
}


@pytest.fixture(scope="module", params=PAGES)
def page(request: pytest.FixtureRequest, xnys: ExchangeCalendar) -> str:
    return render(report_rows(xnys, **PAGES[request.param]))


def test_every_section_is_there_in_order(page: str):
    found = read(page)
    assert [s["id"] for s in found.of("section")] == [anchor for anchor, *_ in SECTIONS]
    assert found.texts["h2"] == [heading for *_, heading in SECTIONS]
    assert [a["href"] for a in found.of("a")] == ["#main", *(f"#{a}" for a, *_ in SECTIONS)]
    said = " ".join(text for texts in found.texts.values() for text in texts)
    assert re.findall(r"(?<![\w.-])(?:nan|None|inf)(?![\w.])", said) == []


def test_nothing_comes_from_outside(page: str):
    found = read(page)
    assert re.findall(r"(?:https?:)?//[\w.-]+\.\w+", page.replace("//evil", "")) == []
    for tag, attributes in found.elements:
        assert tag not in {"img", "iframe", "object", "embed", "form", "base"}
        assert not attributes.get("src")
        assert not [name for name in attributes if name.startswith("on")]
        assert "style" not in attributes
        assert (attributes.get("href") or "#").startswith(("#", "data:,"))


def test_the_policy_allows_this_style_and_script_and_nothing_else(page: str):
    (policy,) = [
        m["content"] for m in read(page).of("meta")
        if m.get("http-equiv") == "Content-Security-Policy"
    ]  # fmt: skip
    assert policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        (inside,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_tables_pictures_and_fields_have_names(page: str):
    found = read(page)
    ids = Counter(a["id"] for _, a in found.elements if a.get("id"))
    assert [name for name, count in ids.items() if count > 1] == []
    assert page.count("<table") == page.count("<caption")
    assert [th for th in found.of("th") if th.get("scope") not in {"col", "row"}] == []
    for svg in found.of("svg"):
        named = svg.get("aria-label") or svg.get("aria-labelledby") or svg.get("aria-hidden")
        assert named
        assert all(name in ids for name in (svg.get("aria-labelledby") or "").split())
    assert [i["id"] for i in found.of("input")] == [label["for"] for label in found.of("label")]
    assert len(found.of("h1")) == len(found.of("main")) == 1
    assert [h["lang"] for h in found.of("html")] == ["en"]


def test_hostile_names_are_text(xnys: ExchangeCalendar):
    page = render(report_rows(xnys, **PAGES["hostile"]))
    assert len(read(page).of("script")) == 1
    assert "alert(1)" in "".join(read(page).texts["strong"])
    for tag in ("<script>alert", "<img", "<b>walk", "<i>why", "<u>too"):
        assert tag not in page


def test_five_hundred_tickers_are_small_and_quick(xnys: ExchangeCalendar):
    rows = report_rows(xnys, [f"T{n:03d}" for n in range(500)], sessions=126)
    start = time.process_time()
    page = render(rows)
    assert time.process_time() - start < 20
    assert len(page.encode()) < 5_000_000
    assert page.count('class="fan"') == 500
    assert len(re.findall(r'class="fan" data-ticker="T\d+" open', page)) == 12


def test_of_thousands_of_tickers_not_every_fan_is_drawn(xnys: ExchangeCalendar):
    page = render(report_rows(xnys, [f"T{n:04d}" for n in range(700)], sessions=2))
    assert page.count('class="fan"') == 600
    assert page.count("<tr data-ticker=") == 700
    assert "These are the first 600 of 700 tickers" in page


def css() -> str:
    return (files("stock_assets.report") / "templates" / "report.css").read_text()


def luminance(colour: str) -> float:
    channels = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("theme", [0, 1])
def test_text_has_the_contrast_of_wcag_aa_in_both_themes(theme: int):
    pairs = re.findall(r"--(\w+): light-dark\((#\w{6}), (#\w{6})\)", css())
    colour = {name: (light, dark)[theme] for name, light, dark in pairs}
    for text in ("ink", "soft", "accent", "good", "bad", "warning", "limit"):
        for ground in ("card", "page"):
            assert contrast(colour[text], colour[ground]) >= 4.5, (text, ground)
    heat = [pair[theme] for pair in re.findall(r"light-dark\((#\w{6}), (#\w{6})\); }", css())]
    assert len(heat) >= 6
    for ground in [*heat, colour["grid"], colour["wide"], colour["narrow"]]:
        assert contrast(colour["ink"], ground) >= 4.5, ground
    # What is drawn rather than written: WCAG 1.4.11.
    for line in ("accent", "second", "third", "walk", "limit", "miss"):
        assert contrast(colour[line], colour["card"]) >= 3, line
