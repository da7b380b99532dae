"""The data: which bars are there, what is in quarantine, what was revised, splits and dividends."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl
from markupsafe import Markup

from stock_assets.report.charts import Figure
from stock_assets.report.numbers import counted, price
from stock_assets.report.rows import ReportRows
from stock_assets.report.svg import WIDTH, drawing, element

WEEKS = 53
_LISTED = 25
_TOP, _LEFT = 18.0, 30.0
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True)
class Listing:
    """A table of what happened to bars; `left_out`: older rows than are listed."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    left_out: int
    none: str


@dataclass(frozen=True)
class PricesSeen:
    says: str
    figures: Sequence[Figure]
    listings: Sequence[Listing]


def prices_seen(rows: ReportRows) -> PricesSeen:
    days = bars_by_session(rows)
    missing = sum(max(expected - there, 0) for _, there, expected, _ in days)
    apart = sum(quarantined for *_, quarantined in days)
    bars = sum(there for _, there, _, _ in days)
    says = (
        f"{counted(bars, 'bar')} of {counted(len(days), 'session')},"
        f" {counted(missing, 'expected bar')} missing, {apart:,} in quarantine."
    )
    shown = rows.bars.filter(pl.col("session") >= rows.about.sessions[0])
    return PricesSeen(
        says,
        [_calendar(days, says)],
        [_quarantined(shown), _revised(shown), _events(shown)],
    )


def bars_by_session(rows: ReportRows) -> list[tuple[date, int, int, int]]:
    """Session, bars, bars expected and bars in quarantine, of the calendar's sessions.

    A ticker is expected from its first bar on.
    """
    bars = rows.bars
    firsts = bars.group_by("ticker").agg(pl.col("session").min())["session"].to_list()
    counts = {
        session: (there, apart)
        for session, there, apart in bars.group_by("session")
        .agg(pl.len(), pl.col("quarantine_reason").is_not_null().sum().alias("apart"))
        .iter_rows()
    }
    found = []
    for session in rows.about.sessions:
        there, apart = counts.get(session, (0, 0))
        found.append((session, there, sum(first <= session for first in firsts), apart))
    return found


def _calendar(days: Sequence[tuple[date, int, int, int]], says: str) -> Figure:
    """A column a week, Monday on top; the newest year at most."""
    shown = days[-5 * WEEKS :]
    monday = shown[0][0] - timedelta(days=shown[0][0].weekday())
    weeks = (shown[-1][0] - monday).days // 7 + 1
    rows = max(day.weekday() for day, *_ in shown) + 1
    size = min((WIDTH - _LEFT - 4) / weeks, 13.0)
    parts: list[Markup] = [
        element("text", _DAYS[n], x=0, y=_TOP + n * size + size * 0.8, class_="tick small")
        for n in range(0, rows, 2)
    ]
    labelled, free = set[tuple[int, int]](), 0.0
    for day, there, expected, apart in shown:
        x = _LEFT + (day - monday).days // 7 * size
        y = _TOP + day.weekday() * size
        if (day.year, day.month) not in labelled and x >= free:
            text = f"{day:%b}" if day.month > 1 else f"{day:%Y}"
            parts.append(element("text", text, x=x, y=_TOP - 6, class_="tick small"))
            free = x + 30
        labelled.add((day.year, day.month))
        css = _state(there, expected, apart)
        parts.append(
            element("rect", x=x, y=y, width=size - 1.5, height=size - 1.5, rx=2, class_=css)
        )
    legend = (
        ("day-full", "every expected bar"),
        ("day-part", "some missing"),
        ("day-apart", "some in quarantine"),
        ("day-none", "no bar"),
    )
    return Figure(
        "Bars by session",
        drawing("bars", "Calendar of bars", says, _TOP + rows * size + 4, *parts),
        legend,
    )


def _state(there: int, expected: int, apart: int) -> str:
    if there == 0:
        return "day-none"
    if apart:
        return "day-apart"
    return "day-full" if there >= expected else "day-part"


def _listing(
    title: str, columns: Sequence[str], found: Sequence[Sequence[str]], none: str
) -> Listing:
    return Listing(title, columns, found[:_LISTED], max(len(found) - _LISTED, 0), none)


def _quarantined(bars: pl.DataFrame) -> Listing:
    rows = bars.filter(pl.col("quarantine_reason").is_not_null()).sort(
        "session", "ticker", descending=[True, False]
    )
    found = [
        (str(s), t, price(c), r)
        for s, t, c, r in rows.select("session", "ticker", "close", "quarantine_reason").iter_rows()
    ]
    return _listing(
        "Quarantine", ("session", "ticker", "close", "reason"), found, "No bar is in quarantine."
    )


def _revised(bars: pl.DataFrame) -> Listing:
    found = []
    if "revisions" in bars.columns:
        rows = (
            bars.select("session", "ticker", "revisions")
            .filter(pl.col("revisions").list.len() > 0)
            .explode("revisions")
            .unnest("revisions")
            .sort("revised_at", "session", "ticker", descending=True)
        )
        found = [
            (str(row["session"]), row["ticker"], row["column"], _exact(row["from"]),
             _exact(row["to"]), f"{row['revised_at']:%Y-%m-%d %H:%M}")
            for row in rows.iter_rows(named=True)
        ]  # fmt: skip
    return _listing(
        "Revisions",
        ("session", "ticker", "column", "from", "to", "revised at"),
        found,
        "The source revised no stored bar.",
    )


def _events(bars: pl.DataFrame) -> Listing:
    rows = bars.filter(
        (pl.col("split_ratio").fill_null(1.0) != 1.0) | (pl.col("dividend").fill_null(0.0) != 0.0)
    ).sort("session", "ticker", descending=[True, False])
    found = []
    for row in rows.iter_rows(named=True):
        ratio, dividend = row["split_ratio"], row["dividend"]
        what = [f"split {_exact(ratio)} for 1"] if ratio not in {None, 1.0} else []
        what += [f"dividend {_exact(dividend)} per share"] if dividend else []
        found.append((str(row["session"]), row["ticker"], ", ".join(what)))
    return _listing(
        "Splits and dividends", ("session", "ticker", "event"), found, "No split and no dividend."
    )


def _exact(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.6g}"
