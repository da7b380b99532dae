"""What is too large: the limit of each ticker and measure, and where its recovery begins.

Pure: numbers in, numbers out.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

POOLED = "POOLED"
"""Stands where a ticker would, for all tickers together; watched where a threshold names it."""


class Measure(StrEnum):
    """A rolling RMSE: in log return, in dollars per share, as a multiple of the random walk's."""

    RETURN = "return"
    USD = "usd"
    RATIO = "ratio"


Readings = Mapping[str, Mapping[Measure, float | None]]
"""Ticker or POOLED -> measure -> value; None or NaN where nothing was scored."""


@dataclass(frozen=True)
class Thresholds:
    """Limits per measure.

    Args:
        of_all: The limit of every ticker; a measure that is absent is not watched.
        of_one: Measure -> ticker (or POOLED) -> limit, instead of that for all.
        hysteresis: Share of the limit by which a value must be below it to count as calm.
    """

    of_all: Mapping[Measure, float] = field(default_factory=dict)
    of_one: Mapping[Measure, Mapping[str, float]] = field(default_factory=dict)
    hysteresis: float = 0.1

    def limit(self, ticker: str, measure: Measure) -> float | None:
        """A value above it is a breach; None where nobody watches."""
        own = self.of_one.get(measure, {}).get(ticker)
        # A pooled error is a mean of the tickers': their common limit would only say it twice.
        return own if own is not None or ticker == POOLED else self.of_all.get(measure)

    def calm_limit(self, ticker: str, measure: Measure) -> float | None:
        """A value at most this large is calm.

        Of a ratio, hysteresis is a share of what lies above 1: the random walk itself has 1, and a
        tenth off a limit of 1.1 would be below what any cautious model can reach.
        """
        limit = self.limit(ticker, measure)
        if limit is None:
            return None
        floor = 1.0 if measure is Measure.RATIO and limit > 1 else 0.0
        return floor + (limit - floor) * (1 - self.hysteresis)


def in_breach(readings: Readings, thresholds: Thresholds) -> list[str]:
    """The "ticker measure" whose value is above its limit; at the limit is not above it."""
    return [
        f"{ticker} {measure.value}"
        for ticker, values in readings.items()
        for measure in Measure
        if (limit := thresholds.limit(ticker, measure)) is not None
        and (value := known(values.get(measure))) is not None
        and value > limit
    ]


def known(value: float | None) -> float | None:
    """NaN, like None, is no value."""
    return None if value is None or math.isnan(value) else value
