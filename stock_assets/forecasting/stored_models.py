"""Whether a model that was read from a store is one that can be asked for a forecast.

skops makes objects of trusted types and no others. What they hold is the file's, and scikit-learn's
compiled code follows it without a look: a node's children may lead out of memory or in circles. So
whoever can write a model's file could stop or confuse whoever reads it; here that ends.
"""

import math
from typing import Any

import numpy as np
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import HistGradientBoostingRegressor

from stock_assets.extensions import FAMILIES_GROUP, installed
from stock_assets.forecasting.boosted import BoostedTrees
from stock_assets.forecasting.families import StandardisedRidge
from stock_assets.forecasting.forest import PackedExtraTrees, PackedForest
from stock_assets.forecasting.model import ShrunkRegressor
from stock_assets.forecasting.sklearn_private import nodes_of_rounds

_OWN = (
    BoostedTrees,
    DummyRegressor,
    HistGradientBoostingRegressor,
    PackedExtraTrees,
    PackedForest,
    StandardisedRidge,
)


def refuse_unsound(model: ShrunkRegressor) -> None:
    """Refuses a model whose parts are not those that a fit leaves.

    What families of other packages store is theirs to look at.

    Raises:
        ValueError: Says what is wrong.
    """
    slope, estimator = vars(model).get("slope"), vars(model).get("estimator")
    if not isinstance(slope, float | int) or not math.isfinite(slope) or not 0 <= slope <= 1:
        raise ValueError(f"its slope is {slope!r}, not a number from 0 to 1")
    if type(estimator) not in _OWN:
        if not installed(FAMILIES_GROUP):
            raise ValueError(f"its estimator is a {type(estimator).__name__}, which is no family's")
        return
    if isinstance(estimator, PackedForest | PackedExtraTrees):
        # Each tree was looked at when it was unpacked, for the number of features that it names.
        sizes = {tree.n_features_in_ for tree in estimator.estimators_}
        if sizes != {estimator.n_features_in_}:
            raise ValueError("its trees are of other features than their forest")
    if isinstance(estimator, HistGradientBoostingRegressor):
        for nodes in nodes_of_rounds(estimator):
            _refuse_unsound_nodes(nodes, estimator.n_features_in_)


def _refuse_unsound_nodes(nodes: Any, n_features: int) -> None:
    if not isinstance(nodes, np.ndarray) or nodes.ndim != 1 or not len(nodes):
        raise ValueError("its trees have no nodes")
    inner = nodes["is_leaf"] == 0
    sound = (nodes["feature_idx"] >= 0) & (nodes["feature_idx"] < n_features)
    sound &= nodes["is_categorical"] == 0
    for child in ("left", "right"):
        # A child comes after its parent, so there is no circle.
        sound &= (nodes[child] > np.arange(len(nodes))) & (nodes[child] < len(nodes))
    if not sound[inner].all() or not np.isfinite(nodes["value"]).all():
        raise ValueError("its nodes do not make trees")
