"""Measures by which anybody's forecasts are judged: by hand, and by other libraries' answers."""

import math
from dataclasses import replace
from datetime import date
from statistics import NormalDist

import numpy as np
import polars as pl
import pytest

from stock_assets.errors import InvalidForecastsError
from stock_assets.forecasting.evaluation import HINDSIGHT, ISSUED, pinball_crps
from stock_assets.forecasting.intervals import GRID
from stock_assets.forecasting.long_run_variance import diebold_mariano_t
from stock_assets.scoring.comparison import compare
from stock_assets.scoring.measures import Contender, losses
from stock_assets.scoring.quantiles import own_quantiles, random_walk_quantiles
from stock_assets.scoring.ranks import (
    fifths_of_laws,
    ranked_probability_scores,
    realised_fifths,
)
from stock_assets.scoring.submission import Model
from stock_assets_tests.scored import D1, D2, D3, outcome, outcomes, own_forecasts, own_row

SEVEN = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
QUANTILES = np.array([[-0.04, -0.021, -0.01, 0.001, 0.012, 0.02, 0.045]])


def model(
    name: str, rows: list[tuple[str, date, float | None, list[float]]], levels: tuple[float, ...]
) -> Model:
    """Of ticker, target, point and quantiles."""
    frame = pl.DataFrame(
        {
            "ticker": [row[0] for row in rows],
            "target_session": [row[1] for row in rows],
            "point": [row[2] for row in rows],
            "quantiles": [row[3] for row in rows],
            "ranks": [[] for _ in rows],
        },
        schema_overrides={
            "point": pl.Float64,
            "quantiles": pl.List(pl.Float64),
            "ranks": pl.List(pl.Float64),
        },
    )
    has_point = any(row[2] is not None for row in rows)
    return Model(name, levels, has_point, False, frame, 0, {ISSUED: 0, HINDSIGHT: len(rows)})


@pytest.mark.parametrize(
    ("realised", "expected", "intervals"),
    [
        # Bracher et al. (2021): (|y - m| / 2 + sum of a / 2 times the interval score) / (3 + 1/2).
        # The interval scores are those of scoringrules 0.10.
        (0.013, 0.00535, (0.026, 0.041, 0.085)),
        (-0.06, 0.30245 / 7, (0.222, 0.431, 0.885)),
        (0.001, 0.00335, (0.022, 0.041, 0.085)),
        (0.05, 0.21845 / 7, (0.174, 0.341, 0.285)),
    ],
)
def test_the_weighted_interval_score_is_that_of_its_definition(
    realised: float, expected: float, intervals: tuple[float, ...]
):
    own = losses(Contender("m", None, QUANTILES, None), np.array([realised]), SEVEN, None)
    assert own["wis"][0] == pytest.approx(expected, abs=1e-12)
    found = [own[f"interval_score_{coverage}"][0] for coverage in (50, 80, 95)]
    assert found == pytest.approx(intervals, abs=1e-12)
    parts = sum(a / 2 * one for a, one in zip((0.5, 0.2, 0.05), intervals, strict=True))
    assert own["wis"][0] == pytest.approx((abs(realised - 0.001) / 2 + parts) / 3.5, abs=1e-12)
    inside = [own[f"covered_{coverage}"][0] for coverage in (50, 80, 95)]
    bounds = ((-0.01, 0.012), (-0.021, 0.02), (-0.04, 0.045))
    assert inside == [float(low <= realised <= high) for low, high in bounds]


def test_over_the_grid_it_is_the_crps_of_the_project_and_of_scoringrules():
    law = np.round(np.sin(np.linspace(-1.4, 1.4, 50)) * 0.03 + 0.002, 4)[None, :]
    # scoringrules 0.10: crps_quantile.
    for realised, expected in ((0.013, 0.00787336), (-0.06, 0.05042936)):
        own = losses(Contender("m", None, law, None), np.array([realised]), GRID, None)
        assert own["crps"][0] == own["wis"][0] == pytest.approx(expected, abs=1e-12)
        assert own["crps"] == pinball_crps(law, np.array([realised]))


