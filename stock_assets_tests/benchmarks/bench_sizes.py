"""What is stored and asked of S3: bytes of a row, objects of a session and a month, requests.

docs/kubernetes.md works out from these what thousands of tickers take. A proxy counts requests on
their way to the local S3 server; models have the default number of trees.
"""

import io
from collections import Counter, defaultdict
from datetime import date
from pathlib import Path
from typing import Any

from stock_assets_tests.benchmarks.case import Case, Measurement, Size, measured
from stock_assets_tests.benchmarks.homes import home_for, opened

_TRAINING = {"train_months": 6, "min_train_sessions": 60}


def prepare(folder: Path, size: Size) -> None:
    from stock_assets_tests.benchmarks.simulated import simulated_bars

    simulated_bars(size["tickers"], size["sessions"]).write_parquet(folder / "bars.parquet")


def stored(folder: Path, _size: Size) -> Measurement:
    from stock_assets.backfill.execution import bring_up_to_date
    from stock_assets.backfill.progress import Progress
    from stock_assets.local.lease import store_lease
    from stock_assets.local.seaweed import BUCKET
    from stock_assets_tests.s3_actions import recorded

    home = home_for(folder, "home")
    with (
        measured() as result,
        store_lease(home / "elsewhere", 9_600) as server,
        recorded(server.endpoint_url) as wire,
        opened(
            home,
            folder / "bars.parquet",
            {},
            **_TRAINING,
            store_uri=f"s3://{BUCKET}",
            s3_endpoint_url=wire.url,
            s3_access_key_id=server.access_key_id,
            s3_secret_access_key=server.secret_access_key,
        ) as project,
    ):
        keys = project.partitions.sessions.get_partition_keys()
        first, before, newest = (date.fromisoformat(k) for k in (keys[-40], keys[-2], keys[-1]))
        counts: dict[str, Counter[str]] = {}
        for name, range_ in (
            ("backfill", project.range_of(first, before)),
            ("day", project.range_of(newest, newest)),
        ):
            wire.counted.clear()
            bring_up_to_date(project, range_.wanted(), Progress())
            counts[name] = Counter(wire.counted)
        found = _found(project)
    return result | found | {f"{name}_requests": dict(counted) for name, counted in counts.items()}


def _found(project: Any) -> Measurement:
    """Objects by asset, with the bytes of a row; MLflow's files are those of models."""
    import polars as pl

    objects: dict[str, list[str]] = defaultdict(list)
    for key in project.store.keys(""):
        objects[key.partition("/")[0]].append(key)
    row_bytes, sessions, months = {}, 0, 0
    for asset, keys in objects.items():
        tables = [key for key in keys if key.endswith("part.parquet")]
        contents = project.store.get_many(tables)
        rows = sum(pl.read_parquet(io.BytesIO(content)).height for content in contents)
        if rows:
            row_bytes[asset] = sum(map(len, contents)) / rows
        sessions = max(sessions, sum("/session=" in key for key in keys))
        months = max(months, sum("/month=" in key for key in keys))
    everything = [key for keys in objects.values() for key in keys]
    of_months = [key for key in everything if "/session=" not in key]
    of_models = [key for key in of_months if not key.endswith("part.parquet")]
    return {
        "row_bytes": row_bytes,
        "sessions": sessions,
        "months": months,
        "session_objects": len(everything) - len(of_months),
        "month_objects": len(of_months),
        "model_bytes": sum(map(len, project.store.get_many(of_models))) / months,
        "objects_by_folder": {asset: len(keys) for asset, keys in objects.items()},
    }


CASE = Case(
    title="What is stored and asked of S3: 400 tickers, a backfill of 39 sessions, one day",
    sizes={
        "full": {"tickers": 400, "sessions": 330},
        "tiny": {"tickers": 3, "sessions": 300},
    },
    prepare=prepare,
    contenders={"stored": stored},
    bounds=[("stored", "session_objects", None), ("stored", "month_objects", None)],
    repeats=1,
)
