"""What the gate lets pass in ten years of monthly looks, on losses whose law is known.

Each month a candidate is looked at on the 30 sessions before it, beside the random walk, and beside
the champion on those of them that the champion has not seen. Truths share a market and a clustering
volatility. A forecast is noise, of which those of one session have as much in common as the truths,
plus a part of the truth where there is a signal: so the true excess loss is known.
"""

from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np

from stock_assets_tests.benchmarks.case import Measurement, Size, in_two_processes, measured

MARGIN = 0.02
MONTHS, MONTH, LOOK = 120, 21, 30
SHARED = 0.3
"""Part of the variance that all tickers have in common."""


@dataclass(frozen=True)
class Kind:
    """Of candidate: its true excess loss as a share of the random walk's, and its signal."""

    excess: float
    signal: float = 0.0

    def spread(self, level: float) -> float:
        """Standard deviation of the noise; `level` is the random walk's true loss.

        A forecast with `signal` times the truth leaves (1 - signal)² of its square.
        """
        return float(np.sqrt(level * (self.excess + 1 - (1 - self.signal) ** 2)))


KINDS = {
    "the random walk itself": Kind(0.0),
    "small forecasts, as good as they are bad": Kind(0.0, signal=0.001),
    "half the margin": Kind(0.5 * MARGIN),
    "the margin": Kind(MARGIN),
    "twice the margin": Kind(2 * MARGIN),
    "five times the margin": Kind(5 * MARGIN),
    "large noise": Kind(0.25),
}


def gate_over_decades(_folder: Path, size: Size) -> Measurement:
    """Per kind of candidate and number of tickers: what passes, and how long bad ones serve."""
    kinds, groups = list(KINDS.values()), (5, size["gate_tickers"])
    with measured() as result:
        made = in_two_processes(
            _decades,
            kinds * len(groups),
            [tickers for tickers in groups for _ in kinds],
            repeat(size["decades"]),
        )
    found: dict[str, dict[str, Any]] = {}
    for n, tickers in enumerate(groups):
        shares = made[n * len(kinds) : (n + 1) * len(kinds)]
        found[str(tickers)] = dict(zip(KINDS, shares, strict=True))
    at_margin = max(kinds["the margin"]["approved"] for kinds in found.values())
    return result | {
        "kinds": found,
        "approved_at_the_margin": at_margin,
        "margin": MARGIN,
        "months": MONTHS,
        "decades": size["decades"],
    }


def _decades(kind: Kind, tickers: int, decades: int) -> dict[str, float]:
    """Shares over so many decades, and the true `excess`.

    `approved`: of looks, beside the random walk alone. `approved_in_turn`: of looks beside the
    champion too. `bad_months`, `ever_bad`: months in which a champion of a true excess above the
    margin serves, and decades with such a month, where all candidates are of this kind;
    `bad_months_of_half`, `ever_bad_of_half`: where each is of this kind with even odds and the
    random walk otherwise.
    """
    rng = np.random.default_rng(tickers)
    alone, in_turn, all_bad, half_bad = [], [], [], []
    for _ in range(decades):
        returns, level = _returns(rng, tickers)
        spread = kind.spread(level)
        looks = _decade(rng, returns, kind.signal, spread * np.ones(MONTHS))
        alone.append(looks["alone"])
        in_turn.append(looks["approved"])
        all_bad.append(looks["serves"])
        mixed = _decade(rng, returns, kind.signal, spread * (rng.random(MONTHS) < 0.5))
        half_bad.append(mixed["serves"])
    is_bad = kind.excess > MARGIN
    return {
        "excess": kind.excess,
        "approved": float(np.mean(alone)),
        "approved_in_turn": float(np.mean(in_turn)),
        "bad_months": is_bad * float(np.mean(all_bad)),
        "ever_bad": is_bad * float(np.mean(np.any(all_bad, axis=1))),
        "bad_months_of_half": is_bad * float(np.mean(half_bad)),
        "ever_bad_of_half": is_bad * float(np.mean(np.any(half_bad, axis=1))),
    }


def _returns(rng: np.random.Generator, tickers: int) -> tuple[np.ndarray, float]:
    """Returns in units of volatility, shape (sessions, tickers), and their true mean square."""
    sessions = (MONTHS - 1) * MONTH + LOOK
    log_variance = rng.normal(0, 0.4, sessions)
    for t in range(1, sessions):
        log_variance[t] = 0.8 * log_variance[t - 1] + 0.6 * log_variance[t]
    scale = np.exp(log_variance / 2)[:, None]
    # Of a log-normal variance whose logarithm has mean 0 and standard deviation 0.4.
    return scale * _correlated(rng, sessions, tickers), float(np.exp(0.4**2 / 2))


def _correlated(rng: np.random.Generator, sessions: int, tickers: int) -> np.ndarray:
    own = rng.standard_normal((sessions, tickers))
    return np.sqrt(SHARED) * rng.standard_normal((sessions, 1)) + np.sqrt(1 - SHARED) * own


def _decade(
    rng: np.random.Generator, returns: np.ndarray, signal: float, spread: np.ndarray
) -> dict[str, np.ndarray]:
    """Ten years of looks, one a month.

    Args:
        rng: Draws the forecasts.
        returns: Of all sessions.
        signal: Part of the truth that forecasts hold.
        spread: Of each month's candidate, shape (MONTHS,); 0.0 is the random walk.

    Returns:
        Shape (MONTHS,) each: whether the candidate would be approved beside the random walk
        `alone`, whether it was `approved`, and whether one that is not the random walk `serves`
        after the look.
    """
    from stock_assets.forecasting.gate import compare, decide

    alone, approved, serves = np.zeros((3, MONTHS), dtype=bool)
    champion = None
    for month in range(MONTHS):
        truth = returns[month * MONTH : month * MONTH + LOOK]
        naive = np.mean(truth**2, axis=1)

        def losses(of: int, truth: np.ndarray = truth) -> np.ndarray:
            forecast = spread[of] * _correlated(rng, *truth.shape) + signal * truth
            return np.asarray(np.mean((truth - forecast) ** 2, axis=1))

        own = losses(month)
        shown = [compare("random walk", own, naive)]
        alone[month] = decide(shown, MARGIN).approved
        if champion is not None:
            unseen = min((month - champion) * MONTH, LOOK)
            shown.append(compare("champion", own[-unseen:], losses(champion)[-unseen:]))
        approved[month] = decide(shown, MARGIN).approved
        if approved[month]:
            champion = month
        serves[month] = champion is not None and spread[champion] > 0
    return {"alone": alone, "approved": approved, "serves": serves}
