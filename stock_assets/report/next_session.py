"""The coming session: per ticker close, forecast, intervals on one scale, who made it, flags."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
from markupsafe import Markup

from stock_assets.forecasting.promotion import RANDOM_WALK
from stock_assets.report.numbers import percent
from stock_assets.report.rows import ReportRows
from stock_assets.report.svg import Scale, element, nice_ticks

_BAR, _BAR_HEIGHT = 200, 22
_WIDE, _NARROW = 1.5, 0.67
_SHOWN = 0.98
"""Share of the tickers whose bars fit the common scale; the others' end at its edge."""


@dataclass(frozen=True)
class Coming:
    """One ticker's forecast. Intervals are relative to the close; None where there are none."""

    ticker: str
    close: float
    forecast: float
    change: float
    bounds_80: tuple[float, float] | None
    bounds_95: tuple[float, float] | None
    width_ratio: float | None
    made_by: str
    flags: tuple[str, ...]
    bar: Markup

    @property
    def width(self) -> float | None:
        return self.bounds_95[1] - self.bounds_95[0] if self.bounds_95 else None


@dataclass(frozen=True)
class NextSession:
    """`reach`: the scale's end on either side, as a share of the close."""

    rows: Sequence[Coming]
    reach: float


def next_session(rows: ReportRows) -> NextSession:
    """The newest forecasts, by ticker."""
    median = _median_widths(rows.forecasts)
    flagged = rows.breaches[1]
    found = [_coming(row, median, flagged) for row in rows.newest.iter_rows(named=True)]
    reaches = sorted(max(map(abs, one[2])) for one in found if one[2])
    reach = nice_ticks(0, reaches[int((len(reaches) - 1) * _SHOWN)], 4)[-1] if reaches else 0.05
    shown = []
    for row, bounds_80, bounds_95, flags, ratio in found:
        shown.append(
            Coming(
                row["ticker"],
                row["close_usd"],
                row["forecast_close_usd"],
                row["forecast_close_usd"] / row["close_usd"] - 1,
                bounds_80,
                bounds_95,
                ratio,
                made_by(row),
                flags,
                _bar(row, bounds_80, bounds_95, reach),
            )
        )
    return NextSession(shown, reach)


def _median_widths(forecasts: pl.DataFrame) -> dict[str, float]:
    width = (pl.col("upper_95_usd") - pl.col("lower_95_usd")) / pl.col("close_usd")
    return dict(
        forecasts.group_by("ticker").agg(width.median().alias("width")).drop_nulls().iter_rows()
    )


def _coming(row: dict[str, Any], medians: dict[str, float], breaches: Sequence[str]) -> Any:
    bounds_80, bounds_95 = _relative(row, 80), _relative(row, 95)
    median = medians.get(row["ticker"])
    ratio = (bounds_95[1] - bounds_95[0]) / median if bounds_95 and median else None
    flags = []
    if row["is_fallback"]:
        flags.append(f"no version: {row['fallback_reason'] or 'random walk'}")
    if bounds_95 is None:
        flags.append("no interval: too little history")
    if ratio is not None and ratio >= _WIDE:
        flags.append("unusually wide")
    if ratio is not None and ratio <= _NARROW:
        flags.append("unusually narrow")
    if any(name.rpartition(" ")[0] == row["ticker"] for name in breaches):
        flags.append("above its threshold")
    return row, bounds_80, bounds_95, tuple(flags), ratio


def _relative(row: dict[str, Any], coverage: int) -> tuple[float, float] | None:
    lower, upper, close = (
        row[f"lower_{coverage}_usd"],
        row[f"upper_{coverage}_usd"],
        row["close_usd"],
    )
    return None if lower is None or upper is None else (lower / close - 1, upper / close - 1)


def made_by(row: dict[str, Any]) -> str:
    """Who made the point, and whose intervals they are where that is another."""
    version = None if row["is_fallback"] else row["model_version"]
    intervals = row.get("intervals_version")
    of_point = "" if version is None else f" v{version}"
    of_intervals = "" if intervals == version else f", intervals v{intervals}"
    if intervals is None:
        of_intervals = "" if row["lower_95_usd"] is None else ", normal law"
    return f"{row['model'].replace('_', ' ')}{of_point}{of_intervals}"


def _bar(
    row: dict[str, Any],
    bounds_80: tuple[float, float] | None,
    bounds_95: tuple[float, float] | None,
    reach: float,
) -> Markup:
    x = Scale(-reach, reach, 4, _BAR - 4)
    parts = [element("line", x1=x(0), x2=x(0), y1=1, y2=_BAR_HEIGHT - 1, class_="axis")]
    said = "no interval"
    for css, bounds, height in (("band-95", bounds_95, 8), ("band-80", bounds_80, 14)):
        if bounds is None:
            continue
        left, right = x.clipped(bounds[0]), x.clipped(bounds[1])
        parts.append(
            element(
                "rect",
                x=left,
                y=(_BAR_HEIGHT - height) / 2,
                width=right - left,
                height=height,
                rx=2,
                class_=css,
            )
        )
    if bounds_95 and bounds_80:
        said = (
            f"80 %: {percent(bounds_80[0], digits=1, sign=True)} to"
            f" {percent(bounds_80[1], digits=1, sign=True)}; 95 %:"
            f" {percent(bounds_95[0], digits=1, sign=True)} to"
            f" {percent(bounds_95[1], digits=1, sign=True)}"
        )
    change = x.clipped(row["forecast_close_usd"] / row["close_usd"] - 1)
    is_own = row["model"] != RANDOM_WALK
    parts.append(
        element("circle", cx=change, cy=_BAR_HEIGHT / 2, r=4, class_="dot" if is_own else "walk")
    )
    return element(
        "svg",
        *parts,
        viewBox=f"0 0 {_BAR} {_BAR_HEIGHT}",
        role="img",
        aria_label=f"{row['ticker']} {said}",
        class_="bar",
    )
