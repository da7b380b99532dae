"""What people and machines are told of a scored session: rolling errors per ticker, and pooled.

One record per session. `forecast_rmse` attaches it to the session's event; metrics are pushed from
it, and the sensor judges it, now or later, without reading any prices.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import polars as pl

from stock_assets.forecasting.intervals import COVERAGES
from stock_assets.monitoring.thresholds import POOLED, Measure, Readings, known


@dataclass(frozen=True)
class TickerScore:
    """Rolling scores; None where nothing was scored.

    Args:
        rmse_return: Log return.
        rmse_return_random_walk: Over the same window.
        rmse_usd: Dollars per share; None for the pooled score, where dear shares would weigh most.
        coverage: By the interval's name ("95"): share of targets inside.
        version: Of the model behind the newest forecast; None for the random walk without one.
        issued_share: Of the forecasts scored, those that were issued; the rest is hindsight.
    """

    rmse_return: float | None
    rmse_return_random_walk: float | None
    rmse_usd: float | None = None
    coverage: Mapping[str, float] | None = None
    version: int | None = None
    issued_share: float | None = None

    @property
    def ratio(self) -> float | None:
        """Multiple of the random walk's; None where that never erred."""
        own, naive = self.rmse_return, self.rmse_return_random_walk
        return own / naive if own is not None and naive else None

    def value(self, measure: Measure) -> float | None:
        values = {
            Measure.RETURN: self.rmse_return,
            Measure.USD: self.rmse_usd,
            Measure.RATIO: self.ratio,
        }
        return values[measure]


@dataclass(frozen=True)
class LiveScore:
    """One session's scores of one dataset; `pushed`: its metrics are where they belong."""

    dataset: str
    session: str
    tickers: Mapping[str, TickerScore]
    pooled: TickerScore
    pushed: bool = True

    @property
    def groups(self) -> dict[str, TickerScore]:
        """Tickers, and all of them as one."""
        return {**self.tickers, POOLED: self.pooled}

    def readings(self) -> Readings:
        """What is held against thresholds."""
        return {
            group: {measure: score.value(measure) for measure in Measure}
            for group, score in self.groups.items()
        }

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def of(stored: Mapping[str, Any]) -> "LiveScore":
        return LiveScore(
            stored["dataset"],
            stored["session"],
            {ticker: TickerScore(**score) for ticker, score in stored["tickers"].items()},
            TickerScore(**stored["pooled"]),
            stored["pushed"],
        )


def live_scores(scores: pl.DataFrame, dataset: str, sessions: list[date]) -> Iterator[LiveScore]:
    """The records of some sessions, ascending.

    Args:
        scores: SCORE_SCHEMA.
        dataset: Whose.
        sessions: One without a score has a record without tickers; a forecast whose outcome is not
            known is no score.
    """
    for session in sessions:
        # Null where a row is not scored.
        rows = scores.filter(pl.col("session") == session, pl.col("rolling_forecasts") > 0)
        yield LiveScore(
            dataset,
            str(session),
            {
                row["ticker"]: TickerScore(
                    known(row["rolling_rmse_return"]),
                    known(row["rolling_rmse_return_random_walk"]),
                    known(row["rolling_rmse_usd"]),
                    {
                        str(c): share
                        for c in COVERAGES
                        if (share := known(row[f"rolling_coverage_{c}"])) is not None
                    },
                    row["model_version"],
                    _share(row["rolling_issued"], row["rolling_forecasts"]),
                )
                for row in rows.iter_rows(named=True)
            },
            _pooled(rows),
        )


def _share(issued: int | None, forecasts: int) -> float:
    """What an older release scored was not noted as issued."""
    return (issued or 0) / forecasts


def _pooled(rows: pl.DataFrame) -> TickerScore:
    """All forecasts in the windows as one: each ticker weighs by its number of forecasts."""
    if rows.is_empty():
        return TickerScore(None, None)
    weights = rows["rolling_forecasts"].cast(pl.Float64)

    def mean(values: pl.Series) -> float | None:
        there = values.is_not_null()
        known_values = values.filter(there).to_numpy()
        share = weights.filter(there).to_numpy()
        return float(known_values @ share / share.sum()) if len(share) else None

    def root_mean_square(column: str) -> float | None:
        value = mean(rows[column] ** 2)
        return None if value is None else math.sqrt(value)

    shares = {str(c): mean(rows[f"rolling_coverage_{c}"]) for c in COVERAGES}
    return TickerScore(
        root_mean_square("rolling_rmse_return"),
        root_mean_square("rolling_rmse_return_random_walk"),
        coverage={name: share for name, share in shares.items() if share is not None},
        version=rows["model_version"].max(),  # type: ignore[arg-type]  # an integer column
        issued_share=_share(
            int(rows["rolling_issued"].sum()), int(rows["rolling_forecasts"].sum())
        ),
    )
