"""The I/O managers over a folder; integration/ holds the same against a real S3 server."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from stock_assets.errors import MissingPartitionsError, ObjectStoreError, PartitionMismatchError
from stock_assets.resources.io_managers import JsonIOManager, ParquetIOManager
from stock_assets.resources.object_store import ObjectStore, StoredObject
from stock_assets.resources.one_by_one import OneByOne, StoredPartitions
from stock_assets.resources.partition_objects import stored_partitions
from stock_assets_tests.stored_rows import rows_at

DAYS = dg.DailyPartitionsDefinition("2020-01-01", end_date="2020-01-11")
BY_DAY = {"partitioned_by": "day", "partition_column": "day"}


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(f"file://{tmp_path / 'objects'}")


def frame(days: list[str], value: int = 1) -> pl.DataFrame:
    return pl.DataFrame({"day": days, "value": [value] * len(days)}).with_columns(
        pl.col("day").str.to_date()
    )


def build(value: Any, seen: list[Any], *, may_be_missing: bool = False) -> list[Any]:
    @dg.asset(
        partitions_def=DAYS,
        metadata=BY_DAY,
        io_manager_key="parquet",
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def rows(context: dg.AssetExecutionContext) -> Any:
        return value(list(context.partition_keys))

    @dg.asset(
        partitions_def=DAYS,
        metadata={"partitioned_by": "day"},
        io_manager_key="json",
        backfill_policy=dg.BackfillPolicy.single_run(),
        ins={
            "rows": dg.AssetIn(
                metadata={"history": 2, "may_be_missing": may_be_missing},
            )
        },
    )
    def counts(context: dg.AssetExecutionContext, rows: pl.DataFrame | None) -> dict[str, Any]:
        seen.append(rows)
        return {
            key: {"rows": None if rows is None else rows.height} for key in context.partition_keys
        }

    return [rows, counts]


def resources(store: ObjectStore) -> dict[str, Any]:
    return {"parquet": ParquetIOManager(store), "json": JsonIOManager(store)}


def materialise(
    assets: list[Any], store: ObjectStore, name: str, first: str, last: str | None = None
) -> None:
    dg.materialize(
        assets,
        selection=[name],
        resources=resources(store),
        tags={
            "dagster/asset_partition_range_start": first,
            "dagster/asset_partition_range_end": last or first,
        },
    )


def test_one_object_per_partition_and_one_frame_back(store: ObjectStore):
    seen: list[Any] = []
    assets = build(frame, seen)
    materialise(assets, store, "rows", "2020-01-01", "2020-01-05")
    assert store.keys("rows") == [f"rows/day=2020-01-0{n}/part.parquet" for n in (1, 2, 3, 4, 5)]
    materialise(assets, store, "counts", "2020-01-04", "2020-01-05")
    assert [str(day) for day in seen[0]["day"]] == [f"2020-01-0{n}" for n in (2, 3, 4, 5)]
    text = store.get("counts/day=2020-01-05/value.json")
    assert text.startswith(b'{\n  "rows": 4\n}\n')
    assert text[16:].strip() == b""  # the checksum


def test_a_re_run_replaces_its_object_and_touches_no_other(store: ObjectStore):
    materialise(build(frame, []), store, "rows", "2020-01-01", "2020-01-03")
    before = store.get("rows/day=2020-01-01/part.parquet")
    materialise(
        build(lambda keys: frame(keys, value=7), []), store, "rows", "2020-01-02", "2020-01-02"
    )
    assert store.get("rows/day=2020-01-01/part.parquet") == before
    values = rows_at(store, store.keys("rows"))["value"].to_list()
    assert values == [1, 7, 1]


def test_a_partition_without_rows_is_stored_empty(store: ObjectStore):
    materialise(build(lambda keys: frame(keys[:1]), []), store, "rows", "2020-01-01", "2020-01-02")
    assert rows_at(store, ["rows/day=2020-01-02/part.parquet"]).is_empty()


def test_rows_of_another_partition_are_refused_and_nothing_is_stored(store: ObjectStore):
    stray = build(lambda keys: frame([*keys, "2020-01-09"]), [])
    with pytest.raises(PartitionMismatchError, match="other partitions than the run: 2020-01-09"):
        materialise(stray, store, "rows", "2020-01-01")
    assert store.keys("rows") == []


def test_history_may_begin_late_but_have_no_hole(store: ObjectStore):
    seen: list[Any] = []
    assets = build(frame, seen)
    materialise(assets, store, "rows", "2020-01-03")
    materialise(assets, store, "counts", "2020-01-03")
    assert seen[0].height == 1
    materialise(assets, store, "rows", "2020-01-05")
    with pytest.raises(MissingPartitionsError, match="rows was never materialised for 2020-01-04"):
        materialise(assets, store, "counts", "2020-01-05")
    with pytest.raises(MissingPartitionsError, match="for 2020-01-06"):
        materialise(assets, store, "counts", "2020-01-06")


def test_an_input_that_may_be_missing_is_none(store: ObjectStore):
    seen: list[Any] = []
    materialise(build(frame, seen, may_be_missing=True), store, "counts", "2020-01-05")
    assert seen == [None]


def test_json_refuses_what_json_cannot_say(store: ObjectStore):
    with pytest.raises(ValueError, match="Out of range float values are not JSON compliant"):
        JsonIOManager(store).encode({"a": float("nan")})


def test_a_missing_object_is_named(store: ObjectStore):
    with pytest.raises(ObjectStoreError, match=r"no object rows/day=1/part\.parquet in file://"):
        store.get("rows/day=1/part.parquet")
    assert stored_partitions(store, "rows") == {}


def test_partitions_that_come_one_by_one_are_stored_as_they_come(store: ObjectStore):
    def broken() -> Iterator[tuple[str, dict[str, int]]]:
        yield "2020-01-01", {"n": 1}
        until = time.monotonic() + 10
        while not store.keys("months"):  # it is stored while this goes on
            assert time.monotonic() < until
        assert store.keys("months") == ["months/day=2020-01-01/value.json"]
        yield "2020-01-02", {"n": 2}
        raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        materialise([one_by_one(broken)], store, "months", "2020-01-01", "2020-01-03")
    assert [json.loads(store.get(key)) for key in store.keys("months")] == [{"n": 1}, {"n": 2}]


@pytest.mark.parametrize("keys", [["2020-01-01"], ["2020-01-01", "2020-01-02", "2020-01-09"]])
def test_a_partition_too_few_or_too_many_is_refused(store: ObjectStore, keys: list[str]):
    asset = one_by_one(lambda: ((key, {}) for key in keys))
    with pytest.raises(PartitionMismatchError, match="2020-01-0"):
        materialise([asset], store, "months", "2020-01-01", "2020-01-02")


def test_what_cannot_be_stored_fails_the_run(store: ObjectStore):
    asset = one_by_one(lambda: iter([("2020-01-01", {"n": float("nan")})]))
    with pytest.raises(ValueError, match="not JSON compliant"):
        materialise([asset], store, "months", "2020-01-01", "2020-01-01")


def test_partitions_are_listed_from_a_key_on(store: ObjectStore):
    keys = [f"2020-01-{day:02d}" for day in range(1, 32)]
    store.put_many({f"rows/day={key}/part.parquet": b"" for key in keys} | {"rowsx/day=1/x": b""})
    for since in (keys[0], keys[8], keys[9], keys[30], "2020-01-32", "2019-12-31"):
        listed = stored_partitions(store, "rows", "day", since)
        assert list(listed) == [key for key in keys if key >= since]
    assert listed["2020-01-31"].path == "rows/day=2020-01-31/part.parquet"


def one_by_one(values: Callable[[], Iterator[tuple[str, Any]]]) -> dg.AssetsDefinition:
    @dg.asset(
        partitions_def=DAYS,
        metadata={"partitioned_by": "day"},
        io_manager_key="json",
        dagster_type=dg.PythonObjectDagsterType(OneByOne),
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def months() -> OneByOne:
        return OneByOne(values())

    return months


def stored_rows(store: ObjectStore, reads: list[list[str]]) -> StoredPartitions:
    def read(objects: list[StoredObject]) -> pl.DataFrame:
        reads.append([one.path.split("/")[1].removeprefix("day=") for one in objects])
        return ParquetIOManager(store).decode_many(objects)

    every = DAYS.get_partition_keys()
    return StoredPartitions("rows", "day", every[:1], every, stored_partitions(store, "rows"), read)


def test_rows_of_a_span_are_read_once_and_have_no_hole(store: ObjectStore):
    materialise(build(frame, []), store, "rows", "2020-01-01", "2020-01-05")
    reads: list[list[str]] = []
    rows = stored_rows(store, reads)

    def days(first: str, last: str) -> list[str]:
        return [str(day) for day in rows.rows_between(first, last)["day"]]

    assert days("2020-01-01", "2020-01-03") == ["2020-01-01", "2020-01-02", "2020-01-03"]
    assert days("2020-01-02", "2020-01-04") == ["2020-01-02", "2020-01-03", "2020-01-04"]
    assert days("2020-01-03", "2020-01-03") == ["2020-01-03"]
    assert days("2020-01-02", "2020-01-02") == ["2020-01-02"]
    assert reads[1:] == [["2020-01-04"], ["2020-01-03"], ["2020-01-02"]]
    with pytest.raises(MissingPartitionsError, match=r"rows was never materialised for 2020-01-06"):
        rows.rows_between("2020-01-04", "2020-01-06")


def test_a_run_does_not_overtake_an_earlier_one_of_its_backfill(store: ObjectStore):
    """History may begin late, but not because what comes before is still being made."""
    assets = build(frame, [])
    materialise(assets, store, "rows", "2020-01-05")
    with dg.DagsterInstance.ephemeral() as instance:
        queued = {
            "dagster/backfill": "b",
            "dagster/asset_partition_range_start": "2020-01-01",
            "dagster/asset_partition_range_end": "2020-01-04",
        }
        job = dg.define_asset_job("all_of_it").resolve(
            asset_graph=dg.Definitions(assets, resources=resources(store)).resolve_asset_graph()
        )
        instance.create_run_for_job(job, tags=queued, asset_selection={dg.AssetKey("rows")})
        tags = {
            "dagster/asset_partition_range_start": "2020-01-05",
            "dagster/asset_partition_range_end": "2020-01-05",
        }
        arguments = {"resources": resources(store), "instance": instance, "selection": ["counts"]}
        with pytest.raises(MissingPartitionsError, match="made by another run of this backfill"):
            dg.materialize(assets, tags=tags | {"dagster/backfill": "b"}, **arguments)
        # Another backfill's business is none of ours.
        assert dg.materialize(assets, tags=tags | {"dagster/backfill": "c"}, **arguments).success
