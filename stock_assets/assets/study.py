"""The body of `tuned_model`; apart, because it imports scikit-learn and Optuna."""

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import dagster as dg
import optuna
import polars as pl

from stock_assets.assets.side_by_side import side_by_side
from stock_assets.assets.training import NOT_ENOUGH_HISTORY, TRAINED
from stock_assets.errors import NotEnoughHistoryError
from stock_assets.forecasting.fingerprint import code_hash
from stock_assets.forecasting.model import feature_matrix
from stock_assets.forecasting.pictures import pit_counts, study_pictures
from stock_assets.forecasting.training import TrainedModel, train_model, training_identity
from stock_assets.forecasting.tuning import TuningBudget
from stock_assets.local.locks import one_at_a_time
from stock_assets.partitions import month_key, month_of, months_before
from stock_assets.resources.mlflow_runs import (
    SEARCH_TAG,
    MlflowTracking,
    search_key,
    study_tags,
)
from stock_assets.resources.model_settings import settings_of_studies
from stock_assets.resources.search_journal import open_journal
from stock_assets.settings import Settings

_ROWS_ALONE = 500_000
"""A larger month trains alone: of two, memory would hold both."""


@dataclass(frozen=True)
class Training:
    """What the months that a run trains share.

    `journal`: opened once, as threads that open it beside each other would see half-written lines.
    `searches`: what searches of this run found, by their tag, before MLflow has them; added to.
    """

    context: dg.AssetExecutionContext
    settings: Settings
    tracking: MlflowTracking
    journal: optuna.storages.JournalStorage
    searches: dict[str, dict[str, Any]] = field(default_factory=dict)


