"""The gate held to its word on losses whose law is known, and on trained models."""

import math
from datetime import date

import numpy as np
import polars as pl
import pytest

from stock_assets.forecasting.features import FEATURES, MARKET_VARIANCES
from stock_assets.forecasting.gate import (
    LEVEL,
    Comparison,
    compare,
    critical_value,
    decide,
    decide_intervals,
)
from stock_assets.forecasting.outlook import OUTLOOK
from stock_assets.forecasting.splits import labelled_rows
from stock_assets.forecasting.training import daily_losses
from stock_assets.market.sessions import load_calendar

SESSIONS, TICKERS, TRIES = 30, 40, 4000


def market_losses(
    signal: float, believed: float, seed: int = 1, horizon: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Daily losses of `believed` times a forecaster, and of the random walk: (TRIES, SESSIONS).

    Returns share a market factor and a volatility that clusters; `signal` is the slope of the truth
    on the forecaster's output. Over several sessions truths overlap and the forecaster's output
    changes slowly, as that of a model does.
    """
    rng = np.random.default_rng(seed)
    own, naive = np.empty((2, TRIES, SESSIONS))
    for n in range(TRIES):
        spanned = SESSIONS + horizon - 1
        log_variance = rng.normal(0, 0.4, spanned)
        for t in range(1, spanned):
            log_variance[t] = 0.8 * log_variance[t - 1] + 0.6 * log_variance[t]
        scale = np.exp(log_variance / 2)[:, None]
        shared = rng.standard_normal((spanned, 1))
        noise = np.sqrt(0.3) * shared + np.sqrt(0.7) * rng.standard_normal((spanned, TICKERS))
        forecast = 0.15 * rng.standard_normal((SESSIONS, TICKERS))
        if horizon > 1:
            for t in range(1, SESSIONS):
                forecast[t] = 0.8 * forecast[t - 1] + 0.6 * forecast[t]
            noise = sum(noise[n : n + SESSIONS] for n in range(horizon))
            scale = np.ones((SESSIONS, 1))
        truth = scale * (signal * forecast + noise)
        own[n] = np.mean((truth - believed * forecast) ** 2, axis=1)
        naive[n] = np.mean(truth**2, axis=1)
    return own, naive


def claims(signal: float, believed: float) -> list[Comparison]:
    pairs = zip(*market_losses(signal, believed), strict=True)
    return [compare("random_walk", own, naive) for own, naive in pairs]


def test_superiority_is_claimed_no_more_often_than_the_level_when_losses_are_equal():
    # signal / 2 is the belief's break-even: expected losses of both are equal.
    share = np.mean([c.superior for c in claims(signal=0.5, believed=1.0)])
    # 4000 tries: a standard error of 0.34 points.
    assert share <= LEVEL + 0.01


def test_without_signal_superiority_is_hardly_ever_claimed():
    assert np.mean([c.superior for c in claims(signal=0.0, believed=0.2)]) <= LEVEL + 0.007


def test_overlapping_labels_make_no_claims_either():
    own, naive = market_losses(signal=0.5, believed=1.0, horizon=5)
    found = [compare("random_walk", o, n, horizon=5) for o, n in zip(own, naive, strict=True)]
    # Thirty sessions are six independent weeks: some excess over the level remains.
    assert np.mean([c.superior for c in found]) <= LEVEL + 0.03
    ignored = [compare("random_walk", o, n) for o, n in zip(own, naive, strict=True)]
    assert np.mean([c.superior for c in ignored]) > np.mean([c.superior for c in found])


def test_a_real_signal_is_found():
    assert np.mean([c.superior for c in claims(signal=1.0, believed=1.0)]) > 0.5


def test_inferiority_by_the_margin_is_approved_no_more_often_than_the_level():
    own, naive = market_losses(signal=0.0, believed=1.0)
    # What this candidate truly loses: exactly the margin, the worst that must not pass.
    margin = float(own.sum() / naive.sum() - 1)
    assert 0.005 < margin < 0.05
    shares = [
        decide([compare("random_walk", o, n)], margin).approved
        for o, n in zip(own, naive, strict=True)
    ]
    assert np.mean(shares) <= LEVEL + 0.02


def test_a_cautious_candidate_is_approved():
    decisions = [decide([c], margin=0.02).approved for c in claims(signal=0.0, believed=0.1)]
    assert np.mean(decisions) > 0.95


def test_the_critical_value_knows_that_thirty_sessions_are_few():
    # Kiefer & Vogelsang (2005), table 1, Bartlett, 95 %, b = 4/30; the normal law's is 1.645.
    assert critical_value(30) == pytest.approx(1.941, abs=0.001)
    assert critical_value(10_000) == pytest.approx(1.648, abs=0.001)


def test_equal_forecasts_are_approved_as_such():
    losses = np.linspace(1, 2, 30)
    decision = decide([compare("random_walk", losses, losses)], margin=0.0)
    assert decision.approved
    assert decision.reason.startswith("approved: forecasts what the random walk forecasts")


def test_a_worse_candidate_is_rejected_with_its_numbers():
    naive = np.linspace(1, 2, 30)
    worse = naive * 1.05 + np.tile([0.01, -0.01], 15)
    found = compare("random_walk", worse, naive)
    assert found.excess_loss == pytest.approx(0.05)
    decision = decide([found], margin=0.02)
    assert not decision.approved
    # The square root of 1.05 is 1.0247, that of 1.02 is 1.00995.
    assert decision.reason.startswith("rejected: skill -2.47% against the random walk, at least -")
    assert decision.reason.endswith("; needed: at least -1.00%")
    assert not decide([compare("random_walk", naive, naive), found], margin=0.02).approved


def test_too_few_sessions_show_nothing():
    few = compare("random_walk", np.ones(9), np.full(9, 2.0))
    assert math.isnan(few.upper_bound)
    assert not few.superior
    assert not decide([few], margin=0.5).approved
    # A champion that has seen all but nine of the sessions can't be held against the candidate.
    equal = compare("random_walk", np.ones(30), np.ones(30))
    decision = decide([equal, compare("champion, version 3", np.ones(9), np.ones(9))], margin=0.0)
    assert decision.approved
    assert "not compared with the champion, version 3" in decision.reason


@pytest.mark.parametrize("odd_volatility", [0.01, 1e-5])
def test_one_odd_ticker_does_not_blind_the_gate(odd_volatility: float):
    """Noise is turned away by as much, whether one of six volatilities is right or far too small.

    Its labels would be hundreds: beside them the noise of all other forecasts was nothing.
    """
    rng = np.random.default_rng(6)
    calendar = load_calendar("XNYS")
    sessions = calendar.between(date(2012, 1, 3), date(2012, 12, 31))
    features = pl.concat(
        pl.DataFrame(
            {
                "ticker": ticker,
                "session": sessions,
                "close_usd": 100.0,
                "return_1d": 0.01 * rng.standard_normal(len(sessions)),
                "volatility_1d": odd_volatility if ticker == "F" else 0.01,
                "range_variance_1d": 1e-4,
                **dict.fromkeys((*FEATURES, *MARKET_VARIANCES, *OUTLOOK), 0.0),
            }
        )
        for ticker in "ABCDEF"
    )
    rows = labelled_rows(features, calendar).filter(pl.col("session") > sessions[-32])
    losses = daily_losses(rows, 0.5 * rng.standard_normal(rows.height))
    found = compare("random walk", losses["own"].to_numpy(), losses["random_walk"].to_numpy())
    assert found.excess_loss == pytest.approx(0.25, abs=0.1)
    assert found.upper_bound > 0.2
    assert not decide([found], margin=0.02).approved


def test_who_is_wrong_where_the_random_walk_never_is_is_rejected():
    never = np.zeros(30)
    found = compare("random_walk", np.linspace(0.1, 0.2, 30), never)
    assert found.excess_loss == found.upper_bound == math.inf
    decision = decide([found], margin=0.02)
    assert not decision.approved
    assert decision.reason.startswith(
        "rejected: errs where the random walk never does (30 sessions)"
    )
    same = decide([compare("random_walk", never, never)], margin=0.02)
    assert same.reason.startswith("approved: forecasts what the random walk forecasts")


def test_intervals_must_be_shown_by_both_losses():
    plain = np.linspace(1, 2, 30)

    def judged(crps: float, score: float, margin: float = 0.02) -> bool:
        crps_losses, scores = (
            compare("normal_law", plain * share + np.tile([0.01, -0.01], 15), plain)
            for share in (crps, score)
        )
        return decide_intervals([crps_losses], [scores], margin).approved

    assert judged(1.005, 1.13)
    assert not judged(1.03, 1.0)
    # The interval score's margin is eight times that of CRPS.
    assert not judged(1.0, 1.17)
    assert judged(1.0, 1.17, margin=0.03)
