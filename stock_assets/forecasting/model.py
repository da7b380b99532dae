"""The point forecast: a family's estimator on volatility-scaled returns, shrunk toward no change.

A forest on price levels can't exceed its training maximum and is almost twice as bad as the random
walk; on scaled returns a tree's splits mean the same for every ticker and year. What a model finds
in daily returns is mostly noise, so its output is multiplied by a slope estimated out of sample.
"""

from typing import Any, Self

import numpy as np
import pandas as pd
import polars as pl
from sklearn.base import BaseEstimator, RegressorMixin

from stock_assets.errors import FeatureMismatchError
from stock_assets.extensions import FAMILIES_GROUP, installed, loaded
from stock_assets.forecasting.features import FEATURES

SKOPS_TRUSTED_TYPES = (
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "stock_assets.forecasting.boosted.BoostedTrees",
    "stock_assets.forecasting.families.StandardisedRidge",
    "stock_assets.forecasting.forest.PackedExtraTrees",
    "stock_assets.forecasting.forest.PackedForest",
    "stock_assets.forecasting.model.ShrunkRegressor",
)
"""What a stored model may contain beyond skops' own list; anything else is refused on loading."""


def trusted_types() -> list[str]:
    """SKOPS_TRUSTED_TYPES and what the families of other packages say that theirs contain."""
    families = [loaded(FAMILIES_GROUP, name) for name in installed(FAMILIES_GROUP)]
    added = [of for family in families for of in getattr(family, "trusted_types", ())]
    return [*SKOPS_TRUSTED_TYPES, *added]


class ShrunkRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # sklearn is untyped
    """A regressor whose predictions are multiplied by `slope`, in 0..1."""

    def __init__(self, estimator: Any, slope: float = 1.0) -> None:
        self.estimator = estimator
        self.slope = slope

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> Self:  # noqa: N803  # scikit-learn's names
        self.estimator.fit(X, y)
        return self

    def predict(self, X: pd.DataFrame) -> np.ndarray:  # noqa: N803
        if self.slope == 0:
            return np.zeros(len(X))
        return self.slope * np.asarray(self.estimator.predict(X))


def feature_matrix(rows: pl.DataFrame) -> pd.DataFrame:
    """FEATURES as scikit-learn wants them, shape (n_rows, n_features), order kept by name.

    Raises:
        FeatureMismatchError: A feature is missing from the rows.
    """
    missing = [name for name in FEATURES if name not in rows.columns]
    if missing:
        raise FeatureMismatchError(
            f"the rows lack the features {', '.join(missing)}; materialise `features` again"
        )
    return pd.DataFrame({name: rows[name].to_numpy() for name in FEATURES})


def fit_one(estimator: Any, features: Any, labels: np.ndarray) -> Any:
    """The fitted estimator, whose predictions are deterministic to the last bit."""
    estimator.fit(features, labels)
    # Threads add the trees' votes in any order, which changes last bits, and cost more than they
    # save on a session's few hundred rows.
    if "n_jobs" in estimator.get_params():
        estimator.set_params(n_jobs=1)
    return estimator
