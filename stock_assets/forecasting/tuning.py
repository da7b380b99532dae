"""The search for a family's parameters: Optuna over purged walk-forward folds in the train set."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
import polars as pl
from optuna.trial import TrialState

from stock_assets.forecasting.families import Means, family_named
from stock_assets.forecasting.model import feature_matrix, fit_one
from stock_assets.forecasting.shrinkage import Slope, cautious_slope
from stock_assets.forecasting.splits import Fold, ticker_weights, walk_forward_folds

ROWS_PER_TRIAL = 10_000
"""Fewer rows can't tell parameters apart: of a small universe's trials the best is the luckiest."""


@dataclass(frozen=True)
class TuningBudget:
    """How much searching may cost; equal budgets, seeds and rows give equal results.

    `trials`: at most, see `trials_on`.
    """

    family: str
    trials: int
    folds: int
    trees: int
    sample_cap: int
    seed: int
    jobs: int = 2
    horizon: int = 1
    rows_per_trial: int = ROWS_PER_TRIAL

    def trials_on(self, n_rows: int) -> int:
        """Trials of a search on so many rows: one per `rows_per_trial`, none more than allowed."""
        if not family_named(self.family).usual:
            return 1
        return min(self.trials, max(1, n_rows // self.rows_per_trial))

    def means(self, trees: int) -> Means:
        return Means(trees, self.sample_cap, self.seed, self.jobs)


@dataclass(frozen=True)
class Tuning:
    """What a search found.

    `slope`: of the best trial's out-of-fold forecasts, see `shrinkage`.
    `trials`: one row each: number, parameters, `mse` and `slope` out of fold.
    `mse_random_walk`: out-of-fold loss of forecasting no change, in units of each ticker's own.
    """

    params: dict[str, Any]
    slope: Slope
    mse: float
    mse_random_walk: float
    trials: pl.DataFrame


@dataclass(frozen=True)
class _FoldData:
    x_train: Any
    y_train: np.ndarray
    x_validate: Any
    y_validate: np.ndarray
    sessions: np.ndarray
    weights: np.ndarray


def _fold_data(train: pl.DataFrame, fold: Fold, budget: TuningBudget) -> _FoldData:
    fitted = train.filter(pl.col("session") <= fold.train_last)
    validated = train.filter(pl.col("session").is_between(fold.validate_first, fold.validate_last))
    labels = fitted["label"].to_numpy()
    family, means = family_named(budget.family), budget.means(budget.trees)
    return _FoldData(
        family.prepared(feature_matrix(fitted), labels, means),
        labels,
        feature_matrix(validated),
        validated["label"].to_numpy(),
        validated["session"].to_numpy(),
        ticker_weights(validated).to_numpy(),
    )


def search(
    train: pl.DataFrame,
    budget: TuningBudget,
    *,
    params: Mapping[str, Any] | None = None,
    storage: optuna.storages.BaseStorage | None = None,
    study_name: str | None = None,
    on_trial: Callable[[int, float], None] | None = None,
) -> Tuning:
    """Finds parameters with the least out-of-fold squared error of the label.

    The family's usual ones are tried first. Tickers weigh alike in it, see `splits.ticker_weights`.

    Args:
        train: Labelled rows of the train set, sorted by session and ticker; never the test set.
        budget: Family, trials, folds and the like.
        params: Known already: they are tried alone, for the slope of these rows.
        storage: Keeps the trials; with it a killed search goes on where it was.
        study_name: Of the search in `storage`: must change with rows, code and budget.
        on_trial: Called with the number of finished trials and the best loss so far.

    Raises:
        NotEnoughHistoryError: Too few sessions for the folds.
    """
    family = family_named(budget.family)
    sessions = train["session"].unique().sort().to_list()
    folds = [
        _fold_data(train, fold, budget)
        for fold in walk_forward_folds(sessions, budget.folds, budget.horizon)
    ]
    truth = np.concatenate([fold.y_validate for fold in folds])
    validated = np.concatenate([fold.sessions for fold in folds])
    weights = np.concatenate([fold.weights for fold in folds])
    # Parameters that another month's search found were chosen among as many, on nearly these rows.
    # A small universe's one trial has to pass the same bar: where little can be told, doubt stays.
    candidates = budget.trials if family.usual else 1

    def objective(trial: optuna.Trial) -> float:
        tried = dict(params) if params is not None else family.suggest(trial)
        trial.set_user_attr("params", tried)
        forecasts = []
        for fold in folds:
            model = family.build(tried, len(fold.y_train), budget.means(budget.trees))
            fit_one(model, fold.x_train, fold.y_train)
            forecasts.append(model.predict(fold.x_validate))
        forecast = np.concatenate(forecasts)
        slope = cautious_slope(
            forecast, truth, validated, weights, candidates=candidates, horizon=budget.horizon
        )
        trial.set_user_attr("slope", vars(slope))
        return float(np.mean(weights * (truth - forecast) ** 2))

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(storage=storage, study_name=study_name, load_if_exists=True)
    _give_up_unfinished(study)
    wanted = budget.trials_on(train.height) if params is None else 1
    while (done := len(_finished(study))) < wanted:
        if done == 0 and not _is_queued(study):
            study.enqueue_trial(dict(family.usual))
        # A sampler per trial, seeded by its number: a search that was killed and goes on draws what
        # an unbroken one would have drawn.
        study.sampler = optuna.samplers.TPESampler(seed=budget.seed + done)
        study.optimize(objective, n_trials=1)
        if on_trial:
            on_trial(done + 1, study.best_value)
    trials = _finished(study)[:wanted]
    best = min(trials, key=lambda t: (t.value, t.number))
    return Tuning(
        params=best.user_attrs["params"],
        slope=Slope(**best.user_attrs["slope"]),
        mse=best.value,
        mse_random_walk=float(np.mean(weights * truth**2)),
        trials=pl.DataFrame(
            [
                {
                    "trial": number,
                    **t.user_attrs["params"],
                    "mse": t.value,
                    "slope": t.user_attrs["slope"]["estimate"],
                    "slope_used": t.user_attrs["slope"]["used"],
                }
                for number, t in enumerate(trials)
            ]
        ),
    )


def _finished(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    return list(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))


def _is_queued(study: optuna.Study) -> bool:
    return bool(study.get_trials(deepcopy=False, states=(TrialState.WAITING,)))


def _give_up_unfinished(study: optuna.Study) -> None:
    """Closes trials that a kill left open; they never count."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
