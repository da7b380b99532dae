"""The page: every section's content through its template, in one file that asks for nothing else.

A Content-Security-Policy in the file itself allows this very style and script by their hashes, and
nothing from anywhere. Templates escape whatever they are given.
"""

import base64
from collections.abc import Callable
from hashlib import sha256
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from stock_assets.report.fans import OPEN, fans
from stock_assets.report.heading import heading
from stock_assets.report.intervals_right import intervals_right
from stock_assets.report.intervals_useful import coverage_words, intervals_useful
from stock_assets.report.misses import largest_misses
from stock_assets.report.next_session import next_session
from stock_assets.report.numbers import number, percent, price
from stock_assets.report.points_useful import points_useful
from stock_assets.report.prices_seen import prices_seen
from stock_assets.report.rolling_errors import rolling_errors
from stock_assets.report.rows import ReportRows
from stock_assets.report.verdict import verdict
from stock_assets.report.versions import models

SECTIONS: tuple[tuple[str, str, str], ...] = (
    ("verdict", "Verdict", "Verdict"),
    ("next-session", "Next session", "Next session"),
    ("fans", "Fans", "Fan per ticker"),
    ("intervals-right", "Coverage", "Were the intervals right?"),
    ("intervals-useful", "Interval scores", "Were the intervals useful?"),
    ("points-useful", "Points", "Were the points useful?"),
    ("rolling-errors", "Rolling errors", "Rolling errors and alerts"),
    ("models", "Models", "Models"),
    ("data", "Data", "Data"),
    ("misses", "Misses", "Largest ten misses"),
    ("glossary", "Glossary", "Glossary, and this page again"),
)
"""Anchor, its name in the navigation, and heading, in the order of the page."""


def render(rows: ReportRows) -> str:
    """The whole page as HTML.

    Args:
        rows: At least one forecast is among them.
    """
    environment = Environment(
        loader=PackageLoader("stock_assets.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"price": price, "percent": percent, "number": number}
    style, script = (_asset(name) for name in ("report.css", "report.js"))
    return environment.get_template("page.html").render(
        about=rows.about,
        sections=SECTIONS,
        policy=_policy(style, script),
        made_of=made_of(rows.about.command, rows.about.code_hash),
        style=Markup(style),  # noqa: S704  # our own files
        script=Markup(script),  # noqa: S704
        open_fans=OPEN,
        baselines_held=coverage_words(rows),
        **{name: made(rows) for name, made in _CONTENT.items()},
    )


def made_of(command: str, code_hash: str) -> Markup:
    """Stands in the page: what it was asked for, and which code made it."""
    return Markup('<meta name="made-of" content="{} {}">').format(command, code_hash)


_CONTENT: dict[str, Callable[[ReportRows], Any]] = {
    "heading": heading,
    "verdict": verdict,
    "next": next_session,
    "fans": fans,
    "right": intervals_right,
    "useful": intervals_useful,
    "points": points_useful,
    "rolling": rolling_errors,
    "models": models,
    "data": prices_seen,
    "misses": largest_misses,
}


def _asset(name: str) -> str:
    return (files("stock_assets.report") / "templates" / name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """Nothing from outside, and inside only what this program wrote."""

    def hashed(text: str) -> str:
        return f"'sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}'"

    return (
        f"default-src 'none'; style-src {hashed(style)}; script-src {hashed(script)};"
        " img-src data:; base-uri 'none'; form-action 'none'"
    )
