"""A month's training: the same again to the last bit, resumable, and cautious."""

from datetime import date
from pathlib import Path

import numpy as np
import optuna
import polars as pl
import pytest
import skops.io
from sklearn.dummy import DummyRegressor

from stock_assets.errors import SettingsError
from stock_assets.forecasting.families import FAMILIES, Means, family_named
from stock_assets.forecasting.features import build_features
from stock_assets.forecasting.model import (
    SKOPS_TRUSTED_TYPES,
    ShrunkRegressor,
    feature_matrix,
    fit_one,
)
from stock_assets.forecasting.pictures import Drawable, pit_counts, study_pictures
from stock_assets.forecasting.shrinkage import cautious_slope
from stock_assets.forecasting.splits import labelled_rows
from stock_assets.forecasting.training import TrainedModel, train_model
from stock_assets.forecasting.tuning import TuningBudget, search
from stock_assets.market.sessions import load_calendar
from stock_assets_tests.simulated_prices import Law, simulated_bars

XNYS = load_calendar("XNYS")
BUDGET = TuningBudget(
    "random_forest", trials=4, folds=3, trees=8, sample_cap=2000, seed=7, rows_per_trial=1_000
)


def rows_of(signal: float, tickers: int = 30) -> tuple[pl.DataFrame, pl.DataFrame]:
    bars = simulated_bars(XNYS, "2010-01-04", 464, tickers, seed=5, law=Law(signal=signal))
    rows = labelled_rows(build_features(bars, XNYS), XNYS)
    days = rows["session"].unique().sort().to_list()
    return (
        rows.filter(pl.col("session") < days[-31]),
        rows.filter(pl.col("session") >= days[-30]),
    )


