"""Several models' forecasts beside ours and the random walk's: the same ones, the same measures.

What is compared is what all have: the forecasts that every model of the file, we and the outcomes
have, and the levels at which each has a quantile.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from stock_assets.errors import InvalidForecastsError
from stock_assets.forecasting.evaluation import is_scored
from stock_assets.forecasting.intervals import GRID
from stock_assets.scoring.measures import (
    OURS,
    RANDOM_WALK,
    Contender,
    Losses,
    losses,
    session_sums,
    summarise_contender,
)
from stock_assets.scoring.quantiles import can_give, own_quantiles, random_walk_quantiles
from stock_assets.scoring.ranks import EVEN, MOST_TICKERS, fifths_of_laws, realised_fifths
from stock_assets.scoring.submission import KEY, Model

_OF_INTERVALS = ("quantile_returns", "volatility_1d")
"""What ours and the random walk's are made of. A young ticker may lack either."""
_TASK = ("ticker", "as_of_session", "target_session", "realised_return")


@dataclass(frozen=True)
class Comparison:
    """What `compare` gives.

    Args:
        found: Plain values, as `score --json` prints them.
        scores: The scores of each forecast, by model: `model, ticker, as_of_session,
            target_session, realised_return` and those of `losses`.
    """

    found: dict[str, Any]
    scores: pl.DataFrame


def compare(
    models: Sequence[Model], forecasts: pl.DataFrame, scores: pl.DataFrame, horizon: int = 1
) -> Comparison:
    """Judges models beside ours and the random walk.

    Args:
        models: See `submitted_models`.
        forecasts: FORECAST_SCHEMA, ours, of the models' sessions.
        scores: SCORE_SCHEMA, ours: the outcomes.
        horizon: Sessions from a forecast's own to its target.

    Raises:
        InvalidForecastsError: There is nothing that all have, or a model has a name of ours.
    """
    if taken := {model.name for model in models} & {OURS, RANDOM_WALK}:
        raise InvalidForecastsError(
            f"a model of the file is called {taken.pop()}, as one that it is compared with; give it"
            " another name"
        )
    levels = common_levels(models)
    outcomes = scores.filter(is_scored()).select(
        "ticker", "realised_return", target_session="session"
    )
    known = forecasts.join(outcomes, on=KEY)
    usable = known.drop_nulls(_OF_INTERVALS) if any(m.levels for m in models) else known
    common = usable
    for model in models:
        common = common.join(model.forecasts, on=KEY, how="semi")
    counts = {model.name: _counts(model, forecasts, known, usable) for model in models}
    if common.is_empty():
        said = "; ".join(f"{name}: {in_words(found)}" for name, found in counts.items())
        raise InvalidForecastsError(f"no forecast can be compared; of the file's models, {said}")
    common = common.sort("target_session", "ticker")
    session = common["target_session"].rle_id().to_numpy()
    realised = common["realised_return"].to_numpy()
    fifths = None
    if any(model.has_ranks for model in models):
        fifths = _by_session(realised_fifths, realised, session)
    each = {
        one.name: losses(one, realised, levels, fifths)
        for one in (
            _ours(common, levels, session if fifths is not None else None),
            _random_walk(common, levels, horizon, ranked=fifths is not None),
            *(_theirs(model, common, levels) for model in models),
        )
    }
    sums = {name: session_sums(own, session) for name, own in each.items()}
    first, last = _span(models)
    in_span = known.filter(pl.col("target_session").is_between(first, last)).height
    found = {
        "from": str(common["target_session"][0]),
        "to": str(common["target_session"][-1]),
        "horizon": horizon,
        "sessions": int(session[-1]) + 1,
        "tickers": common["ticker"].n_unique(),
        "forecasts": common.height,
        "share_of_ours": common.height / in_span,
        "levels": list(levels),
        "models": {
            name: summarise_contender(own, sums[OURS], sums[RANDOM_WALK], horizon)
            for name, own in sums.items()
        },
        "submitted": {
            model.name: counts[model.name]
            | {"compared": common.height, "levels": list(model.levels), **model.records}
            for model in models
        },
    }
    return Comparison(found, _table(common, each))


