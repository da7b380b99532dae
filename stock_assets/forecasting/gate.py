"""The gate: whether a candidate is shown to be no worse than what it would replace.

Losses are compared session by session: the mean over tickers of the squared error in units of
volatility, because shares move together within a session. The test is Diebold & Mariano (1995) with
Newey-West variance, one-sided, at 5 %; critical values are Kiefer & Vogelsang's (2005, "A New
Asymptotic Theory for Heteroskedasticity-Autocorrelation Robust Tests", table 1, Bartlett), which
know that thirty sessions estimate such a variance badly, where the normal law's 1.645 would claim
superiority too often.

Intervals are judged likewise by losses of their own, see `interval_losses`, and apart from the
point: a version may be approved for one and not for the other.

Non-inferiority: the upper confidence bound of the candidate's relative excess loss lies within the
margin. A candidate whose forecasts are large has a wide bound and is turned away for want of proof;
one that has been shrunk to near the random walk is judged sharply even by few sessions. Superiority
is another claim, that equal losses would hardly ever give such a t: it is reported and decides
nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from stock_assets.forecasting.long_run_variance import (
    diebold_mariano_t,
    newey_west_lags,
    newey_west_variance,
)

LEVEL = 0.05
"""Chance to claim what is not so, of either claim."""
SQUARED_ERROR = "loss"
"""The loss of point forecasts, which people are told as skill."""
LEAST_SESSIONS = 10
"""Test sessions below which nothing is compared."""
TAIL_MARGIN = 8.0
"""Margin of the 95 % interval score in margins of CRPS. Of normal laws a slight error of width
costs 7.7 times as large a share of the one as of the other: 1.92 and 0.25 times its square."""


@dataclass(frozen=True)
class Comparison:
    """A candidate against one reference on the same sessions.

    `excess_loss`: the candidate's mean loss over the reference's, minus one. `upper_bound`: what it
    is below with 95 % confidence. `t`: positive where the candidate is better; 0.0 where the two
    never differ. The excess is infinite where the reference never loses and the candidate does.
    """

    reference: str
    sessions: int
    excess_loss: float
    upper_bound: float
    t: float
    horizon: int = 1
    loss: str = SQUARED_ERROR

    @property
    def superior(self) -> bool:
        return self.sessions >= LEAST_SESSIONS and self.t > critical_value(
            self.sessions, self.horizon
        )


@dataclass(frozen=True)
class GateDecision:
    approved: bool
    reason: str
    comparisons: Sequence[Comparison] = field(default=())


def critical_value(sessions: int, horizon: int = 1) -> float:
    """Of the one-sided test at LEVEL for a t with our Newey-West lags."""
    b = (newey_west_lags(sessions, horizon) + 1) / sessions
    return 1.6449 + 2.1859 * b + 0.3142 * b**2 - 0.3427 * b**3


def compare(
    reference: str,
    losses: np.ndarray,
    losses_reference: np.ndarray,
    horizon: int = 1,
    loss: str = SQUARED_ERROR,
) -> Comparison:
    """The candidate's losses beside a reference's.

    Args:
        reference: Its name.
        losses: One a session, ascending, shape (n_sessions,).
        losses_reference: The same of the reference.
        horizon: Sessions that a forecast spans.
        loss: What it is called.

    Returns:
        NaN bounds where there are fewer than LEAST_SESSIONS: nothing is shown.
    """
    difference = losses_reference - losses
    n, level = len(difference), float(np.mean(losses_reference)) if len(losses) else math.nan
    if n < LEAST_SESSIONS:
        return Comparison(reference, n, math.nan, math.nan, math.nan, horizon, loss)
    if not difference.any():
        return Comparison(reference, n, 0.0, 0.0, 0.0, horizon, loss)
    if level == 0:  # returns that are all zero: only the random walk is right
        t = diebold_mariano_t(losses, losses_reference, horizon)
        return Comparison(reference, n, math.inf, math.inf, t, horizon, loss)
    excess = float(-difference.mean()) / level
    # Of a ratio of two means (delta method): the reference's level is an estimate too.
    unequal = losses - (1 + excess) * losses_reference
    error = math.sqrt(newey_west_variance(unequal, horizon) / n) / level
    return Comparison(
        reference,
        n,
        excess,
        excess + critical_value(n, horizon) * error,
        diebold_mariano_t(losses, losses_reference, horizon),
        horizon,
        loss,
    )


def decide(comparisons: Sequence[Comparison], margin: float) -> GateDecision:
    """Approves a candidate that is shown to be no worse than each reference by the margin.

    Args:
        comparisons: With the random walk, and with the champion where there is one. One with too
            few sessions for the champion says nothing; for the random walk, which every candidate
            can be held against, it is a rejection.
        margin: A share of the reference's mean squared error; 0.02 is about one per cent of RMSE.
    """
    approved = _shown_within(comparisons, margin)
    words = f"{_all_words(comparisons)}; needed: at least {_skill(margin):+.2%}"
    return GateDecision(approved, f"{_verdict(approved)}: {words}", tuple(comparisons))


def decide_intervals(
    crps: Sequence[Comparison], interval_scores: Sequence[Comparison], margin: float
) -> GateDecision:
    """Approves intervals that are no worse than each reference by CRPS and by interval score.

    Args:
        crps: With the normal law, and with the champion where there is one; see `decide`.
        interval_scores: The same of the 95 % interval score, which sees tails that CRPS does not.
        margin: A share of the reference's mean CRPS; TAIL_MARGIN times that of the interval score.
            The number of squared error fits, though it means another thing: 0.02 of CRPS is lost by
            widths that are all a quarter too large or too small. Honest widths of few tickers need
            so much to be shown; half or twice the width costs 0.08 and more.
    """
    tails = TAIL_MARGIN * margin
    approved = _shown_within(crps, margin) and _shown_within(interval_scores, tails)
    words = (
        f"{_all_words(crps)}; needed: at most {1 + margin:.3f};"
        f" {_all_words(interval_scores)}; needed: at most {1 + tails:.3f}"
    )
    return GateDecision(approved, f"{_verdict(approved)}: {words}", (*crps, *interval_scores))


def _shown_within(comparisons: Sequence[Comparison], margin: float) -> bool:
    shown = [c for n, c in enumerate(comparisons) if n == 0 or not math.isnan(c.upper_bound)]
    return all(c.upper_bound <= margin for c in shown)


def _verdict(approved: bool) -> str:
    return "approved" if approved else "rejected"


def _all_words(comparisons: Sequence[Comparison]) -> str:
    return "; ".join(map(_words, comparisons))


def _words(found: Comparison) -> str:
    name = found.reference.replace("_", " ")
    if math.isnan(found.upper_bound):
        return f"not compared with the {name}, {found.sessions} sessions that neither has seen"
    if found.excess_loss == found.upper_bound == 0:
        return f"forecasts what the {name} forecasts"
    if math.isinf(found.excess_loss):
        return f"errs where the {name} never does ({found.sessions} sessions)"
    if found.loss == SQUARED_ERROR:
        mean, bound = _skill(found.excess_loss), _skill(found.upper_bound)
        said = f"skill {mean:+.2%} against the {name}, at least {bound:+.2%}"
    else:
        mean, bound = 1 + found.excess_loss, 1 + found.upper_bound
        said = f"{found.loss} {mean:.3f} of the {name}'s, at most {bound:.3f}"
    claim = ", superior" if found.superior else ""
    return f"{said} with 95 % confidence (DM t {found.t:.2f}, {found.sessions} sessions){claim}"


def _skill(excess: float) -> float:
    """A relative excess of squared error as skill: one minus the ratio of the root mean squares.

    Unlike the skill of forecasts that are scored, of errors in units of volatility.
    """
    return 1 - math.sqrt(1 + excess)
