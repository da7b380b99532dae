"""What a checkout holds, as values: what must be equal however it came about.

Left out are times, run ids, and whatever MLflow and Dagster number at random.
"""

import io
import json
import pickle
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from stock_assets.errors import StockAssetsError
from stock_assets.forecasting.features import FEATURES
from stock_assets.resources.model_registry import ModelRegistry
from stock_assets.resources.object_store import ObjectStore, open_store
from stock_assets.settings import load_settings
from stock_assets_tests.backfilled import STORED_ASSETS

_NOT_VALUES = ("fetched_at", "mlflow_run_id", "seconds")


def write_values(backtest: list[str], file: Path) -> None:
    """Stores the values of the checkout in the current folder as a reference for others."""
    with open_store(load_settings()) as store:
        keys = [key for asset in STORED_ASSETS for key in store.keys(asset)]
        objects = dict(zip(keys, store.get_many(keys), strict=True))
        file.write_bytes(pickle.dumps((objects, _versions(store), _printed(backtest))))


def print_differences(backtest: list[str], file: Path) -> None:
    """Prints each difference of the checkout in the current folder from a reference in a line."""
    # A reference that this test has written itself.
    objects, versions, printed = pickle.loads(file.read_bytes())
    with open_store(load_settings()) as store:
        found = _printed(backtest)
        for name in sorted(printed.keys() | found.keys()):
            if found.get(name) != printed.get(name):
                print(f"backtest --json: {name} is {found.get(name)!r}")
        keys = {key for asset in STORED_ASSETS for key in store.keys(asset)}
        for key in sorted(objects.keys() - keys):
            print(f"object {key} is missing")
        for key in sorted(keys - objects.keys()):
            print(f"object {key} is not in the reference")
        common = sorted(keys & objects.keys())
        for key in common:
            try:
                content = store.get(key)
            except StockAssetsError as error:
                print(f"object {key}: {error}")
                continue
            if content != objects[key] and (difference := _difference(key, content, objects[key])):
                print(f"object {key}: {difference}")
        if (others := _versions(store)) != versions:
            print(f"versions are {others}, not {versions}")


def _difference(key: str, content: bytes, reference: bytes) -> str:
    try:
        value = _value(key, content)
    except Exception as error:  # whatever a damaged object makes a reader raise
        return f"can't be read: {str(error)[:200]}"
    wanted = _value(key, reference)
    return "" if value == wanted else f"{str(value)[:300]} is not {str(wanted)[:300]}"


def _value(key: str, content: bytes) -> Any:
    if key.endswith(".json"):
        value = json.loads(content)
        return {k: v for k, v in value.items() if k not in _NOT_VALUES}
    frame = pl.read_parquet(io.BytesIO(content))
    frame = frame.drop(*_NOT_VALUES, strict=False)
    return frame.schema, frame.rows()


def _printed(backtest: list[str]) -> dict[str, Any]:
    """The JSON that `backtest --json` prints; it finds nothing to do."""
    from stock_assets.cli import main

    printed = io.StringIO()
    sys.argv = ["stock-assets", *backtest]
    with redirect_stdout(printed):
        main(args=backtest, prog_name="stock-assets", standalone_mode=False)
    found: dict[str, Any] = json.loads(printed.getvalue())
    if any(found["seconds"].values()):
        print(f"backtest found something left to do: {found['seconds']}")
    del found["seconds"]
    return found


def _versions(store: ObjectStore) -> list[Any]:
    """Each version with what it serves: tags, intervals, and what its model says of some rows."""
    registry = ModelRegistry(load_settings(), store)
    rows = np.random.default_rng(1).normal(size=(5, len(FEATURES)))
    found = []
    for version in registry.versions():
        try:
            served = registry.load(version)
        except StockAssetsError as error:
            found.append((version.version, str(error)))
            continue
        said = served.model.predict(pl.DataFrame(rows, schema=list(FEATURES)).to_pandas())
        found.append((version, served.intervals.as_values(), said.tolist()))
    return found
