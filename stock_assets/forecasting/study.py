"""What a month's training left: a study, or the reason why there is none.

Both are stored as plain values, whose names readers outside of this project know.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date
from typing import Any, Self, TypeAlias

import polars as pl

from stock_assets.errors import RegistryError
from stock_assets.market.months import month_of

TRAINED, NOT_ENOUGH_HISTORY = "trained", "not_enough_history"
"""What became of a month: the `status` of its stored value."""

_SCORE = "test_"
_PLACE = ("mlflow_run_id", "mlflow_model_id")


@dataclass(frozen=True)
class Study:
    """What was trained on what, how it did, and where it is.

    Args:
        month: Its key.
        model_family: That was asked for.
        family: What the forecasts are: the random walk where the slope is zero.
        horizon: Sessions that a forecast spans.
        train_first: The first session of the train set; the others likewise.
        train_last: Of features.
        test_first: Of features.
        test_last: Of features.
        trained_through: The last session looked at: that of the last label.
        train_rows: Their number.
        test_rows: The same.
        tickers: That are in the rows, ascending.
        params: Of the model.
        params_from: The month whose search found them.
        slope: That forecasts are multiplied by.
        slope_estimate: Before doubt.
        slope_standard_error: Of the estimate.
        scores: On the test set, by name.
        test_pit_counts: Levels of the realised returns, by tenths.
        test_losses: Columns `session`, `candidate`, `random_walk`.
        test_interval_losses: Columns `session` and those of `interval_losses`.
        settings: That decide what the model is.
        data_hash: Of the rows.
        code_hash: Of what trained it.
        fingerprint: Equal for a training that would repeat this one.
        mlflow_run_id: Where it lies; empty until it is stored.
        mlflow_model_id: The same of its model.
    """

    month: str
    model_family: str
    family: str
    horizon: int
    train_first: date
    train_last: date
    test_first: date
    test_last: date
    trained_through: date
    train_rows: int
    test_rows: int
    tickers: Sequence[str]
    params: Mapping[str, Any]
    params_from: str
    slope: float
    slope_estimate: float
    slope_standard_error: float
    scores: Mapping[str, float | None]
    test_pit_counts: Sequence[int]
    test_losses: Mapping[str, Sequence[Any]]
    test_interval_losses: Mapping[str, Sequence[Any]]
    settings: Mapping[str, Any]
    data_hash: str
    code_hash: str
    fingerprint: str
    mlflow_run_id: str = ""
    mlflow_model_id: str = ""

    @property
    def is_retrain(self) -> bool:
        """Whether it has seen sessions of its own month."""
        return self.trained_through >= month_of(self.month)

    @property
    def place(self) -> dict[str, str]:
        """Where it lies in MLflow."""
        return {name: getattr(self, name) for name in _PLACE}

    def at(self, place: Mapping[str, str]) -> Self:
        """The same study where it lies now."""
        run_id, model_id = (place[name] for name in _PLACE)
        return replace(self, mlflow_run_id=run_id, mlflow_model_id=model_id)

    def daily(self, losses: Mapping[str, Sequence[Any]]) -> pl.DataFrame:
        """Losses of the test set, a row per session."""
        return pl.DataFrame(losses).with_columns(pl.col("session").str.to_date())

    def as_values(self) -> dict[str, Any]:
        """Plain values, scores among them; without its place where it has none yet."""
        values: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "scores":
                values |= value
            elif value != "" or field.name not in _PLACE:
                values[field.name] = str(value) if isinstance(value, date) else value
        return {**values, "status": TRAINED}

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        """The study that `as_values` described.

        Raises:
            RegistryError: An older release stored it, without something that is needed now.
        """
        names = {field.name: field.type for field in fields(cls)}
        scores = {n: v for n, v in stored.items() if n.startswith(_SCORE) and n not in names}
        values = {n: stored[n] for n in names if n in stored} | {"scores": scores}
        if missing := names.keys() - values.keys() - set(_PLACE):
            raise RegistryError(
                f"tuned_model of {stored.get('month')} holds no {min(missing)}: an older release"
                " made it; materialise it again"
            )
        dates = {n: date.fromisoformat(values[n]) for n, kind in names.items() if kind is date}
        return cls(**values | dates)


@dataclass(frozen=True)
class SkippedMonth:
    """A month without a model, and why."""

    month: str
    reason: str
    settings: Mapping[str, Any]

    def as_values(self) -> dict[str, Any]:
        return {
            "month": self.month,
            "status": NOT_ENOUGH_HISTORY,
            "reason": self.reason,
            "settings": self.settings,
        }

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        return cls(stored["month"], stored["reason"], stored.get("settings", {}))


MonthStudy: TypeAlias = Study | SkippedMonth


def month_study(stored: Mapping[str, Any]) -> MonthStudy:
    """What a stored value of `tuned_model` describes.

    Raises:
        RegistryError: An older release stored it.
    """
    return Study.of(stored) if stored.get("status") == TRAINED else SkippedMonth.of(stored)
