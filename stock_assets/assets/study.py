"""The body of `tuned_model` for one month; apart, because it imports scikit-learn and Optuna."""

import os
from typing import Any

import dagster as dg
import polars as pl

from stock_assets.errors import NotEnoughHistoryError
from stock_assets.forecasting.training import FAMILY, TrainedModel, train_model, training_identity
from stock_assets.forecasting.tuning import TuningBudget
from stock_assets.resources.mlflow_runs import FINGERPRINT_TAG, MlflowTracking
from stock_assets.settings import Settings


def train_or_reuse(
    context: dg.AssetExecutionContext,
    settings: Settings,
    tracking: MlflowTracking,
    month: str,
    train: pl.DataFrame,
    test: pl.DataFrame,
) -> dict[str, Any]:
    """One month's study as plain values: what was trained on what, how it did, where it is."""
    if train.is_empty() or test.is_empty():
        raise NotEnoughHistoryError(
            f"{month}: no labelled rows to train or test on; materialise `features` of more"
            " sessions before it, or choose a later month"
        )
    knobs = {
        "trials": settings.tuning_trials,
        "folds": settings.tuning_folds,
        "tuning_trees": settings.tuning_trees,
        "trees": settings.trees,
        "sample_cap": settings.sample_cap,
        "seed": settings.seed,
        "month": month,
    }
    identity = training_identity(train, test, **knobs)
    with tracking.client() as client:
        run_id = tracking.find_study(client, identity["fingerprint"])
        if run_id:
            context.log.info(f"{month}: same data, code and settings as MLflow run {run_id}")
            return {**tracking.study_values(run_id), "mlflow_run_id": run_id}

    budget = TuningBudget(
        trials=settings.tuning_trials,
        folds=settings.tuning_folds,
        trees=settings.tuning_trees,
        sample_cap=settings.sample_cap,
        seed=settings.seed,
        jobs=os.cpu_count() or 1,
    )
    trained = train_model(train, test, budget, settings.trees)
    values = _values(month, train, test, trained) | identity
    run_id = tracking.log_study(
        f"{month} through {values['trained_through']}",
        trained,
        train,
        params=knobs,
        values=values,
        tags={
            FINGERPRINT_TAG: identity["fingerprint"],
            "month": month,
            "trained_through": values["trained_through"],
            "data_hash": identity["data_hash"],
            "code_hash": identity["code_hash"],
        },
    )
    context.log.info(
        f"{month}: {settings.tuning_trials} trials on {train.height} rows; test skill"
        f" {trained.test_scores['test_skill']:+.2%} against the random walk"
    )
    return {**values, "mlflow_run_id": run_id}


def _values(
    month: str, train: pl.DataFrame, test: pl.DataFrame, trained: TrainedModel
) -> dict[str, Any]:
    return {
        "month": month,
        "family": FAMILY,
        "train_first": str(train["session"].min()),
        "train_last": str(train["session"].max()),
        "test_first": str(test["session"].min()),
        "test_last": str(test["session"].max()),
        "trained_through": str(test["label_session"].max()),
        "train_rows": train.height,
        "test_rows": test.height,
        "tickers": sorted(set(train["ticker"]) | set(test["ticker"])),
        "params": trained.tuning.params,
        "slope": trained.tuning.slope,
        **trained.test_scores,
    }
