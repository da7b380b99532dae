"""What an object says it was made of, inside its own bytes, and what it says of its values."""

import io
import json
from datetime import UTC, datetime

import polars as pl
import pytest

from stock_assets.planning.stamp import Stamp, digest, stamp_of, stamped
from stock_assets.planning.value_digest import marks_of, stated_inputs, value_digest
from stock_assets.resources.io_managers import JsonIOManager, ParquetIOManager
from stock_assets.resources.object_store import ObjectStore
from stock_assets.resources.seal import is_sealed, seal
from stock_assets.resources.stored_values import read_values

ROWS = pl.DataFrame({"ticker": ["A", "B"], "close": [1.5, None]})
STAMP = Stamp(
    "c0de",
    {"rmse_window": 20},
    {"raw_prices": "00ff"},
    "5e1f",
    {"through": "2013-02-13"},
    "2013-03-01T12:00:00.000000+00:00",
    0.25,
)


def parquet(rows: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    rows.write_parquet(buffer)
    return buffer.getvalue()


def test_a_parquet_object_bears_its_stamp_and_readers_pass_over_it(tmp_path):
    content = seal("features/a", stamped(parquet(ROWS), STAMP))
    assert stamp_of(content) == STAMP
    assert is_sealed("features/a", content)
    assert pl.read_parquet(io.BytesIO(content)).equals(ROWS)
    (tmp_path / "part.parquet").write_bytes(content)
    assert pl.scan_parquet(tmp_path / "part.parquet").select("ticker").collect().height == 2
    # The checksum covers it.
    edited = content.replace(b'"code":"c0de"', b'"code":"cafe"')
    assert stamp_of(edited) != STAMP
    assert is_sealed("features/a", edited) is False


def test_a_json_object_bears_its_stamp_and_readers_pass_over_it(tmp_path):
    store = ObjectStore(f"file://{tmp_path}/objects")
    store.put_encoded(
        {"tuned_model/month=2013-02/value.json": {"month": "2013-02"}},
        lambda value: JsonIOManager(store).encode(value, STAMP),
    )
    content = store.get("tuned_model/month=2013-02/value.json")
    assert stamp_of(content) == STAMP
    assert json.loads(content)["stamp"]["settings"] == {"rmse_window": 20}
    assert read_values(store, ["tuned_model/month=2013-02/value.json"], dict) == [
        {"month": "2013-02"}
    ]


def test_objects_without_a_stamp_have_none():
    assert stamp_of(parquet(ROWS)) is None
    assert stamp_of(b'{"month": "2013-02"}\n') is None
    assert stamp_of(b"[1]") is None
    assert stamp_of(b"garbage") is None
    assert stamp_of(b"") is None
    assert stamp_of(stamped(parquet(ROWS), STAMP).replace(b'{"code"', b'["code"')) is None


def test_a_stamp_leaves_out_what_is_empty_and_what_it_does_not_know():
    assert Stamp("c0de", value="5e1f").as_values() == {"code": "c0de", "value": "5e1f"}
    assert Stamp.of({"code": "c0de", "of a later release": 1}) == Stamp("c0de")
    at = datetime(2013, 3, 1, 12, tzinfo=UTC)
    assert Stamp("c0de").holding("5e1f", 0.123456, at) == Stamp(
        "c0de", value="5e1f", made_at="2013-03-01T12:00:00.000000+00:00", seconds=0.1235
    )


def test_a_digest_tells_where_its_parts_end():
    assert digest("ab", "c") != digest("a", "bc")
    assert digest("ab", "c") == digest(b"ab", b"c")
    # BLAKE2b of 8 bytes over each part after its length, which is 8 bytes big-endian.
    assert digest("ab", "c") == "5b6baf4b54380ebf"


CUTS = {
    "a slice": lambda rows: rows[:2],
    "filtered": lambda rows: rows.filter(pl.col("ticker") != "C"),
    "in pieces": lambda rows: pl.concat([rows[:1], rows[1:2]]),
    "one partition of several": lambda rows: (
        rows.with_columns(own=pl.col("ticker") == "C")
        .partition_by("own", as_dict=True, maintain_order=True)[False,]
        .drop("own")
    ),
    "read again": lambda rows: pl.read_parquet(io.BytesIO(parquet(rows[:2]))),
}


@pytest.mark.parametrize("cut", CUTS)
def test_equal_rows_have_one_digest_however_they_were_cut_out(cut: str):
    larger = pl.DataFrame(
        {"ticker": ["A", "B", "C"], "close": [1.5, 2.5, None], "levels": [[0.5], [1.0, 2.0], None]}
    )
    plain = pl.DataFrame({"ticker": ["A", "B"], "close": [1.5, 2.5], "levels": [[0.5], [1.0, 2.0]]})
    rows = CUTS[cut](larger)
    assert rows.equals(plain)
    assert value_digest("daily_forecast", rows) == value_digest("daily_forecast", plain)


@pytest.mark.parametrize(
    "other",
    [
        pl.DataFrame({"ticker": ["A", "B"], "levels": [[0.5, 1.0], [2.0]]}),
        pl.DataFrame({"ticker": ["A", "B"], "levels": [[0.5], [1.0, 2.5]]}),
        pl.DataFrame({"ticker": ["A", "C"], "levels": [[0.5], [1.0, 2.0]]}),
        pl.DataFrame({"ticker": ["A", "B"], "levels": [None, [0.5, 1.0, 2.0]]}),
        pl.DataFrame({"ticker": ["B", "A"], "levels": [[1.0, 2.0], [0.5]]}),
        pl.DataFrame({"name": ["A", "B"], "levels": [[0.5], [1.0, 2.0]]}),
    ],
)
def test_other_rows_have_another(other: pl.DataFrame):
    rows = pl.DataFrame({"ticker": ["A", "B"], "levels": [[0.5], [1.0, 2.0]]})
    assert value_digest("features", rows) != value_digest("features", other)


def test_what_changes_nothing_downstream_is_left_out():
    bars = pl.DataFrame({"close": [1.5], "source": ["a"], "fetched_at": [1], "revisions": [[1]]})
    again = bars.with_columns(source=pl.lit("b"), fetched_at=2, revisions=pl.lit([[1, 2]]).first())
    assert value_digest("raw_prices", bars) == value_digest("raw_prices", again)
    assert value_digest("features", bars) != value_digest("features", again)
    study = {"fingerprint": "f1", "mlflow_run_id": "a", "params": {"alpha": 1.0}}
    assert value_digest("tuned_model", study) == value_digest(
        "tuned_model", study | {"mlflow_run_id": "b"}
    )
    version = {"version": 1, "mlflow_run_id": "a", "earlier": {"version": 0, "mlflow_run_id": "a"}}
    moved = version | {"mlflow_run_id": "b", "earlier": {"version": 0, "mlflow_run_id": "b"}}
    assert value_digest("registered_version", version) == value_digest("registered_version", moved)


def test_marks_and_inputs_that_values_name_themselves():
    issued = pl.DataFrame({"issued_at": [1], "record_number": [1], "record_hash": ["a"]})
    assert marks_of("daily_forecast", issued) == {"issued": "yes"}
    assert marks_of("daily_forecast", issued.with_columns(pl.all().replace(pl.all(), None))) == {}
    assert marks_of("tuned_model", {"params": {"a": 1, "b": 2}}) == marks_of(
        "tuned_model", {"params": {"b": 2, "a": 1}}
    )
    assert marks_of("tuned_model", {"reason": "too little history"}) == {}
    plain = {"fingerprint": "f1", "held_against": {"point": "f0", "intervals": None}}
    assert stated_inputs("registered_version", plain) == {"champions": "f0/-"}
    again = {"fingerprint": "f2", "held_against": {"point": "f1", "intervals": "f1"}}
    assert stated_inputs("registered_version", again | {"earlier": plain}) == {
        "champions": "f0/- & f1/f1"
    }
    assert stated_inputs("registered_version", {"fingerprint": None}) == {}


def test_frames_are_stored_with_their_stamp(tmp_path):
    manager = ParquetIOManager(ObjectStore(f"file://{tmp_path}/objects"))
    assert stamp_of(manager.encode(ROWS, STAMP)) == STAMP
    assert stamp_of(manager.encode(ROWS)) is None
