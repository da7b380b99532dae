"""Our forecasts and outcomes, and anybody's scores, in the tables of a hubverse hub.

Model output has a file per model and round, columns for the task, then `output_type,
output_type_id, value`; oracle output is what a model would have said that knew the outcome. See
hubverse.io, "Model output" and "Target data". A ticker is the location, a session's close the
reference date, horizons count sessions.
"""

import re
from collections.abc import Sequence

import numpy as np
import polars as pl

from stock_assets.forecasting.evaluation import is_scored
from stock_assets.forecasting.intervals import GRID
from stock_assets.scoring.forecast_files import RANK_TARGET, RETURN_TARGET
from stock_assets.scoring.quantiles import SERVED, own_quantiles
from stock_assets.scoring.ranks import FIFTHS, MOST_TICKERS, fifths_of_laws, realised_fifths

MEDIAN_AND_BOUNDS = tuple(sorted([0.5, *SERVED]))
_RANKS = [f"rank{n + 1}" for n in range(FIFTHS)]
_ID = ("output_type", "output_type_id")


def hub_name(text: str) -> str:
    """A part of a model's id: hubs allow letters, digits and underscores."""
    return re.sub(r"\W", "_", text, flags=re.ASCII)


def model_output(
    forecasts: pl.DataFrame, levels: Sequence[float], horizon: int = 1
) -> pl.DataFrame:
    """Stored forecasts as model output, in log return.

    Args:
        forecasts: FORECAST_SCHEMA.
        levels: Ascending.
        horizon: Sessions from a forecast's own to its target.

    Returns:
        `reference_date, horizon, target_end_date, location, target, output_type, output_type_id,
        value`, sorted by reference date and location: the mean, the quantiles where there is an
        interval, and where all of a session's tickers have one and are at most MOST_TICKERS, the
        chances of each fifth of the returns. No NaN.
    """
    rows = forecasts.sort("as_of_session", "ticker")
    with_law = rows.drop_nulls("quantile_returns")
    parts = [
        _task(rows, RETURN_TARGET, horizon).with_columns(
            _id("mean", None), value=rows["forecast_return"]
        )
    ]
    if with_law.height:
        quantiles = own_quantiles(with_law, levels)
        parts += [
            _task(with_law, RETURN_TARGET, horizon).with_columns(
                _id("quantile", f"{level:g}"), value=pl.Series(quantiles[:, n])
            )
            for n, level in enumerate(levels)
        ]
    for (_,), session in rows.group_by("as_of_session", maintain_order=True):
        whole = session["quantile_returns"].null_count() == 0
        if whole and FIFTHS <= session.height <= MOST_TICKERS:
            chances = fifths_of_laws(own_quantiles(session, GRID))
            parts += _of_ranks(_task(session, RANK_TARGET, horizon), chances, "value")
    return pl.concat(parts).sort("reference_date", "location", maintain_order=True)


def oracle_output(scores: pl.DataFrame) -> pl.DataFrame:
    """The outcomes that forecasts of those targets are held against.

    Args:
        scores: SCORE_SCHEMA; rows whose outcome is not known are left out.

    Returns:
        `target_end_date, location, target, output_type, output_type_id, oracle_value`: the log
        return, for mean and quantiles alike, and in which fifth of the session's returns it was.
    """
    rows = scores.filter(is_scored()).sort("session", "ticker")
    task = rows.select(target_end_date="session", location="ticker", target=pl.lit(RETURN_TARGET))
    parts = [
        task.with_columns(_id(kind, None), oracle_value=rows["realised_return"])
        for kind in ("mean", "quantile")
    ]
    for (_,), session in rows.group_by("session", maintain_order=True):
        own = session.select(
            target_end_date="session", location="ticker", target=pl.lit(RANK_TARGET)
        )
        fifths = realised_fifths(session["realised_return"].to_numpy())
        parts += _of_ranks(own, fifths, "oracle_value")
    return pl.concat(parts).sort("target_end_date", "location", maintain_order=True)


def scores_table(scores: pl.DataFrame, horizon: int = 1) -> pl.DataFrame:
    """Each forecast's scores by a hub's names.

    Args:
        scores: See `Comparison`.
        horizon: Sessions from a forecast's own to its target.

    Returns:
        `model_id`, the task, `oracle_value` and the scores; `interval_coverage_80` and the like are
        1 where the outcome was inside.
    """
    return scores.select(
        pl.col("model").alias("model_id"),
        *_task_columns(RETURN_TARGET, horizon),
        pl.col("realised_return").alias("oracle_value"),
        pl.exclude(
            "model", "ticker", "as_of_session", "target_session", "realised_return"
        ).name.replace("^covered_", "interval_coverage_"),
    )


def _task_columns(target: str, horizon: int) -> list[pl.Expr]:
    return [
        pl.col("as_of_session").alias("reference_date"),
        pl.lit(horizon).alias("horizon"),
        pl.col("target_session").alias("target_end_date"),
        pl.col("ticker").alias("location"),
        pl.lit(target).alias("target"),
    ]


def _task(rows: pl.DataFrame, target: str, horizon: int) -> pl.DataFrame:
    return rows.select(_task_columns(target, horizon))


def _id(kind: str, number: str | None) -> list[pl.Expr]:
    values = (pl.lit(kind), pl.lit(number, dtype=pl.String))
    return [value.alias(name) for value, name in zip(values, _ID, strict=True)]


def _of_ranks(task: pl.DataFrame, chances: np.ndarray, column: str) -> list[pl.DataFrame]:
    return [
        task.with_columns(*_id("pmf", name), pl.Series(column, chances[:, n]))
        for n, name in enumerate(_RANKS)
    ]