def test_the_crps_of_a_law_among_other_quantiles_is_that_of_its_grid():
    levels = tuple(sorted({*GRID, *SEVEN}))
    normal = NormalDist()
    law = np.array([[normal.inv_cdf(level) for level in levels]])
    own = losses(Contender("m", None, law, None), np.array([0.3]), levels, None)
    grid = np.array([[normal.inv_cdf(level) for level in GRID]])
    assert own["crps"] == pinball_crps(grid, np.array([0.3]))
    assert own["wis"] != own["crps"]


def test_ranked_probability_scores_by_hand():
    said = np.array([[0.1, 0.2, 0.3, 0.25, 0.15]] * 2)
    was = np.eye(5)[[3, 0]]
    # Cumulated .1 .3 .6 .85 1; squared distances add up to .4825 and 1.4825, as scoringrules says.
    found = ranked_probability_scores(said, was)
    assert found == pytest.approx([0.0965, 0.2965], abs=1e-12)


def test_who_knows_nothing_scores_what_m6_says():
    """The benchmark of the competition, of 100 assets without ties: 0.16."""
    was = realised_fifths(np.random.default_rng(1).standard_normal(100))
    assert was.sum(axis=0).tolist() == [20.0] * 5
    found = ranked_probability_scores(np.full((100, 5), 0.2), was)
    assert found.mean() == pytest.approx(0.16, abs=1e-12)


def test_ties_share_the_places_that_they_fill():
    # Places 2 and 3 of five are in the second and third fifth: one half each.
    found = realised_fifths(np.array([0.02, -0.01, 0.0, 0.0, 0.01]))
    assert found.tolist() == [
        [0, 0, 0, 0, 1],
        [1, 0, 0, 0, 0],
        [0, 0.5, 0.5, 0, 0],
        [0, 0.5, 0.5, 0, 0],
        [0, 0, 0, 1, 0],
    ]
    ten = realised_fifths(np.zeros(10))
    assert ten.tolist() == [[0.2] * 5] * 10


def test_chances_of_ranks_by_hand_and_by_simulation():
    normal = np.array([NormalDist().inv_cdf(level) for level in GRID])
    assert fifths_of_laws(np.tile(normal, (5, 1))) == pytest.approx(np.full((5, 5), 0.2), abs=2e-3)
    apart = fifths_of_laws(normal + 100 * np.arange(5)[:, None])
    # At the far ends of a law half of its outermost hundredth is left.
    assert apart == pytest.approx(np.eye(5), abs=0.03)
    centre, width = np.array([0.0, 0.5, -0.5, 0.0, 1.0, 0.2]), np.array([1, 2, 1, 3, 1, 0.5])
    drawn = np.random.default_rng(2).standard_normal((200_000, 6)) * width + centre
    places = np.argsort(np.argsort(drawn, axis=1), axis=1) * 5 // 6
    simulated = np.array([[(places[:, n] == k).mean() for k in range(5)] for n in range(6)])
    found = fifths_of_laws(centre[:, None] + width[:, None] * normal)
    assert found.sum(axis=1) == pytest.approx(np.ones(6))
    assert found == pytest.approx(simulated, abs=0.01)


def test_our_quantiles_are_served_bounds_and_else_the_grid():
    row = own_row("A", D1, D2, 50.0, 0.01)
    found = own_quantiles(own_forecasts(row), (0.025, 0.3, 0.5, 0.505, 0.9))[0]
    normal = NormalDist(sigma=0.01)
    assert found[0] == pytest.approx(2 * normal.inv_cdf(0.025))  # a bound: twice as far
    below, above = normal.inv_cdf(0.29), normal.inv_cdf(0.31)
    assert found[1] == pytest.approx((below + above) / 2)
    assert found[2] == pytest.approx(0, abs=1e-12)
    assert found[3] == pytest.approx(0.25 * normal.inv_cdf(0.49) + 0.75 * normal.inv_cdf(0.51))
    assert found[4] == pytest.approx(2 * normal.inv_cdf(0.9))
    grid = own_quantiles(own_forecasts(row), GRID)[0]
    assert grid.tolist() == row["quantile_returns"]


