"""The model card of a version: what it is, what it saw, how it did, what it can't do."""

from stock_assets.forecasting.features import FEATURES
from stock_assets.forecasting.gate import GateDecision
from stock_assets.forecasting.intervals import target_words
from stock_assets.forecasting.promotion import RANDOM_WALK
from stock_assets.forecasting.study import Study

_LIMITS = """\
- Daily returns are close to a random walk: expect no gain in the point forecast worth a trade. The
  intervals are what this version is for.
- It knows prices and volumes alone: no news, no earnings dates, no opening auctions to come.
- Intervals of a ticker with fewer than 64 bars are the market's, those of one with fewer than 250
  labelled sessions have no quantiles of its own.
- On the first session of a shock every interval is too narrow; they widen from the next one on.
- The tickers are those that the source lists today, or listed in the file: where those that were
  delisted are missing, past scores are too kind. A table of members and their spells mends it."""


def model_card(study: Study, point: GateDecision, intervals: GateDecision) -> str:
    """Markdown.

    Args:
        study: Of the month.
        point: The gate's decision on its point forecasts.
        intervals: The same on its intervals.
    """
    scores = "\n".join(
        f"| {name.removeprefix('test_').replace('_', ' ')} | {score:.6g} |"
        for name, score in study.scores.items()
        if score is not None
    )
    params = ", ".join(f"{name} {value:.4g}" for name, value in study.params.items()) or "none"
    slope = (
        f"slope {study.slope:.3f} (estimate {study.slope_estimate:.3f}, standard error"
        f" {study.slope_standard_error:.3f}, out of fold)"
    )
    meaning = (
        "Its point forecast is the random walk: out of fold no signal could be told from noise."
        if study.family == RANDOM_WALK
        else f"Its point forecast is {study.model_family}'s times the slope."
    )
    serves = {
        (True, True): "It may serve with its point forecasts and its intervals.",
        (True, False): "It may serve with its point forecasts; other intervals stand around them.",
        (False, True): "It may serve with its intervals, around point forecasts that are not its.",
        (False, False): "It serves only if a person promotes it.",
    }[point.approved, intervals.approved]
    tickers = study.tickers
    named = ", ".join(tickers[:20]) + (f" and {len(tickers) - 20} more" if tickers[20:] else "")
    return f"""\
# {study.month}: {study.family}, trained through {study.trained_through}

Forecasts the log return of {target_words(study.horizon)} and its 50, 80 and 95 % intervals.
{meaning}
How its forecasts do: the page that `stock-assets report` makes, asset forecast_report in Dagster.

## Gate
{serves}

- point: {point.reason}
- intervals: {intervals.reason}

## Data
- train: sessions {study.train_first}..{study.train_last}, {study.train_rows} rows
- test: sessions {study.test_first}..{study.test_last}, {study.test_rows} rows; the served
  model was fitted on both after the test
- tickers: {len(tickers)} ({named})
- features: {", ".join(FEATURES)}
- data {study.data_hash}, code {study.code_hash}

## Model
- family {study.model_family}, parameters {params}, searched in {study.params_from}
- {slope}
- intervals: range-based HAR volatility with a market factor, quantiles half pooled and half the
  ticker's own, bounds that follow each ticker's last 250 returns

## Scores on the test set
Of a model fitted on the train set alone; log returns.

| score | value |
| --- | --- |
{scores}

## Known limits
{_LIMITS}
"""
