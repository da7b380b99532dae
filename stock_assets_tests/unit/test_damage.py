"""No damage is read as another value, none ends in another error than one that names the object."""

import random
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from stock_assets.errors import DamagedObjectError
from stock_assets.forecasting.forecast_schema import FORECAST_LATER
from stock_assets.forecasting.outlook import OUTLOOK
from stock_assets.resources.damage import find_damaged
from stock_assets.resources.io_managers import ParquetIOManager
from stock_assets.resources.object_store import CacheFolder, ObjectStore
from stock_assets.resources.partition_objects import stored_partitions
from stock_assets.resources.read_cache import read_rows
from stock_assets.resources.seal import seal
from stock_assets.resources.stored_frames import _DECLARED
from stock_assets.resources.stored_values import as_json, put_values, read_values

FLIPS = 200
DAYS = [str(date(2020, 1, 1) + timedelta(days=n)) for n in range(60)]
FRAME = "features/session=2020-01-01/part.parquet"
VALUE = "tuned_model/month=2020-01/value.json"
STUDY = {"month": "2020-01", "slope": 0.125, "tickers": ["A", "B"], "losses": [1.5e-4] * 40}


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(f"file://{tmp_path / 'objects'}")


def rows(asset: str, day: str = DAYS[0]) -> pl.DataFrame:
    """Three made-up rows with the columns that an asset declares."""
    draw = random.Random(day)

    def values(kind: pl.DataType) -> list[Any]:
        if kind == pl.Date():
            return [date.fromisoformat(day)] * 3
        if kind == pl.String():
            return ["A", "B", "C"]
        return [draw.gauss(0, 1) for _ in range(3)] if kind == pl.Float64() else [None] * 3

    schema = _DECLARED[asset].schema
    return pl.DataFrame({n: values(kind) for n, kind in schema.items()}, schema=dict(schema))


def put(store: ObjectStore, frames: dict[str, pl.DataFrame]) -> None:
    store.put_encoded(frames, ParquetIOManager(store).encode)