def studies(
    context: dg.AssetExecutionContext,
    settings: Settings,
    tracking: MlflowTracking,
    train_set: Mapping[str, pl.DataFrame],
    test_set: Mapping[str, pl.DataFrame],
) -> Iterator[dict[str, Any]]:
    """Each month's study as plain values: what was trained on what, how it did, where it is.

    They come, and are stored in MLflow, in order. Months train side by side, on a core each: all
    that ties them is the first month of a block, which lends its parameters to those after it.
    While a month is stored, which waits for disks and servers, others are trained.
    """
    months, cores = sorted(train_set), os.cpu_count() or 1
    threads = max(1, min(cores, len(months)))
    lender_of = {month: search_month(month, settings.retune_months) for month in months}
    # Two runs at once would train the same month twice, and end each other's trials.
    with (
        one_at_a_time(settings, f"training-{settings.dataset_name}"),
        ThreadPoolExecutor(1) as writer,
    ):
        journal = open_journal(settings, context.log.warning)
        training = Training(context, settings, tracking, journal)
        reading = Lock()

        def train(month: str) -> Callable[[], dict[str, Any]]:
            with reading:
                rows, test = train_set[month], test_set[month]
                if rows is not None and rows.height > _ROWS_ALONE:
                    return train_or_reuse(training, cores, month, rows, test)
            return train_or_reuse(training, cores // threads, month, rows, test)

        before: Future[dict[str, Any]] | None = None
        try:
            ahead = settings.retune_months + threads
            for store in side_by_side(train, months, lender_of, threads, ahead):
                under_way = writer.submit(store)
                if before:
                    yield before.result()
                before = under_way
        except Exception:
            if before:
                yield before.result()  # what is finished stays
            raise
        if before:
            yield before.result()


def train_or_reuse(
    training: Training,
    jobs: int,
    month: str,
    train: pl.DataFrame,
    test: pl.DataFrame,
) -> Callable[[], dict[str, Any]]:
    """One month's study, trained; a call stores it in MLflow and gives its values.

    Where its rows are too few to train on, why: `labelled_month` has made sure that no stored
    session is missing among them.

    `jobs`: threads to train with, which change no result.
    """
    context, settings, tracking = training.context, training.settings, training.tracking
    searches = training.searches
    if train.is_empty() or test.is_empty():
        reason = (
            f"{train.height} labelled rows to train on and {test.height} to test on: fewer than"
            f" {settings.min_train_sessions} + {settings.test_sessions} sessions before it have"
            " complete features"
        )
        return lambda: _skipped(settings, month, reason)
    knobs = _knobs(settings)
    from_month = search_month(month, settings.retune_months)
    lent = None
    if from_month != month:
        lending = search_key(settings_of_studies(settings), code_hash(), from_month)
        lent = searches[lending] if lending in searches else tracking.searched_params(lending)
        if lent is None:
            context.log.info(f"{month}: no search of {from_month} to take over, searching anew")
    identity = training_identity(
        train, test, month=month, params=lent, **settings_of_studies(settings)
    )
    found = tracking.find_study(identity["fingerprint"])
    if found and found.values:
        known = found.values
        context.log.info(f"{month}: same data, code and settings as MLflow run {found.run_id}")
        return lambda: {
            **known,
            "settings": settings_of_studies(settings),
            "status": TRAINED,
        }
    if found:
        context.log.warning(f"{month}: {found.damage}; training again in its place")
    try:
        trained = train_model(
            train,
            test,
            tuning_budget(settings, jobs),
            settings.trees,
            params=lent,
            storage=training.journal,
            study_name=f"{month} {identity['fingerprint']}",
        )
    except NotEnoughHistoryError as error:
        reason = str(error)
        context.log.warning(f"{month}: {reason}")
        return lambda: _skipped(settings, month, reason)
    skill = trained.test.scores["test_skill"]
    context.log.info(
        f"{month}: {trained.tuning.trials.height} trials on {train.height} rows, slope"
        f" {trained.tuning.slope.used:.3f}, {trained.family} forecasts; test skill"
        f" {'unknown' if skill is None else f'{skill:+.2%}'} against the random walk"
    )
    values = {
        **_values(month, train, test, trained),
        "model_family": settings.model_family,
        "settings": settings_of_studies(settings),
        "params_from": from_month if lent is not None else month,
        **identity,
    }
    if search := study_tags(values).get(SEARCH_TAG):
        searches[search] = trained.tuning.params
    example = feature_matrix(train.head(3))

    def store() -> dict[str, Any]:
        place = tracking.log_study(
            f"{month} through {values['trained_through']}",
            trained,
            example,
            params=knobs,
            values=values,
            in_place_of=found.run_id if found else None,
        )
        return {**values, **place, "status": TRAINED}

    return store


def pictures_of(
    tracking: MlflowTracking, run_id: str, train: pl.DataFrame, test: pl.DataFrame
) -> dict[str, bytes]:
    """The pictures of a month's study: those of its MLflow run, which gets them where it has none.

    They take as long as the rest of a small month, and of a backfill's months few are looked at.
    """
    stored = tracking.pictures(run_id)
    if not stored:
        stored = study_pictures(tracking.drawable(run_id), pl.concat([train, test]))
        tracking.add_files(run_id, stored)
    return stored


def _knobs(settings: Settings) -> dict[str, Any]:
    """What a search may cost, as MLflow's parameters name it."""
    return {
        "family": settings.model_family,
        "trials": settings.tuning_trials,
        "folds": settings.tuning_folds,
        "tuning_trees": settings.tuning_trees,
        "trees": settings.trees,
        "sample_cap": settings.sample_cap,
        "seed": settings.seed,
        "horizon": settings.horizon,
    }


def _skipped(settings: Settings, month: str, reason: str) -> dict[str, Any]:
    return {
        "month": month,
        "status": NOT_ENOUGH_HISTORY,
        "reason": reason,
        "settings": settings_of_studies(settings),
    }


def tuning_budget(settings: Settings, jobs: int) -> TuningBudget:
    """What the settings allow a search; `jobs`: threads, which change no result."""
    return TuningBudget(
        family=settings.model_family,
        trials=settings.tuning_trials,
        folds=settings.tuning_folds,
        trees=settings.tuning_trees,
        sample_cap=settings.sample_cap,
        seed=settings.seed,
        jobs=jobs,
        horizon=settings.horizon,
    )


def search_month(month: str, every: int) -> str:
    """The month whose search a month's model takes its parameters from.

    Months are cut into blocks of `every`, counted from year 0: the first of a block is searched and
    lends to the others, never to earlier ones. A month whose block's first has no search yet is
    searched itself, on its own data; trained again after that one, it is another model.
    """
    first = month_of(month)
    return month_key(months_before(first, (first.year * 12 + first.month - 1) % every))


def _values(
    month: str, train: pl.DataFrame, test: pl.DataFrame, trained: TrainedModel
) -> dict[str, Any]:
    slope, losses = trained.tuning.slope, trained.test.losses
    intervals = trained.test.interval_losses
    return {
        "month": month,
        "horizon": trained.intervals.horizon,
        "family": trained.family,
        "train_first": str(train["session"].min()),
        "train_last": str(train["session"].max()),
        "test_first": str(test["session"].min()),
        "test_last": str(test["session"].max()),
        "trained_through": str(test["label_session"].max()),
        "train_rows": train.height,
        "test_rows": test.height,
        "tickers": sorted(set(train["ticker"]) | set(test["ticker"])),
        "params": trained.tuning.params,
        "slope": slope.used,
        "slope_estimate": slope.estimate,
        "slope_standard_error": slope.standard_error,
        **trained.test.scores,
        "test_pit_counts": pit_counts(trained.test.pit),
        "test_losses": {
            "session": [str(session) for session in losses["session"]],
            "candidate": losses["candidate"].to_list(),
            "random_walk": losses["random_walk"].to_list(),
        },
        "test_interval_losses": {
            "session": [str(session) for session in intervals["session"]],
            **intervals.drop("session").to_dict(as_series=False),
        },
    }
