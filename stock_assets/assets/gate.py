"""The body of `registered_version` for one month: what its candidate is held against."""

from collections.abc import Mapping
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from stock_assets.assets.training import TRAINED
from stock_assets.errors import RegistryError
from stock_assets.forecasting.gate import (
    Comparison,
    GateDecision,
    compare,
    decide,
    decide_intervals,
)
from stock_assets.forecasting.interval_losses import (
    CRPS,
    INTERVAL_SCORE,
    NORMAL_LAW,
    daily_interval_losses,
)
from stock_assets.forecasting.model import feature_matrix
from stock_assets.forecasting.promotion import INTERVALS, RANDOM_WALK, ModelVersion, version_for
from stock_assets.forecasting.training import daily_losses
from stock_assets.resources.model_registry import ModelRegistry


def register_month(
    registry: ModelRegistry,
    study: Mapping[str, Any],
    tests: Mapping[str, pl.DataFrame],
    margin: float,
) -> dict[str, Any]:
    """Registers a month's study with the gate's decisions; the value of `registered_version`.

    A month that has no model has no version, and the reason for it.
    """
    value = {
        "name": registry.name,
        "month": study["month"],
        "settings_key": registry.settings_key,
        "settings": registry.settings,
    }
    if study["status"] != TRAINED:
        nothing = dict.fromkeys(("version", "trained_through", "family", "mlflow_run_id"))
        reason = f"no model: {study['reason']}"
        point = intervals = GateDecision(False, reason)
        return {**value, **nothing, **_verdicts(point, intervals)}
    test = tests[study["month"]]
    point = decide_point(registry, study, test, margin)
    intervals = decide_on_intervals(registry, study, test, margin)
    return {
        **value,
        "version": registry.register(study, point, intervals),
        **_verdicts(point, intervals),
        **{name: study[name] for name in ("trained_through", "family", "mlflow_run_id")},
    }


def _verdicts(point: GateDecision, intervals: GateDecision) -> dict[str, Any]:
    return {
        "approved": point.approved,
        "reason": point.reason,
        "superior_to": [c.reference for c in point.comparisons if c.superior],
        "intervals_approved": intervals.approved,
        "intervals_reason": intervals.reason,
    }


def decide_point(
    registry: ModelRegistry, study: Mapping[str, Any], test: pl.DataFrame, margin: float
) -> GateDecision:
    """The gate's decision on a month's point forecasts.

    The champion is the version that would have forecast from the last session the candidate has
    seen, so it is the same whenever this is asked, as long as older months stay as they are. It is
    held against the candidate only where it has not seen the outcome either.
    """
    horizon, losses = int(study["horizon"]), _losses(study, "test_losses")
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
        own = _unseen(daily_losses(test, forecast), champion)
        both = losses.join(own, on="session").sort("session")
        comparisons.append(
            compare(_named(champion), both["candidate"].to_numpy(), both["own"].to_numpy(), horizon)
        )
    return decide(comparisons, margin)


def decide_on_intervals(
    registry: ModelRegistry, study: Mapping[str, Any], test: pl.DataFrame, margin: float
) -> GateDecision:
    """The same on a month's intervals: the champion is the one whose intervals would have served.

    Raises:
        RegistryError: The study is of a release that did not judge intervals.
    """
    if "test_interval_losses" not in study:
        raise RegistryError(
            f"tuned_model of {study['month']} holds no losses of its intervals: an older release"
            " made it; materialise it again"
        )
    horizon, losses = int(study["horizon"]), _losses(study, "test_interval_losses")
    beside = {NORMAL_LAW: losses}
    through = date.fromisoformat(study["trained_through"])
    champion = version_for(registry.versions(), through, INTERVALS)
    if champion:
        own = daily_interval_losses(test, registry.load(champion).intervals, horizon)
        own = _unseen(own, champion)
        name = _named(champion)
        beside[name] = losses.join(own, on="session", suffix=f"_{name}").sort("session")

    def compared(loss: str, words: str) -> list[Comparison]:
        return [
            compare(name, both[loss].to_numpy(), both[f"{loss}_{name}"].to_numpy(), horizon, words)
            for name, both in beside.items()
        ]

    return decide_intervals(
        compared(CRPS, "CRPS"), compared(INTERVAL_SCORE, "95 % interval score"), margin
    )


def _losses(study: Mapping[str, Any], name: str) -> pl.DataFrame:
    return pl.DataFrame(study[name]).with_columns(pl.col("session").str.to_date())


def _unseen(losses: pl.DataFrame, champion: ModelVersion) -> pl.DataFrame:
    """Those of the sessions whose outcome the champion has not seen either."""
    return losses.filter(pl.col("session") >= champion.trained_through)


def _named(champion: ModelVersion) -> str:
    return f"champion, version {champion.version}"
