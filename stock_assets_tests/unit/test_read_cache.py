"""Reading through copies gives what reading the objects gives, whatever happened in between."""

import os
import random
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from stock_assets.errors import ObjectStoreError
from stock_assets.resources import read_cache
from stock_assets.resources.io_managers import ParquetIOManager
from stock_assets.resources.object_store import CacheFolder, ObjectStore, StoredObject
from stock_assets.resources.partition_objects import stored_partitions
from stock_assets.resources.read_cache import read_rows
from stock_assets_tests.stored_rows import rows_at

DAYS = [
    f"{year}-{month:02d}-{day:02d}"
    for year in (2019, 2020)
    for month in range(1, 13)
    for day in range(1, 11)
]


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    made = ObjectStore(f"file://{tmp_path / 'objects'}", None, folder(tmp_path))
    put(made, DAYS)
    return made


def folder(tmp_path: Path, most_bytes: int = 10**9) -> CacheFolder:
    return CacheFolder(tmp_path / "read_cache", most_bytes)


def put(store: ObjectStore, days: Iterable[str], value: float = 1, **more: pl.Expr) -> None:
    """Three tickers a day, none on the tenth of a month."""

    def frame(day: str) -> pl.DataFrame:
        rows = pl.DataFrame(
            {"ticker": ["A", "B", "C"], "day": [day] * 3, "value": [float(value), 2.5, None]}
        )
        return (rows.clear() if day.endswith("10") else rows).with_columns(**more)

    encode = ParquetIOManager(store).encode
    store.put_many({f"rows/day={day}/part.parquet": encode(frame(day)) for day in days})


def plainly(store: ObjectStore, objects: Iterable[StoredObject]) -> pl.DataFrame:
    return rows_at(store, [stored.path for stored in objects])


def opened(monkeypatch: pytest.MonkeyPatch, store: ObjectStore) -> list[str]:
    """Objects that are read from now on."""
    seen: list[str] = []
    get = store.get_with_tags
    monkeypatch.setattr(store, "get_with_tags", lambda keys: (seen.extend(keys), get(keys))[1])
    return seen


def everything(store: ObjectStore) -> list[StoredObject]:
    return list(stored_partitions(store, "rows").values())


def test_what_was_read_once_is_read_from_copies(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
):
    before = plainly(store, everything(store))
    seen = opened(monkeypatch, store)
    assert_frame_equal(read_rows(store, everything(store)), before)
    assert sorted(seen) == store.keys("rows")
    seen.clear()
    assert_frame_equal(read_rows(store, everything(store)), before)
    assert read_rows(store, everything(store), "day", "ticker").columns == ["day", "ticker"]
    assert seen == []


def test_any_objects_in_any_order_after_any_change(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
):
    draw = random.Random(5)
    monkeypatch.setattr(read_cache, "_FEW", 5)
    for n in range(12):
        put(store, draw.sample(DAYS, draw.choice([0, 1, 7, 60])), value=n)
        objects = everything(store)
        first = draw.randrange(len(objects))
        for asked in (
            objects,
            objects[first : first + draw.randrange(1, 200)],
            draw.sample(objects, draw.randrange(1, 100)),
        ):
            assert_frame_equal(read_rows(store, asked), plainly(store, asked))


def test_a_few_objects_are_read_themselves_and_no_copy_is_made(store: ObjectStore, tmp_path: Path):
    assert read_rows(store, everything(store)[:50]).height == 50 * 3 - 15
    assert not folder(tmp_path).path.exists()


def test_an_object_that_changed_is_read_itself(store: ObjectStore, monkeypatch: pytest.MonkeyPatch):
    read_rows(store, everything(store))
    put(store, [DAYS[3]], value=7)
    seen = opened(monkeypatch, store)
    assert read_rows(store, everything(store)[:6])["value"].to_list()[9] == 7
    assert seen == [f"rows/day={DAYS[3]}/part.parquet"]


