"""The second step of the volatility: by how much returns are larger than the first step says.

A ridge regression (Hoerl & Kennard 1970) of the size of standardised returns on the outlook of a
row and on the regressors of the first step, pooled over tickers. The first step knows volatility as
ranges have it, with all their precision; this one sees the returns themselves, and with them what
ranges do not tell: news that come again each quarter, nights, the calendar, a market that has moved
by more than was forecast.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from stock_assets.forecasting.news import NEWS_COLUMNS
from stock_assets.forecasting.outlook import MARKET_MOVES, NEXT_SESSION, SHARES

Term = np.ndarray
"""Values of one regressor, shape (n_rows,); NaN where not known."""

DUE = ("season_due_0", "season_due_1")
CALENDAR = (
    *("tuesday", "wednesday", "thursday", "friday"),
    *("after_gap", "before_gap", "first_friday", "third_friday", "end_of_year", "turn_of_month"),
)
TERMS: tuple[str, ...] = (
    *SHARES,
    *MARKET_MOVES,
    "market_fall",
    *NEWS_COLUMNS,
    *DUE,
    "volume_surprise",
    *CALENDAR,
)
"""Beside the regressors of the first step: OUTLOOK, the news that are due and not out yet, and what
kind of day the next session is."""

LEAST_SESSIONS = 250
"""With rows of fewer there is no step."""
PARTS = 3
_MOST_SIZE = 6.0  # of a standardised return, times the root of the horizon
_MOST_STEP = 0.7  # of a log volatility: twice or half of it
_RIDGE = 0.02  # of the variance of a standardised regressor
_ROWS_OF_DOUBT = 700.0
"""Rows of independent returns whose word counts as much as the belief that a term says nothing."""
_FREE, _LEAST_PEAK = 0.6, 0.5  # no news for 25 sessions: none above so much of the usual peak
_MOST_VOLUME = 3.0
_BLOCK = 50_000


@dataclass(frozen=True)
class ScaleStep:
    """Log volatility to add: `coefficients` times the terms less their `centres`.

    A term that is not known adds nothing. Without coefficients there is no step.
    """

    coefficients: tuple[float, ...] = ()
    centres: tuple[float, ...] = ()

    def log_step(self, terms: Sequence[Term]) -> np.ndarray:
        """Shape (n_rows,). Terms are added one by one: a row is the same whatever others there are.

        Args:
            terms: As many as coefficients.
        """
        total = np.zeros(len(terms[0]))
        for coefficient, centre, term in zip(self.coefficients, self.centres, terms, strict=True):
            total = total + np.nan_to_num(coefficient * (term - centre))
        return np.clip(total, -_MOST_STEP, _MOST_STEP)


def outlook_terms(rows: pl.DataFrame) -> list[Term]:
    """Values of TERMS, each of shape (n_rows,); NaN where not known.

    Args:
        rows: FEATURE_SCHEMA, any order. Columns that an earlier release did not store are missing.
    """

    def of(name: str) -> Term:
        if name not in rows.columns:
            return np.full(rows.height, np.nan)
        return rows[name].cast(pl.Float64).to_numpy()

    columns = {name: of(name) for name in (*SHARES, *MARKET_MOVES, *NEWS_COLUMNS)}
    volume = np.clip(of("volume_surprise"), -_MOST_VOLUME, _MOST_VOLUME)
    days_to_next, days_after_next = map(of, NEXT_SESSION)
    is_free = columns["news_25"] < _FREE * np.maximum(columns["season_peak"], _LEAST_PEAK)
    due = [
        np.where(is_free | np.isnan(columns["season_peak"]), columns[f"season_hit_{n}"], 0.0)
        for n in (0, 1)
    ]
    return [
        *(columns[name] for name in (*SHARES, *MARKET_MOVES)),
        np.minimum(columns["market_move"], 0),
        *(columns[name] for name in NEWS_COLUMNS),
        *due,
        volume,
        *_calendar_terms(rows["session"], days_to_next, days_after_next),
    ]


def _calendar_terms(sessions: pl.Series, to_next: Term, after_next: Term) -> list[Term]:
    """Values of CALENDAR: 1 where the next session is such a day, else 0."""
    known = np.isfinite(to_next) & np.isfinite(after_next)
    days = sessions.to_physical().to_numpy() + np.where(known, to_next, 0).astype(np.int64)
    dates = pl.Series(days.astype(np.int32)).cast(pl.Date)
    weekday, day, month = (
        values.to_numpy() for values in (dates.dt.weekday(), dates.dt.day(), dates.dt.month())
    )
    is_friday = weekday == 5
    kinds = [
        *(weekday == n for n in (2, 3, 4, 5)),
        # A weekend is no gap.
        to_next > np.where(weekday == 1, 3, 1),
        after_next > np.where(is_friday, 3, 1),
        is_friday & (day <= 7),
        is_friday & (day >= 15) & (day <= 21),
        (month == 12) & (day >= 23),
        (day <= 3) | (day >= 29),
    ]
    return [np.where(known, kind.astype(float), np.nan) for kind in kinds]


def fit_scale(
    terms: Sequence[Term],
    standardised: np.ndarray,
    usable: np.ndarray,
    parts: np.ndarray,
    horizon: int = 1,
) -> tuple[ScaleStep, list[ScaleStep]]:
    """The step fitted on all usable rows, and on all but each part.

    Args:
        terms: Of the rows.
        standardised: Returns in units of the first step's volatility, shape (n_rows,).
        usable: Which rows teach, shape (n_rows,).
        parts: Number of each row's part, 0 to PARTS - 1, shape (n_rows,).
        horizon: Sessions that a return spans: neighbours overlap, so each tells less.
    """
    usable = usable & np.isfinite(standardised)
    centres = np.array([_mean_of_known(term[usable]) for term in terms])
    size = np.minimum(np.abs(standardised), _MOST_SIZE * np.sqrt(horizon))
    sums = [
        _sums(terms, centres, size, np.flatnonzero(usable & (parts == n))) for n in range(PARTS)
    ]
    products = np.sum([one for one, _ in sums], axis=0)
    by_size = np.sum([one for _, one in sums], axis=0)

    def solved(products: np.ndarray, by_size: np.ndarray) -> ScaleStep:
        coefficients = _ridge(products, by_size, horizon)
        return ScaleStep(tuple(map(float, coefficients)), tuple(map(float, centres)))

    return solved(products, by_size), [
        solved(products - own, by_size - own_by_size) for own, own_by_size in sums
    ]


def _mean_of_known(values: Term) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else 0.0


def _sums(
    terms: Sequence[Term], centres: np.ndarray, size: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Cross products of the centred terms and a constant, and their products with `size`."""
    n = len(terms) + 1
    products, by_size = np.zeros((n, n)), np.zeros(n)
    for first in range(0, len(rows), _BLOCK):
        some = rows[first : first + _BLOCK]
        design = np.ones((n, len(some)))
        for k, (term, centre) in enumerate(zip(terms, centres, strict=True)):
            design[k] = np.nan_to_num(term[some] - centre)
        products += design @ design.T
        by_size += design @ size[some]
    return products, by_size


def _ridge(products: np.ndarray, by_size: np.ndarray, horizon: int) -> np.ndarray:
    """Coefficients of size / mean size - 1 on the terms, in their own units; zeros for no rows."""
    count, total = products[-1, -1], by_size[-1]
    if not (count > 0 and total > 0):
        return np.zeros(len(by_size) - 1)
    means = products[-1, :-1] / count
    covariance = products[:-1, :-1] / count - np.outer(means, means)
    with_size = by_size[:-1] / total - means
    deviations = np.sqrt(np.maximum(np.diag(covariance), 0))
    deviations[deviations < 1e-9] = np.inf  # what never changes says nothing
    penalty = _RIDGE + _ROWS_OF_DOUBT * horizon / count
    correlation = covariance / np.outer(deviations, deviations)
    solution = np.linalg.solve(correlation + penalty * np.eye(len(means)), with_size / deviations)
    return np.asarray(solution / deviations)