def test_our_quantiles_never_cross():
    found = own_quantiles(own_forecasts(own_row("A", D1, D2, 50.0, 0.01)), (0.09, 0.1, 0.11))
    assert (np.diff(found) >= 0).all()


def test_the_random_walk_is_no_change_as_wide_as_the_volatility():
    found = random_walk_quantiles(own_forecasts(own_row("A", D1, D2, 50.0, 0.01, 0.3)), SEVEN, 4)
    expected = [2 * 0.01 * NormalDist().inv_cdf(level) for level in SEVEN]
    assert found[0] == pytest.approx(expected)


def two_sessions() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Ours and the outcomes of two tickers in two sessions."""
    forecasts = own_forecasts(
        *(own_row(t, D1, D2, 50.0, 0.01, 0.001) for t in "AB"),
        *(own_row(t, D2, D3, 50.0, 0.01, 0.001) for t in "AB"),
    )
    known = [("A", D2, 0.011), ("B", D2, -0.01), ("A", D3, 0.02), ("B", D3, None)]
    return forecasts, outcomes(*(outcome(*row) for row in known))


def test_models_are_compared_on_the_forecasts_and_levels_that_all_have():
    forecasts, known = two_sessions()
    one = model(
        "one",
        [(t, d, 0.01, [-0.01, 0.0, 0.01]) for d in (D2, D3) for t in "AB"],
        (0.1, 0.4, 0.9),
    )
    two = model("two", [(t, D2, None, [-0.02, 0.02]) for t in "AB"], (0.1, 0.9))
    found = compare([one, two], forecasts, known).found
    assert (found["forecasts"], found["sessions"], found["tickers"]) == (2, 1, 2)
    assert found["share_of_ours"] == pytest.approx(2 / 3)
    assert found["levels"] == [0.1, 0.9]
    assert found["submitted"]["one"] == {
        "forecasts": 4,
        "incomplete": 0,
        "not_of_ours": 0,
        "without_outcome": 1,
        "without_interval": 0,
        "compared": 2,
        "levels": [0.1, 0.4, 0.9],
        ISSUED: 0,
        HINDSIGHT: 4,
    }
    assert set(found["models"]) == {"ours", "random_walk", "one", "two"}
    a, b = found["models"]["one"], found["models"]["two"]
    assert a["rmse_return"] == pytest.approx(math.sqrt((0.001**2 + 0.02**2) / 2))
    walk = math.sqrt((0.011**2 + 0.01**2) / 2)
    assert found["models"]["random_walk"]["rmse_return"] == pytest.approx(walk)
    assert a["skill"] == pytest.approx(1 - a["rmse_return"] / walk)
    assert (b["rmse_return"], b["skill"], b["dm_t"]) == (None, None, None)
    # By hand: width .02 and ten times what lies beyond, over ten; then the same of -.02 .. .02.
    assert a["interval_score"]["80"] == pytest.approx((0.03 + 0.02) / 2)
    assert b["interval_score"]["80"] == pytest.approx(0.04)
    assert b["wis"] == pytest.approx(0.004)
    assert (a["coverage"]["80"], b["coverage"]["80"]) == (0.5, 1.0)
    assert a["rps"] is None
    assert b["beside"]["ours"]["wis"]["ratio"] == pytest.approx(
        0.004 / found["models"]["ours"]["wis"]
    )


def test_a_session_is_one_observation():
    """Twice the tickers that move together tell nothing more: the t stays, as do the bounds."""
    sessions = [date(2024, 3, 4) + (date(2024, 3, 5) - date(2024, 3, 4)) * n for n in range(12)]
    returns = np.random.default_rng(3).normal(0, 0.01, 12)

    def found(tickers: str) -> dict[str, object]:
        forecasts = own_forecasts(
            *(own_row(t, D1, s, 50.0, 0.01) for s in sessions for t in tickers)
        )
        known = outcomes(
            *(
                outcome(t, s, float(r))
                for s, r in zip(sessions, returns, strict=True)
                for t in tickers
            )
        )
        rows = [(t, s, 0.004, [-0.015, 0.015]) for s in sessions for t in tickers]
        return compare([model("m", rows, (0.1, 0.9))], forecasts, known).found["models"]["m"]

    one, four = found("A"), found("ABCD")
    assert one.keys() == four.keys()
    assert four["dm_t"] == pytest.approx(one["dm_t"])
    assert four["skill_confidence"] == pytest.approx(one["skill_confidence"])
    assert four["coverage_confidence"]["80"] == pytest.approx(one["coverage_confidence"]["80"])
    beside = four["beside"]["ours"]["wis"]
    assert beside["confidence"] == pytest.approx(one["beside"]["ours"]["wis"]["confidence"])
    own = (returns - 0.004) ** 2
    assert one["dm_t"] == pytest.approx(diebold_mariano_t(own, returns**2))


def test_without_anything_in_common_the_reasons_are_said():
    forecasts, known = two_sessions()
    early = model("early", [("A", D2, 0.0, [])], ())
    late = model("late", [("B", D3, 0.0, []), ("C", D3, 0.0, [])], ())
    with pytest.raises(InvalidForecastsError, match="no forecast can be compared") as refused:
        compare([early, late], forecasts, known)
    assert str(refused.value).endswith(
        "early: 1 that another model lacks; late: 1 of sessions and tickers that the dataset has no"
        " forecast of, 1 of targets whose outcome is not known"
    )


def test_a_model_must_not_bear_a_name_of_ours():
    forecasts, known = two_sessions()
    for name in ("ours", "random_walk"):
        with pytest.raises(InvalidForecastsError, match=f"is called {name}"):
            compare([model(name, [("A", D2, 0.0, [])], ())], forecasts, known)


def test_ranks_alone_are_judged_by_hand():
    """Five tickers; the best is known, of the others nothing."""
    tickers, returns = "ABCDE", (0.02, -0.01, 0.0, 0.01, -0.02)
    ranks = {t: [0.2] * 5 for t in tickers} | {"A": [0.0, 0.0, 0.0, 0.0, 1.0]}
    one = model("m6", [(t, D2, None, []) for t in tickers], ())
    rows = one.forecasts.with_columns(
        pl.col("ticker").replace_strict(ranks, return_dtype=pl.List(pl.Float64)).alias("ranks")
    )
    found = compare(
        [replace(one, forecasts=rows, has_ranks=True)],
        own_forecasts(*(own_row(t, D1, D2, 50.0, 0.01) for t in tickers)),
        outcomes(*(outcome(t, D2, r) for t, r in zip(tickers, returns, strict=True))),
    ).found["models"]
    # Who says a fifth each: by which fifth it was, from the lowest.
    even = [0.24, 0.12, 0.08, 0.12, 0.24]
    assert found["random_walk"]["rps"] == pytest.approx(sum(even) / 5)
    assert found["m6"]["rps"] == pytest.approx(sum(even[:4]) / 5)
    assert found["ours"]["rps"] == pytest.approx(0.16, abs=2e-3)
    assert (found["m6"]["rmse_return"], found["m6"]["wis"], found["m6"]["coverage"]) == (
        None,
        None,
        {},
    )
    assert set(found["m6"]["beside"]["ours"]) == {"rps"}


@pytest.mark.parametrize("missing", ["quantile_returns", "volatility_1d"])
def test_points_alone_are_judged_where_ours_has_no_interval(missing: str):
    row = own_row("A", D1, D2, 50.0, 0.01) | {missing: None}
    found = compare(
        [model("m", [("A", D2, 0.01, [])], ())],
        own_forecasts(row),
        outcomes(outcome("A", D2, 0.01)),
    ).found
    assert found["models"]["m"]["rmse_return"] == 0.0
    assert (found["models"]["ours"]["wis"], found["levels"]) == (None, [])
    with pytest.raises(InvalidForecastsError, match="1 for which we or the random walk have no"):
        compare(
            [model("m", [("A", D2, 0.01, [0.0])], (0.5,))],
            own_forecasts(row),
            outcomes(outcome("A", D2, 0.01)),
        )
