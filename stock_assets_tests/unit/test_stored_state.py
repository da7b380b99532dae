"""What a plan needs to know of a store: stamps, tickers asked for, what people asked for."""

import io
import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from stock_assets.forecasting.forecast_schema import FORECAST_SCHEMA
from stock_assets.market.revisions import STORED_SCHEMA
from stock_assets.planning.plan import Wanted
from stock_assets.planning.stamp import Stamp, stamped
from stock_assets.resources.asked_tickers import marks_of_asked, note_asked, tickers_asked
from stock_assets.resources.object_store import ObjectStore
from stock_assets.resources.partition_objects import object_path, stored_partitions
from stock_assets.resources.requests import forget_anew, request_anew, request_retrain, requested
from stock_assets.resources.stamp_index import StampIndex
from stock_assets.resources.stored_state import stored_state

DAYS = ["2012-12-31", "2013-01-02", "2013-01-03"]
INDEX = "stamps/raw_prices/2013.json"


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(f"file://{tmp_path}/objects")


def put(
    store: ObjectStore,
    key: str,
    stamp: Stamp | None,
    tickers: Sequence[str] = ("A",),
    asset: str = "raw_prices",
) -> None:
    schema = STORED_SCHEMA if asset == "raw_prices" else FORECAST_SCHEMA
    given = {"ticker": list(tickers), "session": [date.fromisoformat(key)] * len(tickers)}
    nothing = [None] * len(tickers)
    rows = pl.DataFrame({name: given.get(name, nothing) for name in schema}, schema=schema)
    content = io.BytesIO()
    rows.write_parquet(content)
    data = content.getvalue()
    store.put_encoded(
        {object_path(asset, key): stamped(data, stamp) if stamp else data}, lambda one: one
    )


def look_up(store: ObjectStore) -> dict[str, str]:
    """The value that each stamp says."""
    found = StampIndex(store).look_up("raw_prices", stored_partitions(store, "raw_prices"))
    return {key: stamp.value for key, stamp in found.stamps.items()} | dict(found.damaged)


def test_objects_are_opened_once_and_then_known_by_the_index(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
):
    for key in DAYS:
        put(store, key, Stamp("c", value=f"of {key}"))
    expected = {key: f"of {key}" for key in DAYS}
    assert look_up(store) == expected
    assert store.keys("stamps") == ["stamps/raw_prices/2012.json", INDEX]
    opened: list[str] = []
    get = ObjectStore._get_with_tag
    monkeypatch.setattr(
        ObjectStore, "_get_with_tag", lambda self, key: (opened.append(key), get(self, key))[1]
    )
    assert look_up(store) == expected
    assert sorted(opened) == ["stamps/raw_prices/2012.json", INDEX]
    # One that was written past the index has another tag: it is opened, the others are not.
    put(store, DAYS[1], Stamp("c", value="another"))
    opened.clear()
    assert look_up(store) == expected | {DAYS[1]: "another"}
    assert [key for key in opened if key.startswith("raw_prices")] == [
        "raw_prices/session=2013-01-02/part.parquet"
    ]


@pytest.mark.parametrize(
    "left",
    [None, b"", b"garbage", b"[]", b'{"2013-01-02": 1}', b'{"2013-01-02": ["tag", [1]]}'],
    ids=str,
)
def test_an_index_that_is_gone_or_damaged_costs_time_alone(store: ObjectStore, left: bytes | None):
    for key in DAYS:
        put(store, key, Stamp("c", value=f"of {key}"))
    before = look_up(store)
    if left is None:
        store.delete([INDEX])
    else:
        store.put_many({INDEX: left})
    assert look_up(store) == before
    assert json.loads(store.get(INDEX)).keys() == {"2013-01-02", "2013-01-03"}


