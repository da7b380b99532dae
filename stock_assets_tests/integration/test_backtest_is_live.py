"""Forecasts made day by day by the schedules' jobs equal those of one backfill, byte for byte."""

from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from stock_assets.automation.jobs import DAILY_ASSETS, DAILY_JOB, MONTHLY_ASSETS, MONTHLY_JOB
from stock_assets.backfill.project import Project, run_partitions
from stock_assets.market.bars import PRICES
from stock_assets.market.sessions import load_calendar
from stock_assets.settings import Settings
from stock_assets_tests.backfilled import comparable
from stock_assets_tests.conftest import QUICK, make_home
from stock_assets_tests.dagster_runs import unrecorded_project
from stock_assets_tests.simulated_prices import Law, simulated_bars

XNYS = load_calendar("XNYS")
FIRST, LAST = date(2013, 1, 18), date(2013, 2, 8)
"""Live sessions: 15, around a month's end; the Monday after the first has no trading."""
SPLIT, DIVIDEND = date(2013, 1, 23), date(2013, 2, 5)
MISSING = (date(2013, 1, 25), date(2013, 1, 28), date(2013, 2, 1))
RETRAINED = date(2013, 2, 5)
BEGIN = date(2012, 5, 1)


def prices() -> pl.DataFrame:
    """Four tickers with all that happens to prices; the last one is listed in December."""
    sessions = len(XNYS.between(BEGIN, LAST))
    bars = simulated_bars(XNYS, str(BEGIN), sessions, 4, 7, Law(signal=0.4))
    split = (pl.col("ticker") == "T000") & (pl.col("session") >= SPLIT)
    paid = (pl.col("ticker") == "T001") & (pl.col("session") == DIVIDEND)
    missing = (pl.col("ticker") == "T002") & pl.col("session").is_in(MISSING)
    unlisted = (pl.col("ticker") == "T003") & (pl.col("session") < date(2012, 12, 3))
    return bars.with_columns(
        *(pl.when(split).then(pl.col(c) / 2).otherwise(c).alias(c) for c in PRICES),
        volume=pl.when(split).then(pl.col("volume") * 2).otherwise("volume"),
        split_ratio=pl.when(split & (pl.col("session") == SPLIT)).then(2.0).otherwise(1.0),
        dividend=pl.when(paid).then(pl.col("close") * 0.01).otherwise(0.0),
    ).filter(~missing & ~unlisted)


def settings_in(folder: Path, name: str) -> Settings:
    home = make_home(folder / name)
    return Settings(
        home=home,
        store_uri=f"file://{home / 'objects'}",
        source="files",
        files_uri=str(folder / f"{name}.parquet"),
        dataset="same",
        # The days to come have keys, as the live run's source will have them; no prices yet.
        first_session=BEGIN,
        last_session=LAST,
        tickers=("T000", "T001", "T002", "T003"),
        # Ten test sessions of three tickers show little: here every version shall come to serve.
        gate_margin=1.0,
        **QUICK,
    )


def materialise(project: Project, job: str, assets: tuple[str, ...], keys: list[str]) -> None:
    definition = project.partitions.sessions if job == DAILY_JOB else project.partitions.months
    run_partitions(project, job, assets, keys, definition.get_partition_keys(), 1000)


def retrain(project: Project) -> None:
    """As the sensor asks for it when the error has grown too large."""
    through = {"config": {"train_through": str(RETRAINED)}}
    project.definitions.resolve_job_def(MONTHLY_JOB).execute_in_process(
        instance=project.instance,
        partition_key=f"{RETRAINED:%Y-%m}",
        run_config={"ops": {"train_set": through, "test_set": through}},
    )


def keys(first: date, last: date) -> list[str]:
    return [str(session) for session in XNYS.between(first, last)]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], ...]:
    """What the schedules made session by session, and what one backfill made."""
    folder = tmp_path_factory.mktemp("live")
    bars = prices()
    live = settings_in(folder, "live")

    def known_through(session: date) -> None:
        bars.filter(pl.col("session") <= session).write_parquet(folder / "live.parquet")

    before = XNYS.previous_session(FIRST)
    known_through(before)
    with unrecorded_project(live) as project:
        materialise(project, DAILY_JOB, ("raw_prices", "features"), keys(BEGIN, before))
        materialise(project, MONTHLY_JOB, MONTHLY_ASSETS, ["2013-01"])
        for session in XNYS.between(FIRST, LAST):
            known_through(session)
            materialise(project, DAILY_JOB, DAILY_ASSETS, [str(session)])
            following = XNYS.next_session(session)
            if following.month != session.month:
                materialise(project, MONTHLY_JOB, MONTHLY_ASSETS, [f"{following:%Y-%m}"])
            if session == RETRAINED:
                retrain(project)
    backfill = settings_in(folder, "backfill")
    bars.write_parquet(folder / "backfill.parquet")
    with unrecorded_project(backfill) as project:
        materialise(project, DAILY_JOB, ("raw_prices", "features"), keys(BEGIN, LAST))
        materialise(project, MONTHLY_JOB, MONTHLY_ASSETS, ["2013-01", "2013-02"])
        retrain(project)
        materialise(project, DAILY_JOB, ("daily_forecast", "forecast_rmse"), keys(FIRST, LAST))
    return comparable(live), comparable(backfill)


def rows(state: dict[str, Any], asset: str) -> pl.DataFrame:
    return pl.concat(pl.read_parquet(v) for k, v in state.items() if k.startswith(asset))


def test_the_live_run_and_the_backfill_leave_the_same(both: tuple[dict[str, Any], ...]):
    live, backfill = both
    assert live.keys() == backfill.keys()
    for key, value in live.items():
        assert backfill[key] == value, key


def test_the_range_holds_what_could_have_set_them_apart(both: tuple[dict[str, Any], ...]):
    live, _ = both
    forecasts = rows(live, "daily_forecast")
    assert forecasts["as_of_session"].unique().sort().to_list() == list(XNYS.between(FIRST, LAST))
    served = (
        forecasts.filter(ticker="T000")
        .group_by("model_version", maintain_order=True)
        .agg(pl.col("as_of_session").min(), pl.col("trained_through").first())
    )
    through = served["trained_through"].to_list()
    assert through[-1] == RETRAINED
    assert served["as_of_session"].to_list()[-1] == date(2013, 2, 6)
    assert (forecasts["forecast_return"] != 0).any()  # something was learnt that could differ
    assert forecasts.filter(ticker="T003")["is_fallback"].all()  # listed too lately
    # The law of any ticker is the same version's from the retrain on.
    theirs = forecasts.select("as_of_session", "intervals_version").unique().sort("as_of_session")
    assert theirs["intervals_version"].to_list()[-3:] == [3] * 3
    assert theirs["intervals_version"].n_unique() == 3
    absent = set(MISSING) - set(forecasts.filter(ticker="T002")["as_of_session"])
    assert absent == set(MISSING)
    scores = rows(live, "forecast_rmse")
    # Forecast from the close before the ticker was gone: counted on the first day, not scored.
    unscored = scores.filter(pl.col("unscored_reason").is_not_null())
    assert unscored.select("ticker", "session", "unscored_reason", "error_return").rows() == [
        ("T002", gone, "no bar in the target session", None) for gone in (MISSING[0], MISSING[2])
    ]
    scored = scores.filter(pl.col("unscored_reason").is_null())
    assert scored["rolling_rmse_return"].null_count() == 0
    on_split = scores.filter(ticker="T000", session=SPLIT)
    assert abs(on_split["realised_return"].item()) < 0.2
