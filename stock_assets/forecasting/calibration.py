"""Whether coverage is what it is meant to be, and how sure that can be said.

Confidence intervals count a session as one observation, see `long_run_variance`. The tests are
likelihood ratios of one ticker's hits and misses: Kupiec (1995), "Techniques for Verifying the
Accuracy of Risk Measurement Models", asks for the right share of misses; Christoffersen (1998),
"Evaluating Interval Forecasts", for a miss to say nothing about the next forecast, and for both.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import polars as pl

from stock_assets.forecasting.evaluation import scored_columns
from stock_assets.forecasting.gate import LEAST_SESSIONS
from stock_assets.forecasting.intervals import COVERAGES
from stock_assets.forecasting.long_run_variance import confidence_factor, ratio_error

LEVEL = 0.05
"""Chance that a test rejects what is right."""
LEAST_FORECASTS = 63
"""Of a ticker: of fewer, the 95 % interval is meant to miss three, and a test could see nothing."""
TESTS = ("kupiec", "independence", "christoffersen")


def coverage_confidence(sums: pl.DataFrame, horizon: int = 1) -> dict[str, list[float] | None]:
    """95 % confidence interval of each interval's coverage.

    Args:
        sums: See `session_sums`.
        horizon: Sessions from a forecast's own to its target.

    Returns:
        By the interval's name lower and upper bound, within 0..1; None for fewer than
        LEAST_SESSIONS sessions, and where all targets were inside or all outside: then the data
        tell no variance.
    """
    found = {}
    for coverage in COVERAGES:
        hits, judged = sums[f"hits_{coverage}"].to_numpy(), sums[f"judged_{coverage}"].to_numpy()
        found[str(coverage)] = share_confidence(hits[judged > 0], judged[judged > 0], horizon)
    return found


def share_confidence(hits: np.ndarray, judged: np.ndarray, horizon: int = 1) -> list[float] | None:
    """95 % confidence interval of one share, of its sums by session; see `coverage_confidence`."""
    half = half_width(hits, judged, horizon)
    if not half:
        return None
    share = hits.sum() / judged.sum()
    return [max(float(share - half), 0.0), min(float(share + half), 1.0)]


def skill_confidence(sums: pl.DataFrame, horizon: int = 1) -> list[float] | None:
    """95 % confidence interval of 1 - RMSE / random walk's RMSE (delta method).

    Args and Returns are those of `coverage_confidence`; zero to zero where the two never differ.
    """
    own, naive = sums["squared_error"].to_numpy(), sums["squared_error_random_walk"].to_numpy()
    half = half_width(own, naive, horizon)
    if half is None or not own.sum() > 0:
        return None
    root = math.sqrt(own.sum() / naive.sum())
    return [1 - root - half / (2 * root), 1 - root + half / (2 * root)]


def half_width(numerators: np.ndarray, denominators: np.ndarray, horizon: int = 1) -> float | None:
    """Of the 95 % confidence interval of a ratio of sums over sessions, shape (n_sessions,) each.

    None for fewer than LEAST_SESSIONS sessions, or where no variance can be told.
    """
    n = len(numerators)
    if n < LEAST_SESSIONS or not denominators.sum() > 0:
        return None
    error = ratio_error(numerators, denominators, horizon)
    return None if math.isnan(error) else confidence_factor(n, horizon) * error


def calibration_tests(scores: pl.DataFrame, horizon: int = 1) -> dict[str, dict[str, float | None]]:
    """P values of one ticker's intervals.

    Args:
        scores: SCORE_SCHEMA of one ticker, any order.
        horizon: Sessions from a forecast's own to its target.

    Returns:
        `kupiec_p`, `independence_p`, `christoffersen_p`, by the interval's name. None for fewer
        than LEAST_FORECASTS, and where forecasts span more than one session: neighbours overlap
        then, and the tests are of such that don't.
    """
    found: dict[str, dict[str, float | None]] = {f"{test}_p": {} for test in TESTS}
    scored = scored_columns(scores)
    session = scored("session").to_physical().to_numpy()
    order = np.argsort(session)
    session, as_of = session[order], scored("as_of_session").to_physical().to_numpy()[order]
    for coverage in COVERAGES:
        hits = scored(f"covered_{coverage}").cast(pl.Float64).to_numpy()[order]
        judged = ~np.isnan(hits)
        values: tuple[float | None, ...] = (None, None, None)
        if horizon == 1 and judged.sum() >= LEAST_FORECASTS:
            # A pair is neighbouring forecasts: across a session without one, nothing follows.
            follows = np.zeros(int(judged.sum()), dtype=bool)
            follows[1:] = as_of[judged][1:] == session[judged][:-1]
            values = likelihood_ratio_tests(hits[judged] == 0, follows, 1 - coverage / 100)
        for test, value in zip(TESTS, values, strict=True):
            found[f"{test}_p"][str(coverage)] = value
    return found


def likelihood_ratio_tests(
    missed: np.ndarray, follows: np.ndarray, level: float
) -> tuple[float, float | None, float | None]:
    """P values of Kupiec's test and of Christoffersen's two.

    Args:
        missed: Whether the target was outside, shape (n_forecasts,), ascending sessions.
        follows: Whether the forecast before is of the session before; the first one's is False.
        level: Share of misses that there should be.

    Returns:
        Unconditional coverage (chi-square with one degree of freedom); independence (one) and both
        together (two), None without a pair. The likelihood of the latter two is conditional on
        each first forecast of a run.
    """
    misses = int(missed.sum())
    kupiec = 2 * (_best(len(missed), misses) - _log_likelihood(len(missed), misses, level))
    last, now = missed[:-1][follows[1:]], missed[1:][follows[1:]]
    if not len(now):
        return _p_of_one(kupiec), None, None
    after_miss, after_hit = now[last], now[~last]
    either = _best(len(after_miss), int(after_miss.sum())) + _best(
        len(after_hit), int(after_hit.sum())
    )
    total = int(now.sum())
    independence = 2 * (either - _best(len(now), total))
    both = 2 * (either - _log_likelihood(len(now), total, level))
    # The chi-square law's tail with two degrees of freedom is exponential.
    return _p_of_one(kupiec), _p_of_one(independence), math.exp(-max(both, 0.0) / 2)


def _p_of_one(ratio: float) -> float:
    """Tail of the chi-square law with one degree of freedom: of a normal variable's square."""
    return math.erfc(math.sqrt(max(ratio, 0.0) / 2))


def _best(n: int, misses: int) -> float:
    return _log_likelihood(n, misses, misses / n) if n else 0.0


def _log_likelihood(n: int, misses: int, level: float) -> float:
    """Of independent misses; a count of zero has no part in it."""
    seen = ((misses, level), (n - misses, 1 - level))
    return sum(count * math.log(chance) for count, chance in seen if count)


def count_rejections(by_ticker: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """How many tickers each test rejects, beside how many it would if all were right.

    Args:
        by_ticker: Per ticker what `calibration_tests` gave, among others.

    Returns:
        By test and interval: `tickers` with a p value, `rejected` at 5 %, `expected_by_chance`.
    """
    tests = list(by_ticker)
    found: dict[str, dict[str, Any]] = {}
    for test in TESTS:
        found[test] = {}
        for coverage in map(str, COVERAGES):
            values = [one[f"{test}_p"][coverage] for one in tests]
            known = [value for value in values if value is not None]
            found[test][coverage] = {
                "tickers": len(known),
                "rejected": sum(value < LEVEL for value in known),
                "expected_by_chance": LEVEL * len(known),
            }
    return found
