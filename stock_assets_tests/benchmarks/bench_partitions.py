"""Storing and reading 2,500 partitions beside polars alone on the same objects.

The I/O manager does what an asset's output and input do: check the keys, encode, PUT, list, scan.
`polars` writes each frame and scans the objects without any of that. On the local S3 server, which
is up before anything is timed.
"""

import io
from pathlib import Path
from typing import Any

from stock_assets_tests.benchmarks.case import Case, Measurement, Ratio, Size, measured
from stock_assets_tests.benchmarks.homes import home_for


def prepare(folder: Path, size: Size) -> None:
    from stock_assets_tests.benchmarks.simulated import simulated_bars

    bars = simulated_bars(size["tickers"], size["sessions"])
    bars.sort("session", "ticker").write_parquet(folder / "bars.parquet")
    home_for(folder, "home")


def _settings(folder: Path, size: Size) -> Any:
    from stock_assets.settings import Settings

    local = {"store_uri": f"file://{folder / 'objects'}"} if size.get("quick") else {}
    return Settings(home=folder / "home", **local)


def _contexts(keys: list[str]) -> tuple[Any, Any]:
    """What Dagster hands the I/O manager on the way out and in."""
    from unittest.mock import Mock

    import dagster as dg
    import polars as pl

    from stock_assets.assets.attributes import FRAME
    from stock_assets.resources.io_managers import PARTITION_COLUMN, PARTITIONED_BY

    key = dg.AssetKey("rows")
    metadata = {PARTITIONED_BY: "session", PARTITION_COLUMN: "session"}
    output = Mock(spec_set=dg.OutputContext)
    output.configure_mock(asset_key=key, definition_metadata=metadata, asset_partition_keys=keys)
    output.step_context.assets_def.key = key
    output.step_context._metadata_accumulator.per_output_metadata = {}
    given = Mock(spec_set=dg.InputContext)
    given.configure_mock(
        asset_key=key, definition_metadata={}, asset_partition_keys=keys, dagster_type=FRAME
    )
    assert FRAME.typing_type is pl.DataFrame
    return output, given


def project(folder: Path, size: Size) -> Measurement:
    import polars as pl

    from stock_assets.resources.io_managers import ParquetIOManager
    from stock_assets.resources.object_store import open_store

    bars = pl.read_parquet(folder / "bars.parquet")
    output, given = _contexts([str(s) for s in bars["session"].unique().sort()])
    with open_store(_settings(folder, size)) as store:
        manager = ParquetIOManager(store)
        with measured() as writing:
            manager.handle_output(output, bars)
        with measured() as reading:
            back = manager.load_input(given)
    assert back.equals(bars)
    return _both(writing, reading)


def polars(folder: Path, size: Size) -> Measurement:
    import polars as pl

    from stock_assets.resources.object_store import open_store

    bars = pl.read_parquet(folder / "bars.parquet")
    with open_store(_settings(folder, size)) as store:
        options = store.connection.options(store.bucket) if store.connection else None
        root = store.uri.removeprefix("file://") + "/polars"
        with measured() as writing:
            objects = []
            for (session,), part in bars.partition_by("session", as_dict=True).items():
                objects.append(f"{root}/session={session}/part.parquet")
                if options is None:
                    Path(objects[-1]).parent.mkdir(parents=True, exist_ok=True)
                part.write_parquet(objects[-1], compression="zstd", storage_options=options)
        with measured() as reading:
            back = pl.scan_parquet(
                objects, storage_options=options, hive_partitioning=False, glob=False
            ).collect()
    assert back.equals(bars)
    return _both(writing, reading)


def polars_and_boto3(folder: Path, size: Size) -> Measurement:
    """Polars encodes, boto3 uploads one after the other: how most projects do it."""
    import boto3
    import polars as pl

    from stock_assets.resources.object_store import open_store

    bars = pl.read_parquet(folder / "bars.parquet")
    with open_store(_settings(folder, size)) as store:
        connection = store.connection
        if connection is None:
            return {"seconds": 0.0, "cpu_seconds": 0.0, "write_seconds": 0.0, "read_seconds": 0.0}
        client: Any = boto3.client(
            "s3",
            region_name=connection.region,
            endpoint_url=connection.endpoint_url,
            aws_access_key_id=connection.access_key_id,
            aws_secret_access_key=connection.secret_access_key,
        )
        bucket, _, prefix = store.uri.removeprefix("s3://").partition("/")
        keys = []
        with measured() as writing:
            for (session,), part in bars.partition_by("session", as_dict=True).items():
                buffer = io.BytesIO()
                part.write_parquet(buffer, compression="zstd")
                keys.append(f"{prefix}/boto3/session={session}/part.parquet")
                client.put_object(Bucket=bucket, Key=keys[-1], Body=buffer.getvalue())
        with measured() as reading:
            frames = [
                pl.read_parquet(client.get_object(Bucket=bucket, Key=key)["Body"].read())
                for key in keys
            ]
            back = pl.concat(frames)
    assert back.equals(bars)
    return _both(writing, reading)


def _both(writing: Measurement, reading: Measurement) -> Measurement:
    return {
        "seconds": writing["seconds"] + reading["seconds"],
        "cpu_seconds": writing["cpu_seconds"] + reading["cpu_seconds"],
        "write_seconds": writing["seconds"],
        "read_seconds": reading["seconds"],
    }


CASE = Case(
    title="Storing and reading 2,500 partitions of 100 tickers on the local S3 server",
    sizes={
        "full": {"tickers": 100, "sessions": 2500},
        "tiny": {"tickers": 3, "sessions": 5, "quick": 1},
    },
    prepare=prepare,
    contenders={
        "project": project,
        "polars": polars,
        "polars and boto3": polars_and_boto3,
    },
    ratios=[
        Ratio("storing: project / polars", "project", ["polars"], key="write_seconds"),
        Ratio("reading: project / polars", "project", ["polars"], key="read_seconds"),
        Ratio("both: project / polars and boto3", "project", ["polars and boto3"]),
    ],
)
