"""The words in which people are told, and the reference by which each message is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from stock_assets.monitoring.absence import Absence, Due
from stock_assets.monitoring.episodes import EpisodeState, Event
from stock_assets.monitoring.live_scores import LiveScore
from stock_assets.monitoring.thresholds import Measure, Thresholds, in_breach

_LINES = 10
RUNBOOK = "docs/alerts.md"
"""Where each alert is explained, in the checkout, under its name."""
_SECTIONS = {
    Event.BREACH: Event.BREACH.value,
    Event.RECOVERY: Event.BREACH.value,
    Absence.MISSING: Absence.MISSING.value,
    Absence.ARRIVED: Absence.MISSING.value,
}
_UNITS = {
    Measure.RETURN: "in log return",
    Measure.USD: "in dollars",
    Measure.RATIO: "beside the random walk's",
}


@dataclass(frozen=True)
class Pending:
    """A message that people were not all told yet.

    Args:
        id: The same however often the message is made.
        event: breach, recovery, missing or arrived.
        session: Partition of `forecast_rmse` where it is recorded.
        title: Of the message.
        body: Of the message.
        kind: How the channel dresses it.
        attempts: That failed so far, of the channel that is behind.
        not_before: Seconds since 1970; the next attempt is due then.
    """

    id: str
    event: str
    session: str
    title: str
    body: str
    kind: Literal["info", "success", "warning", "failure"]
    attempts: int = 0
    not_before: float = 0.0

    @property
    def dataset(self) -> str:
        """Whose errors or forecasts it is about."""
        return self.id.partition("/")[0]


def breach_message(score: LiveScore, thresholds: Thresholds, next_step: str) -> Pending:
    """What is above its threshold, and what is done about it."""
    names = in_breach(score.readings(), thresholds)
    lines = [_reading(name, score, thresholds) for name in names[:_LINES]]
    if len(names) > _LINES:
        lines.append(f"… and {len(names) - _LINES} more")
    return _message(
        score.dataset,
        Event.BREACH,
        score.session,
        f"RMSE above its threshold ({score.dataset}, {score.session})",
        [
            *lines,
            _spoken_of(score),
            next_step,
            "More: `stock-assets report`, or the asset forecast_rmse in Dagster.",
        ],
        "failure",
    )


def recovery_message(score: LiveScore, before: EpisodeState) -> Pending:
    """That all is calm again, and what was not."""
    names = ", ".join(_name(name) for name in before.affected[:_LINES])
    more = len(before.affected) - _LINES
    return _message(
        score.dataset,
        Event.RECOVERY,
        score.session,
        f"RMSE is back below its threshold ({score.dataset}, {score.session})",
        [
            f"In breach since {before.opened}: {names}" + (f" and {more} more" if more > 0 else ""),
            _spoken_of(score),
        ],
        "success",
    )


def missing_message(dataset: str, due: Due, reasons: Sequence[str]) -> Pending:
    return _message(
        dataset,
        Absence.MISSING,
        due.session,
        f"Forecasts or their errors are missing ({dataset}, {due.session})",
        [
            *reasons,
            "See whether the schedule `daily` is on and its last run succeeded; `stock-assets"
            " doctor` looks at the rest.",
        ],
        "failure",
    )


def arrived_message(dataset: str, due: Due, since: str) -> Pending:
    return _message(
        dataset,
        Absence.ARRIVED,
        due.session,
        f"Forecasts and their errors are there again ({dataset}, {due.session})",
        [f"Something was missing since {since}."],
        "success",
    )


def _message(
    dataset: str,
    event: Event | Absence,
    session: str,
    title: str,
    lines: Sequence[str],
    kind: str,
) -> Pending:
    reference = f"{dataset}/{event.value}/{session}"
    means = f"What it means and what to do: {RUNBOOK}#{_SECTIONS[event]}"
    body = "\n".join([*lines, means, f"Reference: {reference}"])
    return Pending(
        id=reference,
        event=event.value,
        session=session,
        title=f"stock_assets: {title}",
        body=body,
        kind="success" if kind == "success" else "failure",
    )


def _spoken_of(score: LiveScore) -> str:
    """Whether the errors are of what users got."""
    share = score.pooled.issued_share or 0.0
    if share == 1:
        return "Scored: forecasts as they were issued."
    if not share:
        return "Scored: hindsight, none of these forecasts was issued before its session opened."
    return f"Scored: {share:.0%} of these forecasts as they were issued, the rest is hindsight."


def _name(name: str) -> str:
    ticker, _, measure = name.rpartition(" ")
    return f"{ticker} {_UNITS[Measure(measure)]}"


def _reading(name: str, score: LiveScore, thresholds: Thresholds) -> str:
    ticker, _, text = name.rpartition(" ")
    measure = Measure(text)
    own = score.groups[ticker]
    value, limit = own.value(measure) or 0.0, thresholds.limit(ticker, measure) or 0.0
    if measure is Measure.USD:
        return f"{ticker}: rolling RMSE ${value:.2f}, threshold ${limit:.2f}"
    if measure is Measure.RATIO:
        return f"{ticker}: rolling RMSE {value:.2f} times the random walk's, threshold {limit:.2f}"
    naive = own.rmse_return_random_walk
    beside = f", random walk {naive:.4f}" if naive is not None else ""
    return f"{ticker}: rolling RMSE {value:.4f} (log return), threshold {limit:.4f}{beside}"
