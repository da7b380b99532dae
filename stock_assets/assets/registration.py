"""The body of `registered_version` for one month: what its candidate is held against."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

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
from stock_assets.forecasting.promotion import (
    INTERVALS,
    PARTS,
    POINT,
    RANDOM_WALK,
    ModelVersion,
    Part,
    version_for,
)
from stock_assets.forecasting.study import MonthStudy, Study
from stock_assets.forecasting.training import daily_losses
from stock_assets.resources.model_registry import ModelRegistry
from stock_assets.resources.stored_versions import EARLIER, earlier_version, with_earlier


def register_month(
    registry: ModelRegistry, study: MonthStudy, tests: Mapping[str, pl.DataFrame], margin: float
) -> dict[str, Any]:
    """Registers a month's study with the gate's decisions; the value of `registered_version`.

    A month that has no model has no version, and the reason for it. The champions are the versions
    that would have forecast from the last session the candidate has seen, so they are the same
    whenever this is asked, as long as older months stay as they are.
    """
    value = {
        "name": registry.name,
        "month": study.month,
        "settings_key": registry.settings_key,
        "settings": registry.settings,
    }
    if not isinstance(study, Study):
        registry.supersede(study.month)
        point = intervals = GateDecision(False, f"no model: {study.reason}")
        none = dict.fromkeys(("version", *_OF_STUDY))
        return {**value, **none, **_verdicts(point, intervals, dict.fromkeys(PARTS))}
    test, versions = tests[study.month], registry.versions()
    champions = {part: version_for(versions, study.trained_through, part) for part in PARTS}
    point = decide_point(registry, study, test, champions[POINT], margin)
    intervals = decide_on_intervals(registry, study, test, champions[INTERVALS], margin)
    known = study.as_values()
    before = (
        earlier_version(
            registry.store, study.month, registry.settings_key, known["trained_through"]
        )
        if study.is_retrain
        else None
    )
    beside = [one["version"] for one in with_earlier(before)]
    return {
        **value,
        "version": registry.register(study, point, intervals, beside),
        **{name: known[name] for name in _OF_STUDY},
        **_verdicts(point, intervals, champions),
        **({EARLIER: before} if before else {}),
    }


_OF_STUDY = ("trained_through", "family", "fingerprint", "mlflow_run_id", "mlflow_model_id")


def _verdicts(
    point: GateDecision,
    intervals: GateDecision,
    champions: Mapping[Part, ModelVersion | None],
) -> dict[str, Any]:
    return {
        "approved": point.approved,
        "reason": point.reason,
        "superior_to": [c.reference for c in point.comparisons if c.superior],
        "intervals_approved": intervals.approved,
        "intervals_reason": intervals.reason,
        "held_against": {part: one and one.fingerprint for part, one in champions.items()},
    }


def decide_point(
    registry: ModelRegistry,
    study: Study,
    test: pl.DataFrame,
    champion: ModelVersion | None,
    margin: float,
) -> GateDecision:
    """The gate's decision on a month's point forecasts.

    The champion is held against the candidate only where it has not seen the outcome either.
    """
    losses = study.daily(study.test_losses)
    comparisons = [
        compare(
            RANDOM_WALK,
            losses["candidate"].to_numpy(),
            losses["random_walk"].to_numpy(),
            study.horizon,
        )
    ]
    if champion:
        # Of all test rows, so that tickers weigh as they do in the candidate's losses.
        model = registry.load(champion).model if champion.family != RANDOM_WALK else None
        forecast = model.predict(feature_matrix(test)) if model else np.zeros(test.height)
        own = _unseen(daily_losses(test, forecast), champion)
        both = losses.join(own, on="session").sort("session")
        candidate, reference = both["candidate"].to_numpy(), both["own"].to_numpy()
        comparisons.append(compare(_named(champion), candidate, reference, study.horizon))
    return decide(comparisons, margin)


def decide_on_intervals(
    registry: ModelRegistry,
    study: Study,
    test: pl.DataFrame,
    champion: ModelVersion | None,
    margin: float,
) -> GateDecision:
    """The same on a month's intervals: the champion is whose intervals would have served."""
    horizon, losses = study.horizon, study.daily(study.test_interval_losses)
    beside = {NORMAL_LAW: losses}
    if champion:
        own = daily_interval_losses(test, registry.load_intervals(champion), horizon)
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


def _unseen(losses: pl.DataFrame, champion: ModelVersion) -> pl.DataFrame:
    """Those of the sessions whose outcome the champion has not seen either."""
    return losses.filter(pl.col("session") >= champion.trained_through)


def _named(champion: ModelVersion) -> str:
    return f"champion, version {champion.version}"
