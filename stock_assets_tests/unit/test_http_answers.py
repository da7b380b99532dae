"""Whatever a vendor sends is a history that was read in full, or one of our errors."""

import json

import polars as pl
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from stock_assets.errors import SourceError
from stock_assets.market.sources.http_answers import ANSWER_SCHEMA, history_rows
from stock_assets.market.sources.sample import sample_bars
from stock_assets_tests.http_stand_in import csv_of, json_of

BARS = sample_bars().filter(pl.col("ticker") == "IBM").tail(8)
JSON, CSV = json_of(BARS).encode(), csv_of(BARS).encode()
EVENTS = {"dividend": "divCash", "split_ratio": "splitFactor"}
SCALARS = st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8)
RECORDS = st.lists(st.dictionaries(st.sampled_from(["date", "open", "close", "x"]), SCALARS))


def read(body: bytes, columns: dict[str, str]) -> pl.DataFrame | None:
    try:
        return history_rows(body, columns, "")
    except SourceError:
        return None


@hypothesis_settings(max_examples=60)
@given(body=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_refused_by_name(body: bytes):
    assert read(body, {}) is None


@hypothesis_settings(max_examples=60)
@given(records=RECORDS | st.dictionaries(st.text(max_size=3), RECORDS | SCALARS))
def test_any_records_are_read_in_full_or_refused(records: object):
    rows = read(json.dumps(records).encode(), {"high": "1", "low": "1", "volume": "0"})
    assert rows is None or (rows.schema == pl.Schema(ANSWER_SCHEMA) and rows.height == len(records))


@hypothesis_settings(max_examples=60)
@given(kept=st.integers(0, max(len(JSON), len(CSV))))
def test_an_answer_that_was_cut_is_never_a_shorter_history(kept: int):
    """But for CSV that ends with a row, or within its last number: nothing shows that."""
    assert kept >= len(JSON) or read(JSON[:kept], EVENTS) is None
    last_number = CSV[:kept].rstrip(b"\r\n").count(b",") % 5 == 0 and kept > 60
    assert kept >= len(CSV) or last_number or read(CSV[:kept], {}) is None


def test_deep_nests_and_odd_letters_are_refused():
    for body in (b"[" * 100_000, b'{"a":' * 100_000, b"a,b\n\x00,1\n", b'a,"b\n', b"\xef\xbb\xbf"):
        assert read(body, {}) is None
