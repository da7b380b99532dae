"""LightGBM's boosted trees, stored as LightGBM's own text and checked before LightGBM reads it.

Its reader trusts what it reads: a split on a feature that nobody has, a child that leads in a
circle or a size that is not the text's would send it out of its memory. So a stored text is read
here first, line by line, and refused unless it is what our own training writes.

The library wants the system's libgomp.so.1, which a bare machine may lack: it is imported when a
model of this family is fitted or asked, and nothing else of the project needs it.
"""

import math
import re
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin

from stock_assets.errors import MissingLibraryError

ROUNDS = 40
"""Of boosting, while searching as while serving: with more of them it would be another model than
the one whose slope was measured."""

_MOST_TREES, _MOST_LEAVES, _MOST_CHARACTERS = 10_000, 4_096, 64 * 2**20
_END = "end of trees\n"
_NUMBER = re.compile(r"-?\d{1,25}(\.\d{1,25})?(e[+-]?\d{1,3})?")
_RANGE = re.compile(r"none|\[(\S{1,40}):(\S{1,40})\]")
_HEADER = {
    "version": "v4",
    "num_class": "1",
    "num_tree_per_iteration": "1",
    "label_index": "0",
    "objective": "regression",
}
_PER_SPLIT = (
    "split_feature",
    "split_gain",
    "threshold",
    "decision_type",
    "left_child",
    "right_child",
    "internal_value",
    "internal_weight",
    "internal_count",
)
_PER_LEAF = ("leaf_value", "leaf_weight", "leaf_count")
_OF_TREE = {"num_leaves", "num_cat", "is_linear", "shrinkage", *_PER_SPLIT, *_PER_LEAF}
_NUMERICAL = {0, 2, 8, 10}
"""Kinds of split: on numbers, with either default for what is missing, and no category."""


def lightgbm() -> Any:
    """The library.

    Raises:
        MissingLibraryError: It can't be loaded here.
    """
    try:
        import lightgbm as library
    except (ImportError, OSError) as error:
        raise MissingLibraryError(
            f"the family lightgbm can't be loaded here ({error}); install the system's libgomp"
            " (Debian: apt-get install libgomp1), or set STOCK_ASSETS_MODEL_FAMILY to another"
        ) from error
    return library


_BINNING = {"max_bin": 255, "feature_pre_filter": False, "verbosity": -1}


def binned(features: pd.DataFrame, labels: np.ndarray, jobs: int) -> Any:
    """The rows as LightGBM trains on them: cut into bins once, for any number of fits."""
    given = {**_BINNING, "num_threads": jobs}
    names = [f"f{n}" for n in range(features.shape[1])]
    rows = features.to_numpy(np.float64)
    return lightgbm().Dataset(rows, labels, feature_name=names, params=given).construct()


class BoostedTrees(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # sklearn is untyped
    """ROUNDS trees, each of which corrects those before it; no row or tree knows of threads."""

    def __init__(
        self,
        learning_rate: float = 0.05,
        num_leaves: int = 8,
        min_data_in_leaf: int = 300,
        feature_fraction: float = 0.5,
        random_state: int = 0,
        n_jobs: int = 1,
    ) -> None:
        self.learning_rate = learning_rate
        self.num_leaves = num_leaves
        self.min_data_in_leaf = min_data_in_leaf
        self.feature_fraction = feature_fraction
        self.random_state = random_state
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: np.ndarray) -> Self:  # noqa: N803  # scikit-learn's names
        """`X`: features, or what `binned` made of them."""
        rows = binned(X, y, self.n_jobs) if isinstance(X, pd.DataFrame) else X
        given = {
            **_BINNING,
            "objective": "regression",
            "learning_rate": self.learning_rate,
            "num_leaves": self.num_leaves,
            "min_data_in_leaf": self.min_data_in_leaf,
            "feature_fraction": self.feature_fraction,
            "seed": self.random_state,
            "num_threads": self.n_jobs,
            "deterministic": True,
            "force_row_wise": True,
        }
        text = lightgbm().train(given, rows, ROUNDS).model_to_string()
        self.text_ = text[: text.index(_END)] + _END
        self.n_features_in_ = rows.num_feature()
        self._booster: Any = None
        return self

    def predict(self, X: pd.DataFrame) -> np.ndarray:  # noqa: N803
        if self._booster is None:
            self._booster = lightgbm().Booster(model_str=self.text_)
        forecast = self._booster.predict(X.to_numpy(np.float64), num_threads=1)
        return np.asarray(forecast)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k != "_booster"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "text_" in state:
            check_text(state["text_"], int(state["n_features_in_"]))
        self.__dict__.update(state, _booster=None)


