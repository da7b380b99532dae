"""What a report is made of: rows as they are stored, and a few words about where they came from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from typing import Any

import polars as pl

from stock_assets.forecasting.baselines import beside_baselines, summarise_baselines
from stock_assets.forecasting.promotion import ModelVersion
from stock_assets.forecasting.summary import summarise
from stock_assets.monitoring.episodes import Rules
from stock_assets.monitoring.thresholds import Readings, Thresholds, in_breach


@dataclass(frozen=True)
class About:
    """What the rows can't say.

    Args:
        dataset: Whose.
        made_at: When, in UTC.
        horizon: Sessions from a forecast's own to its target.
        window: Sessions of the rolling scores.
        newest_due: The newest session that the source should have by now.
        goes_on: Whether the source has sessions to come; others have ended.
        sessions: Every session of the calendar from the first shown to the newest due.
        left_out: Earlier sessions of the range that was asked for, too many to show.
        code_hash: Of the code that made the report.
        settings_key: Of the settings that the versions were made with.
        command: Makes this page again.
    """

    dataset: str
    made_at: datetime
    horizon: int
    window: int
    newest_due: date
    goes_on: bool
    sessions: Sequence[date]
    left_out: int
    code_hash: str
    settings_key: str
    command: str


@dataclass(frozen=True)
class ReportRows:
    """All that is shown comes from here.

    Args:
        about: See there.
        forecasts: FORECAST_SCHEMA without quantiles, of the range; the newest have no outcome yet.
        grids: `ticker, target_session, quantile_returns` of the newest scored sessions.
        scores: SCORE_SCHEMA of the range.
        bars: STORED_SCHEMA of the range, back to the session of its first forecast.
        returns: `ticker, session, return_1d` of every stored session up to the newest forecast.
        registered: Values of `registered_version` by month, ascending.
        studies: Values of `tuned_model` by month.
        versions: As the registry has them now, with people's promotions.
        importance: `feature, mse_increase` of the newest version's model; no rows if not known.
        readings: By session, ascending: what is held against thresholds.
        thresholds: As they are set.
        rules: When an episode ends.
    """

    about: About
    forecasts: pl.DataFrame
    grids: pl.DataFrame
    scores: pl.DataFrame
    bars: pl.DataFrame
    returns: pl.DataFrame
    registered: Mapping[str, Mapping[str, Any]]
    studies: Mapping[str, Mapping[str, Any]]
    versions: Sequence[ModelVersion]
    importance: pl.DataFrame
    readings: Mapping[str, Readings]
    thresholds: Thresholds
    rules: Rules = field(default_factory=lambda: Rules(5, 20))

    @cached_property
    def newest(self) -> pl.DataFrame:
        """Forecasts from the newest session's close, by ticker."""
        last = self.forecasts["as_of_session"].max()
        return self.forecasts.filter(pl.col("as_of_session") == last).sort("ticker")

    @cached_property
    def summary(self) -> dict[str, Any]:
        return summarise(self.scores, self.about.horizon)

    @cached_property
    def beside(self) -> pl.DataFrame:
        """See `beside_baselines`."""
        return beside_baselines(self.scores, self.returns, self.about.horizon)

    @cached_property
    def baselines(self) -> dict[str, dict[str, Any]]:
        return summarise_baselines(self.beside)

    @cached_property
    def breaches(self) -> tuple[str, list[str]]:
        """The newest session with a score, and the "ticker measure" above its limit there."""
        for session in reversed(list(self.readings)):
            if any(v is not None for values in self.readings[session].values()
                   for v in values.values()):  # fmt: skip
                return session, in_breach(self.readings[session], self.thresholds)
        return "", []