def test_objects_of_an_older_release_have_an_empty_stamp_and_damaged_ones_none(store: ObjectStore):
    put(store, DAYS[0], None)
    put(store, DAYS[1], Stamp("c", value="v"))
    path = object_path("raw_prices", DAYS[1])
    store.put_many({path: store.get(path)[:-9]})  # its stamp is legible, its end is gone
    store.put_many({object_path("raw_prices", DAYS[2]): b"garbage"})
    found = StampIndex(store).look_up("raw_prices", stored_partitions(store, "raw_prices"))
    assert found.stamps == {DAYS[0]: Stamp()}
    assert list(found.damaged) == DAYS[1:]


def test_tickers_asked_for_add_up(store: ObjectStore):
    sessions = [date(2013, 1, 2), date(2013, 1, 3)]
    marks = marks_of_asked(store, sessions, {DAYS[1]: frozenset({"IBM"})}, ["MSFT", "AAPL"])
    assert marks == {
        DAYS[1]: note_asked(store, ["AAPL", "IBM", "MSFT"]),
        DAYS[2]: note_asked(store, ["AAPL", "MSFT"]),
    }
    put(store, DAYS[0], None, ["GE", "IBM"])  # of an older release: what it has bars of
    for key in DAYS[1:]:
        put(store, key, Stamp("c", marks={"asked": marks[key]}))
    expected = {
        DAYS[0]: {"GE", "IBM"},
        DAYS[1]: {"AAPL", "IBM", "MSFT"},
        DAYS[2]: {"AAPL", "MSFT"},
    }
    assert asked(store) == expected
    # Sets that can't be read were asked for by nobody: their tickers are fetched again.
    (lost,) = [path for path in store.keys("stamps/asked") if marks[DAYS[2]] in path]
    store.put_many({lost: b"garbage"})
    assert asked(store) == expected | {DAYS[2]: set()}


def asked(store: ObjectStore) -> dict[str, set[str]]:
    objects = stored_partitions(store, "raw_prices")
    stamps = StampIndex(store).look_up("raw_prices", objects).stamps
    return {key: set(of) for key, of in tickers_asked(store, stamps, objects).items()}


def test_a_later_retrain_keeps_those_before_it(store: ObjectStore):
    request_retrain(store, "2013-02", date(2013, 2, 12))
    request_retrain(store, "2013-02", date(2013, 2, 20))
    request_retrain(store, "2013-03", date(2013, 3, 5))
    request_retrain(store, "2013-02", date(2013, 2, 20))
    assert requested(store, {})[0] == {
        "2013-02": (date(2013, 2, 12), date(2013, 2, 20)),
        "2013-03": (date(2013, 3, 5),),
    }
    request_retrain(store, "2013-02", date(2013, 2, 15))
    assert requested(store, {})[0]["2013-02"] == (date(2013, 2, 12), date(2013, 2, 15))


def test_what_is_asked_for_anew_is_asked_until_all_of_it_is_made(store: ObjectStore):
    request_anew(store, {"features": DAYS[1:], "daily_forecast": []})
    _, anew = requested(store, {"features": DAYS, "daily_forecast": DAYS})
    assert anew["features"].keys() == set(DAYS[1:])
    assert not anew.get("daily_forecast")
    forget_anew(store, {"features": DAYS[2:]})
    assert requested(store, {"features": DAYS})[1]["features"]
    forget_anew(store, {"features": DAYS})
    assert requested(store, {"features": DAYS}) == ({}, {})


def test_a_damaged_request_is_set_aside(store: ObjectStore):
    request_retrain(store, "2013-02", date(2013, 2, 12))
    store.put_many({"requests/retrain-2013-03.json": b"garbage"})
    assert requested(store, {})[0] == {"2013-02": (date(2013, 2, 12),)}
    assert store.keys("requests") == ["requests/retrain-2013-02.json"]


@pytest.mark.parametrize("is_live", [True, False])
def test_a_forecast_without_a_stamp_may_have_been_issued(store: ObjectStore, is_live: bool):
    stamps = [None, Stamp("c"), Stamp("c", marks={"issued": "yes"})]
    for key, stamp in zip(DAYS, stamps, strict=True):
        put(store, key, stamp, asset="daily_forecast")
    state = stored_state(store, Wanted({}), is_live=is_live)
    assert state.issued == ({DAYS[0], DAYS[2]} if is_live else {DAYS[2]})
