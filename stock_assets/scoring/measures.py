"""What a contender's forecasts are judged by, and by how much it is better than another.

Squared error of the log return; weighted interval score over the common levels (WIS: twice the mean
pinball loss, Bracher et al. 2021), which over our grid is the CRPS; coverage and interval score of
each central interval; M6's ranked probability score. A session is one observation, as in all of our
reports: tests and error bars are of its means and sums.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from stock_assets.forecasting.calibration import half_width, share_confidence, skill_confidence
from stock_assets.forecasting.evaluation import pinball_crps
from stock_assets.forecasting.intervals import GRID
from stock_assets.forecasting.long_run_variance import diebold_mariano_t
from stock_assets.scoring.forecast_files import exact_level
from stock_assets.scoring.ranks import ranked_probability_scores

OURS, RANDOM_WALK = "ours", "random_walk"
SQUARED, WIS, CRPS, RPS = "squared_error", "wis", "crps", "rps"
INSIDE, INTERVAL_SCORE = "covered_", "interval_score_"
Losses = Mapping[str, np.ndarray]
"""Of each forecast, shape (n,), by name; only those that the contender's forecasts have."""


@dataclass(frozen=True)
class Contender:
    """What somebody forecast of the common rows; None for what they did not.

    Args:
        name: Of the model.
        point: Log returns, shape (n,).
        quantiles: Log returns at the common levels, shape (n, n_levels).
        ranks: Probabilities of the fifths, shape (n, 5).
    """

    name: str
    point: np.ndarray | None
    quantiles: np.ndarray | None
    ranks: np.ndarray | None


@dataclass(frozen=True)
class SessionSums:
    """Losses added up by session, ascending, shape (n_sessions,) each, and how many forecasts."""

    counts: np.ndarray
    sums: Losses


def central_intervals(levels: Sequence[float]) -> dict[str, tuple[int, int]]:
    """Positions of the bounds of each central interval by its coverage in per cent, ascending."""
    at = {level: n for n, level in enumerate(levels)}
    found = {}
    for level in sorted((level for level in levels if level < 0.5), reverse=True):
        if (other := exact_level(1 - level)) in at:
            found[f"{100 * exact_level(1 - 2 * level):g}"] = (at[level], at[other])
    return found


def losses(
    contender: Contender,
    realised: np.ndarray,
    levels: Sequence[float],
    fifths: np.ndarray | None,
) -> Losses:
    """Losses of each forecast.

    Args:
        contender: Whose.
        realised: Log returns, shape (n,).
        levels: Of the quantiles, ascending.
        fifths: See `realised_fifths`, shape (n, 5); None where ranks are not scored.
    """
    found: dict[str, np.ndarray] = {}
    if contender.point is not None:
        found[SQUARED] = (realised - contender.point) ** 2
    if contender.quantiles is not None:
        # In one order of memory: another adds up in another order, and equals would differ.
        quantiles = np.ascontiguousarray(contender.quantiles)
        found[WIS] = pinball_crps(quantiles, realised, levels)
        at = {level: n for n, level in enumerate(levels)}
        if set(GRID) <= set(at):
            grid = np.ascontiguousarray(quantiles[:, [at[level] for level in GRID]])
            found[CRPS] = pinball_crps(grid, realised)
        for coverage, (low, high) in central_intervals(levels).items():
            lower, upper = quantiles[:, low], quantiles[:, high]
            found[f"{INSIDE}{coverage}"] = ((lower <= realised) & (realised <= upper)) * 1.0
            # Two over the share outside, times the pinball losses at both bounds.
            both = pinball_crps(quantiles[:, [low, high]], realised, [levels[low], levels[high]])
            found[f"{INTERVAL_SCORE}{coverage}"] = both / levels[low]
    if contender.ranks is not None and fifths is not None:
        found[RPS] = ranked_probability_scores(contender.ranks, fifths)
    return found


def session_sums(own: Losses, session: np.ndarray) -> SessionSums:
    """`session`: of each forecast, counted from 0 without gaps, ascending."""
    return SessionSums(
        np.bincount(session),
        {name: np.bincount(session, weights=values) for name, values in own.items()},
    )


def summarise_contender(
    own: SessionSums, ours: SessionSums, random_walk: SessionSums, horizon: int = 1
) -> dict[str, Any]:
    """A contender's measures, and how they lie beside ours and the random walk's.

    Returns:
        `rmse_return, skill, skill_confidence, dm_t` as in `backtest`: beside the random walk. Means
        `wis, crps, rps`. By interval `coverage, coverage_confidence, interval_score`. `beside` has
        for `ours` and `random_walk` per loss that both have the ratio of the means, its
        `confidence` of 95 % and Diebold and Mariano's t, positive where the contender is better.
        What can't be known is None.
    """
    total = int(own.counts.sum())

    def mean(name: str) -> float | None:
        return float(own.sums[name].sum()) / total if name in own.sums else None

    def of_intervals(prefix: str) -> list[tuple[str, str]]:
        names = (name for name in own.sums if name.startswith(prefix))
        return [(name.removeprefix(prefix), name) for name in names]

    squared = mean(SQUARED)
    beside = {
        OURS: _beside(own, ours, horizon),
        RANDOM_WALK: _beside(own, random_walk, horizon),
    }
    found: dict[str, Any] = {
        "rmse_return": None if squared is None else math.sqrt(squared),
        "skill": None,
        "skill_confidence": None,
        "dm_t": None,
    }
    if SQUARED in beside[RANDOM_WALK]:
        walk = beside[RANDOM_WALK][SQUARED]
        both = pl.DataFrame(
            {SQUARED: own.sums[SQUARED], f"{SQUARED}_random_walk": random_walk.sums[SQUARED]}
        )
        found["skill"] = 1 - math.sqrt(walk["ratio"])
        found["skill_confidence"] = skill_confidence(both, horizon)
        found["dm_t"] = walk["dm_t"]
    return found | {
        WIS: mean(WIS),
        CRPS: mean(CRPS),
        RPS: mean(RPS),
        "coverage": {coverage: mean(name) for coverage, name in of_intervals(INSIDE)},
        "coverage_confidence": {
            coverage: share_confidence(own.sums[name], own.counts, horizon)
            for coverage, name in of_intervals(INSIDE)
        },
        "interval_score": {coverage: mean(name) for coverage, name in of_intervals(INTERVAL_SCORE)},
        "beside": beside,
    }


def _beside(own: SessionSums, other: SessionSums, horizon: int) -> dict[str, dict[str, Any]]:
    found = {}
    for name in (SQUARED, WIS, CRPS, RPS, *(n for n in own.sums if n.startswith(INTERVAL_SCORE))):
        if name not in own.sums or name not in other.sums or not other.sums[name].sum() > 0:
            continue
        mine, theirs = own.sums[name], other.sums[name]
        ratio = float(mine.sum() / theirs.sum())
        half = half_width(mine, theirs, horizon)
        t = diebold_mariano_t(mine / own.counts, theirs / own.counts, horizon)
        found[name] = {
            "ratio": ratio,
            "confidence": None if half is None else [ratio - half, ratio + half],
            "dm_t": t if math.isfinite(t) else None,
        }
    return found
