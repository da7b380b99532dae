"""The search for a forest's parameters: Optuna over purged walk-forward folds in the train set."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
import polars as pl

from stock_assets.forecasting.model import feature_matrix, random_forest
from stock_assets.forecasting.splits import Fold, walk_forward_folds

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TuningBudget:
    """How much searching may cost; equal budgets, seeds and rows give equal results."""

    trials: int
    folds: int
    trees: int
    sample_cap: int
    seed: int
    jobs: int = 2


@dataclass(frozen=True)
class Tuning:
    """What a search found.

    `slope`: by how much out-of-fold forecasts should have been multiplied, clipped to 0..1.
    `trials`: one row each: number, parameters, `mse` and `slope` out of fold.
    `mse_random_walk`: out-of-fold loss of forecasting no change, in squared units of volatility.
    """

    params: dict[str, Any]
    slope: float
    mse: float
    mse_random_walk: float
    trials: pl.DataFrame


@dataclass(frozen=True)
class _FoldData:
    x_train: Any
    y_train: np.ndarray
    x_validate: Any
    y_validate: np.ndarray


def _fold_data(train: pl.DataFrame, fold: Fold) -> _FoldData:
    fitted = train.filter(pl.col("session") <= fold.train_last)
    validated = train.filter(pl.col("session").is_between(fold.validate_first, fold.validate_last))
    return _FoldData(
        feature_matrix(fitted),
        fitted["label"].to_numpy(),
        feature_matrix(validated),
        validated["label"].to_numpy(),
    )


def suggest_params(trial: optuna.Trial) -> dict[str, Any]:
    """The search space: that of the pipeline this one replaces, and the features per split."""
    return {
        "max_depth": trial.suggest_int("max_depth", 3, 10),
        "min_samples_split": trial.suggest_float("min_samples_split", 0.01, 0.1, log=True),
        "max_features": trial.suggest_float("max_features", 0.2, 1.0),
    }


def search(
    train: pl.DataFrame, budget: TuningBudget, on_trial: Callable[[int, float], None] | None = None
) -> Tuning:
    """Finds parameters with the least out-of-fold squared error of the scaled return.

    Args:
        train: Labelled rows of the train set, sorted by session and ticker; never the test set.
        budget: Trials, folds and the like.
        on_trial: Called with the number of finished trials and the best loss so far.

    Raises:
        NotEnoughHistoryError: Too few sessions for the folds.
    """
    sessions = train["session"].unique().sort().to_list()
    folds = [_fold_data(train, fold) for fold in walk_forward_folds(sessions, budget.folds)]
    truth = np.concatenate([fold.y_validate for fold in folds])

    def objective(trial: optuna.Trial) -> float:
        params = suggest_params(trial)
        forecasts = []
        for fold in folds:
            forest = random_forest(
                params,
                trees=budget.trees,
                n_rows=len(fold.y_train),
                sample_cap=budget.sample_cap,
                seed=budget.seed,
                jobs=budget.jobs,
            ).fit(fold.x_train, fold.y_train)
            forecasts.append(forest.set_params(n_jobs=1).predict(fold.x_validate))
        forecast = np.concatenate(forecasts)
        slope = float(np.clip(forecast @ truth / (forecast @ forecast), 0, 1))
        trial.set_user_attr("slope", slope)
        return float(np.mean((truth - forecast) ** 2))

    def report(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        if on_trial:
            on_trial(trial.number + 1, study.best_value)

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=budget.seed))
    study.optimize(objective, n_trials=budget.trials, callbacks=[report])
    return Tuning(
        params=study.best_params,
        slope=study.best_trial.user_attrs["slope"],
        mse=study.best_value,
        mse_random_walk=float(np.mean(truth**2)),
        trials=pl.DataFrame(
            [
                {"trial": t.number, **t.params, "mse": t.value, "slope": t.user_attrs["slope"]}
                for t in study.trials
            ]
        ),
    )
