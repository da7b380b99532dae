"""Registered versions as a reader sees them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from stock_assets.errors import RegistryError
from stock_assets.forecasting.promotion import INTERVALS, POINT, ModelVersion, champion_of

if TYPE_CHECKING:
    from stock_assets.forecasting.intervals import IntervalModel
    from stock_assets.forecasting.model import ShrunkRegressor
    from stock_assets.resources.model_registry import ModelRegistry

VERSION_SCHEMA: dict[str, pl.DataType] = {
    "version": pl.Int64(),
    "month": pl.String(),
    "family": pl.String(),
    "trained_through": pl.Date(),
    "approved": pl.Boolean(),
    "reason": pl.String(),
    "intervals_approved": pl.Boolean(),
    "intervals_reason": pl.String(),
    "promoted_after": pl.Date(),
    "serves_points": pl.Boolean(),
    "serves_intervals": pl.Boolean(),
}
"""Columns of `Dataset.versions`."""


@dataclass(frozen=True)
class RegisteredVersion:
    """A version of the model as it was registered, loaded.

    Args:
        name: Of the model in MLflow's registry.
        number: Of the version.
        month: Whose training it is, YYYY-MM.
        family: What its forecasts are: a family's name, or `random_walk` where it found nothing.
        trained_through: The last session that it has seen.
        approved: Its point forecasts, by the gate, as of now: a later training of the month may
            have superseded it.
        reason: The gate's words on them.
        intervals_approved: The same of its intervals.
        intervals_reason: The same.
        settings: With which it was made.
        mlflow_run_id: The MLflow run of its training.
        model: The point model, see `predict`; None where the family is `random_walk`.
        intervals: The interval model.
    """

    name: str
    number: int
    month: str
    family: str
    trained_through: date
    approved: bool
    reason: str
    intervals_approved: bool
    intervals_reason: str
    settings: Mapping[str, Any]
    mlflow_run_id: str
    model: "ShrunkRegressor | None"
    intervals: "IntervalModel"

    def predict(self, features: pl.DataFrame) -> pl.Series:
        """The log return that the version's model expects of each row up to its target.

        Args:
            features: Rows of `Dataset.features` with FEATURES and `volatility_1d`, shape (n, any).

        Returns:
            `forecast_return`, shape (n,), in the rows' order: the mean log return to the target,
            corporate actions included. Null where a feature is null; no NaN. Zero throughout where
            the family is `random_walk`.

        Raises:
            FeatureMismatchError: A feature is missing from the rows.

        Sessions up to `trained_through` were seen in training: a forecast of them is none.

        Example:
            >>> rows = dataset.features(first="2013-03-01")
            >>> rows.select("ticker", dataset.version().predict(rows))
        """
        from stock_assets.forecasting.model import feature_matrix

        matrix = feature_matrix(features)
        known = matrix.notna().all(axis=1).to_numpy()
        expected = np.where(known, 0.0, np.nan)
        if self.model and known.any():
            unit = features["volatility_1d"].to_numpy()[known]
            expected[known] = self.model.predict(matrix[known]) * unit
        return pl.Series("forecast_return", expected, nan_to_null=True)


def table_of(known: Sequence[ModelVersion], facts: Mapping[int, Mapping[str, Any]]) -> pl.DataFrame:
    """VERSION_SCHEMA of the registry's versions, by number.

    `facts`: what months say of their versions, by number.
    """
    points, intervals = champion_of(known, POINT), champion_of(known, INTERVALS)
    rows = [
        {
            **vars(version),
            "reason": facts.get(version.version, {}).get("reason"),
            "intervals_reason": facts.get(version.version, {}).get("intervals_reason"),
            "promoted_after": max((p.after for p in version.promotions), default=None),
            "serves_points": version == points,
            "serves_intervals": version == intervals,
        }
        for version in known
    ]
    rows = [{name: row[name] for name in VERSION_SCHEMA} for row in rows]
    return pl.DataFrame(rows, schema=VERSION_SCHEMA).sort("version")


def load_version(
    registry: "ModelRegistry", number: int | None, facts: Mapping[int, Mapping[str, Any]]
) -> RegisteredVersion:
    """See `Dataset.version`."""
    found = _chosen(registry.versions(), number, registry.name)
    if found.version not in facts:
        raise RegistryError(
            f"{registry.name} version {found.version} is in no stored month; `stock-assets status`"
            " says what is due"
        )
    said, served = facts[found.version], registry.load(found)
    return RegisteredVersion(
        name=registry.name,
        number=found.version,
        month=found.month,
        family=found.family,
        trained_through=found.trained_through,
        approved=found.approved,
        reason=said["reason"],
        intervals_approved=found.intervals_approved,
        intervals_reason=said["intervals_reason"],
        settings=said["settings"],
        mlflow_run_id=said["mlflow_run_id"],
        model=served.model,
        intervals=served.intervals,
    )


def _chosen(known: Sequence[ModelVersion], number: int | None, name: str) -> ModelVersion:
    found = (
        champion_of(known)
        if number is None
        else next((version for version in known if version.version == number), None)
    )
    if found:
        return found
    there = ", ".join(str(version.version) for version in sorted(known, key=lambda v: v.version))
    which = "no version that serves" if number is None else f"no version {number}"
    raise RegistryError(f"{name} has {which} with these settings; there are {there or 'none'}")
