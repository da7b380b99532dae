"""The families of point models: what each searches and how it is built.

A new one is a small class here and one line in FAMILIES, or a class of another package that has an
entry point of the group `stock_assets.families`. Estimators forecast the next return in
units of volatility; how much of that is believed is decided elsewhere (see `tuning`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
import optuna
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import (
    ExtraTreesRegressor,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)
from sklearn.linear_model import Ridge

from stock_assets.errors import SettingsError
from stock_assets.extensions import FAMILIES_GROUP, installed, loaded
from stock_assets.forecasting.boosted import BoostedTrees, binned
from stock_assets.forecasting.forest import PackedExtraTrees, PackedForest
from stock_assets.forecasting.promotion import RANDOM_WALK


@dataclass(frozen=True)
class Means:
    """What a fit may cost; equal means, rows and parameters give equal models.

    `trees`: of a forest, or rounds of boosting. `sample_cap`: rows that each tree may draw. `jobs`:
    threads, which change no bit of a fitted model.
    """

    trees: int
    sample_cap: int
    seed: int
    jobs: int


class Family(Protocol):
    """One kind of point model.

    `usual`: parameters that a search tries first, and a small one alone; empty where there is
    nothing to search.
    """

    usual: Mapping[str, Any]

    def suggest(self, trial: optuna.Trial) -> dict[str, Any]: ...

    def build(self, params: Mapping[str, Any], n_rows: int, means: Means) -> Any:
        """An unfitted estimator for `n_rows` rows."""

    def prepared(self, features: pd.DataFrame, labels: np.ndarray, means: Means) -> Any:
        """What the estimators of several trials are fitted on, instead of the features."""


class _Plain:
    def prepared(self, features: pd.DataFrame, labels: np.ndarray, means: Means) -> Any:  # noqa: ARG002
        return features


class RandomForest(_Plain):
    """Each tree draws at most `sample_cap` rows: more made trees dearer, not better.

    The number of trees is a budget, not a parameter to search: error only falls with it (Probst &
    Boulesteix 2018, "To Tune or Not to Tune the Number of Trees in Random Forest").
    """

    usual: Mapping[str, Any] = {"max_depth": 5, "min_samples_split": 0.03, "max_features": 0.5}
    _forest: type[RandomForestRegressor | ExtraTreesRegressor] = PackedForest

    def suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        return {
            "max_depth": trial.suggest_int("max_depth", 3, 10),
            "min_samples_split": trial.suggest_float("min_samples_split", 0.01, 0.1, log=True),
            "max_features": trial.suggest_float("max_features", 0.2, 1.0),
        }

    def build(self, params: Mapping[str, Any], n_rows: int, means: Means) -> Any:
        return self._forest(
            n_estimators=means.trees,
            bootstrap=True,
            max_samples=min(means.sample_cap, n_rows),
            n_jobs=means.jobs,
            random_state=means.seed,
            **params,
        )


class ExtraTrees(RandomForest):
    """The same of trees that draw where they cut: nothing is sorted, so a tree costs a sixth.

    Geurts, Ernst & Wehenkel (2006), "Extremely Randomized Trees".
    """

    _forest = PackedExtraTrees


class HistGradientBoosting(_Plain):
    """Boosted trees on binned features, all rows; early stopping would draw a split of its own."""

    usual: Mapping[str, Any] = {
        "learning_rate": 0.02,
        "max_leaf_nodes": 8,
        "min_samples_leaf": 300,
        "max_features": 0.5,
    }

    def suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        return {
            "learning_rate": trial.suggest_float("learning_rate", 0.005, 0.1, log=True),
            "max_leaf_nodes": trial.suggest_int("max_leaf_nodes", 4, 32, log=True),
            "min_samples_leaf": trial.suggest_int("min_samples_leaf", 50, 1000, log=True),
            "max_features": trial.suggest_float("max_features", 0.2, 1.0),
        }

    def build(self, params: Mapping[str, Any], n_rows: int, means: Means) -> Any:  # noqa: ARG002
        return HistGradientBoostingRegressor(
            max_iter=means.trees, early_stopping=False, random_state=means.seed, **params
        )


class LightGbm:
    """Boosted trees on binned features, all rows; bins are cut once for all trials of a fold."""

    usual: Mapping[str, Any] = {
        "learning_rate": 0.05,
        "num_leaves": 8,
        "min_data_in_leaf": 300,
        "feature_fraction": 0.5,
    }

    def suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        return {
            "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.1, log=True),
            "num_leaves": trial.suggest_int("num_leaves", 4, 32, log=True),
            "min_data_in_leaf": trial.suggest_int("min_data_in_leaf", 50, 1000, log=True),
            "feature_fraction": trial.suggest_float("feature_fraction", 0.2, 1.0),
        }

    def build(self, params: Mapping[str, Any], n_rows: int, means: Means) -> Any:  # noqa: ARG002
        return BoostedTrees(random_state=means.seed, n_jobs=means.jobs, **params)

    def prepared(self, features: pd.DataFrame, labels: np.ndarray, means: Means) -> Any:
        return binned(features, labels, means.jobs)


class StandardisedRidge(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # sklearn is untyped
    """Ridge on standardised features, clipped to four standard deviations."""

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> Self:  # noqa: N803  # scikit-learn's names
        values = X.to_numpy()
        self.centre_ = values.mean(axis=0)
        self.scale_ = np.maximum(values.std(axis=0), 1e-12)
        fitted = Ridge(alpha=self.alpha).fit(self._standardised(values), y)
        self.coefficients_ = np.asarray(fitted.coef_)
        self.intercept_ = float(fitted.intercept_)
        return self

    def predict(self, X: pd.DataFrame) -> np.ndarray:  # noqa: N803
        forecast = np.full(len(X), self.intercept_)
        # Term by term: a matrix product's last bits would depend on the other rows.
        columns = self._standardised(X.to_numpy()).T
        for coefficient, column in zip(self.coefficients_, columns, strict=True):
            forecast = forecast + coefficient * column
        return forecast

    def _standardised(self, values: np.ndarray) -> np.ndarray:
        return np.asarray(np.clip((values - self.centre_) / self.scale_, -4, 4))


class LinearRidge(_Plain):
    """A linear model that shrinks each coefficient."""

    usual: Mapping[str, Any] = {"alpha": 10_000.0}

    def suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        return {"alpha": trial.suggest_float("alpha", 1.0, 1e6, log=True)}

    def build(self, params: Mapping[str, Any], n_rows: int, means: Means) -> Any:  # noqa: ARG002
        return StandardisedRidge(**params)


class RandomWalk(_Plain):
    """No change of the log price: the forecast that is hard to beat."""

    usual: Mapping[str, Any] = {}

    def suggest(self, trial: optuna.Trial) -> dict[str, Any]:  # noqa: ARG002
        return {}

    def build(self, params: Mapping[str, Any], n_rows: int, means: Means) -> Any:  # noqa: ARG002
        return DummyRegressor(strategy="constant", constant=0.0)


_PARTS = ("usual", "suggest", "build", "prepared")
FAMILIES: dict[str, Family] = {
    "extra_trees": ExtraTrees(),
    "random_forest": RandomForest(),
    "lightgbm": LightGbm(),
    "hist_gradient_boosting": HistGradientBoosting(),
    "ridge": LinearRidge(),
    RANDOM_WALK: RandomWalk(),
}
"""Ours."""


def family_named(name: str) -> Family:
    """The family of that name.

    Raises:
        SettingsError: There is none, or its package's can't be used.
    """
    added = installed(FAMILIES_GROUP)
    if name in FAMILIES:
        return FAMILIES[name]
    if name not in added:
        raise SettingsError(
            f"STOCK_ASSETS_MODEL_FAMILY: no family {name!r}; there are"
            f" {', '.join((*FAMILIES, *added))}"
        )
    family: Family = loaded(FAMILIES_GROUP, name)()
    if lacking := [part for part in _PARTS if not hasattr(family, part)]:
        raise SettingsError(
            f"STOCK_ASSETS_MODEL_FAMILY: {name} ({added[name].value}) is no family: it lacks"
            f" {', '.join(lacking)}"
        )
    return family
