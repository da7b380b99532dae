"""Pieces of inline SVG: elements, paths, scales. Colours are classes, which the page's CSS fills.

All charts are WIDTH wide in their own units, a phone's width, so that text stays readable there.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH = 360
Point = tuple[float, float]


def element(name: str, *children: str, **attributes: object) -> Markup:
    """An element whose texts and values are escaped; `class_` and `stroke_width` as in SVG."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_value(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inside = "".join(escape(child) for child in children)
    return Markup(f"<{name}{written}>{inside}</{name}>")  # noqa: S704  # escaped above


def group(children: Iterable[str], **attributes: object) -> Markup:
    return element("g", *children, **attributes)


def _value(value: object) -> str:
    return number(value) if isinstance(value, float) else str(value)


def number(value: float) -> str:
    """A tenth of a unit is less than a pixel."""
    return f"{value:.1f}".removesuffix(".0")


def drawing(key: str, title: str, description: str, height: float, *children: str) -> Markup:
    """A whole picture that a screen reader can name and describe.

    Args:
        key: Unique on the page.
        title: What it is.
        description: What it shows, in words and numbers.
        height: In its own units.
        children: Back to front.
    """
    return element(
        "svg",
        element("title", title, id=f"{key}-title"),
        element("desc", description, id=f"{key}-desc"),
        *children,
        viewBox=f"0 0 {WIDTH} {number(height)}",
        role="img",
        aria_labelledby=f"{key}-title {key}-desc",
    )


def polyline(points: Iterable[Point | None]) -> str:
    """The `d` of a path through points; None is a gap."""
    parts, pen = [], "M"
    for point in points:
        if point is None:
            pen = "M"
            continue
        parts.append(f"{pen}{number(point[0])} {number(point[1])}")
        pen = "L"
    return "".join(parts)


def ribbon(xs: Sequence[float], lower: Sequence[float], upper: Sequence[float]) -> str:
    """The `d` of an area between two lines."""
    there = list(zip(xs, upper, strict=True))
    back = list(zip(reversed(xs), reversed(lower), strict=True))
    return f"{polyline([*there, *back])}Z" if there else ""


@dataclass(frozen=True)
class Scale:
    """A straight line from a domain of values to a range of units."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        span = self.high - self.low or 1.0
        return self.start + (value - self.low) / span * (self.end - self.start)

    def clipped(self, value: float) -> float:
        """At the edge for what lies outside."""
        return self(min(max(value, self.low), self.high))


def nice_ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round values that span a range: from at most `low` to at least `high`."""
    if not high > low:
        low, high = low - (abs(low) * 0.1 or 1.0), high + (abs(high) * 0.1 or 1.0)
    raw = (high - low) / about
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(size * m for m in (1, 2, 2.5, 5, 10) if size * m >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [n * step for n in range(first, last + 1)]