@pytest.fixture(scope="module")
def signal() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows with a signal far above any real one, for quick tests."""
    return rows_of(0.25)


@pytest.fixture(scope="module")
def trained(signal: tuple[pl.DataFrame, pl.DataFrame]) -> TrainedModel:
    return train_model(*signal, BUDGET, trees=20)


def as_bytes(trained: TrainedModel) -> list[bytes]:
    trees = [tree.tree_.__getstate__() for tree in trained.model.estimator.estimators_]
    return [part.tobytes() for state in trees for part in (state["nodes"], state["values"])]


def test_the_same_training_twice_is_the_same_to_the_last_bit(
    signal: tuple[pl.DataFrame, pl.DataFrame], trained: TrainedModel
):
    again = train_model(*signal, BUDGET, trees=20)
    assert as_bytes(again) == as_bytes(trained)
    assert again.tuning.trials.equals(trained.tuning.trials)
    assert again.model.slope == trained.model.slope
    assert again.intervals == trained.intervals
    assert again.test.scores == trained.test.scores


def test_another_seed_is_another_model(
    signal: tuple[pl.DataFrame, pl.DataFrame], trained: TrainedModel
):
    other = train_model(*signal, TuningBudget(**{**vars(BUDGET), "seed": 8}), trees=20)
    assert as_bytes(other) != as_bytes(trained)


def test_a_real_signal_is_believed_and_beats_the_random_walk(trained: TrainedModel):
    assert trained.family == "random_forest"
    assert 0.3 < trained.model.slope <= 1
    assert trained.test.scores["test_skill"] > 0
    assert trained.test.importance["feature"][0] == "scaled_return_1d"


def test_without_a_signal_the_model_is_the_random_walk_and_says_so():
    trained = train_model(*rows_of(0.0), BUDGET, trees=20)
    # No forecast would use a forest, so none is fitted, and there is no importance of one.
    assert isinstance(trained.model.estimator, DummyRegressor)
    assert trained.test.importance is None
    assert (trained.family, trained.model.slope) == ("random_walk", 0.0)
    assert trained.test.scores["test_skill"] == 0.0
    assert (trained.test.losses["candidate"] == trained.test.losses["random_walk"]).all()


def test_a_killed_search_goes_on_where_it_was(
    signal: tuple[pl.DataFrame, pl.DataFrame], trained: TrainedModel, tmp_path: Path
):
    def storage() -> optuna.storages.JournalStorage:
        backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / "studies.journal"))
        return optuna.storages.JournalStorage(backend)

    class KilledError(Exception):
        pass

    def kill_after_two(done: int, _best: float) -> None:
        if done == 2:
            raise KilledError

    with pytest.raises(KilledError):
        search(signal[0], BUDGET, storage=storage(), study_name="s", on_trial=kill_after_two)
    optuna.load_study(study_name="s", storage=storage()).ask()  # a trial that a kill left open
    seen: list[int] = []
    resumed = search(
        signal[0],
        BUDGET,
        storage=storage(),
        study_name="s",
        on_trial=lambda done, _best: seen.append(done),
    )
    assert seen == [3, 4]
    assert resumed.trials.equals(trained.tuning.trials)
    assert resumed.params == trained.tuning.params


def test_usual_parameters_are_tried_first_and_alone_where_rows_are_few(
    signal: tuple[pl.DataFrame, pl.DataFrame], trained: TrainedModel
):
    usual = {"max_depth": 5, "min_samples_split": 0.03, "max_features": 0.5}
    first = trained.tuning.trials.row(0, named=True)
    assert {name: first[name] for name in usual} == usual
    few = TuningBudget(**{**vars(BUDGET), "rows_per_trial": signal[0].height})
    found = search(signal[0], few)
    assert (found.params, found.trials.height) == (usual, 1)
    # Its slope has to pass the bar of a whole search.
    assert (found.slope.estimate, found.slope.used) == (first["slope"], first["slope_used"])
    default = TuningBudget("ridge", trials=4, folds=3, trees=1, sample_cap=1, seed=1)
    assert [default.trials_on(n) for n in (4_500, 25_000, 86_000)] == [1, 2, 4]


def test_a_search_killed_in_its_first_trial_still_tries_the_usual_parameters_once(
    signal: tuple[pl.DataFrame, pl.DataFrame], trained: TrainedModel
):
    storage = optuna.storages.InMemoryStorage()
    killed = optuna.create_study(storage=storage, study_name="s")
    killed.enqueue_trial(dict(FAMILIES["random_forest"].usual))
    killed.ask()  # under way when it was killed
    killed.enqueue_trial(dict(FAMILIES["random_forest"].usual))  # and once more before it began
    resumed = search(signal[0], BUDGET, storage=storage, study_name="s")
    assert resumed.trials.equals(trained.tuning.trials)


def test_known_parameters_are_tried_alone(
    signal: tuple[pl.DataFrame, pl.DataFrame], trained: TrainedModel
):
    found = search(signal[0], BUDGET, params=trained.tuning.params)
    assert found.trials.height == 1
    assert found.params == trained.tuning.params
    assert found.slope == trained.tuning.slope


@pytest.mark.parametrize("name", list(FAMILIES))
def test_every_family_trains_and_comes_back_from_skops_without_pickle(
    signal: tuple[pl.DataFrame, pl.DataFrame], name: str, tmp_path: Path
):
    family, features = FAMILIES[name], feature_matrix(signal[0])
    params = family.suggest(
        optuna.trial.FixedTrial(
            {"max_depth": 3, "min_samples_split": 0.05, "max_features": 0.5, "alpha": 100.0,
             "learning_rate": 0.05, "max_leaf_nodes": 8, "min_samples_leaf": 100,
             "num_leaves": 8, "min_data_in_leaf": 100, "feature_fraction": 0.5}
        )
    )  # fmt: skip
    estimator = family.build(params, len(features), Means(10, 2000, 1, 2))
    fit_one(estimator, features, signal[0]["label"].to_numpy())
    model = ShrunkRegressor(estimator, 0.5)
    skops.io.dump(model, tmp_path / "model.skops")
    loaded = skops.io.load(tmp_path / "model.skops", trusted=list(SKOPS_TRUSTED_TYPES))
    rows = feature_matrix(signal[1])
    whole = loaded.predict(rows)
    np.testing.assert_array_equal(whole, model.predict(rows))
    # A row's forecast does not depend on the rows beside it: a daily run equals a backfill.
    np.testing.assert_array_equal(whole[:7], loaded.predict(rows.head(7)))


def test_an_unknown_family_is_refused_by_name():
    with pytest.raises(SettingsError, match="no family 'lstm'; there are extra_trees, rand"):
        family_named("lstm")


def test_the_slope_is_the_lower_bound_clustered_by_session():
    sessions = np.repeat([1, 2, 3, 4], 2)
    forecast = np.ones(8)
    truth = np.array([1.0, 1.0, 0.6, 0.6, 1.0, 1.0, 0.6, 0.6])
    found = cautious_slope(forecast, truth, sessions, np.ones(8))
    assert found.estimate == pytest.approx(0.8)
    # Four sessions, each off by 0.4 over a sum of squares of 8: sqrt(4 * 0.4**2) / 8 = 0.1.
    assert found.standard_error == pytest.approx(0.1)
    assert found.used == pytest.approx(0.8 - 1.644854 * 0.1)
    assert cautious_slope(forecast, -truth, sessions, np.ones(8)).used == 0.0
    assert cautious_slope(np.zeros(8), truth, sessions, np.ones(8)).used == 0.0


def test_pictures_are_png(trained: TrainedModel, signal: tuple[pl.DataFrame, pl.DataFrame]):
    study = Drawable(
        trained.tuning.trials,
        trained.tuning.mse_random_walk,
        trained.test.importance,
        pit_counts(trained.test.pit),
        trained.intervals,
    )
    pictures = study_pictures(study, pl.concat(signal))
    assert sorted(pictures) == [
        "fan_chart.png",
        "optimisation_history.png",
        "permutation_importance.png",
        "pit_histogram.png",
    ]
    assert all(png.startswith(b"\x89PNG") for png in pictures.values())


def test_a_version_without_an_estimator_has_no_picture_of_one(
    trained: TrainedModel, signal: tuple[pl.DataFrame, pl.DataFrame]
):
    study = Drawable(trained.tuning.trials, 1.0, None, [3] * 10, trained.intervals)
    assert "permutation_importance.png" not in study_pictures(study, signal[1])


def test_levels_are_counted_by_tenths():
    counts = pit_counts(np.array([0.0, 0.05, 0.11, 0.95, 1.0]))
    assert counts == [2, 1, 0, 0, 0, 0, 0, 0, 0, 2]


def test_pit_values_are_levels(trained: TrainedModel):
    assert trained.test.pit.min() >= 0
    assert trained.test.pit.max() <= 1
    assert trained.test.pit.mean() == pytest.approx(0.5, abs=0.06)


def test_the_last_train_label_is_known_before_the_first_test_session(
    signal: tuple[pl.DataFrame, pl.DataFrame],
):
    train, test = signal
    assert isinstance(train["label_session"].max(), date)
    assert train["label_session"].max() < test["session"].min()
