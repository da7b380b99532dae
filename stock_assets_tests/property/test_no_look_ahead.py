"""Nothing known as of a session changes when everything after it is replaced by nonsense."""

import json
import random
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from polars.testing import assert_series_equal

from stock_assets.backfill.execution import bring_up_to_date
from stock_assets.backfill.progress import Progress
from stock_assets.backfill.project import Project
from stock_assets.forecasting.features import build_features
from stock_assets.forecasting.gate import GateDecision
from stock_assets.forecasting.study import Study
from stock_assets.leaks.futures import World, replaced_after
from stock_assets.market.bars import PRICES
from stock_assets.market.sessions import load_calendar
from stock_assets.market.sources.sample import sample_bars
from stock_assets.resources.io_managers import ParquetIOManager
from stock_assets.resources.model_registry import ModelRegistry
from stock_assets.resources.partition_objects import stored_partitions
from stock_assets.resources.read_cache import read_rows
from stock_assets.settings import Settings
from stock_assets_tests.backfilled import comparable
from stock_assets_tests.conftest import QUICK, make_home
from stock_assets_tests.dagster_runs import unrecorded_project

XNYS = load_calendar("XNYS")
FIRST, LAST = date(2012, 1, 3), date(2013, 3, 1)
BARS = sample_bars().filter(pl.col("session").is_between(FIRST, LAST))
WORLD = World.of(BARS)
SESSIONS = XNYS.between(FIRST, LAST)
SESSION_ASSETS = ("features", "daily_forecast", "forecast_rmse")


@given(st.sampled_from(SESSIONS[:-1]), st.integers(0, 2**32 - 1))
@hypothesis_settings(max_examples=40, deadline=None)
def test_features_know_nothing_of_later_sessions(session: date, seed: int):
    known = pl.col("session") <= session
    clean = build_features(BARS, XNYS).filter(known)
    other = replaced_after(WORLD, session, seed)
    assert build_features(other.bars, XNYS).filter(known).equals(clean)


@given(st.sampled_from(SESSIONS), st.integers(2, 5), st.floats(0, 3))
@hypothesis_settings(max_examples=40, deadline=None)
def test_a_late_split_or_dividend_does_not_change_features(
    session: date, ratio: int, dividend: float
):
    """A 2-for-1 split halves every as-traded price after it; the features stay where they were."""
    after = pl.col("session") >= session
    split = BARS.with_columns(
        *(
            pl.when(after).then(pl.col(c) / ratio).otherwise(c).alias(c)
            for c in (*PRICES, "dividend")
        ),
        pl.when(after).then(pl.col("volume") * ratio).otherwise("volume").alias("volume"),
        pl.when(pl.col("session") == session)
        .then(pl.col("split_ratio") * ratio)
        .otherwise("split_ratio")
        .alias("split_ratio"),
    )
    before, now = build_features(BARS, XNYS), build_features(split, XNYS)
    for column in before.columns[3:]:
        assert_series_equal(before[column], now[column], rel_tol=1e-9, abs_tol=1e-9)
    paid = BARS.with_columns(
        dividend=pl.when(pl.col("session") == session).then(dividend).otherwise("dividend")
    )
    known = pl.col("session") < session
    assert build_features(paid, XNYS).filter(known).equals(before.filter(known))


def poison_the_store(project: Project, after: date) -> None:
    """What a later day may leave: an approved version, other features, forecasts and scores."""
    store = project.store
    studies = stored_partitions(store, "tuned_model")
    study = Study.of(json.loads(store.get(studies[max(studies)].path)))
    later = XNYS.offset(after, 1)
    ModelRegistry(project.settings, store).register(
        replace(study, month="2099-01", trained_through=later, fingerprint="of a later day"),
        GateDecision(True, "approved"),
        GateDecision(True, "approved"),
    )
    for asset in ("features", "daily_forecast", "forecast_rmse"):
        for key, stored in stored_partitions(store, asset).items():
            if key > str(after):
                rows = read_rows(store, [stored])
                wrong = rows.with_columns(pl.col(pl.Float64) * -7.7)
                store.put_many({stored.path: ParquetIOManager(store).encode(wrong)})


def known_as_of(session: date, settings: Settings) -> dict[str, Any]:
    """Objects of sessions up to `session` and of months before the next, and their versions."""
    assets = ("features", "train_set", "test_set", "tuned_model", "registered_version",
              "daily_forecast", "forecast_rmse")  # fmt: skip
    found = comparable(settings)
    known = {
        key: value
        for key, value in found.items()
        if key.startswith(assets) and key.split("/")[1].split("=")[1] <= str(session)
    }
    versions = [v for v in found["registry"] if v[1] <= f"{session:%Y-%m}"]
    return known | {"versions": [v for v in versions if v[2] != "of a later day"]}


@pytest.mark.parametrize(
    ("session", "horizon"),
    [(date(2012, 11, 30), 3), (random.Random(5).choice(SESSIONS[-60:-4]), 1)],
    ids=str,
)
def test_nothing_known_as_of_a_session_depends_on_later_ones(
    tmp_path: Path, session: date, horizon: int
):
    """The whole graph, twice: with the true prices, and with nonsense after the session.

    Then everything as of the session is made anew, in a store and a registry that know what was
    made after it.
    """
    results = []
    for name, bars in (("true", BARS), ("poisoned", replaced_after(WORLD, session, 1).bars)):
        bars.write_parquet(tmp_path / f"{name}.parquet")
        settings = Settings(
            home=make_home(tmp_path / name),
            store_uri=f"file://{tmp_path / name / 'objects'}",
            source="files",
            files_uri=str(tmp_path / f"{name}.parquet"),
            dataset="same",
            horizon=horizon,
            **QUICK,
        )
        first = XNYS.offset(session, -3)
        with unrecorded_project(settings) as project:
            wanted = project.range_of(first, XNYS.offset(session, 3))
            bring_up_to_date(project, wanted.wanted(), Progress())
            forecasts = read_rows(
                project.store, list(stored_partitions(project.store, "daily_forecast").values())
            )
            targets = [XNYS.offset(day, horizon) for day in forecasts["as_of_session"]]
            assert forecasts["target_session"].to_list() == targets
            if name == "poisoned":
                poison_the_store(project, session)
                bring_up_to_date(
                    project, project.range_of(first, session).wanted(), Progress(), fresh=True
                )
        results.append(known_as_of(session, settings))
    true, other = results
    assert {f"{asset}/session={session}/part.parquet" for asset in SESSION_ASSETS} <= true.keys()
    assert true["versions"]
    assert true.keys() == other.keys()
    for key, value in true.items():
        assert other[key] == value, key
