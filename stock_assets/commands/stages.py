"""The main job over a range: what is missing, and materialising that, stage by stage."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from stock_assets.automation.jobs import DAILY_JOB, MONTHLY_ASSETS, MONTHLY_JOB
from stock_assets.commands.mended_models import restore_registry, with_models_mended
from stock_assets.commands.project import Project, run_partitions
from stock_assets.commands.trained_otherwise import months_of_other_settings
from stock_assets.errors import RateLimitedError, SettingsError, SourceUnreachableError
from stock_assets.forecasting.features import BAR_SESSIONS
from stock_assets.forecasting.intervals import adaptive_history
from stock_assets.market.months import month_key, month_of, months_before
from stock_assets.market.universe import expected_bars, missing_bars
from stock_assets.partitions import session_of, training_months
from stock_assets.resources.io_managers import stored_partitions

STAGES = ("prices", "features", "training", "forecasts", "scores")
_STAGE_OF = {"features": "features", "daily_forecast": "forecasts", "forecast_rmse": "scores"}


@dataclass
class Progress:
    """Lines on standard error while stages work, and how long each took."""

    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))

    def stage(self, name: str, what: str) -> "AbstractContextManager[None]":
        @contextmanager
        def timed() -> Any:
            print(f"{name:<10} {what}", file=sys.stderr, flush=True)
            start = time.monotonic()
            yield
            took = time.monotonic() - start
            self.seconds[name] += took
            print(f"{'':<10} done in {took:.1f} s", file=sys.stderr, flush=True)

        return timed()

    def of(self, total: int) -> Callable[[int], None]:
        """A line for each run of many: how much is done, and how long the rest may take."""
        start = time.monotonic()

        def report(done: int) -> None:
            if done < total:
                left = (time.monotonic() - start) * (total - done) / done
                print(
                    f"{'':<10} {done} of {total}, about {left:.0f} s left",
                    file=sys.stderr,
                    flush=True,
                )

        return report


@dataclass(frozen=True)
class Range:
    """A range of target sessions, and all that must exist upstream of it.

    `targets`: sessions that are scored. `forecasts`: sessions forecast from, from a horizon before
    the first target on; the newest are not scored yet. `months`: those whose version may forecast
    there, and those that lend them parameters. `features`, `prices`: with the history that these
    need.
    """

    targets: tuple[date, ...]
    forecasts: tuple[date, ...]
    months: tuple[str, ...]
    features: tuple[date, ...]
    prices: tuple[date, ...]


def plan_range(project: Project, first: date, last: date) -> Range:
    """What a run over the sessions from `first` to `last` needs.

    Raises:
        SettingsError: No session lies in the range, or the source has none of it.
    """
    partitions, calendar = project.partitions, project.partitions.calendar
    newest = date.fromisoformat(partitions.sessions.get_last_partition_key() or "")
    wanted = calendar.between(first, last)
    targets = tuple(s for s in wanted if partitions.first <= s <= newest)
    if not targets or first > last:
        raise SettingsError(
            f"no session to run in {first}..{last}: {project.prices.source.name} has sessions"
            f" {partitions.first}..{newest} of {calendar.exchange}"
        )

    def since(day: date, sessions_earlier: int = 0) -> tuple[date, ...]:
        start = calendar.between(max(day, partitions.first), newest)[0]
        ordinal = max(0, len(calendar.between(partitions.first, start)) - 1 - sessions_earlier)
        return calendar.between(partitions.first, targets[-1])[ordinal:]

    horizon = project.settings.horizon
    forecasts = since(targets[0], horizon)
    serving = dict.fromkeys(month_key(session) for session in forecasts)
    months = tuple(training_months(project.settings, partitions).with_lenders(serving))
    oldest = months_before(month_of(months[0]), project.settings.train_months)
    # Models learn from the months before, intervals from the sessions before.
    features = max(since(oldest), since(targets[0], horizon + adaptive_history(horizon)), key=len)
    return Range(targets, forecasts, months, features, since(features[0], BAR_SESSIONS))


def materialise_range(
    project: Project, wanted: Range, progress: Progress, fresh: bool = False
) -> None:
    """Materialises what is missing of a range; with `fresh`, models, forecasts and scores anew.

    A month whose version was made with other settings counts as missing.
    """
    due = project.due
    sessions = list(map(str, wanted.forecasts))
    if fresh:
        due.note("registered_version", wanted.months)
        due.note("daily_forecast", sessions)
        due.note("forecast_rmse", map(str, wanted.targets))
    restore_registry(project)
    fill_history(project, wanted, progress)
    stored = stored_partitions(project.store, "registered_version")
    changed = months_of_other_settings(project, wanted.months)
    again = due.keys("registered_version") | changed.keys()
    months = [month for month in wanted.months if month not in stored or month in again]

    def train(months: Sequence[str]) -> None:
        due.note("daily_forecast", (s for s in sessions if month_key(session_of(s)) in months))
        # Also of the sessions that another run will ask for: by then their month has today's key.
        forecast = stored_partitions(project.store, "daily_forecast") if changed else ()
        due.note("daily_forecast", (s for s in forecast if month_key(session_of(s)) in changed))
        with progress.stage("training", f"{len(months)} months {months[0]}..{months[-1]}"):
            _run(project, MONTHLY_JOB, MONTHLY_ASSETS, months, progress)
        due.strike("registered_version", months)

    def mended(work: Callable[[], None]) -> None:
        with_models_mended(project, work, lambda month: train([month]))

    if months:
        mended(lambda: train(months))
    mended(lambda: fill_sessions(project, "daily_forecast", wanted.forecasts, progress))
    fill_sessions(project, "forecast_rmse", wanted.targets, progress)


def fill_history(project: Project, wanted: Range, progress: Progress) -> None:
    """Fetches missing prices and computes the features that they change."""
    fill_prices(project, wanted.prices, progress)
    fill_sessions(project, "features", wanted.features, progress)


def fill_prices(project: Project, sessions: Sequence[date], progress: Progress) -> list[date]:
    """Fetches the bars that are not stored; the sessions that were fetched.

    Sessions that have no object are fetched for all tickers; then each ticker that lacks bars in
    the others (added later, or left out by a partial answer), for itself and if the source has any.
    """
    stored = project.price_history.stored_sessions()
    missing = [session for session in sessions if session not in stored]
    if missing:
        with progress.stage("prices", f"{len(missing)} sessions {missing[0]}..{missing[-1]}"):
            _fetch(project, missing, progress)
    late = _late_bars(project, [session for session in sessions if session in stored])
    for session_group, tickers in late:
        what = f"{', '.join(tickers[:5])}: {len(session_group)} sessions from {session_group[0]}"
        with progress.stage("prices", what):
            _fetch(project, session_group, progress, {"raw_prices": {"tickers": tickers}})
    return sorted({*missing, *(session for group, _ in late for session in group)})


def _late_bars(project: Project, sessions: Sequence[date]) -> list[tuple[list[date], list[str]]]:
    """Bars that the source has and the stored sessions lack: groups of sessions with the tickers.

    Tickers that lack the same sessions form one group.
    """
    if not sessions:
        return []
    bars = project.price_history.bars(sessions, "ticker", "session")
    # A ticker may be listed later, or not trade on a day: only the source knows.
    expected = expected_bars(bars, sessions, project.prices.tickers, project.prices.tickers)
    lacking = missing_bars(expected, bars)
    if lacking.is_empty():
        return []
    tickers = lacking["ticker"].unique(maintain_order=True).to_list()
    try:
        held = project.prices.fetch_or_none(tickers, sessions)
    except (RateLimitedError, SourceUnreachableError) as error:
        if not set(tickers) <= set(bars["ticker"]):
            raise
        # Their other bars are there, and these may never have been: no reason to do nothing.
        print(f"{'prices':<10} not asked for late bars: {error}", file=sys.stderr, flush=True)
        return []
    late = lacking.join(held, on=["ticker", "session"], how="semi")
    groups: dict[tuple[date, ...], list[str]] = {}
    for (ticker,), rows in late.group_by("ticker", maintain_order=True):
        groups.setdefault(tuple(rows["session"].sort()), []).append(str(ticker))
    return [(list(group), tickers) for group, tickers in groups.items()]


def _fetch(
    project: Project,
    sessions: Sequence[date],
    progress: Progress,
    config: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    project.due.note("features", map(str, _touched(project, sessions)))
    _run(project, DAILY_JOB, ["raw_prices"], list(map(str, sessions)), progress, config)


def _touched(project: Project, fetched: Sequence[date]) -> set[date]:
    """The sessions whose features bars of other sessions are in: each, and the window after it."""
    calendar = project.partitions.calendar
    touched: set[date] = set()
    for session in fetched:
        touched.update(calendar.window_from(session, BAR_SESSIONS + 1))
    return touched


def fill_sessions(
    project: Project, asset: str, sessions: Sequence[date], progress: Progress
) -> None:
    """Materialises an asset's sessions that are not stored or due again."""
    due = project.due
    stored = stored_partitions(project.store, asset, "session", str(sessions[0]))
    again = due.keys(asset)
    keys = [key for key in map(str, sessions) if key not in stored or key in again]
    if not keys:
        return
    if asset == "features":
        due.note("daily_forecast", keys)
    elif asset == "daily_forecast":
        # It changes the score of the session after it, and the windows after that.
        later = stored_partitions(project.store, "forecast_rmse", "session", keys[0])
        due.note("forecast_rmse", (key for key in later if key > keys[0]))
    with progress.stage(_STAGE_OF[asset], f"{len(keys)} sessions {keys[0]}..{keys[-1]}"):
        _run(project, DAILY_JOB, [asset], keys, progress)
    due.strike(asset, keys)


def _run(
    project: Project,
    job: str,
    assets: Sequence[str],
    keys: Sequence[str],
    progress: Progress,
    config: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    daily, settings = job == DAILY_JOB, project.settings
    definition = project.partitions.sessions if daily else project.partitions.months
    per_run = settings.sessions_per_run if daily else settings.months_per_run
    all_keys = definition.get_partition_keys()
    reported = progress.of(len(keys))
    run_partitions(project, job, assets, keys, all_keys, per_run, config, reported)