def common_levels(models: Sequence[Model]) -> tuple[float, ...]:
    """Levels at which every model with quantiles has one, and ours too, ascending."""
    each = [set(model.levels) for model in models if model.levels]
    shared = set.intersection(*each) if each else set()
    return tuple(sorted(level for level in shared if can_give(level)))


def _span(models: Sequence[Model]) -> tuple[date, date]:
    """First and last target of any model."""
    days = pl.concat(model.forecasts["target_session"] for model in models).unique().to_list()
    return min(days), max(days)


def _counts(
    model: Model, forecasts: pl.DataFrame, known: pl.DataFrame, usable: pl.DataFrame
) -> dict[str, int]:
    """A model's forecasts by why they can't be compared; the first reason counts."""

    def among(rows: pl.DataFrame) -> int:
        return model.forecasts.join(rows, on=KEY, how="semi").height

    ours, with_outcome, with_quantiles = among(forecasts), among(known), among(usable)
    return {
        "forecasts": model.forecasts.height + model.incomplete,
        "incomplete": model.incomplete,
        "not_of_ours": model.forecasts.height - ours,
        "without_outcome": ours - with_outcome,
        "without_interval": with_outcome - with_quantiles,
    }


_REASONS = {
    "incomplete": "lack a number that the model's others have",
    "not_of_ours": "of sessions and tickers that the dataset has no forecast of",
    "without_outcome": "of targets whose outcome is not known",
    "without_interval": "for which we or the random walk have no interval",
}


def in_words(counts: Mapping[str, Any]) -> str:
    """Why forecasts of a model are not compared; of the rest another model has none."""
    said = [f"{counts[name]} {words}" for name, words in _REASONS.items() if counts[name]]
    left = counts["forecasts"] - counts.get("compared", 0) - sum(counts[n] for n in _REASONS)
    return ", ".join([*said, *([f"{left} that another model lacks"] if left else [])])


def _by_session(of: Any, values: np.ndarray, session: np.ndarray) -> np.ndarray:
    """What a function gives of each session's rows, put together again."""
    starts = np.flatnonzero(np.diff(session)) + 1
    return np.concatenate([of(part) for part in np.split(values, starts)])


def _ours(common: pl.DataFrame, levels: tuple[float, ...], session: np.ndarray | None) -> Contender:
    """`session`: of each row, where ranks are scored."""
    ranks = None
    few = session is not None and np.bincount(session).max() <= MOST_TICKERS
    if session is not None and few and common["quantile_returns"].null_count() == 0:
        ranks = _by_session(fifths_of_laws, own_quantiles(common, GRID), session)
    return Contender(
        OURS,
        common["forecast_return"].to_numpy(),
        own_quantiles(common, levels) if levels else None,
        ranks,
    )


def _random_walk(
    common: pl.DataFrame, levels: tuple[float, ...], horizon: int, *, ranked: bool
) -> Contender:
    return Contender(
        RANDOM_WALK,
        np.zeros(common.height),
        random_walk_quantiles(common, levels, horizon) if levels else None,
        np.tile(EVEN, (common.height, 1)) if ranked else None,
    )


def _theirs(model: Model, common: pl.DataFrame, levels: tuple[float, ...]) -> Contender:
    """A model's forecasts of the common rows, in their order."""
    rows = common.select(KEY).join(model.forecasts, on=KEY, how="left", maintain_order="left")

    def matrix(column: str, width: int) -> np.ndarray:
        return rows[column].list.to_array(width).to_numpy()

    at = [model.levels.index(level) for level in levels] if model.levels else []
    return Contender(
        model.name,
        rows["point"].to_numpy() if model.has_point else None,
        matrix("quantiles", len(model.levels))[:, at] if at else None,
        matrix("ranks", len(EVEN)) if model.has_ranks else None,
    )


def _table(common: pl.DataFrame, each: dict[str, Losses]) -> pl.DataFrame:
    """The scores of each forecast; null where a model has none of a kind."""
    return pl.concat(
        (
            common.select(pl.lit(name).alias("model"), *_TASK).with_columns(
                pl.Series(loss, values) for loss, values in own.items()
            )
            for name, own in each.items()
        ),
        how="diagonal",
    )
