"""The models: who served when, what the gate said in words, what people promoted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import polars as pl

from stock_assets.report.charts import (
    BOTTOM,
    Figure,
    bar_chart,
    session_axis,
    session_scale,
)
from stock_assets.report.numbers import number, percent
from stock_assets.report.rows import ReportRows
from stock_assets.report.svg import drawing, element

MONTHS = 36
_FEATURES = 10
_LANE = 26
_LANES = (("points", "model_version"), ("intervals", "intervals_version"))


@dataclass(frozen=True)
class Registered:
    """A month's version; texts are ready to show."""

    month: str
    version: str
    trained_through: str
    family: str
    slope: str
    skill: str
    points: str
    intervals: str
    approved: bool
    intervals_approved: bool


@dataclass(frozen=True)
class Promoted:
    version: int
    after: str
    at: str
    parts: str


@dataclass(frozen=True)
class Models:
    registered: Sequence[Registered]
    left_out: int
    promotions: Sequence[Promoted]
    figures: Sequence[Figure]


def models(rows: ReportRows) -> Models:
    """Newest months first."""
    months = sorted(rows.registered, reverse=True)
    figures = [_timeline(rows.forecasts)]
    if (rows.importance["mse_increase"] > 0).any():
        figures.append(_importance(rows.importance))
    return Models(
        [_registered(rows.registered[m], rows.studies.get(m, {})) for m in months[:MONTHS]],
        max(len(months) - MONTHS, 0),
        promotions(rows),
        figures,
    )


def promotions(rows: ReportRows) -> list[Promoted]:
    """What people decided, newest first."""
    found = [
        Promoted(v.version, str(p.after), p.at[:16].replace("T", " "), " and ".join(p.parts))
        for v in rows.versions
        for p in v.promotions
    ]
    return sorted(found, key=lambda one: one.at, reverse=True)


def _registered(value: Mapping[str, Any], study: Mapping[str, Any]) -> Registered:
    version, family = value.get("version"), value.get("family")
    return Registered(
        value["month"],
        "-" if version is None else str(version),
        value.get("trained_through") or "-",
        (family or "no model").replace("_", " "),
        number(study.get("slope"), 3),
        percent(study.get("test_skill"), digits=2, sign=True),
        value["reason"],
        value.get("intervals_reason", "-"),
        bool(value["approved"]),
        bool(value.get("intervals_approved")),
    )


def _timeline(forecasts: pl.DataFrame) -> Figure:
    """Which version served from which session on: its number where there is room for it."""
    sessions: list[date] = forecasts["as_of_session"].unique().sort().to_list()
    place = {session: n for n, session in enumerate(sessions)}
    x, height = session_scale(sessions), 8.0 + len(_LANES) * _LANE + BOTTOM + 6
    parts: list[str] = [*session_axis(sessions, x, height)]
    said = []
    for lane, (name, column) in enumerate(_LANES):
        y = 8.0 + lane * _LANE
        parts.append(element("text", name, x=0, y=y + 14, class_="tick small"))
        for n, (version, first, last) in enumerate(_spells(forecasts, column)):
            left = x(max(place[first] - 0.5, 0))
            right = x(min(place[last] + 0.5, max(len(sessions) - 1, 1)))
            css = "bare" if version is None else f"spell-{n % 2}"
            parts.append(
                element(
                    "rect",
                    x=left,
                    y=y,
                    width=max(right - left - 1, 1.0),
                    height=_LANE - 6,
                    rx=3,
                    class_=css,
                )
            )
            text = "none" if version is None else f"v{version}"
            if right - left > 7 * len(text) + 4:
                middle = (left + right) / 2
                parts.append(element("text", text, x=middle, y=y + 14, class_="tick middle spell"))
            said.append(f"{name} of {first}..{last} by {text}")
    return Figure(
        "Who served when",
        drawing("served", "Versions by session", "; ".join(said[:40]) + ".", height, *parts),
        note="By the session from which was forecast; “none”: the random walk or a normal law.",
    )


def _spells(forecasts: pl.DataFrame, column: str) -> list[tuple[int | None, date, date]]:
    """Runs of sessions in which most forecasts were one version's."""
    served = (
        forecasts.group_by("as_of_session")
        .agg(version=pl.col(column).mode(maintain_order=True).first())
        .sort("as_of_session")
        .with_columns(run=pl.col("version").rle_id())
    )
    return [
        (version, first, last)
        for _, version, first, last in served.group_by("run", maintain_order=True)
        .agg(
            version=pl.col("version").first(),
            first=pl.col("as_of_session").min(),
            last=pl.col("as_of_session").max(),
        )
        .iter_rows()
    ]


def _importance(importance: pl.DataFrame) -> Figure:
    heard = importance.filter(pl.col("mse_increase") > 0)
    top = heard.sort("mse_increase", descending=True).head(_FEATURES)
    bars = [(str(name).replace("_", " "), float(value)) for name, value in top.iter_rows()]
    figure = bar_chart(
        "importance",
        "What the newest model listens to",
        "; ".join(f"{name} {value:+.2g}" for name, value in bars) + ".",
        bars,
        lambda v: f"{v:+.4f}",
    )
    note = (
        "By how much shuffling a feature raises the squared error on the test set, in units of"
        " volatility squared; of the model before its slope."
    )
    return replace(figure, note=note)
