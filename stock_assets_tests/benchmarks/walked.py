"""A walk forward without Dagster: intervals refitted each month, forecasts around no change."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import polars as pl

TRAIN_MONTHS = 36


def months_between(first: date, last: date) -> Iterator[tuple[date, date]]:
    """First and last day of the months from that of `first` to that of `last`."""
    month = first.replace(day=1)
    while month <= last:
        following = (month + timedelta(days=31)).replace(day=1)
        yield month, following - timedelta(days=1)
        month = following


def walk_forward(bars: pl.DataFrame, calendar: Any, first: date, last: date) -> pl.DataFrame:
    """Scores of the forecasts made from each session of the months of `first` to `last`.

    Args:
        bars: BAR_SCHEMA, from TRAIN_MONTHS before `first` on where they exist.
        calendar: Of the exchange.
        first: A day of the first month forecast.
        last: The last session with bars: the last target.

    Returns:
        SCORE_SCHEMA without the rolling columns.
    """
    from stock_assets.forecasting.evaluation import score_forecasts
    from stock_assets.forecasting.features import build_features
    from stock_assets.forecasting.intervals import adaptive_history, fit_intervals
    from stock_assets.forecasting.splits import labelled_rows
    from stock_assets.market.plausibility import judge_bars

    judged = judge_bars(bars, calendar)
    features = build_features(judged, calendar)
    rows = labelled_rows(features, calendar)
    forecasts = []
    for month, month_end in months_between(first, last):
        sessions = calendar.between(month, month_end)
        targets = {day: calendar.next_session(day) for day in sessions if day < last}
        if not targets:
            continue
        through = calendar.last_before(month)
        oldest = month.replace(year=month.year - TRAIN_MONTHS // 12)
        known = rows.filter((pl.col("session") >= oldest) & (pl.col("label_session") <= through))
        needed = features.filter(
            pl.col("session").is_between(
                calendar.offset(min(targets), -adaptive_history(1)), max(targets)
            )
        )
        forecasts.append(_forecast(needed, targets, fit_intervals(known), through, calendar))
    return score_forecasts(pl.concat(forecasts), judged)


def _forecast(
    features: pl.DataFrame,
    targets: dict[date, date],
    intervals: Any,
    through: date,
    calendar: Any,
) -> pl.DataFrame:
    """By a version whose point forecast is the random walk."""
    from stock_assets.forecasting.forecast import ServedModel, Serving, forecast_sessions
    from stock_assets.forecasting.model import ShrunkRegressor
    from stock_assets.forecasting.promotion import RANDOM_WALK, ModelVersion

    version = ModelVersion(through, 1, approved=True, family=RANDOM_WALK)
    served = ServedModel(version, ShrunkRegressor(None, 0.0), intervals)
    return forecast_sessions(features, targets, Serving(served, served), calendar)
