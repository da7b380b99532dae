"""What a checkout holds, as values: what must be equal however it came about.

Left out are times, run ids, and whatever MLflow and Dagster number at random.
"""

import io
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from stock_assets.environment import load_settings
from stock_assets.errors import StockAssetsError
from stock_assets.forecasting.features import FEATURES
from stock_assets.resources.model_registry import ModelRegistry
from stock_assets.resources.object_store import ObjectStore, open_store
from stock_assets_tests.backfilled import STORED_ASSETS

_NOT_VALUES = ("fetched_at", "first_fetched_at", "mlflow_run_id", "mlflow_model_id", "stamp")
_OTHERS = "others.json"


def write_values(folder: Path) -> None:
    """Stores the values of the checkout in the current folder as a reference for others."""
    with open_store(load_settings()) as store:
        keys = [key for asset in STORED_ASSETS for key in store.keys(asset)]
        for key, content in zip(keys, store.get_many(keys), strict=True):
            (folder / key).parent.mkdir(parents=True)
            (folder / key).write_bytes(content)
        (folder / _OTHERS).write_text(json.dumps(_others(store)))


def print_differences(folder: Path) -> None:
    """Prints each difference of the checkout in the current folder from a reference in a line."""
    with open_store(load_settings()) as store:
        wanted = json.loads((folder / _OTHERS).read_text())
        found = json.loads(json.dumps(_others(store)))
        for name in sorted(wanted.keys() | found.keys()):
            if found.get(name) != wanted.get(name):
                print(f"{name}: {found.get(name)} is not {wanted.get(name)}"[:1000])
        known = {str(path.relative_to(folder)) for path in folder.rglob("*=*/*")}
        stored = {key for asset in STORED_ASSETS for key in store.keys(asset)}
        for key in sorted(known ^ stored):
            print(f"object {key} is {'missing' if key in known else 'not in the reference'}")

        def compared(key: str) -> str:
            try:
                return _difference(key, store.get(key), (folder / key).read_bytes())
            except StockAssetsError as error:
                return str(error)

        common = sorted(known & stored)
        with ThreadPoolExecutor(8) as pool:
            for key, difference in zip(common, pool.map(compared, common), strict=True):
                if difference:
                    print(f"object {key}: {difference}")


def _difference(key: str, content: bytes, reference: bytes) -> str:
    if content == reference:
        return ""
    try:
        value = _value(key, content)
    except (ValueError, TypeError, AttributeError, pl.exceptions.PolarsError) as error:
        return f"can't be read: {str(error)[:200]}"
    wanted = _value(key, reference)
    if isinstance(value, dict):
        return ", ".join(
            f"{name} is {value.get(name)} and not {wanted.get(name)}"[:300]
            for name in sorted(value.keys() | wanted.keys())
            if value.get(name) != wanted.get(name)
        )
    return "" if value == wanted else f"{str(value)[:300]} is not {str(wanted)[:300]}"


def _value(key: str, content: bytes) -> Any:
    if key.endswith(".json"):
        value = json.loads(content)
        return {k: v for k, v in value.items() if k not in _NOT_VALUES}
    frame = pl.read_parquet(io.BytesIO(content))
    frame = frame.drop(*_NOT_VALUES, strict=False)
    return frame.schema, frame.rows()


def _others(store: ObjectStore) -> dict[str, Any]:
    return {"backtest --json": _printed(), "versions": _versions(store)}


def _printed() -> dict[str, Any]:
    """The JSON that `backtest --json` prints; it finds nothing to do."""
    from stock_assets.cli import main

    printed = io.StringIO()
    arguments = ["backtest", "--json"]
    sys.argv = ["stock-assets", *arguments]
    with redirect_stdout(printed):
        main(args=arguments, prog_name="stock-assets", standalone_mode=False)
    found: dict[str, Any] = json.loads(printed.getvalue())
    # It tells what was left to do, not how long that took.
    return found | {"seconds": {stage: s > 0 for stage, s in found["seconds"].items()}}


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
        matrix = pl.DataFrame(rows, schema=list(FEATURES)).to_pandas()
        said = served.model.predict(matrix).tolist() if served.model else None
        found.append((str(version), served.intervals.as_values(), said))
    return found
