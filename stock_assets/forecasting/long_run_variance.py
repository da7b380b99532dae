"""Errors of means over sessions whose values are correlated, with neighbours in time too.

Shares move together within a session, so a session is one observation: its mean, or its sums.
Newey & West (1987) with Bartlett weights; the test of two losses is Diebold & Mariano's (1995).
"""

import math

import numpy as np


def diebold_mariano_t(losses: np.ndarray, losses_reference: np.ndarray, horizon: int = 1) -> float:
    """The t statistic of the mean loss difference, positive where the reference is worse.

    Args:
        losses: One loss a session, ascending, shape (n_sessions,).
        losses_reference: The same of the reference.
        horizon: Sessions that a forecast spans: the losses of neighbours overlap.

    Returns:
        Newey-West t with Bartlett weights, see `newey_west_lags`; 0.0 where the two never differ,
        NaN for fewer than two sessions.
    """
    difference = np.asarray(losses_reference) - np.asarray(losses)
    n = len(difference)
    if n < 2:
        return math.nan
    if not difference.any():
        return 0.0
    variance = newey_west_variance(difference, horizon)
    return float(difference.mean() / math.sqrt(variance / n)) if variance > 0 else math.nan


def newey_west_lags(n: int, horizon: int = 1) -> int:
    """floor(4 (n/100)^(2/9)), and at least twice the overlap of losses `horizon` sessions long.

    Twice, because Bartlett weights fall to zero over the lags.
    """
    return max(int(4 * (n / 100) ** (2 / 9)), 2 * (horizon - 1))


def newey_west_variance(values: np.ndarray, horizon: int = 1) -> float:
    """Long-run variance of a series with Bartlett weights, shape (n,); Newey & West (1987)."""
    n = len(values)
    return bartlett_sum(values - values.mean(), newey_west_lags(n, horizon)) / n


def bartlett_sum(values: np.ndarray, lags: int) -> float:
    """Sum of the products of all pairs up to `lags` apart, shape (n,), weights falling to zero."""
    total = values @ values
    for lag in range(1, min(lags, len(values) - 1) + 1):
        total += 2 * (1 - lag / (lags + 1)) * (values[lag:] @ values[:-lag])
    return float(total)


def confidence_factor(sessions: int, horizon: int = 1) -> float:
    """Standard errors on either side of an estimate that hold it with 95 % confidence.

    Of Kiefer & Vogelsang (2005), table 1, Bartlett, 97.5 %: few sessions estimate a long-run
    variance badly, so the normal law's 1.96 would be too few. The factor falls towards that.
    """
    b = min((newey_west_lags(sessions, horizon) + 1) / sessions, 1.0)
    return 1.9600 + 2.9694 * b + 0.4160 * b**2 - 0.5324 * b**3


def ratio_error(numerators: np.ndarray, denominators: np.ndarray, horizon: int = 1) -> float:
    """Standard error of a ratio of two sums over sessions (delta method).

    Args:
        numerators: One sum a session, ascending, shape (n_sessions,).
        denominators: The same; their total is not zero.
        horizon: Sessions that a forecast spans: neighbours overlap.

    Returns:
        0.0 where the sums are in one ratio in every session, NaN where no variance can be told.
    """
    total = denominators.sum()
    unequal = numerators - numerators.sum() / total * denominators
    if not unequal.any():
        return 0.0
    variance = bartlett_sum(unequal, newey_west_lags(len(unequal), horizon))
    return math.sqrt(variance) / float(total) if variance > 0 else math.nan
