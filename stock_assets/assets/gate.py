"""The body of `registered_version` for one month: what its candidate is held against."""

from collections.abc import Mapping
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from stock_assets.assets.training import TRAINED
from stock_assets.forecasting.gate import GateDecision, compare, decide
from stock_assets.forecasting.model import feature_matrix
from stock_assets.forecasting.promotion import RANDOM_WALK, version_for
from stock_assets.forecasting.training import daily_losses
from stock_assets.resources.model_registry import ModelRegistry


def register_month(
    registry: ModelRegistry,
    study: Mapping[str, Any],
    tests: Mapping[str, pl.DataFrame],
    margin: float,
) -> dict[str, Any]:
    """Registers a month's study with the gate's decision; the value of `registered_version`.

    A month that has no model has no version, and the reason for it.
    """
    value = {"name": registry.name, "month": study["month"]}
    if study["status"] != TRAINED:
        nothing = dict.fromkeys(("version", "trained_through", "family", "mlflow_run_id"))
        reason = f"no model: {study['reason']}"
        return {**value, **nothing, "approved": False, "reason": reason, "superior_to": []}
    decision = decide_month(registry, study, tests[study["month"]], margin)
    return {
        **value,
        "version": registry.register(study, decision),
        "approved": decision.approved,
        "reason": decision.reason,
        "superior_to": [c.reference for c in decision.comparisons if c.superior],
        **{name: study[name] for name in ("trained_through", "family", "mlflow_run_id")},
    }


def decide_month(
    registry: ModelRegistry, study: Mapping[str, Any], test: pl.DataFrame, margin: float
) -> GateDecision:
    """The gate's decision on a month's candidate.

    The champion is the version that would have forecast from the last session the candidate has
    seen, so it is the same whenever this is asked, as long as older months stay as they are. It is
    held against the candidate only where it has not seen the outcome either.
    """
    horizon = int(study["horizon"])
    losses = pl.DataFrame(study["test_losses"]).with_columns(pl.col("session").str.to_date())
    comparisons = [
        compare(
            RANDOM_WALK, losses["candidate"].to_numpy(), losses["random_walk"].to_numpy(), horizon
        )
    ]
    champion = version_for(registry.versions(), date.fromisoformat(study["trained_through"]))
    if champion:
        # Of all test rows, so that tickers weigh as they do in the candidate's losses.
        forecast = np.zeros(test.height)
        if champion.family != RANDOM_WALK:
            forecast = registry.load(champion).model.predict(feature_matrix(test))
        unseen = daily_losses(test, forecast).filter(pl.col("session") >= champion.trained_through)
        both = losses.join(unseen, on="session").sort("session")
        name = f"champion, version {champion.version}"
        comparisons.append(
            compare(name, both["candidate"].to_numpy(), both["own"].to_numpy(), horizon)
        )
    return decide(comparisons, margin)
