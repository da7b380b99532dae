"""One month's training: from labelled rows to a model that can serve, with its test scores."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
import pandas as pd
import polars as pl

from stock_assets.errors import NotEnoughHistoryError
from stock_assets.forecasting.evaluation import pinball_crps, rmse
from stock_assets.forecasting.families import family_named
from stock_assets.forecasting.features import FEATURES
from stock_assets.forecasting.fingerprint import code_hash, data_hash, fingerprint
from stock_assets.forecasting.interval_losses import beside_the_normal_law
from stock_assets.forecasting.intervals import COVERAGES, IntervalModel, fit_intervals
from stock_assets.forecasting.model import ShrunkRegressor, feature_matrix, fit_one
from stock_assets.forecasting.promotion import RANDOM_WALK
from stock_assets.forecasting.splits import ticker_weights
from stock_assets.forecasting.tuning import Tuning, TuningBudget, search


@dataclass(frozen=True)
class TestRecord:
    """What the one look at the test set showed.

    Args:
        scores: Numbers by name; errors with the random walk's beside them. The skill is None where
            the random walk never erred.
        losses: One row a session: `session`, mean squared error over tickers in units of
            volatility of the `candidate` and of the `random_walk`.
        interval_losses: One row a session, of the law around no change: see `interval_losses`.
        pit: Per row, in the order of the test set: the level of the realised return under the law
            forecast for it; uniform where the law is right.
        importance: `feature`, `mse_increase`: by how much shuffling a feature within the test set
            raises the squared error of the unshrunk model; negative where it lowers it. None for
            the random walk, which looks at no feature.
    """

    scores: dict[str, float | None]
    losses: pl.DataFrame
    interval_losses: pl.DataFrame
    pit: np.ndarray
    importance: pl.DataFrame | None


@dataclass(frozen=True)
class TrainedModel:
    """A model fitted on train and test set, its search, its intervals and its test record.

    `family` is what its forecasts are. Where the slope is zero that is the random walk, and `model`
    is nothing else: what no forecast uses is not fitted.
    """

    model: ShrunkRegressor
    family: str
    tuning: Tuning
    intervals: IntervalModel
    test: TestRecord


def training_identity(train: pl.DataFrame, test: pl.DataFrame, **knobs: Any) -> dict[str, str]:
    """Hashes that tell whether a training would repeat an earlier one."""
    data, code = data_hash(train, test), code_hash()
    return {
        "data_hash": data,
        "code_hash": code,
        "fingerprint": fingerprint({"data": data, "code": code, "features": FEATURES, **knobs}),
    }


def daily_losses(rows: pl.DataFrame, forecast: np.ndarray) -> pl.DataFrame:
    """Mean squared error over tickers, one row per session: `session`, `own`, `random_walk`.

    Each ticker's errors count in units of its own mean square label, see `ticker_weights`: one
    whose volatility was misjudged decides no more than any other. The weights are those of all of
    `rows`, so losses are compared on the same rows only.

    Args:
        rows: Labelled rows.
        forecast: Of `label`, in units of volatility, shape (n_rows,).
    """
    return (
        rows.select("session", "label", forecast=pl.Series(forecast), weight=ticker_weights(rows))
        .group_by("session")
        .agg(
            own=(pl.col("weight") * (pl.col("label") - pl.col("forecast")) ** 2).mean(),
            random_walk=(pl.col("weight") * pl.col("label") ** 2).mean(),
        )
        .sort("session")
    )


def train_model(
    train: pl.DataFrame,
    test: pl.DataFrame,
    budget: TuningBudget,
    trees: int,
    *,
    params: Mapping[str, Any] | None = None,
    storage: optuna.storages.BaseStorage | None = None,
    study_name: str | None = None,
    on_trial: Callable[[int, float], None] | None = None,
) -> TrainedModel:
    """Searches on the train set, scores once on the test set, then fits on both.

    Args:
        train: Labelled rows, sorted by session and ticker.
        test: Labelled rows after them; the search and the slope know nothing of these.
        budget: Of the search.
        trees: Of the forest that serves.
        params: See `search`, as for those below.
        storage: Of the search.
        study_name: Of the search.
        on_trial: Of the search.

    Raises:
        NotEnoughHistoryError: The test set is empty or the train set too small.
    """
    if test.is_empty():
        raise NotEnoughHistoryError(
            "the test set has no rows: no ticker has complete features there; materialise more"
            " sessions of `features` or choose a later month"
        )
    tuning = search(
        train, budget, params=params, storage=storage, study_name=study_name, on_trial=on_trial
    )
    slope = tuning.slope.used
    served = budget.family if slope > 0 else RANDOM_WALK
    family = family_named(served)

    def fitted_on(rows: pl.DataFrame) -> ShrunkRegressor:
        estimator = family.build(tuning.params, rows.height, budget.means(trees))
        fit_one(estimator, feature_matrix(rows), rows["label"].to_numpy())
        return ShrunkRegressor(estimator, slope)

    law = fit_intervals(train, budget.horizon)
    record = _test_record(fitted_on(train), law, test, budget.seed)
    both = pl.concat([train, test])
    return TrainedModel(
        model=fitted_on(both),
        family=served,
        tuning=tuning,
        intervals=fit_intervals(both, budget.horizon),
        test=record,
    )


def _test_record(
    model: ShrunkRegressor, intervals: IntervalModel, test: pl.DataFrame, seed: int
) -> TestRecord:
    """Scores of a model and intervals that were fitted on the train set alone."""
    features, label = feature_matrix(test), test["label"].to_numpy()
    scaled = model.predict(features)
    forecast = scaled * test["volatility_1d"].to_numpy()
    realised = test["return_next"].to_numpy()
    own, naive = rmse(realised - forecast), rmse(realised)
    volatility = intervals.volatility.volatility(test)[:, None]
    grid, bounds = intervals.quantiles_of(test["ticker"].to_list())
    quantiles = forecast[:, None] + volatility * grid
    inside = forecast[:, None] + volatility * bounds
    return TestRecord(
        scores={
            "test_rmse_return": own,
            "test_rmse_return_random_walk": naive,
            "test_skill": 1 - own / naive if naive else None,
            "test_mae_return": float(np.mean(np.abs(realised - forecast))),
            "test_mae_return_random_walk": float(np.mean(np.abs(realised))),
            "test_crps": float(np.mean(pinball_crps(quantiles, realised))),
            **{
                f"test_coverage_{coverage}": float(
                    np.mean((inside[:, 2 * n] <= realised) & (realised <= inside[:, 2 * n + 1]))
                )
                for n, coverage in enumerate(COVERAGES)
            },
        },
        losses=daily_losses(test, scaled).rename({"own": "candidate"}),
        interval_losses=beside_the_normal_law(test, intervals, intervals.horizon),
        # Half of the steps between two neighbouring quantiles: the middle of where it fell.
        pit=np.asarray((quantiles < realised[:, None]).mean(axis=1)),
        importance=_importance(model.estimator, features, label, seed) if model.slope else None,
    )


def _importance(estimator: Any, features: Any, label: np.ndarray, seed: int) -> pl.DataFrame:
    """Permutation importance, three shuffles a feature (Breiman 2001, "Random Forests")."""
    generator = np.random.default_rng(seed)
    loss = np.mean((label - estimator.predict(features)) ** 2)
    increase = []
    # The shuffles of a feature are forecast together: a forest pays per call and tree.
    thrice = pd.concat([features] * 3, ignore_index=True)
    for name in features.columns:
        shuffles = [generator.permutation(features[name].to_numpy()) for _ in range(3)]
        forecast = estimator.predict(thrice.assign(**{name: np.concatenate(shuffles)}))
        losses = np.mean((label - forecast.reshape(3, -1)) ** 2, axis=1)
        increase.append(float(np.mean(losses) - loss))
    return pl.DataFrame({"feature": list(features.columns), "mse_increase": increase}).sort(
        "mse_increase", descending=True
    )