def test_a_copy_is_renewed_with_what_it_lacks_and_keeps_the_rest(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    objects = everything(store)
    read_rows(store, objects[:60])
    seen = opened(monkeypatch, store)
    read_rows(store, objects[60:120])
    assert seen == [stored.path for stored in objects[60:120]]
    seen.clear()
    assert_frame_equal(read_rows(store, objects[:120]), plainly(store, objects[:120]))
    assert len(list(folder(tmp_path).path.rglob("*"))) == 2  # the store's folder and one file


def test_a_column_added_later_is_treated_as_without_copies(store: ObjectStore):
    put(store, DAYS[60:], added=pl.lit("x"))  # from within a year on: that year has no copy
    objects = everything(store)
    for asked in (objects, objects[60:], objects[130:], [*objects[200:], *objects[:150]]):
        for _ in range(2):
            assert_frame_equal(read_rows(store, asked), plainly(store, asked))
    with pytest.raises(pl.exceptions.ColumnNotFoundError, match="added"):
        read_rows(store, objects, "added")


@pytest.mark.parametrize("left", [b"", b"PAR1" + bytes(200)])
def test_a_copy_cut_off_by_a_power_failure_is_made_again(
    store: ObjectStore, tmp_path: Path, left: bytes
):
    before = read_rows(store, everything(store))
    files = list(folder(tmp_path).path.rglob("*.parquet"))
    for file in files:
        file.write_bytes(left)
    assert_frame_equal(read_rows(store, everything(store)), before)
    assert all(file.stat().st_size > 1_000 for file in files)


def test_a_full_folder_takes_no_more_until_copies_were_not_read_for_a_day(
    store: ObjectStore, tmp_path: Path
):
    read_rows(store, everything(store))
    copies = sorted(folder(tmp_path).path.rglob("*.parquet"))
    assert years(tmp_path) == ["rows-2019", "rows-2020"]
    store.cache = folder(tmp_path, sum(file.stat().st_size for file in copies))
    others = {f"others/{path[5:]}": store.get(path) for path in store.keys("rows")[:60]}
    store.put_many(others)
    for _ in range(2):
        rows = read_rows(store, list(stored_partitions(store, "others").values()))
        assert rows.height == 60 * 3 - 18
        assert years(tmp_path) == ["rows-2019", "rows-2020"]
    two_days_ago = time.time() - 2 * 24 * 3600
    for file in copies:
        os.utime(file, (two_days_ago, two_days_ago))
    read_rows(store, everything(store)[:120])  # 2019 is in use again
    read_rows(store, list(stored_partitions(store, "others").values()))
    assert years(tmp_path) == ["others-2019", "rows-2019"]


def years(tmp_path: Path) -> list[str]:
    """Which copies there are."""
    return sorted(file.name.split(".")[0] for file in folder(tmp_path).path.rglob("*.parquet"))


def test_copies_removed_while_they_are_read_lose_nothing(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
):
    before = read_rows(store, everything(store))
    collected = read_cache._collected

    def removed_first(*pieces_and_columns: Any) -> pl.DataFrame:
        assert store.cache is not None
        for file in store.cache.path.rglob("*.parquet"):
            file.unlink()
        return collected(*pieces_and_columns)

    monkeypatch.setattr(read_cache, "_collected", removed_first)
    assert_frame_equal(read_rows(store, everything(store)), before)


def test_a_damaged_copy_is_left_out(
    store: ObjectStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    before = read_rows(store, everything(store))
    for file in folder(tmp_path).path.rglob("*.parquet"):
        content = file.read_bytes()
        file.write_bytes(content[:4] + bytes(500) + content[504:])
    assert_frame_equal(read_rows(store, everything(store)), before)
    assert caplog.text.count("is thrown away: it is damaged") == 2


def test_copies_of_another_user_are_left_out(store: ObjectStore, monkeypatch: pytest.MonkeyPatch):
    before = read_rows(store, everything(store))

    def refuse(path: Path, *_: object) -> None:
        raise PermissionError(f"not yours: {path}")

    monkeypatch.setattr(os, "utime", refuse)
    assert_frame_equal(read_rows(store, everything(store)), before)


def test_an_object_that_is_gone_is_an_error(store: ObjectStore):
    objects = everything(store)
    store.delete([objects[3].path])
    for asked in (objects[:10], objects[:100]):
        with pytest.raises((FileNotFoundError, ObjectStoreError), match="2019-01-04"):
            read_rows(store, asked)


def test_a_full_disk_costs_the_copy_and_nothing_else(
    store: ObjectStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    folder(tmp_path).path.write_text("a file where a folder should be")
    objects = everything(store)
    assert_frame_equal(read_rows(store, objects), plainly(store, objects))
    assert "no copy of rows-2019 to read faster next time" in caplog.text


def test_two_stores_share_a_folder_but_no_copy(store: ObjectStore, tmp_path: Path):
    read_rows(store, everything(store))
    other = ObjectStore(f"file://{tmp_path / 'others'}", None, folder(tmp_path))
    put(other, DAYS, value=8)
    assert set(read_rows(other, everything(other))["value"].drop_nulls()) == {8, 2.5}
