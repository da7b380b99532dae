"""Rolling RMSE with the random walk's, the thresholds, and the episodes in which one was broken."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from stock_assets.monitoring.episodes import EpisodeState, Event, Rules, judge
from stock_assets.monitoring.thresholds import POOLED, Measure, Readings, Thresholds
from stock_assets.report.charts import Figure, Line, Rule, Sessions, session_chart
from stock_assets.report.numbers import counted, number, percent, price
from stock_assets.report.rows import ReportRows
from stock_assets.report.verdict import breach_words

_NAMED = 6


@dataclass(frozen=True)
class Episode:
    """`ended` is empty for one that is open."""

    opened: str
    ended: str
    affected: str


@dataclass(frozen=True)
class Reading:
    """A group's newest rolling errors, those with the least room first."""

    name: str
    rmse: str
    random_walk: str
    usd: str
    limit: str
    room: str


@dataclass(frozen=True)
class RollingErrors:
    says: str
    figures: Sequence[Figure]
    episodes: Sequence[Episode]
    newest: Sequence[Reading]


def rolling_errors(rows: ReportRows) -> RollingErrors:
    window, thresholds = rows.about.window, rows.thresholds
    if not rows.breaches[0]:
        return RollingErrors("Nothing was scored yet.", [], [], [])
    found = episodes(rows.readings, thresholds, rows.rules)
    says = f"Over the last {window} sessions each. " + (
        "No threshold was broken in the range." if not found else _counted_episodes(found)
    )
    sessions = [date.fromisoformat(session) for session in rows.readings]
    place = {str(session): n for n, session in enumerate(sessions)}
    shaded = [(place[e.opened], place[e.ended] if e.ended else len(sessions) - 1) for e in found]
    return RollingErrors(
        says,
        [_figure(rows, sessions, shaded), _ratio_figure(rows, sessions, shaded)],
        found,
        _newest(rows),
    )


def _counted_episodes(found: Sequence[Episode]) -> str:
    still = "" if found[-1].ended else "; the last is still open"
    return f"{counted(len(found), 'episode')} above a threshold{still}."


def episodes(
    readings: Mapping[str, Readings], thresholds: Thresholds, rules: Rules
) -> list[Episode]:
    """What the sensor would have said of these sessions, had it watched from the first one on."""
    state, found = EpisodeState(), list[Episode]()
    for session, values in readings.items():
        before = state
        state, event = judge(state, session, values, thresholds, rules)
        if event is Event.RECOVERY:
            found.append(Episode(before.opened, session, _affected(before)))
    if state.opened:
        found.append(Episode(state.opened, "", _affected(state)))
    return found


def _affected(state: EpisodeState) -> str:
    more = len(state.affected) - _NAMED
    named = ", ".join(map(breach_words, state.affected[:_NAMED]))
    return named + (f" and {more} more" if more > 0 else "")


def _values(rows: ReportRows, group: str, measure: Measure) -> list[float | None]:
    return [readings.get(group, {}).get(measure) for readings in rows.readings.values()]


def _random_walk(rows: ReportRows) -> list[float | None]:
    """The pooled random walk's rolling RMSE: ours over the ratio of both."""
    own, ratio = (_values(rows, POOLED, m) for m in (Measure.RETURN, Measure.RATIO))
    return [o / r if o is not None and r else None for o, r in zip(own, ratio, strict=True)]


def _figure(
    rows: ReportRows, sessions: Sequence[date], shaded: Sequence[tuple[int, int]]
) -> Figure:
    groups = sorted({group for readings in rows.readings.values() for group in readings} - {POOLED})
    pooled = _values(rows, POOLED, Measure.RETURN)
    lines = [
        Line("largest ticker", "series-50", _largest(rows)),
        Line("all tickers", "series-95", pooled),
        Line("random walk", "walk", _random_walk(rows)),
    ]
    limit = rows.thresholds.of_all.get(Measure.RETURN)
    return session_chart(
        "rolling-rmse",
        "Rolling RMSE of the log return",
        f"Of {len(groups)} tickers pooled, at the end {percent(pooled[-1], digits=2)}; the largest"
        f" ticker's {percent(lines[0].values[-1], digits=2)};"
        f" {'threshold ' + percent(limit, digits=1) if limit else 'no common threshold'}.",
        Sessions(
            sessions,
            lines,
            lambda v: percent(v, digits=1),
            [Rule(limit, name="threshold")] if limit else [],
            shaded,
            "episode",
            from_zero=True,
        ),
    )


def _largest(rows: ReportRows) -> list[float | None]:
    found: list[float | None] = []
    for readings in rows.readings.values():
        values = [
            v[Measure.RETURN]
            for g, v in readings.items()
            if g != POOLED and v.get(Measure.RETURN) is not None
        ]
        found.append(max((v for v in values if v is not None), default=None))
    return found


def _ratio_figure(
    rows: ReportRows, sessions: Sequence[date], shaded: Sequence[tuple[int, int]]
) -> Figure:
    ratio = _values(rows, POOLED, Measure.RATIO)
    limit = rows.thresholds.of_all.get(Measure.RATIO)
    rules = [Rule(1.0, "walk", "random walk")]
    if limit:
        rules.append(Rule(limit, name="threshold"))
    return session_chart(
        "rolling-ratio",
        "Rolling RMSE over the random walk's",
        f"All tickers pooled, at the end {number(ratio[-1], 3)}; below 1 is better.",
        Sessions(
            sessions,
            [Line("all tickers", "series-95", ratio)],
            lambda v: number(v, 3),
            rules,
            shaded,
            "episode",
        ),
    )


def _newest(rows: ReportRows) -> list[Reading]:
    """Of the newest scored session, by how near each is to its limit, up to a table's worth."""
    readings = rows.readings[rows.breaches[0]]

    def room(group: str) -> float:
        value = readings[group].get(Measure.RETURN)
        limit = rows.thresholds.limit(group, Measure.RETURN)
        return value / limit if value is not None and limit else -math.inf

    found = []
    for group in sorted(readings, key=lambda g: (g != POOLED, -room(g), g))[: 2 * _NAMED + 1]:
        values = readings[group]
        own, ratio = values.get(Measure.RETURN), values.get(Measure.RATIO)
        limit = rows.thresholds.limit(group, Measure.RETURN)
        usd = values.get(Measure.USD)
        found.append(
            Reading(
                "all tickers" if group == POOLED else group,
                percent(own, digits=2),
                percent(own / ratio if own is not None and ratio else None, digits=2),
                price(usd),
                percent(limit, digits=1),
                percent(room(group), digits=0) if limit else "-",
            )
        )
    return found
