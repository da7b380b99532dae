"""What is stored of a forest is enough to have it back, and nothing else is taken for one."""

import copy
from pathlib import Path

import numpy as np
import pytest
import skops.io
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor

from stock_assets.forecasting.forest import PackedExtraTrees, PackedForest
from stock_assets.forecasting.model import SKOPS_TRUSTED_TYPES

RANDOM = np.random.default_rng(5)
X = RANDOM.normal(size=(2_000, 4))
Y = X[:, 0] * X[:, 1] + RANDOM.normal(size=2_000)
SETTINGS = {"n_estimators": 7, "max_depth": 5, "max_samples": 500, "random_state": 3}


@pytest.fixture(scope="module")
def forest() -> PackedForest:
    return PackedForest(**SETTINGS).fit(X, Y)


def test_it_is_scikit_learns_forest_before_and_after_storage(forest: PackedForest, tmp_path: Path):
    plain = RandomForestRegressor(**SETTINGS).fit(X, Y)
    skops.io.dump(forest, tmp_path / "forest.skops")
    loaded = skops.io.load(tmp_path / "forest.skops", trusted=list(SKOPS_TRUSTED_TYPES))
    for same in (forest, loaded, copy.deepcopy(forest)):
        np.testing.assert_array_equal(same.predict(X), plain.predict(X))
        np.testing.assert_array_equal(same.feature_importances_, plain.feature_importances_)
        np.testing.assert_array_equal(same.apply(X[:9]), plain.apply(X[:9]))
    for ours, theirs in zip(loaded.estimators_, plain.estimators_, strict=True):
        assert ours.random_state == theirs.random_state
        assert ours.get_depth() == theirs.get_depth()
    again = clone(loaded).fit(X, Y)
    np.testing.assert_array_equal(again.predict(X), plain.predict(X))


def test_so_are_extra_trees(tmp_path: Path):
    plain = ExtraTreesRegressor(**SETTINGS, bootstrap=True).fit(X, Y)
    skops.io.dump(PackedExtraTrees(**SETTINGS, bootstrap=True).fit(X, Y), tmp_path / "forest.skops")
    loaded = skops.io.load(tmp_path / "forest.skops", trusted=list(SKOPS_TRUSTED_TYPES))
    np.testing.assert_array_equal(loaded.predict(X), plain.predict(X))
    np.testing.assert_array_equal(loaded.feature_importances_, plain.feature_importances_)
    assert type(loaded.estimators_[0]) is type(plain.estimators_[0])


def test_an_unfitted_one_is_stored_too(tmp_path: Path):
    skops.io.dump(PackedForest(**SETTINGS), tmp_path / "forest.skops")
    loaded = skops.io.load(tmp_path / "forest.skops", trusted=list(SKOPS_TRUSTED_TYPES))
    assert loaded.get_params() == PackedForest(**SETTINGS).get_params()


@pytest.mark.parametrize(
    ("field", "node", "value"),
    [
        ("left_child", 0, 10**6),
        ("right_child", 0, -7),
        ("right_child", 2, 1),  # to its own parent's child: a circle
        ("feature", 0, 4),
        ("feature", 0, -3),
    ],
)
def test_nodes_that_lead_astray_are_refused(
    forest: PackedForest, field: str, node: int, value: int
):
    state = forest.__getstate__()
    state["nodes"] = state["nodes"].copy()
    state["nodes"][field][node] = value
    with pytest.raises(ValueError, match="nodes do not make trees"):
        PackedForest().__setstate__(state)


@pytest.mark.parametrize("shorter", ["nodes", "node_counts", "values", "seeds"])
def test_a_forest_cut_short_is_refused(forest: PackedForest, shorter: str):
    state = forest.__getstate__()
    state[shorter] = state[shorter][:-1]
    with pytest.raises(ValueError):  # noqa: PT011  # whose words differ: ours, zip's, scikit-learn's
        PackedForest().__setstate__(state)
