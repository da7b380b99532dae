"""What holds of the measures and of the file format whatever the forecasts are."""

import tempfile
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from stock_assets.forecasting.baselines import normal_crps
from stock_assets.forecasting.evaluation import pinball_crps, score_forecasts
from stock_assets.forecasting.intervals import GRID
from stock_assets.forecasting.summary import summarise
from stock_assets.market.sessions import load_calendar
from stock_assets.scoring.comparison import compare
from stock_assets.scoring.forecast_files import read_forecasts
from stock_assets.scoring.hub import MEDIAN_AND_BOUNDS, model_output
from stock_assets.scoring.ranks import ranked_probability_scores, realised_fifths
from stock_assets.scoring.submission import submitted_models, unit_of, with_sessions
from stock_assets_tests.scored import own_forecasts, own_row

XNYS = load_calendar("XNYS")
SESSIONS = XNYS.window_from(date(2024, 2, 26), 14)
small = st.floats(-0.1, 0.1)
width = st.floats(0.001, 0.1)


@given(small, width, small)
def test_more_and_more_quantiles_make_the_score_the_crps(
    centre: float, scale: float, realised: float
):
    from scipy.special import ndtri

    exact = normal_crps(np.array([realised]), np.array([centre]), np.array([scale]))[0]
    for count in (10, 100, 1000):
        levels = (np.arange(count) + 0.5) / count
        law = centre + scale * ndtri(levels)[None, :]
        found = pinball_crps(law, np.array([realised]), levels)[0]
        assert found == pytest.approx(exact, abs=0.3 * scale / count)


@given(
    st.lists(small, min_size=7, max_size=7).map(sorted),
    small,
)
def test_the_score_is_bracher_s_formula(quantiles: list[float], realised: float):
    alphas = (0.05, 0.2, 0.5)
    total = abs(realised - quantiles[3]) / 2
    for n, alpha in enumerate(alphas):
        lower, upper = quantiles[n], quantiles[6 - n]
        beyond = max(lower - realised, 0) + max(realised - upper, 0)
        total += alpha / 2 * (upper - lower + 2 / alpha * beyond)
    levels = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
    found = pinball_crps(np.array([quantiles]), np.array([realised]), levels)[0]
    assert found == pytest.approx(total / 3.5, abs=1e-12)
    assert found >= 0


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_fifths_go_with_their_tickers_and_add_up(returns: list[int], random: object):
    values = np.array(returns, dtype=float)
    found = realised_fifths(values)
    assert found.sum(axis=1) == pytest.approx(np.ones(len(values)))
    order = np.array(random.sample(range(len(values)), len(values)))
    assert realised_fifths(values[order]) == pytest.approx(found[order])
    assert realised_fifths(np.exp(values)) == pytest.approx(found)
    assert ranked_probability_scores(found, found) == pytest.approx(np.zeros(len(values)))
    worst = ranked_probability_scores(np.eye(5)[[0] * len(values)], found)
    assert ((worst >= 0) & (worst <= 0.8 + 1e-12)).all()


def bars_of(closes: np.ndarray, tickers: list[str], split_at: int) -> pl.DataFrame:
    """One bar per ticker and session, with a split of the first ticker."""
    return pl.DataFrame(
        [
            {
                "ticker": ticker,
                "session": session,
                "close": float(closes[m, n]),
                "dividend": 0.5 if n == 3 else 0.0,
                "split_ratio": 2.0 if (m, n) == (0, split_at) else 1.0,
                "quarantine_reason": "jump" if (m, n) == (1, 5) else None,
            }
            for m, ticker in enumerate(tickers)
            for n, session in enumerate(SESSIONS)
        ],
        schema_overrides={"quarantine_reason": pl.String},
    )


@hypothesis_settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 6), st.integers(1, 2), st.booleans())
def test_ours_through_a_file_are_what_the_project_says_of_them(
    seed: int, count: int, horizon: int, grid: bool
):
    """RMSE, skill, its t and bounds, coverage, interval score and CRPS, to 1e-12."""
    rng = np.random.default_rng(seed)
    tickers = [f"T{n}" for n in range(count)]
    closes = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, (count, len(SESSIONS))), axis=1))
    forecasts = own_forecasts(
        *(
            own_row(
                ticker,
                session,
                SESSIONS[n + horizon],
                float(closes[m, n]),
                float(rng.uniform(0.005, 0.03)),
                float(rng.normal(0, 0.01)),
            )
            for n, session in enumerate(SESSIONS[:-horizon])
            for m, ticker in enumerate(tickers)
        )
    )
    scores = score_forecasts(forecasts, bars_of(closes, tickers, 7), horizon)
    expected = summarise(scores, horizon)
    levels = GRID if grid else MEDIAN_AND_BOUNDS
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "hub" / "file.csv"
        file.parent.mkdir()
        model_output(forecasts, levels, horizon).write_csv(file, null_value="NA")
        rows = with_sessions(read_forecasts(file), XNYS, horizon)
    assert unit_of(rows, None) == "return"
    closes_before = forecasts.select("ticker", "target_session", "close_usd")
    models = submitted_models(rows, closes_before, "return", XNYS)
    found = compare(models, forecasts, scores, horizon).found
    assert found["share_of_ours"] == 1.0
    assert found["submitted"]["file"]["without_outcome"] == expected["unscored"]
    ours, theirs = found["models"]["ours"], found["models"]["file"]
    for name in ("rmse_return", "skill", "skill_confidence", "dm_t"):
        assert theirs[name] == pytest.approx(expected[name], rel=1e-9, abs=1e-12), name
    assert (ours["crps"] is not None) == (theirs["crps"] is not None) == grid
    own = ("rmse_return", "wis", "coverage", "interval_score", *(["crps"] if grid else []))
    for name in own:
        assert theirs[name] == pytest.approx(ours[name], rel=1e-12, abs=1e-12), name
    assert theirs["beside"]["ours"]["wis"]["ratio"] == pytest.approx(1, abs=1e-12)
    if count >= 5:
        assert found["forecasts"] < forecasts.height or theirs["rps"] == pytest.approx(ours["rps"])
    if grid:
        assert theirs["crps"] == pytest.approx(expected["crps"], abs=1e-12)
    else:
        score = theirs["interval_score"]["95"]
        assert score == pytest.approx(expected["interval_score_95"], abs=1e-12)
        assert theirs["coverage"] == pytest.approx(expected["coverage"], abs=1e-12)
        for coverage, bounds in expected["coverage_confidence"].items():
            assert theirs["coverage_confidence"][coverage] == pytest.approx(bounds)
