"""LightGBM as a family: stored as text, and no other text is taken for one."""

import builtins
import copy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io

from stock_assets.errors import MissingLibraryError
from stock_assets.forecasting.boosted import BoostedTrees, binned, check_text
from stock_assets.forecasting.model import SKOPS_TRUSTED_TYPES

RANDOM = np.random.default_rng(5)
X = pd.DataFrame(RANDOM.normal(size=(3_000, 4)), columns=list("abcd"))
Y = (X["a"] * X["b"] + RANDOM.normal(size=3_000)).to_numpy()


@pytest.fixture(scope="module")
def model() -> BoostedTrees:
    return BoostedTrees(min_data_in_leaf=100, random_state=3).fit(X, Y)


def test_it_finds_what_is_there_and_comes_back_from_its_text(model: BoostedTrees, tmp_path: Path):
    forecast = model.predict(X)
    assert np.corrcoef(forecast, X["a"] * X["b"])[0, 1] > 0.5
    skops.io.dump(model, tmp_path / "model.skops")
    loaded = skops.io.load(tmp_path / "model.skops", trusted=list(SKOPS_TRUSTED_TYPES))
    for same in (loaded, copy.deepcopy(model)):
        np.testing.assert_array_equal(same.predict(X), forecast)
    np.testing.assert_array_equal(loaded.predict(X[:7]), forecast[:7])
    with pytest.raises(Exception, match="number of features"):
        loaded.predict(X[["a", "b"]])


def test_neither_threads_nor_shared_bins_change_a_bit(model: BoostedTrees):
    bins = binned(X, Y, 2)
    for n_jobs in (1, 2):
        again = BoostedTrees(min_data_in_leaf=100, random_state=3, n_jobs=n_jobs).fit(bins, Y)
        assert again.text_ == model.text_
    other = BoostedTrees(min_data_in_leaf=50, random_state=3).fit(bins, Y)
    assert other.text_ == BoostedTrees(min_data_in_leaf=50, random_state=3).fit(X, Y).text_


def test_a_tree_that_can_not_split_is_stored_too():
    flat = BoostedTrees(min_data_in_leaf=2_000).fit(X, Y)
    check_text(flat.text_, 4)
    assert set(copy.deepcopy(flat).predict(X)) == {flat.predict(X)[0]}


def changed(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


def field(text: str, name: str, values: str) -> str:
    """The text with another value in the first line of that name, and sizes that fit."""
    start = text.index(f"\n{name}=") + 1
    end = text.index("\n", start)
    text = f"{text[:start]}{name}={values}{text[end:]}"
    head, _, _ = text.partition("\n\nTree=")
    trees = text.removesuffix("\nend of trees\n").split("\nTree=")[1:]
    old = next(line for line in head.split("\n") if line.startswith("tree_sizes="))
    sizes = " ".join(str(len(tree) + len("Tree=\n")) for tree in trees)
    return text.replace(old, f"tree_sizes={sizes}", 1)


def of(text: str, name: str) -> list[str]:
    start = text.index(f"\n{name}=") + len(name) + 2
    return text[start : text.index("\n", start)].split(" ")


@pytest.mark.parametrize(
    ("name", "at", "value"),
    [
        ("split_feature", 0, "4"),
        ("split_feature", 0, "-1"),
        ("split_feature", 0, "2.5"),
        ("left_child", 0, "0"),  # a circle
        ("left_child", 0, "1000000"),
        ("right_child", 1, "-1"),
        ("right_child", 2, "-99"),
        ("threshold", 0, "nan"),
        ("threshold", 0, "1e999"),
        ("leaf_value", 3, "inf"),
        ("leaf_value", 0, "0x10"),
        ("decision_type", 0, "1"),  # of categories
        ("num_leaves", 0, "1000000000"),
        ("num_leaves", 0, "7"),
        ("num_cat", 0, "1"),
        ("is_linear", 0, "1"),
        ("shrinkage", 0, ""),
    ],
)
def test_trees_that_lead_astray_are_refused(model: BoostedTrees, name: str, at: int, value: str):
    values = of(model.text_, name)
    values[at] = value
    with pytest.raises(ValueError, match="stored LightGBM"):
        check_text(field(model.text_, name, " ".join(values)), 4)


def test_a_list_that_is_too_short_or_too_long_is_refused(model: BoostedTrees):
    for name in ("split_feature", "threshold", "leaf_value", "left_child", "internal_count"):
        values = of(model.text_, name)
        for other in (values[:-1], [*values, "0"]):
            with pytest.raises(ValueError, match="stored LightGBM"):
                check_text(field(model.text_, name, " ".join(other)), 4)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("tree\nversion=v4", "tree\nversion=v3"),
        ("objective=regression", "objective=custom"),
        ("num_class=1", "num_class=3"),
        ("max_feature_idx=3", "max_feature_idx=2"),
        ("max_feature_idx=3", "max_feature_idx=999999999"),
        ("feature_names=f0", "feature_names=f9"),
        ("feature_infos=[", "feature_infos=nonsense["),
        ("tree_sizes=", "tree_sizes=9999999 "),
        ("Tree=1\n", "Tree=7\n"),
        ("Tree=1\n", ""),
        ("shrinkage=1", "shrinkage=1\nmore=1"),
        ("split_gain=", "split_feature="),
        ("end of trees\n", ""),
        ("end of trees\n", "end of trees\nparameters:\n[x: y]\n"),
        ("num_cat=0", "num_cat=0\x00"),
    ],
)
def test_a_text_that_is_not_one_of_ours_is_refused(model: BoostedTrees, old: str, new: str):
    with pytest.raises(ValueError, match="stored LightGBM"):
        check_text(changed(model.text_, old, new), 4)


def test_a_text_cut_anywhere_is_refused(model: BoostedTrees):
    for end in range(0, len(model.text_) - 1, 97):
        with pytest.raises(ValueError, match="stored LightGBM"):
            check_text(model.text_[:end], 4)


def test_loading_looks_before_lightgbm_does(model: BoostedTrees, monkeypatch: pytest.MonkeyPatch):
    state = model.__getstate__()
    children = ["0", *of(model.text_, "left_child")[1:]]
    state["text_"] = field(model.text_, "left_child", " ".join(children))
    monkeypatch.setattr("stock_assets.forecasting.boosted.lightgbm", lambda: pytest.fail("asked"))
    with pytest.raises(ValueError, match="do not make a tree"):
        BoostedTrees().__setstate__(state)


def test_a_machine_without_libgomp_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch):
    real = builtins.__import__

    def refusing(name: str, *rest: Any) -> Any:
        if name == "lightgbm":
            raise OSError("libgomp.so.1: cannot open shared object file")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refusing)
    with pytest.raises(MissingLibraryError, match=r"libgomp\.so\.1.*apt-get install libgomp1"):
        BoostedTrees().fit(X, Y)
