"""What the page is about, and three lights: data, model, alerts."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from stock_assets.forecasting.promotion import RANDOM_WALK
from stock_assets.report.numbers import counted
from stock_assets.report.rows import ReportRows

GOOD, WARNING, BAD = "good", "warning", "bad"
_WORDS = {GOOD: "in order", WARNING: "look at it", BAD: "act"}


@dataclass(frozen=True)
class Light:
    """A state by colour and by word: nobody needs to see the colour."""

    name: str
    state: str
    says: str

    @property
    def word(self) -> str:
        return _WORDS[self.state]


@dataclass(frozen=True)
class Heading:
    """Facts are (name, value)."""

    dataset: str
    target: str
    as_of: str
    lights: Sequence[Light]
    facts: Sequence[tuple[str, str]]
    random_walk: str


def heading(rows: ReportRows) -> Heading:
    about, newest = rows.about, rows.newest
    first = newest.row(0, named=True)
    as_of, target = first["as_of_session"], first["target_session"]
    points = _versions(newest, "model_version")
    intervals = _versions(newest, "intervals_version")
    through = newest["trained_through"].max()
    facts = [
        ("Range", f"{about.sessions[0]} .. {about.sessions[-1]}, as targets"),
        ("Tickers", f"{newest['ticker'].n_unique():,}"),
        ("Points by", points or "the random walk, without a version"),
        ("Intervals by", intervals or "a normal law, without a version"),
        ("Trained through", str(through) if through else "-"),
        ("Code", about.code_hash[:12]),
        ("Settings", about.settings_key[:12]),
        ("Made", f"{about.made_at:%Y-%m-%d %H:%M} UTC"),
    ]
    if about.left_out:
        facts.insert(1, ("Left out", f"{counted(about.left_out, 'earlier session')}"))
    lights = [
        data_light(rows, as_of),
        model_light(newest),
        alerts_light(*rows.breaches),
    ]
    return Heading(
        about.dataset, str(target), str(as_of), lights, facts, _random_walk_words(newest)
    )


def data_light(rows: ReportRows, as_of: date) -> Light:
    """How old the newest forecast's prices are, in sessions."""
    about = rows.about
    due = about.newest_due
    late = bisect_right(about.sessions, due) - bisect_left(about.sessions, as_of) - 1
    if late > 0:
        state = WARNING if late == 1 else BAD
        says = f"prices through {as_of}; {counted(late, 'session')} behind {due}"
        return Light("Data", state, says)
    apart = rows.bars.filter(
        (pl.col("session") == as_of) & pl.col("quarantine_reason").is_not_null()
    ).height
    if apart:
        says = f"{counted(apart, 'bar')} of {as_of} in quarantine"
        return Light("Data", WARNING, says)
    ends = "the newest there is" if about.goes_on else "where the source ends"
    return Light("Data", GOOD, f"prices through {as_of}, {ends}")


def model_light(newest: pl.DataFrame) -> Light:
    """Who forecasts, and whether a version stands behind all of it."""
    fallback = int(newest["is_fallback"].sum())
    bare = int(newest["lower_95_usd"].is_null().sum())
    if fallback == newest.height:
        return Light("Model", BAD, "no version serves: the random walk forecasts in its place")
    if fallback or bare:
        said = [f"{fallback} forecasts without a version"] if fallback else []
        said += [f"{bare} without an interval"] if bare else []
        return Light("Model", WARNING, ", ".join(said))
    names = ", ".join(sorted(newest["model"].unique())).replace("_", " ")
    is_walk = (newest["model"] == RANDOM_WALK).all()
    who = "the random walk is champion" if is_walk else f"{names} serves"
    if intervals := _versions(newest, "intervals_version"):
        return Light("Model", GOOD, f"{who}, intervals by {intervals}")
    return Light("Model", WARNING, f"{who}; no intervals are approved, a normal law's stand in")


def alerts_light(session: str, breaches: Sequence[str]) -> Light:
    if not session:
        return Light("Alerts", WARNING, "nothing was scored yet")
    if breaches:
        return Light("Alerts", BAD, f"{counted(len(breaches), 'rolling error')} above its limit")
    return Light("Alerts", GOOD, "nothing is above its threshold")


def _versions(newest: pl.DataFrame, column: str) -> str:
    known: list[Any] = sorted(newest[column].drop_nulls().unique().to_list())
    if not known:
        return ""
    return f"version {', '.join(map(str, known))}"


def _random_walk_words(newest: pl.DataFrame) -> str:
    """Said in plain words where no model has a part in the points."""
    if not (newest["model"] == RANDOM_WALK).all():
        return ""
    if newest["is_fallback"].all():
        return (
            "No version serves yet, so these points are the random walk's: tomorrow's close is"
            " today's. They are no opinion about where a price goes."
        )
    return (
        "The random walk is champion: out of sample no model could be told from noise, so the"
        " forecast of each close is today's close. It is no opinion about where a price goes; what"
        " is worth reading is how wide the intervals are."
    )
