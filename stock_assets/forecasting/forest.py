"""Forests that are stored as a few arrays, not as hundreds of objects.

skops describes every tree of scikit-learn's forest with all its parameters: 200 trees take 20 times
as long to store and to load.
"""

from typing import Any

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor
from sklearn.tree import DecisionTreeRegressor, ExtraTreeRegressor

from stock_assets.forecasting.sklearn_private import MadeDirectly, state_of, tree_of

_TREES = "estimators_"


class _Packed(MadeDirectly):
    """What is stored of a forest for one output; all else is scikit-learn's."""

    _tree: type[DecisionTreeRegressor]

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = dict(super().__getstate__())  # type: ignore[call-overload]
        if _TREES not in state:
            return state
        trees = state.pop(_TREES)
        grown = [state_of(tree.tree_) for tree in trees]
        return state | {
            "of_each_tree": {k: v for k, v in vars(trees[0]).items() if k != "tree_"},
            "seeds": np.array([tree.random_state for tree in trees]),
            "depths": np.array([one["max_depth"] for one in grown]),
            "node_counts": np.array([one["node_count"] for one in grown]),
            "nodes": np.concatenate([one["nodes"] for one in grown]),
            "values": np.concatenate([one["values"] for one in grown]),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        if _TREES in state:
            raise ValueError("a stored forest brings trees that were not packed")
        if "nodes" in state:
            state[_TREES] = _unpacked(
                self._tree,
                state.pop("of_each_tree"),
                *(state.pop(k) for k in ("seeds", "depths", "node_counts", "nodes", "values")),
            )
        super().__setstate__(state)  # type: ignore[misc]


class PackedForest(_Packed, RandomForestRegressor):  # type: ignore[misc]  # sklearn is untyped
    """scikit-learn's random forest."""

    _tree = DecisionTreeRegressor


class PackedExtraTrees(_Packed, ExtraTreesRegressor):  # type: ignore[misc]
    """scikit-learn's extremely randomised trees."""

    _tree = ExtraTreeRegressor


def _unpacked(
    kind: type[DecisionTreeRegressor],
    of_each_tree: dict[str, Any],
    seeds: np.ndarray,
    depths: np.ndarray,
    node_counts: np.ndarray,
    nodes: np.ndarray,
    values: np.ndarray,
) -> list[DecisionTreeRegressor]:
    """The trees; scikit-learn follows their nodes without looking where they lead, so we look.

    Raises:
        ValueError: They lead out of their tree or in circles, or use features that nobody has.
    """
    ends = np.cumsum(node_counts)
    if len(nodes) != node_counts.sum() or (node_counts < 1).any():
        raise ValueError("a stored forest's nodes are not those of its trees")
    inner = nodes["left_child"] != -1
    last = np.repeat(node_counts, node_counts) - 1
    own = np.arange(len(nodes)) - np.repeat(ends - node_counts, node_counts)
    sound = (nodes["feature"] >= 0) & (nodes["feature"] < of_each_tree["n_features_in_"])
    for child in ("left_child", "right_child"):
        sound &= (nodes[child] > own) & (nodes[child] <= last)
    if not sound[inner].all():
        raise ValueError("a stored forest's nodes do not make trees")
    trees = []
    for seed, depth, count, end in zip(seeds, depths, node_counts, ends, strict=True):
        state = {
            "max_depth": int(depth),
            "node_count": int(count),
            "nodes": nodes[end - count : end],
            "values": values[end - count : end],
        }
        grown = tree_of(of_each_tree["n_features_in_"], state)
        tree = kind()
        tree.__dict__.update(of_each_tree, random_state=int(seed), tree_=grown)
        trees.append(tree)
    return trees
