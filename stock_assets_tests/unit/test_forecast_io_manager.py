"""What becomes of an output where sessions were issued, after kills and damages too."""

from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from stock_assets.commands.verify import verify_record
from stock_assets.forecasting.forecast_schema import FORECAST_SCHEMA
from stock_assets.resources import forecast_io_manager
from stock_assets.resources.forecast_io_manager import ForecastIOManager
from stock_assets.resources.object_store import ObjectStore
from stock_assets.resources.stored_frames import read_objects
from stock_assets.resources.stored_record import read_head
from stock_assets.settings import Settings

FRIDAY, MONDAY, TUESDAY = "2024-03-01", "2024-03-04", "2024-03-05"
DAYS = dg.DailyPartitionsDefinition("2024-03-01", end_date="2024-03-31")
AT = datetime(2024, 3, 5, 12, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, store_uri=f"file://{tmp_path / 'objects'}", dataset="live")


@pytest.fixture
def store(settings: Settings) -> ObjectStore:
    return ObjectStore(f"{settings.store_uri}/live")


def path_of(session: str, folder: str = "daily_forecast") -> str:
    return f"{folder}/session={session}/part.parquet"


def forecast(
    store: ObjectStore,
    sessions: dict[str, datetime | None],
    close: float = 10.0,
    is_live: bool = True,
) -> None:
    """Materialises sessions, each issued at a time or not."""

    @dg.asset(
        partitions_def=DAYS,
        metadata={"partitioned_by": "session", "partition_column": "as_of_session"},
        io_manager_key="forecasts",
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def daily_forecast(context: dg.AssetExecutionContext) -> pl.DataFrame:
        made = [
            {
                "ticker": ticker,
                "as_of_session": date.fromisoformat(key),
                "forecast_close_usd": close,
                "issued_at": sessions.get(key),
            }
            for key in context.partition_keys
            for ticker in ("A", "B")
        ]
        return pl.DataFrame(made, schema=FORECAST_SCHEMA)

    dg.materialize(
        [daily_forecast],
        resources={"forecasts": ForecastIOManager(store, is_live=is_live)},
        tags={
            "dagster/asset_partition_range_start": min(sessions),
            "dagster/asset_partition_range_end": max(sessions),
        },
    )


def stored(store: ObjectStore, session: str, folder: str = "daily_forecast") -> pl.DataFrame:
    return read_objects(store, [path_of(session, folder)])


def test_an_issued_object_stays_to_the_byte_and_hindsight_lies_beside(
    store: ObjectStore, settings: Settings
):
    forecast(store, {FRIDAY: None})
    forecast(store, {FRIDAY: None}, close=11.0)  # hindsight is replaced by newer hindsight
    assert stored(store, FRIDAY)["forecast_close_usd"].to_list() == [11.0, 11.0]
    forecast(store, {MONDAY: AT})
    issued = store.get(path_of(MONDAY))
    assert stored(store, MONDAY)["record_number"].to_list() == [1, 1]
    for at in (None, AT):  # even before the target has opened
        forecast(store, {MONDAY: at}, close=12.0)
    # Nor by settings with which nothing is issued.
    forecast(store, {MONDAY: None}, close=13.0, is_live=False)
    assert store.get(path_of(MONDAY)) == issued
    beside = stored(store, MONDAY, "hindsight_forecast")
    assert beside["forecast_close_usd"].to_list() == [13.0, 13.0]
    assert beside.select("issued_at", "record_number", "record_hash").unique().rows() == [
        (None, None, None)
    ]
    forecast(store, {TUESDAY: AT})
    head = read_head(store)
    assert (head.number, head.session) == (2, TUESDAY)
    found = verify_record(settings)
    assert (found["ok"], found["issued"], found["head"]) == (True, 2, head.record_hash)


def test_a_kill_before_the_head_is_written_is_no_tampering(
    store: ObjectStore, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(forecast_io_manager, "write_head", killed)
        with pytest.raises(Killed):
            forecast(store, {MONDAY: AT})
    issued = store.get(path_of(MONDAY))
    found = verify_record(settings)
    assert (found["ok"], found["beyond_head"]) == (True, [MONDAY])
    forecast(store, {MONDAY: AT}, close=11.0)  # without a head it is of the record all the same
    forecast(store, {TUESDAY: AT})
    assert store.get(path_of(MONDAY)) == issued
    assert verify_record(settings)["beyond_head"] == []
    assert read_head(store).number == 2
    assert verify_record(settings)["ok"]


def test_what_is_taken_from_the_record_is_never_made_good(store: ObjectStore, settings: Settings):
    for session in (FRIDAY, MONDAY, TUESDAY):
        forecast(store, {session: AT})
    kept = read_head(store).record_hash
    assert verify_record(settings, kept)["ok"]
    store.delete([path_of(TUESDAY)])
    forecast(store, {TUESDAY: AT})  # issued again, as number 4
    assert read_head(store).number == 4
    found = verify_record(settings, kept)
    assert not found["ok"]
    assert (
        found["findings"][0]["what"] == "number 3 of the record, issued after 2024-03-04, missing"
    )
    assert found["findings"][-1]["what"] == f"no issued session has the hash {kept} that was kept"


def test_a_damaged_issued_object_keeps_its_bytes_and_is_missed(
    store: ObjectStore, settings: Settings, tmp_path: Path
):
    for session in (FRIDAY, MONDAY, TUESDAY):
        forecast(store, {session: AT})
    damaged = store.get(path_of(MONDAY))[:-20] + b"x" * 16 + b"PAR1"
    store.put_many({path_of(MONDAY): damaged})
    (finding, *_) = verify_record(settings)["findings"]
    assert finding["sessions"] == [MONDAY]
    assert finding["what"].startswith("its object is damaged: ")
    forecast(store, {MONDAY: None}, close=11.0)
    (aside,) = store.keys("damaged")
    assert (tmp_path / "objects" / "live" / aside).read_bytes() == damaged
    findings = verify_record(settings)["findings"]
    assert [f["what"] for f in findings if f["sessions"] == [MONDAY]] == [
        "it was issued as number 2 and is missing"
    ]


def test_a_damaged_head_is_made_again_of_the_forecasts(store: ObjectStore, settings: Settings):
    for session in (FRIDAY, MONDAY):
        forecast(store, {session: AT})
    store.put_many({"record/head.json": b"{}\n"})
    (finding, *_) = verify_record(settings)["findings"]
    assert finding["what"].startswith("record/head.json is damaged in ")
    forecast(store, {TUESDAY: AT})
    assert read_head(store).number == 3
    assert verify_record(settings)["ok"]


def test_a_session_without_rows_is_not_issued(store: ObjectStore, settings: Settings):
    assert verify_record(settings)["ok"]
    forecast(store, {FRIDAY: None}, is_live=False)
    assert store.keys("record") == []
    assert verify_record(settings)["head"] is None
