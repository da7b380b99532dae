"""One month's training: from labelled rows to a model that can serve, with its test scores."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import polars as pl

from stock_assets.errors import NotEnoughHistoryError
from stock_assets.forecasting.evaluation import rmse
from stock_assets.forecasting.features import FEATURES
from stock_assets.forecasting.fingerprint import code_hash, data_hash, fingerprint
from stock_assets.forecasting.intervals import IntervalModel, fit_intervals
from stock_assets.forecasting.model import (
    ShrunkRegressor,
    feature_matrix,
    fit_shrunk,
    random_forest,
)
from stock_assets.forecasting.tuning import Tuning, TuningBudget, search

FAMILY = "random_forest"


@dataclass(frozen=True)
class TrainedModel:
    """A model fitted on train and test set, its search, its intervals and its test scores."""

    model: ShrunkRegressor
    tuning: Tuning
    intervals: IntervalModel
    test_scores: dict[str, float]


def training_identity(train: pl.DataFrame, test: pl.DataFrame, **knobs: Any) -> dict[str, str]:
    """Hashes that tell whether a training would repeat an earlier one."""
    data, code = data_hash(train, test), code_hash()
    return {
        "data_hash": data,
        "code_hash": code,
        "fingerprint": fingerprint(
            {"data": data, "code": code, "features": FEATURES, "family": FAMILY, **knobs}
        ),
    }


def test_scores(model: ShrunkRegressor, test: pl.DataFrame) -> dict[str, float]:
    """RMSE of the test rows in log return, the random walk's beside it, and the skill."""
    forecast = model.predict(feature_matrix(test)) * test["volatility_1d"].to_numpy()
    realised = test["return_next"].to_numpy()
    own, naive = rmse(realised - forecast), rmse(realised)
    return {
        "test_rmse_return": own,
        "test_rmse_return_random_walk": naive,
        "test_skill": 1 - own / naive,
    }


def train_model(
    train: pl.DataFrame,
    test: pl.DataFrame,
    budget: TuningBudget,
    trees: int,
    on_trial: Callable[[int, float], None] | None = None,
) -> TrainedModel:
    """Searches on the train set, scores once on the test set, then fits on both.

    Args:
        train: Labelled rows, sorted by session and ticker.
        test: Labelled rows after them; the search and the slope know nothing of these.
        budget: Of the search.
        trees: Of the forest that serves.
        on_trial: See `search`.

    Raises:
        NotEnoughHistoryError: The test set is empty or the train set too small.
    """
    if test.is_empty():
        raise NotEnoughHistoryError(
            "the test set has no rows: no ticker has complete features there; materialise more"
            " sessions of `features` or choose a later month"
        )
    tuning = search(train, budget, on_trial)

    def fitted_on(rows: pl.DataFrame) -> ShrunkRegressor:
        forest = random_forest(
            tuning.params,
            trees=trees,
            n_rows=rows.height,
            sample_cap=budget.sample_cap,
            seed=budget.seed,
            jobs=budget.jobs,
        )
        return fit_shrunk(forest, tuning.slope, rows)

    scores = test_scores(fitted_on(train), test)
    both = pl.concat([train, test])
    return TrainedModel(
        model=fitted_on(both),
        tuning=tuning,
        intervals=fit_intervals(both),
        test_scores=scores,
    )
