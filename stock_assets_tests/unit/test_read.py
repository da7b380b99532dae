"""`stock_assets.read` on hand-made objects. On what a run has stored: the notebook's test."""

import io
import json
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from stock_assets import read
from stock_assets.errors import (
    MissingPartitionsError,
    NotASessionError,
    ObjectStoreError,
    RegistryError,
    SettingsError,
    UnknownColumnError,
)
from stock_assets.forecasting.evaluation import SCORE_SCHEMA
from stock_assets.forecasting.features import FEATURE_SCHEMA
from stock_assets.forecasting.forecast_schema import FORECAST_SCHEMA
from stock_assets.market.revisions import STORED_SCHEMA
from stock_assets.read.adjusted import PRICE_SCHEMA
from stock_assets.resources.object_store import ObjectStore
from stock_assets.resources.partition_objects import object_path
from stock_assets.settings import Settings
from stock_assets_tests.conftest import CHECKOUT, make_home

# A Thursday to a Tuesday: two sessions lie on either side of a weekend.
D1, D2, D3, D4 = date(2024, 2, 29), date(2024, 3, 1), date(2024, 3, 4), date(2024, 3, 5)


def put(store: ObjectStore, asset: str, key: date, schema: Any, rows: Sequence[Any]) -> None:
    """An object of rows that name the columns that matter."""
    frame = pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema)
    content = io.BytesIO()
    frame.write_parquet(content)
    store.put_many({object_path(asset, str(key)): content.getvalue()})


def bar(ticker: str, session: date, close: float, dividend: float = 0.0, split: float = 1.0) -> Any:
    return {
        "ticker": ticker,
        "session": session,
        **dict.fromkeys(("open", "close"), close),
        "high": close * 1.01,
        "low": close * 0.99,
        "volume": 1000.0,
        "dividend": dividend,
        "split_ratio": split,
    }


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        home=make_home(tmp_path / "home"), store_uri=f"file://{tmp_path / 'objects'}", dataset="own"
    )


@pytest.fixture
def dataset(settings: Settings) -> Iterator[read.Dataset]:
    store = ObjectStore(f"{settings.store_uri}/own")
    for session, a, b in (
        (D1, (100.0,), (10.0,)),
        (D2, (51.0, 0.0, 2.0), (10.0,)),
        (D3, (50.0, 1.5), (10.5,)),
    ):
        rows = [bar("A", session, *a), bar("B", session, *b)]
        put(store, "raw_prices", session, STORED_SCHEMA, rows)
        rows = [
            {"ticker": t, "session": session, "close_usd": c[0]} for t, c in (("A", a), ("B", b))
        ]
        put(store, "features", session, FEATURE_SCHEMA, rows)
    for session, target in ((D1, D2), (D2, D3), (D3, D4)):
        rows = [
            {"ticker": t, "as_of_session": session, "target_session": target, "model_version": v}
            for t, v in (("A", 1), ("B", None))
        ]
        put(store, "daily_forecast", session, FORECAST_SCHEMA, rows)
    for session in (D2, D3):
        rows = [{"ticker": t, "session": session, "error_return": 0.01} for t in "AB"]
        put(store, "forecast_rmse", session, SCORE_SCHEMA, rows)
    with read.open_dataset(settings) as opened:
        yield opened


def test_forecasts_are_chosen_by_target_session_and_ticker(dataset: read.Dataset):
    rows = dataset.forecasts(first="2024-03-02", last=D3)
    assert rows["target_session"].to_list() == [D3, D3]
    assert rows["model_version"].to_list() == [1, None]
    assert rows.columns == [name for name in FORECAST_SCHEMA if name != "quantile_returns"]
    one = dataset.forecasts(tickers="b", columns="target_session, quantile_returns")
    assert one.columns == ["target_session", "quantile_returns"]
    assert one["target_session"].to_list() == [D2, D3, D4]


def test_scores_and_features_are_chosen_by_their_own_session(dataset: read.Dataset):
    assert dataset.scores(first=D3)["session"].to_list() == [D3, D3]
    assert dataset.scores().columns == list(SCORE_SCHEMA)
    rows = dataset.features(last=D2, tickers=["A"])
    assert rows["close_usd"].to_list() == [100.0, 51.0]
    assert rows.schema == pl.Schema(FEATURE_SCHEMA)


