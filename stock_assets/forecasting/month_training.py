"""One month's training before and after it: parameters, identity, and the study that it leaves."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import optuna
import polars as pl

from stock_assets.errors import NotEnoughHistoryError
from stock_assets.forecasting.pictures import pit_counts
from stock_assets.forecasting.study import MonthStudy, Study
from stock_assets.forecasting.training import TrainedModel, train_model, training_identity
from stock_assets.forecasting.tuning import TuningBudget
from stock_assets.market.months import month_of


@dataclass(frozen=True)
class MonthTraining:
    """All that decides what a month's model will be.

    Args:
        month: Its key.
        train: Labelled rows.
        test: Those after them.
        settings: The settings that a study depends on, by name.
        params: Lent ones; None where they are searched for.
        params_from: The month whose search found them, or will.
        identity: `data_hash`, `code_hash`, `fingerprint`.
    """

    month: str
    train: pl.DataFrame
    test: pl.DataFrame
    settings: Mapping[str, Any]
    params: Mapping[str, Any] | None
    params_from: str
    identity: Mapping[str, str]

    @property
    def trials(self) -> int:
        """How many its search will have."""
        budget = tuning_budget(self.settings, 1)
        return 1 if self.params is not None else budget.trials_on(self.train.height)

    def model(
        self,
        jobs: int,
        storage: optuna.storages.BaseStorage | None,
        on_trial: Callable[[int, float], None] | None = None,
        dataset: str = "",
    ) -> TrainedModel:
        """The trained model.

        Args:
            jobs: Threads to train with, which change no result.
            storage: Keeps the trials, so that a killed search goes on where it was.
            on_trial: Of the search.
            dataset: Whose studies are told apart in `storage`.

        Raises:
            NotEnoughHistoryError: Too few rows after all.
        """
        return train_model(
            self.train,
            self.test,
            tuning_budget(self.settings, jobs),
            self.settings["trees"],
            params=self.params,
            storage=storage,
            study_name=f"{dataset} {self.month} {self.identity['fingerprint']}",
            on_trial=on_trial,
        )

    def study(self, trained: TrainedModel) -> Study:
        """What is to be said of the trained model, before it is stored."""
        train, test, record = self.train, self.test, trained.test
        slope, intervals = trained.tuning.slope, record.interval_losses
        return Study(
            month=self.month,
            model_family=self.settings["model_family"],
            family=trained.family,
            horizon=trained.intervals.horizon,
            train_first=train["session"].min(),  # type: ignore[arg-type]  # polars: any literal
            train_last=train["session"].max(),  # type: ignore[arg-type]
            test_first=test["session"].min(),  # type: ignore[arg-type]
            test_last=test["session"].max(),  # type: ignore[arg-type]
            trained_through=test["label_session"].max(),  # type: ignore[arg-type]
            train_rows=train.height,
            test_rows=test.height,
            tickers=sorted(set(train["ticker"]) | set(test["ticker"])),
            params=trained.tuning.params,
            params_from=self.params_from,
            slope=slope.used,
            slope_estimate=slope.estimate,
            slope_standard_error=slope.standard_error,
            scores=record.scores,
            test_pit_counts=pit_counts(record.pit),
            test_losses=_columns(record.losses),
            test_interval_losses=_columns(intervals),
            settings=self.settings,
            **self.identity,
        )


def prepare_training(
    month: str,
    train: pl.DataFrame,
    test: pl.DataFrame,
    settings: Mapping[str, Any],
    lender: str,
    study_of: Callable[[str], MonthStudy],
) -> MonthTraining:
    """A month's training, its parameters chosen.

    A month takes those of its lender, and searches itself where it is its own or the lender could
    not be trained. One that is trained again, through a session of its own, never searches: its
    lender's parameters, or else those that the month itself had before, serve the rest of it.

    Args:
        month: Its key.
        train: Labelled rows.
        test: Those after them.
        settings: The settings that a study depends on.
        lender: See `TrainingMonths.lender`.
        study_of: The study of another month, or the one that this month had before.

    Raises:
        NotEnoughHistoryError: It can't be trained.
    """
    if train.is_empty() or test.is_empty():
        raise NotEnoughHistoryError(
            f"{train.height} labelled rows to train on and {test.height} to test on: fewer than"
            f" {settings['min_train_sessions']} + {settings['test_sessions']} sessions before it"
            " have complete features"
        )
    params, params_from = None, month
    lending = study_of(lender) if lender != month else None
    if isinstance(lending, Study):
        params, params_from = lending.params, lender
    elif test["label_session"].max() >= month_of(month):  # type: ignore[operator]
        before = study_of(month)
        if not isinstance(before, Study):
            raise NotEnoughHistoryError(f"no parameters to train again with: {before.reason}")
        params = before.params
    identity = training_identity(train, test, month=month, params=params, **settings)
    return MonthTraining(month, train, test, settings, params, params_from, identity)


def tuning_budget(settings: Mapping[str, Any], jobs: int) -> TuningBudget:
    """What the settings allow a search; `jobs`: threads, which change no result."""
    return TuningBudget(
        family=settings["model_family"],
        trials=settings["tuning_trials"],
        folds=settings["tuning_folds"],
        trees=settings["tuning_trees"],
        sample_cap=settings["sample_cap"],
        seed=settings["seed"],
        jobs=jobs,
        horizon=settings["horizon"],
    )


def _columns(losses: pl.DataFrame) -> dict[str, list[Any]]:
    """As JSON can hold them."""
    return losses.with_columns(pl.col("session").cast(pl.String)).to_dict(as_series=False)
