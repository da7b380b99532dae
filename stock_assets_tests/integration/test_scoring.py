"""Forecasts of others and our own exported ones, judged by the command beside stored ones."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner, Result

from stock_assets import read
from stock_assets.cli import main
from stock_assets.forecasting.summary import summarise
from stock_assets.resources.object_store import ObjectStore, open_store
from stock_assets.settings import Settings
from stock_assets_tests.conftest import make_home
from stock_assets_tests.scored import MLFORECAST, store_february

TICKERS, TARGETS = 5, 20
FIRST, LAST = "2013-02-01", "2013-03-01"


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, dict[str, Any]]:
    """Settings of a dataset, and the scores that `backtest --json` prints of it."""
    folder = tmp_path_factory.mktemp("scored")
    settings = Settings(
        home=make_home(folder / "home"), store_uri=f"file://{folder / 'objects'}", dataset="own"
    )
    scores = store_february(ObjectStore(f"{settings.store_uri}/own"))
    return settings, summarise(scores)


def typed(settings: Settings, *words: str) -> Result:
    """The command in the checkout of those settings."""
    given = {n: str(getattr(settings, n)) for n in settings.model_fields_set}
    named = {f"STOCK_ASSETS_{name.upper()}": value for name, value in given.items()}
    return CliRunner().invoke(main, list(words), env={**os.environ, **named})


def said_by(settings: Settings, *words: str) -> str:
    done = typed(settings, *words)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_ours_through_a_file_score_what_backtest_says(
    stored: tuple[Settings, dict[str, Any]], tmp_path: Path
):
    settings, expected = stored
    for folder, options in (("hub", []), ("grid", ["--grid"])):
        told = said_by(settings, "export-forecasts", "--from", FIRST, "--to", LAST, *options, "-o",
                     str(tmp_path / folder))  # fmt: skip
        assert told.startswith("20 files in ")
    found = [
        json.loads(said_by(settings, "score", "--forecasts", str(tmp_path / folder), "--json"))
        for folder in ("hub", "grid")
    ]
    for one in found:
        assert (one["from"], one["to"]) == (FIRST, LAST)
        assert one["forecasts"] == expected["forecasts"] == TARGETS * TICKERS
        assert set(one["models"]) == {"ours", "random_walk", "stock_assets-own"}
    ours, theirs = (found[0]["models"][name] for name in ("ours", "stock_assets-own"))
    assert theirs["rmse_return"] != found[0]["models"]["random_walk"]["rmse_return"]
    for own in (ours, theirs):
        for name in ("rmse_return", "skill", "dm_t"):
            assert own[name] == pytest.approx(expected[name], abs=1e-12)
        assert own["coverage"] == pytest.approx(expected["coverage"], abs=1e-12)
        score = own["interval_score"]["95"]
        assert score == pytest.approx(expected["interval_score_95"], abs=1e-12)
    assert theirs["rps"] == pytest.approx(ours["rps"], abs=1e-12)
    for own in (found[1]["models"][name] for name in ("ours", "stock_assets-own")):
        assert own["crps"] == pytest.approx(expected["crps"], abs=1e-12)
        # The file holds every bit, so nothing differs that could be tested.
        assert own["beside"]["ours"]["wis"] == {"ratio": 1.0, "confidence": [1.0, 1.0], "dm_t": 0.0}


def test_outcomes_and_scores_are_written_by_a_hub_s_names(
    stored: tuple[Settings, dict[str, Any]], tmp_path: Path
):
    settings, expected = stored
    hub, file = tmp_path / "hub", tmp_path / "scores.csv"
    said_by(settings, "export-forecasts", "--from", FIRST, "-o", str(hub))
    shown = said_by(settings, "score", "--forecasts", str(hub), "-o", str(file))
    assert max(map(len, shown.splitlines())) <= 80
    scores = pl.read_csv(file, null_values="NA", try_parse_dates=True)
    assert scores.height == 3 * expected["forecasts"]
    means = (
        scores.group_by("model_id")
        .agg(pl.col("interval_score_95").mean())
        .rows_by_key("model_id", unique=True)
    )
    score = pytest.approx(expected["interval_score_95"], abs=1e-12)
    assert means["ours"] == means["stock_assets-own"]
    assert means["ours"] == (score,)
    truth = pl.read_csv(hub / "target-data" / "oracle-output.csv", null_values="NA",
                        try_parse_dates=True)  # fmt: skip
    with read.open_dataset(settings) as dataset:
        known = dataset.scores(FIRST, columns="ticker, session, realised_return")
    joined = truth.filter(pl.col("output_type") == "quantile").join(
        known, left_on=["location", "target_end_date"], right_on=["ticker", "session"]
    )
    assert joined.height == expected["forecasts"]
    assert joined["oracle_value"].to_list() == joined["realised_return"].to_list()
    (model,) = (hub / "model-output").iterdir()
    first = pl.read_csv(min(model.iterdir()), null_values="NA")
    assert first.columns == ["reference_date", "horizon", "target_end_date", "location", "target",
                             "output_type", "output_type_id", "value"]  # fmt: skip
    assert first.group_by("location", "output_type").len().sort("location", "output_type").rows()[
        :3
    ] == [("AAPL", "mean", 1), ("AAPL", "pmf", 5), ("AAPL", "quantile", 7)]
    assert model.name == "stock_assets-own"


def test_prices_and_returns_of_the_same_forecasts_score_alike(
    stored: tuple[Settings, dict[str, Any]], tmp_path: Path
):
    settings, expected = stored
    with read.open_dataset(settings) as dataset:
        ours = dataset.forecasts(FIRST, LAST)
    prices = ours.select(
        unique_id="ticker",
        ds="target_session",
        M="forecast_close_usd",
        **{f"M-{short}-{c}": f"{side}_{c}_usd" for c in (50, 80, 95)
           for short, side in (("lo", "lower"), ("hi", "upper"))},
    )  # fmt: skip
    numbers = [name for name in prices.columns if name.startswith("M")]
    close = pl.Series(ours["close_usd"])
    prices.write_parquet(tmp_path / "prices.parquet")
    prices.with_columns((pl.col(numbers) / close).log()).write_csv(tmp_path / "returns.csv")
    found = [
        json.loads(said_by(settings, "score", "--forecasts", str(tmp_path / name), *unit, "--json"))
        for name, unit in (("prices.parquet", ()), ("returns.csv", ("--unit", "return")))
    ]
    assert [one["unit"] for one in found] == ["price", "return"]
    for one in found:
        assert one["models"]["M"]["rmse_return"] == pytest.approx(expected["rmse_return"])
        assert one["models"]["M"]["coverage"] == pytest.approx(expected["coverage"])
        assert one["models"]["M"]["wis"] == pytest.approx(one["models"]["ours"]["wis"])


def test_forecasts_of_mlforecast_are_judged(stored: tuple[Settings, dict[str, Any]]):
    """Its own file, as it stands; every figure by another way."""
    settings, _ = stored
    options = ("--forecasts", str(MLFORECAST), "--unit", "return")
    found = json.loads(said_by(settings, "score", *options, "--json"))
    with read.open_dataset(settings) as dataset:
        known = dataset.scores(columns="ticker, session, realised_return")
    rows = pl.read_csv(MLFORECAST, try_parse_dates=True).join(
        known, left_on=["unique_id", "ds"], right_on=["ticker", "session"]
    )
    assert rows.height == found["forecasts"] == TARGETS * TICKERS
    counted = found["submitted"]["LightGBM"]
    assert (counted["forecasts"], counted["not_of_ours"]) == (515, 415)
    assert (counted["issued"], counted["hindsight"]) == (0, 515)
    assert found["levels"] == [0.025, 0.1, 0.25, 0.75, 0.9, 0.975]
    judged = found["models"]["LightGBM"]
    realised = rows["realised_return"].to_numpy()
    rmse = np.sqrt(np.mean((rows["LightGBM"].to_numpy() - realised) ** 2))
    assert judged["rmse_return"] == pytest.approx(rmse, abs=1e-12)
    weighted = 0.0
    for coverage in (50, 80, 95):
        alpha = 1 - coverage / 100
        low, high = (rows[f"LightGBM-{side}-{coverage}"].to_numpy() for side in ("lo", "hi"))
        beyond = np.maximum(low - realised, 0) + np.maximum(realised - high, 0)
        score = np.mean(high - low + 2 / alpha * beyond)
        assert judged["interval_score"][str(coverage)] == pytest.approx(score, abs=1e-12)
        assert judged["coverage"][str(coverage)] == pytest.approx((beyond == 0).mean())
        weighted += alpha / 2 * score / 3
    assert judged["wis"] == pytest.approx(weighted, abs=1e-12)
    shown = said_by(settings, "score", *options).splitlines()
    assert [line.split()[0] for line in shown[2:5]] == ["ours", "random", "LightGBM"]
    assert max(map(len, shown)) <= 80


def test_a_choice_of_sessions_and_tickers_is_judged_alone(
    stored: tuple[Settings, dict[str, Any]], tmp_path: Path
):
    settings, _ = stored
    hub = str(tmp_path / "hub")
    said_by(settings, "export-forecasts", "-o", hub)
    last = LAST
    options = ("--forecasts", hub, "--tickers", "IBM,MSFT", "--from", last, "--to", last)
    found = json.loads(said_by(settings, "score", *options, "--json"))
    assert (found["forecasts"], found["tickers"], found["sessions"]) == (2, 2, 1)
    assert found["share_of_ours"] == 1.0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("NOPE,{to},50\n", "own has no forecast of NOPE in these sessions, but of AAPL, FB"),
        (
            "AAPL,2013-02-18,50\n",
            "target session 2013-02-18 is not a session of XNYS but a holiday",
        ),
        ("AAPL,2012-07-06,50\n", "no daily_forecast of own is stored for 2012-07-06..2012-07-06"),
        ("", "has no forecast of these sessions and tickers"),
    ],
)
def test_what_can_t_be_judged_is_one_line(
    stored: tuple[Settings, dict[str, Any]], tmp_path: Path, text: str, said: str
):
    settings, _ = stored
    file = tmp_path / "m.csv"
    file.write_text("unique_id,ds,M\n" + text.format(to=LAST))
    done = typed(settings, "score", "--forecasts", str(file))
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.output
    assert said in done.stderr


def test_scoring_stores_nothing(stored: tuple[Settings, dict[str, Any]], tmp_path: Path):
    settings, _ = stored
    with open_store(settings) as store:
        before = store.listed("")
    assert before
    said_by(settings, "export-forecasts", "-o", str(tmp_path / "hub"))
    said_by(settings, "score", "--forecasts", str(tmp_path / "hub"))
    with open_store(settings) as store:
        assert store.listed("") == before