def test_prices_know_nothing_after_the_session_they_are_as_of(dataset: read.Dataset):
    first = dataset.prices(as_of=D1)
    assert first["adjusted_close"].to_list() == first["close"].to_list() == [100.0, 10.0]
    rows = dataset.prices(tickers="A")
    assert rows.schema == pl.Schema(PRICE_SCHEMA)
    assert rows["close"].to_list() == [100.0, 51.0, 50.0]
    # By hand: the dividend was 1.5 on a close of 50, and there were half as many shares before.
    adjusted = [50.0 / (51.5 / 51) / 1.02, 50.0 / (51.5 / 51), 50.0]
    assert rows["adjusted_close"].to_list() == pytest.approx(adjusted)
    assert rows["adjusted_high"].to_list() == pytest.approx([1.01 * close for close in adjusted])
    later = dataset.prices(first=D3, tickers="A")
    assert later.equals(rows.filter(pl.col("session") == D3))


def test_a_frame_becomes_one_of_pandas(dataset: read.Dataset):
    frame = dataset.forecasts(tickers="A").to_pandas()
    assert list(frame["model_version"]) == [1, 1, 1]
    assert str(frame["target_session"].iloc[0].date()) == "2024-03-01"


@pytest.mark.parametrize(
    ("ask", "error", "said"),
    [
        (
            lambda d: d.forecasts(first="2024-04-01"),
            MissingPartitionsError,
            "no daily_forecast of own is stored for 2024-04-01..; there are 2024-03-01..2024-03-05",
        ),
        (
            lambda d: d.scores(tickers="XYZ"),
            MissingPartitionsError,
            "no forecast_rmse of XYZ is st",
        ),
        (
            lambda d: d.scores(columns="rmse"),
            UnknownColumnError,
            "forecast_rmse has no column rmse",
        ),
        (lambda d: d.features(first="1.3.2024"), NotASessionError, "first='1.3.2024' is no date"),
        (
            lambda d: d.prices(as_of="2024-03-02"),
            NotASessionError,
            "as_of=2024-03-02 is not a session of XNYS; the one before it is 2024-03-01",
        ),
        (
            lambda d: d.prices(as_of="2024-03-06"),
            MissingPartitionsError,
            "no raw_prices of own is stored of 2024-03-06; there are 2024-02-29..2024-03-04",
        ),
        (
            lambda d: d.prices(as_of=D1, first=D2),
            MissingPartitionsError,
            "first=2024-03-01 is after",
        ),
        (
            lambda d: d.version(7),
            RegistryError,
            "has no version 7 with these settings; there are no",
        ),
        (lambda d: d.version(), RegistryError, "has no version that serves with these settings"),
    ],
)
def test_what_is_not_there_is_told(
    dataset: read.Dataset, ask: Any, error: type[Exception], said: str
):
    with pytest.raises(error) as raised:
        ask(dataset)
    assert said in str(raised.value)


def test_no_versions_are_an_empty_table(dataset: read.Dataset):
    assert dataset.versions().height == 0


def test_nothing_stored_names_the_command_that_makes_it(settings: Settings):
    with read.open_dataset(settings) as empty:
        for ask in (empty.forecasts, empty.scores, empty.features, empty.prices):
            with pytest.raises(MissingPartitionsError, match="there is none; `stock-assets run`"):
                ask()


def test_settings_are_those_of_the_environment_and_of_the_checkout_that_is_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    with pytest.raises(SettingsError, match="that is no checkout"):
        read.open_dataset()
    monkeypatch.setenv("STOCK_ASSETS_STORE_URI", str(settings.store_uri))
    (settings.home / ".env").write_text("STOCK_ASSETS_DATASET=of_the_file\n")
    with read.open_dataset(home=settings.home, horizon=2) as opened:
        assert repr(opened) == "<Dataset of_the_file-2-sessions>"
    assert repr(opened) == "<Dataset of_the_file-2-sessions, closed>"
    opened.close()
    with pytest.raises(ObjectStoreError, match=r"closed>: open it again with `read.open_dataset"):
        opened.forecasts()


def test_the_notebook_in_git_has_no_outputs():
    cells = json.loads((CHECKOUT / "docs" / "read.ipynb").read_text())["cells"]
    assert [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")] == []