def flipped(content: bytes, draw: random.Random) -> bytes:
    changed = bytearray(content)
    changed[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def found_or_harmless(read: Callable[[], bool]) -> bool:
    """True where an error names damage; a read that goes on must give equal values."""
    try:
        assert read(), "another value was read in silence"
    except DamagedObjectError:
        return True
    return False


def test_no_flipped_bit_of_a_parquet_object_is_read_as_another_value(store: ObjectStore):
    put(store, {FRAME: rows("features")})
    whole, draw = store.get(FRAME), random.Random(1)

    def read() -> bool:
        return read_rows(store, list(stored_partitions(store, "features").values())).equals(
            rows("features")
        )

    found = 0
    for _ in range(FLIPS):
        store.put_many({FRAME: flipped(whole, draw)})
        found += found_or_harmless(read)
    assert found >= FLIPS - 5  # a flip in the mark before the checksum hides it and nothing else


def test_no_flipped_bit_of_a_json_object_is_read_as_another_value(store: ObjectStore):
    put_values(store, {VALUE: STUDY})
    whole, draw = store.get(VALUE), random.Random(2)
    found = 0
    for _ in range(FLIPS):
        store.put_many({VALUE: flipped(whole, draw)})
        found += found_or_harmless(lambda: read_values(store, [VALUE], dict) == [STUDY])
    assert found >= FLIPS - 10  # a tab that became a line break is neither


def test_no_flipped_bit_of_a_copy_is_read_as_another_value(tmp_path: Path):
    cache = CacheFolder(tmp_path / "cache", 10**9)
    store = ObjectStore(f"file://{tmp_path / 'objects'}", None, cache)
    put(store, {f"features/session={day}/part.parquet": rows("features", day) for day in DAYS})
    objects = list(stored_partitions(store, "features").values())
    before = read_rows(store, objects)
    (copy,) = cache.path.rglob("*.parquet")
    whole, draw = copy.read_bytes(), random.Random(3)
    for _ in range(FLIPS):
        copy.write_bytes(flipped(whole, draw))
        # Few objects: no new copy is made, so the next flip meets this one.
        assert read_rows(store, objects[10:20]).equals(before[30:60])


def test_objects_that_changed_places_are_found(store: ObjectStore):
    other = FRAME.replace("2020-01-01", "2020-01-02")
    put(store, {FRAME: rows("features"), other: rows("features", DAYS[1])})
    store.put_many({FRAME: store.get(other), other: store.get(FRAME)})
    with pytest.raises(DamagedObjectError) as caught:
        read_rows(store, list(stored_partitions(store, "features").values()))
    assert sorted(caught.value.damaged) == [FRAME, other]


def read(store: ObjectStore, path: str) -> Any:
    if path == VALUE:
        return read_values(store, [VALUE], dict)
    return read_rows(store, list(stored_partitions(store, "features").values()))


BAD = {
    "empty": b"",
    "garbage": b"not what it was",
    "zeros": bytes(500),
    "only the magic": b"PAR1" + bytes(200) + b"PAR1",
}


@pytest.mark.parametrize("path", [FRAME, VALUE])
@pytest.mark.parametrize("bad", [*BAD, "cut", "cut and unsealed"])
def test_what_is_damaged_is_named_with_the_command_that_mends_it(
    store: ObjectStore, path: str, bad: str
):
    plain = as_json(STUDY) if path == VALUE else ParquetIOManager(store).encode(rows("features"))
    cut = {"cut": seal(path, plain)[:-60], "cut and unsealed": plain[: len(plain) // 2]}
    store.put_many({path: (BAD | cut)[bad]})
    with pytest.raises(DamagedObjectError) as caught:
        read(store, path)
    assert str(caught.value).startswith(f"{path} is damaged in file://")
    assert "`stock-assets mend` sets it aside and makes it again" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert find_damaged(store, ["features", "tuned_model"]) == (1, dict(caught.value.damaged))


@pytest.mark.parametrize("text", ["[]", "1", '{"slope": NaN}', '{"slope": -Infinity}', "null"])
def test_json_that_no_asset_stores_is_refused(store: ObjectStore, text: str):
    store.put_many({VALUE: text.encode()})
    with pytest.raises(DamagedObjectError, match=VALUE):
        read_values(store, [VALUE], dict)


@pytest.mark.parametrize("asset", _DECLARED)
def test_a_column_that_an_object_lacks_is_null_only_if_it_was_added_later(
    store: ObjectStore, asset: str
):
    outlook = set(OUTLOOK)
    later = {
        "raw_prices": {"revisions", "first_fetched_at", "vendor"},
        "features": outlook,
        "train_set": outlook,
        "test_set": outlook,
        "daily_forecast": FORECAST_LATER,
        "hindsight_forecast": FORECAST_LATER,
        "forecast_rmse": {"unscored_reason", "record", "rolling_issued"},
    }.get(asset, set())
    whole = rows(asset)
    paths = [f"{asset}/session={day}/part.parquet" for day in DAYS[:2]]
    for name in whole.columns:
        put(store, {paths[0]: whole.drop(name), paths[1]: whole})
        objects = list(stored_partitions(store, asset).values())
        for asked in (objects, objects[:1]):
            if name in later:
                assert_frame_equal(
                    read_rows(store, asked)[:3],
                    whole.with_columns(pl.lit(None).alias(name)),
                    check_dtypes=False,
                )
            else:
                with pytest.raises(DamagedObjectError, match=paths[0]):
                    read_rows(store, asked)
        others = [other for other in whole.columns if other != name]
        assert read_rows(store, objects, *others).height == 6


def test_columns_of_another_type_are_refused_and_strange_ones_left_out(store: ObjectStore):
    put(store, {FRAME: rows("features").with_columns(close_usd=pl.lit("x"))})
    with pytest.raises(DamagedObjectError, match="close_usd"):
        read_rows(store, list(stored_partitions(store, "features").values()))
    put(store, {FRAME: rows("features").with_columns(of_a_later_release=1)})
    assert_frame_equal(
        read_rows(store, list(stored_partitions(store, "features").values())), rows("features")
    )


def test_objects_of_before_there_were_checksums_are_read(store: ObjectStore):
    store.put_many({FRAME: ParquetIOManager(store).encode(rows("features")), VALUE: as_json(STUDY)})
    assert read_rows(store, list(stored_partitions(store, "features").values())).equals(
        rows("features")
    )
    assert read_values(store, [VALUE], dict) == [STUDY]
