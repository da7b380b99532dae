"""The pipeline under audit: each stage makes the rows of one asset, as a backfill makes them.

They call what the assets call, with a year more or less at hand, and store nothing. So that a
short audit sees much, the model is trained once a month with few trees and its point is not shrunk:
what it learned would be hidden where the slope is zero.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

import polars as pl

from stock_assets.forecasting.evaluation import add_rolling, score_forecasts
from stock_assets.forecasting.families import family_named
from stock_assets.forecasting.features import BAR_SESSIONS, build_features
from stock_assets.forecasting.forecast import ServedModel, Serving, forecast_sessions
from stock_assets.forecasting.forecast_schema import FORECAST_SCHEMA
from stock_assets.forecasting.intervals import adaptive_history, fit_intervals
from stock_assets.forecasting.model import ShrunkRegressor, feature_matrix, fit_one
from stock_assets.forecasting.promotion import ModelVersion
from stock_assets.forecasting.splits import LABELLED_SCHEMA, SplitSessions, labelled_rows
from stock_assets.forecasting.training_months import TrainingMonths
from stock_assets.forecasting.tuning import TuningBudget, search
from stock_assets.leaks.futures import World
from stock_assets.market.bars import quarantine_reason
from stock_assets.market.months import month_of
from stock_assets.market.plausibility import JUDGING_SESSIONS, judge_bars
from stock_assets.market.sessions import ExchangeCalendar

LABELS = ("return_next", "label", "range_variance_next")
"""Columns of a labelled row that are known in its `label_session`; all others are in `session`."""
KNOWN_BY = "known_by"
"""The session by whose close a set or a model is to be known: the calendar alone decides it."""

_SEEN_ROWS = 50  # of the test set, whose forecasts stand for a model
_AROUND = 3  # sessions before and after a cut that are forecast where no model is trained
_MONTH = timedelta(days=31)


@dataclass(frozen=True)
class Plan:
    """How the pipeline is set up.

    Args:
        months: What the calendar says of a month's training.
        budget: Of a month's search.
        trees: Of the model that serves.
        rmse_window: Sessions of the rolling RMSE.
    """

    months: TrainingMonths
    budget: TuningBudget
    trees: int
    rmse_window: int

    @property
    def calendar(self) -> ExchangeCalendar:
        return self.months.calendar

    @property
    def horizon(self) -> int:
        return self.months.horizon


@dataclass(frozen=True)
class Cut:
    """A session at which the future is taken away.

    Args:
        session: The last one that stays.
        month: Whose sets are looked at; None where no month has enough history.
        trains: Whether its model is trained, too.
        because: Why this session, for a person.
    """

    session: date
    month: str | None
    trains: bool
    because: str


@dataclass
class Run:
    """One run of the pipeline in one world; stages leave here what later ones need."""

    world: World
    plan: Plan
    cut: Cut
    frames: dict[str, pl.DataFrame] = field(default_factory=dict)
    served: ServedModel | None = None

    @property
    def split(self) -> SplitSessions | None:
        """The boundaries of the month's sets."""
        return self.plan.months.split(self.cut.month) if self.cut.month else None


@dataclass(frozen=True)
class Stage:
    """One asset of the pipeline.

    Args:
        asset: Its name.
        make: Its rows, from what the run has so far.
        key: Columns that tell rows apart.
        known: The column with the session by whose close a row is to be known.
        earlier: Columns that are to be known before: by the session in which column.
        reach: Sessions before a row's own of which it is made; None where nothing is claimed.
    """

    asset: str
    make: Callable[[Run], pl.DataFrame]
    key: tuple[str, ...]
    known: str
    earlier: Mapping[str, Sequence[str]] = field(default_factory=dict)
    reach: int | None = None


def raw_prices(run: Run) -> pl.DataFrame:
    """Bars as they were first said: what was known of each at its own session's close."""
    return run.world.bars.with_columns(quarantine_reason())


def features(run: Run) -> pl.DataFrame:
    return build_features(run.frames["raw_prices"], run.plan.calendar, run.world.membership)


def labelled_month(run: Run, split: SplitSessions) -> pl.DataFrame:
    """All labelled rows that a month may see; its sets are parts of it."""
    rows = run.frames["features"].filter(
        pl.col("session").is_between(split.train_first, split.trained_through)
    )
    return labelled_rows(rows, run.plan.calendar, run.plan.horizon)


def labelled_between(run: Run, first: date, last: date, known_by: date) -> pl.DataFrame:
    """Labelled rows of some sessions of the month, with the session by which they are known."""
    if not run.split:
        return pl.DataFrame(schema={**LABELLED_SCHEMA, KNOWN_BY: pl.Date()})
    rows = labelled_month(run, run.split).filter(pl.col("session").is_between(first, last))
    return rows.with_columns(pl.lit(known_by).alias(KNOWN_BY))


def train_set(run: Run) -> pl.DataFrame:
    split = run.split
    if not split:
        return labelled_between(run, date.min, date.min, date.min)
    return labelled_between(run, split.train_first, split.train_last, train_set_known(run))