def check_text(text: str, n_features: int) -> None:
    """Refuses a stored model that is not one of `n_features` numbers, summed over sound trees.

    Raises:
        ValueError: Says which part is not.
    """
    if not isinstance(text, str) or len(text) > _MOST_CHARACTERS or not text.isascii():
        raise ValueError("a stored LightGBM model is no text, or too large")
    head, *trees = text.removesuffix("\n" + _END).split("\nTree=")
    header = _fields(head.removeprefix("tree\n"))
    sizes = header.pop("tree_sizes", "").split(" ")
    names, ranges = header.pop("feature_names", ""), header.pop("feature_infos", "").split(" ")
    if header != {**_HEADER, "max_feature_idx": str(n_features - 1)}:
        raise ValueError("a stored LightGBM model's header is not that of our models")
    if names != " ".join(f"f{n}" for n in range(n_features)) or len(ranges) != n_features:
        raise ValueError("a stored LightGBM model has other features")
    for one in ranges:
        found = _RANGE.fullmatch(one)
        if not found:
            raise ValueError("a stored LightGBM model has a feature without a range")
        _numbers(" ".join(bound for bound in found.groups() if bound))
    if not text.endswith(_END) or not 1 <= len(trees) <= _MOST_TREES:
        raise ValueError("a stored LightGBM model has no end, or too many trees")
    # LightGBM jumps by these sizes. What `split` took from each tree is "Tree=" and a line's end.
    if sizes != [str(len(tree) + len("Tree=\n")) for tree in trees]:
        raise ValueError("a stored LightGBM model's trees are not as long as it says")
    for n, tree in enumerate(trees):
        number, _, rest = tree.partition("\n")
        if number != str(n):
            raise ValueError("a stored LightGBM model's trees are out of order")
        _check_tree(_fields(rest), n_features)


def _fields(lines: str) -> dict[str, str]:
    """`name=values` of each line; each name once."""
    pairs = [line.split("=") for line in lines.rstrip("\n").split("\n")]
    if any(len(pair) != 2 for pair in pairs) or len({p[0] for p in pairs}) != len(pairs):
        raise ValueError("a stored LightGBM model has a line that is no field, or one twice")
    return {name: value for name, value in pairs}  # noqa: C416  # checked to be of two each


def _numbers(values: str) -> list[float]:
    words = values.split(" ") if values else []
    if not all(_NUMBER.fullmatch(word) for word in words):
        raise ValueError("a stored LightGBM model has a value that is no number")
    numbers = [float(word) for word in words]
    if not all(map(math.isfinite, numbers)):
        raise ValueError("a stored LightGBM model has a value that is not finite")
    return numbers


def _check_tree(fields: dict[str, str], n_features: int) -> None:
    if set(fields) != _OF_TREE:
        raise ValueError("a stored LightGBM tree has other fields")
    values = {name: _numbers(given) for name, given in fields.items()}
    if (values["num_cat"], values["is_linear"]) != ([0], [0]) or len(values["shrinkage"]) != 1:
        raise ValueError("a stored LightGBM tree is not one of numbers and constants")
    (leaves,) = values["num_leaves"]
    if not (leaves.is_integer() and 1 <= leaves <= _MOST_LEAVES):
        raise ValueError("a stored LightGBM tree has no leaves, or too many")
    if leaves == 1:  # LightGBM writes one count, and no weight, of a tree that does not split
        lengths = {
            **dict.fromkeys(_PER_SPLIT, 0),
            "leaf_value": 1,
            "leaf_count": 1,
            "leaf_weight": 0,
        }
    else:
        splits = int(leaves) - 1
        lengths = dict.fromkeys(_PER_SPLIT, splits) | dict.fromkeys(_PER_LEAF, splits + 1)
    if any(len(values[name]) != length for name, length in lengths.items()):
        raise ValueError("a stored LightGBM tree's fields are not as long as it says")
    if not set(values["decision_type"]) <= _NUMERICAL:
        raise ValueError("a stored LightGBM tree splits by something other than a number")
    if not set(values["split_feature"]) <= set(range(n_features)):
        raise ValueError("a stored LightGBM tree uses features that nobody has")
    # Splits are numbered from 0, leaves from -1 downwards; a child split comes after its parent.
    children = [*enumerate(values["left_child"]), *enumerate(values["right_child"])]
    below = sorted(child for _, child in children)
    if leaves > 1 and (
        below != [*range(-int(leaves), 0), *range(1, int(leaves) - 1)]
        or any(0 <= child <= parent for parent, child in children)
    ):
        raise ValueError("a stored LightGBM tree's splits do not make a tree")
