"""What somebody with a hand in the store could put there: refused before anything follows it.

Each case first shows that the sound thing is taken, so that a refusal is of what was changed.
"""

import io
import json
import zipfile
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.svm import SVR

from stock_assets.errors import DamagedObjectError, DamagedStudyError
from stock_assets.forecasting.boosted import BoostedTrees
from stock_assets.forecasting.families import StandardisedRidge
from stock_assets.forecasting.forest import PackedExtraTrees, PackedForest
from stock_assets.forecasting.model import ShrunkRegressor
from stock_assets.planning.stamp import stamp_of
from stock_assets.resources import study_files
from stock_assets.resources.lost_studies import adopt
from stock_assets.resources.mlflow_tracking import MlflowTracking
from stock_assets.resources.object_store import ObjectStore, open_store
from stock_assets.resources.stored_values import read_values
from stock_assets.resources.study_files import load_model
from stock_assets.settings import Settings

RANDOM = np.random.default_rng(7)
X = pd.DataFrame(RANDOM.normal(size=(400, 4)), columns=list("abcd"))
Y = RANDOM.normal(size=400)
DEEP = b"[" * 100_000 + b"]" * 100_000
MODELS: dict[str, Callable[[], Any]] = {
    "forest": lambda: PackedForest(n_estimators=3, max_depth=3),
    "extra trees": lambda: PackedExtraTrees(n_estimators=3, max_depth=3),
    "histogram": lambda: HistGradientBoostingRegressor(max_iter=3),
    "lightgbm": lambda: BoostedTrees(min_data_in_leaf=50),
    "ridge": StandardisedRidge,
}


def stored(estimator: Any, slope: Any = 0.5) -> bytes:
    return skops.io.dumps(ShrunkRegressor(estimator, slope))


def refused(content: bytes, why: str) -> None:
    with pytest.raises(DamagedStudyError, match=f"no model of trusted types: .*{why}"):
        load_model(content, "2013-03")


def changed(content: bytes, edit: Callable[[dict[str, Any]], None]) -> bytes:
    """The file with another schema."""
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(result, "w") as new:
        for name in old.namelist():
            part = old.read(name)
            if name == "schema.json":
                schema = json.loads(part)
                edit(schema)
                part = json.dumps(schema).encode()
            new.writestr(name, part)
    return result.getvalue()


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_model_of_each_family_is_taken(name: str):
    fitted = MODELS[name]().fit(X, Y)
    loaded = load_model(stored(fitted), "2013-03")
    np.testing.assert_array_equal(loaded.predict(X), 0.5 * fitted.predict(X))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("left", 0),  # a circle
        ("right", 2**31),
        ("feature_idx", 4),
        ("feature_idx", -1),
        ("is_categorical", 1),
        ("value", np.nan),
    ],
)
def test_boosted_trees_that_lead_astray_are_refused(field: str, value: float):
    fitted = MODELS["histogram"]().fit(X, Y)
    fitted._predictors[1][0].nodes[field][0] = value
    refused(stored(fitted), "its nodes do not make trees")


def test_trees_that_were_not_packed_are_refused():
    """scikit-learn's own are not looked at when they are read."""
    plain = RandomForestRegressor(n_estimators=2).fit(X, Y)
    refused(stored(plain), "sklearn.tree._tree.Tree")
    with pytest.raises(ValueError, match="not packed"):
        PackedForest().__setstate__({"estimators_": plain.estimators_})


def test_a_forest_and_its_trees_are_of_the_same_features():
    fitted = MODELS["forest"]().fit(X, Y)
    fitted.estimators_[0].n_features_in_ = 4_000
    refused(stored(fitted), "other features than their forest")


@pytest.mark.parametrize("slope", [float("nan"), float("inf"), -0.1, 1.5, "1", None])
def test_a_slope_that_is_none_is_refused(slope: Any):
    refused(stored(StandardisedRidge().fit(X, Y), slope), "its slope is")


def test_an_estimator_of_no_family_is_refused():
    """skops trusts all of scikit-learn, compiled parts with arrays of their own among them."""
    refused(stored(SVR().fit(X, Y)), "its estimator is a SVR")
    refused(stored(None), "its estimator is a NoneType")


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_file_that_was_cut_or_changed_is_refused_whatever_it_makes_of_skops(name: str):
    whole = stored(MODELS[name]().fit(X, Y))
    for end in range(0, len(whole) - 1, max(1, len(whole) // 12)):
        refused(whole[:end], "")

    def other_types(schema: dict[str, Any]) -> None:
        attributes = schema["content"]["content"]
        attributes["slope"] = deepcopy(attributes["estimator"])

    def of_os(schema: dict[str, Any]) -> None:
        schema |= {"__class__": "system", "__module__": "os", "__loader__": "FunctionNode"}

    def no_class(schema: dict[str, Any]) -> None:
        schema |= {"__class__": "Nothing", "__module__": "stock_assets.forecasting.model"}

    for edit in (of_os, no_class, dict.clear, other_types):
        refused(changed(whole, edit), "")


def test_a_small_file_of_many_bytes_is_refused(monkeypatch: pytest.MonkeyPatch):
    whole = stored(MODELS["ridge"]().fit(X, Y))
    load_model(whole, "2013-03")
    monkeypatch.setattr(study_files, "_MOST_BYTES", 1_000)
    refused(whole, "more than any model")


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"\xff\xfe", b"[]", b"1", b"null", b'{"a": NaN}', b'{"a": -Infinity}', DEEP,
        b'{"a": ' + DEEP + b"}", b'{"a": ' + b"9" * 10_000 + b"}",
    ],
    ids=range(11),
)  # fmt: skip
def test_json_that_is_none_is_refused(tmp_path: Path, content: bytes):
    store = ObjectStore(f"file://{tmp_path}")
    store.put_many({"a.json": b'{"a": 1}', "b.json": content})
    assert read_values(store, ["a.json"], dict) == [{"a": 1}]
    with pytest.raises(DamagedObjectError, match=r"b\.json"):
        read_values(store, ["b.json"], dict)
    assert stamp_of(content) is None


@pytest.mark.parametrize(
    "given", ["../../../etc", "/etc", "a/b", "..", "", 5.5, {"a": 1}, "x" * 65, "a\nb"]
)
@pytest.mark.parametrize("name", ["mlflow_run_id", "mlflow_model_id"])
def test_a_run_that_is_no_name_leads_to_no_folder(tmp_path: Path, name: str, given: Any):
    """The object of a month names the folder that its files are fetched from."""
    settings = Settings(home=tmp_path, store_uri=f"file://{tmp_path / 'objects'}")
    lost = {"month": "2013-03", "mlflow_run_id": "a", "mlflow_model_id": "m-b"}
    with open_store(settings) as store:
        tracking = MlflowTracking(settings, store)
        with pytest.raises(DamagedStudyError, match=f"{name} of 2013-03 is none of MLflow's"):
            adopt(tracking, lost | {name: given})
    assert not (tmp_path / "var" / "mlflow" / "mlflow.db").exists()
