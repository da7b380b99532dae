"""Charts of a session axis, of rows with error bars, of columns: values in, a figure out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date

from markupsafe import Markup

from stock_assets.report.svg import (
    WIDTH,
    Scale,
    drawing,
    element,
    group,
    nice_ticks,
    polyline,
    ribbon,
)

LEFT, RIGHT, TOP, BOTTOM = 46, WIDTH - 10, 12, 22
_LABEL_GAP = 44
_ROW = 30


@dataclass(frozen=True)
class Figure:
    """A drawing with its heading and its key: (class of the colour, words)."""

    title: str
    drawing: Markup
    legend: tuple[tuple[str, str], ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Line:
    """Values by session, None where there is none."""

    name: str
    css: str
    values: Sequence[float | None]


@dataclass(frozen=True)
class Rule:
    """A horizontal line at a value that others are held against."""

    value: float
    css: str = "limit"
    name: str = ""


@dataclass(frozen=True)
class Sessions:
    """What the session axis of a chart shows.

    `shaded`: spans of positions, both inclusive. `ticks`: how a value is written.
    """

    sessions: Sequence[date]
    lines: Sequence[Line]
    ticks: Callable[[float], str]
    rules: Sequence[Rule] = ()
    shaded: Sequence[tuple[int, int]] = ()
    shaded_name: str = ""
    from_zero: bool = False
    height: float = 200
    area: str = field(default="", kw_only=True)
    """The class of an area between the one line and zero."""


def session_chart(key: str, title: str, description: str, shown: Sessions) -> Figure:
    """Lines over sessions, which lie side by side whatever the days between them."""
    values = [v for line in shown.lines for v in line.values if v is not None]
    values += [rule.value for rule in shown.rules]
    values += [0.0] if shown.from_zero or not values else []
    ticks = nice_ticks(min(values), max(values))
    x = session_scale(shown.sessions)
    y = Scale(ticks[0], ticks[-1], shown.height - BOTTOM, TOP)
    step = (RIGHT - LEFT) / max(len(shown.sessions) - 1, 1)
    parts: list[str] = [
        element(
            "rect",
            x=max(x(first) - step / 2, LEFT),
            y=TOP,
            width=max((last - first + 1) * step, 2.0),
            height=shown.height - BOTTOM - TOP,
            class_="episode",
        )
        for first, last in shown.shaded
    ]
    parts += [*value_axis(ticks, y, shown.ticks), *session_axis(shown.sessions, x, shown.height)]
    for line in shown.lines:
        known = [(n, v) for n, v in enumerate(line.values) if v is not None]
        if shown.area and known:
            xs, ys = [x(n) for n, _ in known], [y(v) for _, v in known]
            parts.append(element("path", d=ribbon(xs, [y(0)] * len(xs), ys), class_=shown.area))
        points = [None if v is None else (x(n), y(v)) for n, v in enumerate(line.values)]
        parts.append(element("path", d=polyline(points), class_=f"line {line.css}"))
        if len(known) == 1:
            parts.append(
                element("circle", cx=x(known[0][0]), cy=y(known[0][1]), r=3, class_=line.css)
            )
    parts += [
        element("line", x1=LEFT, x2=RIGHT, y1=y(r.value), y2=y(r.value), class_=f"line {r.css}")
        for r in shown.rules
    ]
    legend = [(line.css, line.name) for line in shown.lines if line.name]
    legend += [(rule.css, rule.name) for rule in shown.rules if rule.name]
    legend += [("episode", shown.shaded_name)] if shown.shaded else []
    return Figure(title, drawing(key, title, description, shown.height, *parts), tuple(legend))


def session_scale(sessions: Sequence[date]) -> Scale:
    return Scale(0, max(len(sessions) - 1, 1), LEFT, RIGHT)


def value_axis(ticks: Sequence[float], y: Scale, written: Callable[[float], str]) -> list[Markup]:
    """Grid lines with their values."""
    return [
        group(
            [
                element("line", x1=LEFT, x2=RIGHT, y1=y(t), y2=y(t), class_="grid"),
                element("text", written(t), x=LEFT - 5, y=y(t) + 4, class_="tick end"),
            ]
        )
        for t in ticks
    ]


def session_axis(sessions: Sequence[date], x: Scale, height: float) -> list[Markup]:
    """The first session of each month by name, or of each year where months are too many."""
    firsts = [n for n, s in enumerate(sessions) if n and s.month != sessions[n - 1].month]
    yearly = len(firsts) > 36
    if yearly:
        firsts = [n for n, s in enumerate(sessions) if n and s.year != sessions[n - 1].year]
    labels = [(n, f"{sessions[n]:%Y}" if yearly else _month(sessions[n])) for n in firsts]
    if not labels and sessions:
        labels = [(n, str(sessions[n])) for n in dict.fromkeys((0, len(sessions) - 1))]
    parts: list[Markup] = []
    free = 0.0
    for n, text in labels:
        at = x(n)
        parts.append(
            element("line", x1=at, x2=at, y1=height - BOTTOM, y2=height - BOTTOM + 4, class_="axis")
        )
        if at >= free and at <= RIGHT - 8:
            anchor = "start" if at < LEFT + 20 else "end" if at > RIGHT - 20 else "middle"
            parts.append(element("text", text, x=at, y=height - 6, class_=f"tick {anchor}"))
            free = at + max(_LABEL_GAP, 7 * len(text))
    base = element("line", x1=LEFT, x2=RIGHT, y1=height - BOTTOM, y2=height - BOTTOM, class_="axis")
    return [base, *parts]


def _month(day: date) -> str:
    return f"{day:%Y}" if day.month == 1 else f"{day:%b}"


@dataclass(frozen=True)
class Estimate:
    """A value with its confidence interval, where one is known, and what it is held against."""

    name: str
    value: float
    bounds: Sequence[float] | None = None
    nominal: float | None = None


def estimate_chart(
    key: str,
    title: str,
    description: str,
    rows: Sequence[Estimate],
    written: Callable[[float], str],
    line_at: float | None = None,
) -> Figure:
    """A row for each estimate: a dot, its error bar, a tick at its nominal value or one line."""
    seen = [v for r in rows for v in (r.value, *(r.bounds or ()))]
    seen += [r.nominal for r in rows if r.nominal is not None]
    seen += [line_at] if line_at is not None else []
    ticks = nice_ticks(min(seen, default=0), max(seen, default=1), about=5)
    height = TOP + len(rows) * _ROW + BOTTOM
    x = Scale(ticks[0], ticks[-1], 138, RIGHT - 12)
    parts: list[str] = []
    for n, tick in enumerate(ticks):
        parts.append(
            element("line", x1=x(tick), x2=x(tick), y1=TOP, y2=height - BOTTOM, class_="grid")
        )
        if len(ticks) <= 5 or n % 2 == 0:
            parts.append(
                element("text", written(tick), x=x(tick), y=height - 6, class_="tick middle")
            )
    if line_at is not None:
        parts.append(
            element(
                "line",
                x1=x(line_at),
                x2=x(line_at),
                y1=TOP,
                y2=height - BOTTOM,
                class_="line limit",
            )
        )
    for n, row in enumerate(rows):
        y = TOP + (n + 0.5) * _ROW
        parts.append(element("text", row.name, x=4, y=y + 4, class_="label"))
        if row.bounds:
            low, high = x(row.bounds[0]), x(row.bounds[1])
            parts.append(element("path", d=_whisker(low, high, y), class_="line whisker"))
        if row.nominal is not None:
            at = x(row.nominal)
            parts.append(element("line", x1=at, x2=at, y1=y - 9, y2=y + 9, class_="line limit"))
        parts.append(element("circle", cx=x(row.value), cy=y, r=5, class_="dot"))
    return Figure(title, drawing(key, title, description, height, *parts))


def _whisker(low: float, high: float, y: float) -> str:
    return "".join(
        (
            polyline([(low, y), (high, y)]),
            polyline([(low, y - 4), (low, y + 4)]),
            polyline([(high, y - 4), (high, y + 4)]),
        )
    )


def column_chart(
    key: str,
    title: str,
    description: str,
    columns: Sequence[tuple[str, float]],
    written: Callable[[float], str],
    expected: float | None = None,
) -> Figure:
    """A column for each name, side by side, with a line where all should end."""
    height = 200.0
    top = max([value for _, value in columns] + ([expected] if expected else []), default=1.0)
    ticks = nice_ticks(0, top)
    y = Scale(0, ticks[-1], height - BOTTOM, TOP)
    step = (RIGHT - LEFT) / max(len(columns), 1)
    parts: list[str] = [*value_axis(ticks, y, written)]
    for n, (name, value) in enumerate(columns):
        x = LEFT + n * step
        parts.append(
            element(
                "rect",
                x=x + 1,
                y=y(value),
                width=max(step - 2, 1.0),
                height=y(0) - y(value),
                class_="column",
            )
        )
        parts.append(element("text", name, x=x + step / 2, y=height - 6, class_="tick middle"))
    if expected is not None:
        at = y(expected)
        parts.append(element("line", x1=LEFT, x2=RIGHT, y1=at, y2=at, class_="line limit"))
    return Figure(title, drawing(key, title, description, height, *parts))


def bar_chart(
    key: str,
    title: str,
    description: str,
    bars: Sequence[tuple[str, float]],
    written: Callable[[float], str],
) -> Figure:
    """A horizontal bar for each name, to the left of zero where negative."""
    row, values = 20, [value for _, value in bars]
    height = TOP + len(bars) * row + 6
    x = Scale(min([*values, 0.0]), max([*values, 0.0]), 142, RIGHT - 52)
    parts: list[str] = [element("line", x1=x(0), x2=x(0), y1=TOP - 4, y2=height - 4, class_="axis")]
    for n, (name, value) in enumerate(bars):
        y = TOP + n * row
        parts.append(element("text", name, x=4, y=y + 12, class_="label"))
        parts.append(
            element(
                "rect",
                x=min(x(0), x(value)),
                y=y + 2,
                width=abs(x(value) - x(0)),
                height=row - 7,
                class_="column",
            )
        )
        end = max(x(0), x(value)) + 4
        parts.append(element("text", written(value), x=end, y=y + 12, class_="tick"))
    return Figure(title, drawing(key, title, description, height, *parts))
