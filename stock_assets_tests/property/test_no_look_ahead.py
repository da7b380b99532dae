"""Nothing known as of a session changes when everything after it is replaced by nonsense."""

from datetime import date
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from polars.testing import assert_series_equal

from stock_assets.commands.project import open_project
from stock_assets.commands.stages import Progress, materialise_range, plan_range
from stock_assets.forecasting.features import build_features
from stock_assets.market.bars import PRICES
from stock_assets.market.sessions import load_calendar
from stock_assets.market.sources.sample import sample_bars
from stock_assets.resources.io_managers import read_rows, stored_partitions
from stock_assets.settings import Settings
from stock_assets_tests.conftest import QUICK, make_home

XNYS = load_calendar("XNYS")
FIRST, LAST = date(2012, 1, 3), date(2013, 3, 1)
BARS = sample_bars().filter(pl.col("session").is_between(FIRST, LAST))
SESSIONS = XNYS.between(FIRST, LAST)


def poisoned_after(session: date, bars: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Bars that are sound, and wrong in every number after the session; some are gone."""
    later = pl.col("session") > session
    noise = (
        pl.Series("noise", range(bars.height)).sample(fraction=1, shuffle=True, seed=seed) % 997 + 1
    )
    wrong = bars.with_columns(noise=noise).with_columns(
        *(pl.when(later).then(pl.col(c) * pl.col("noise")).otherwise(c).alias(c) for c in PRICES),
        pl.when(later).then(pl.col("noise") * 1e9).otherwise("volume").alias("volume"),
        pl.when(later & (pl.col("noise") % 5 == 0))
        .then(pl.lit(3.0))
        .otherwise("split_ratio")
        .alias("split_ratio"),
        pl.when(later & (pl.col("noise") % 7 == 0))
        .then(pl.col("close") / 3)
        .otherwise("dividend")
        .alias("dividend"),
    )
    return wrong.filter(~later | (pl.col("noise") % 11 > 0)).drop("noise")


@given(st.sampled_from(SESSIONS[:-1]), st.integers(0, 2**32 - 1))
@hypothesis_settings(max_examples=40, deadline=None)
def test_features_know_nothing_of_later_sessions(session: date, seed: int):
    known = pl.col("session") <= session
    clean = build_features(BARS, XNYS).filter(known)
    assert build_features(poisoned_after(session, BARS, seed), XNYS).filter(known).equals(clean)


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


@pytest.mark.parametrize(("session", "horizon"), [(date(2012, 11, 30), 3), (date(2013, 1, 22), 1)])
def test_models_and_forecasts_know_nothing_of_later_sessions(
    tmp_path: Path, session: date, horizon: int
):
    """The whole graph, twice: with the true prices and with nonsense after the session."""
    results = []
    for name, bars in (("true", BARS), ("poisoned", poisoned_after(session, BARS, seed=1))):
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
        with open_project(settings) as project:
            wanted = plan_range(project, XNYS.offset(session, -3), XNYS.offset(session, 3))
            materialise_range(project, wanted, Progress())
            objects = stored_partitions(project.store, "daily_forecast")
            forecasts = read_rows(
                project.store, [path for key, path in objects.items() if key <= str(session)]
            )
            month = f"train_set/month={session:%Y-%m}/part.parquet"
            train = project.store.scan_parquet([month]).collect()
            scores = stored_partitions(project.store, "forecast_rmse")
            scored = read_rows(project.store, [scores[str(session)]])
            results.append((forecasts, train, scored))
    (true, true_train, true_scores), (poisoned, poisoned_train, poisoned_scores) = results
    assert true["as_of_session"].max() == session
    assert true["model_version"].null_count() == 0
    assert true_train.equals(poisoned_train)
    assert true.equals(poisoned)
    assert true_scores["ticker"].n_unique() == 5
    assert true_scores.equals(poisoned_scores)
    targets = {day: XNYS.offset(day, horizon) for day in true["as_of_session"]}
    assert true["target_session"].to_list() == [targets[day] for day in true["as_of_session"]]
    assert set(true_scores["as_of_session"]) == {XNYS.offset(session, -horizon)}