def train_set_known(run: Run) -> date:
    """The last session before the test set: its labels are realised by then."""
    split = run.split
    return run.plan.calendar.offset(split.test_first, -1) if split else date.min


def test_set(run: Run) -> pl.DataFrame:
    split = run.split
    if not split:
        return labelled_between(run, date.min, date.min, date.min)
    return labelled_between(run, split.test_first, split.test_last, split.trained_through)


def tuned_model(run: Run) -> pl.DataFrame:
    """One row: what the month's search, model and intervals are. None where it is not trained."""
    train, test = run.frames["train_set"], run.frames["test_set"]
    return fitted_model(run, train, test)


def fitted_model(run: Run, train: pl.DataFrame, test: pl.DataFrame) -> pl.DataFrame:
    """The model of two sets, left in the run; one row that says what it is."""
    split, budget = run.split, run.plan.budget
    if not run.cut.trains or split is None or train.is_empty() or test.is_empty():
        return pl.DataFrame(schema={"month": pl.String(), KNOWN_BY: pl.Date()})
    family = family_named(budget.family)
    tuning = search(train, budget, params=family.usual or None)
    both = pl.concat([train, test])
    estimator = family.build(tuning.params, both.height, budget.means(run.plan.trees))
    fit_one(estimator, feature_matrix(both), both["label"].to_numpy())
    intervals = fit_intervals(both, run.plan.horizon)
    version = ModelVersion(
        split.trained_through, 1, approved=True, family=budget.family, intervals_approved=True
    )
    run.served = ServedModel(version, ShrunkRegressor(estimator), intervals)
    seen = feature_matrix(test.tail(_SEEN_ROWS))
    return pl.DataFrame(
        {
            "month": [run.cut.month],
            KNOWN_BY: [split.trained_through],
            "rows": [both.height],
            "slope": [tuning.slope.estimate],
            "point": [json.dumps(estimator.predict(seen).tolist())],
            "intervals": [json.dumps(intervals.as_values(), sort_keys=True)],
        }
    )


def daily_forecast(run: Run) -> pl.DataFrame:
    """Forecasts around the cut, as one backfill makes them: all rows are forecast together."""
    rows, calendar, horizon = run.frames["features"], run.plan.calendar, run.plan.horizon
    sessions = forecast_from(run)
    if not sessions:
        return pl.DataFrame(schema=FORECAST_SCHEMA)
    oldest = calendar.between(calendar.first, sessions[0])[-1 - adaptive_history(horizon) :][0]
    return forecast_sessions(
        rows.filter(pl.col("session").is_between(oldest, sessions[-1])),
        {session: calendar.offset(session, horizon) for session in sessions},
        Serving(run.served, run.served),
        calendar,
        horizon,
    )


def forecast_from(run: Run) -> list[date]:
    """Sessions with features that the month's model serves; without one, those by the cut."""
    calendar, cut = run.plan.calendar, run.cut
    if run.served and cut.month:
        start = month_of(cut.month)
        wanted = calendar.between(start, start + _MONTH)
    else:
        before = calendar.between(calendar.first, cut.session)
        wanted = calendar.window_from(before[-_AROUND:][0], 2 * _AROUND)
    there = set(run.frames["features"]["session"].unique())
    return [session for session in wanted if session in there]


def forecast_rmse(run: Run) -> pl.DataFrame:
    """Scores of the forecasts whose target is over."""
    bars, plan = run.frames["raw_prices"], run.plan
    newest: date = bars.select(pl.col("session").max()).item()
    forecasts = run.frames["daily_forecast"].filter(pl.col("target_session") <= newest)
    oldest: date | None = forecasts.select(pl.col("as_of_session").min()).item()
    covered = plan.calendar.between(oldest or newest, newest)
    before = plan.calendar.between(plan.calendar.first, covered[0])
    judged_from = before[-1 - JUDGING_SESSIONS :][0]
    judged = judge_bars(bars.filter(pl.col("session") >= judged_from), plan.calendar)
    scores = score_forecasts(forecasts, judged, plan.horizon)
    return add_rolling(scores, covered, plan.rmse_window)


_BARS = ("ticker", "session")
_SETS = {
    "session": [
        name for name in LABELLED_SCHEMA if name not in {*_BARS, *LABELS, "label_session", KNOWN_BY}
    ],
    "label_session": LABELS,
}
_SET_KEY = (*_BARS, KNOWN_BY)

STAGES: tuple[Stage, ...] = (
    Stage("raw_prices", raw_prices, _BARS, "session", reach=0),
    Stage("features", features, _BARS, "session", reach=BAR_SESSIONS),
    Stage("train_set", train_set, _SET_KEY, KNOWN_BY, _SETS),
    Stage("test_set", test_set, _SET_KEY, KNOWN_BY, _SETS),
    Stage("tuned_model", tuned_model, ("month", KNOWN_BY), KNOWN_BY),
    Stage("daily_forecast", daily_forecast, ("ticker", "as_of_session"), "as_of_session"),
    Stage("forecast_rmse", forecast_rmse, _BARS, "session"),
)
"""The pipeline as it is, in order."""
