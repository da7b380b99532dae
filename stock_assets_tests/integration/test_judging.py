"""The judging case measures what it says, and the pages hold what was measured."""

import json
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from stock_assets.market.sources.sample import sample_bars
from stock_assets_tests.benchmarks.__main__ import PAGES, RESULTS
from stock_assets_tests.benchmarks.bench_judging import CASE
from stock_assets_tests.benchmarks.gate_decades import KINDS, MARGIN, Kind, gate_over_decades
from stock_assets_tests.benchmarks.judging_report import TABLES, between_markers, judged_pages
from stock_assets_tests.benchmarks.report import table
from stock_assets_tests.benchmarks.simulated import CALENDAR
from stock_assets_tests.benchmarks.walked import months_between, walk_forward
from stock_assets_tests.simulated_prices import Law, simulated_bars

PAGE = """By hand.
<!-- judging-slopes:begin, made by a command -->
old
<!-- judging-slopes:end -->
By hand too.
"""


def test_the_pages_hold_what_was_measured():
    results = json.loads(RESULTS.read_text())
    for name, (file, made) in PAGES.items():
        page = file.read_text()
        assert page == made(page, results[name]["best"])
    speed = {name: result for name, result in results.items() if name not in PAGES}
    assert RESULTS.with_suffix(".md").read_text() == table(speed)
    assert set().union(*(needed for needed, _ in TABLES.values())) == set(CASE.contenders)


def test_a_table_is_written_between_its_markers_and_nothing_else_is_touched():
    slope = {"runs": 1000, "trials": 8, "shared": 0.05, "unshared": 0.1}
    slope |= {"shared_error": 0.007, "unshared_error": 0.009}
    none = slope | {"shared": 0.0}
    best = {"slope of ridge": slope, "slope of random_forest": none, "slope of extra_trees": none}
    made = between_markers(PAGE, "judging-slopes", TABLES["judging-slopes"][1](best))
    assert "| `ridge` | 1,000 | 5.0 % ± 0.7 | 10.0 % ± 0.9 |\n" in made
    assert "| `extra_trees` | 1,000 | 0.0 % ± 0.7 | 10.0 % ± 0.9 |\n" in made
    assert "old" not in made
    first, last = PAGE.split("old\n")
    assert made.startswith(first)
    assert made.endswith(f"\n{last}")
    assert made == between_markers(made, "judging-slopes", TABLES["judging-slopes"][1](best))
    # A contender that was not measured leaves its table alone.
    assert judged_pages(PAGE, {"slope of ridge": slope}) == PAGE
    with pytest.raises(ValueError, match="0 places between <!-- judging-gate:begin"):
        between_markers(PAGE, "judging-gate", [])


@pytest.mark.parametrize("kind", KINDS.values(), ids=str)
def test_a_kinds_excess_loss_is_what_it_is_called(kind: Kind):
    rng = np.random.default_rng(1)
    truth, noise = rng.standard_normal((2, 1_000_000)) * [[1.5], [1.0]]
    forecast = kind.spread(1.5**2) * noise + kind.signal * truth
    lost = np.mean((truth - forecast) ** 2) / np.mean(truth**2) - 1
    # Four standard errors of the product of truth and forecast.
    assert lost == pytest.approx(kind.excess, abs=8 * kind.spread(1.0) / 1000 + 1e-5)


def test_a_bad_champion_can_only_be_one_that_the_gate_approved(tmp_path: Path):
    found = gate_over_decades(tmp_path, {"decades": 2, "gate_tickers": 8})["kinds"]["8"]
    assert found["the random walk itself"]["approved_in_turn"] == 1.0
    assert found["half the margin"]["ever_bad"] == 0.0
    for shares in found.values():
        assert shares["approved_in_turn"] <= shares["approved"]
        assert shares["bad_months"] <= shares["ever_bad"]
        assert (shares["ever_bad"] > 0) == (
            shares["excess"] > MARGIN and shares["approved_in_turn"] > 0
        )


def test_months_are_walked_whole():
    assert list(months_between(date(2012, 11, 5), date(2013, 1, 2))) == [
        (date(2012, 11, 1), date(2012, 11, 30)),
        (date(2012, 12, 1), date(2012, 12, 31)),
        (date(2013, 1, 1), date(2013, 1, 31)),
    ]


def test_a_walk_forward_knows_nothing_of_later_sessions():
    bars = sample_bars().filter(pl.col("session") >= date(2009, 1, 2))
    first, cut, last = date(2012, 6, 1), date(2012, 8, 15), date(2012, 10, 31)
    prices = ["open", "high", "low", "close"]
    # Later prices wander off, slowly enough to be believed.
    days_after = (pl.col("session") - cut).dt.total_days().clip(lower_bound=0)
    changed = bars.with_columns(pl.col(prices) * (1 + 0.002 * days_after))
    walked = [
        walk_forward(of.filter(pl.col("session") <= last), CALENDAR, first, last)
        for of in (bars, changed)
    ]
    before, after = (
        [scores.filter(in_time) for scores in walked]
        for in_time in (pl.col("session") <= cut, pl.col("session") > cut)
    )
    assert before[0]["session"].min() == date(2012, 6, 4)
    assert before[0]["session"].max() == cut
    assert_frame_equal(*before, check_exact=True)
    assert not after[0]["crps"].equals(after[1]["crps"])


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_a_market_share_is_the_correlation_of_returns_within_a_session(share: float):
    law = Law(common=0.0, own=0.0, jumps=0.0, market_share=share)
    bars = simulated_bars(CALENDAR, "2008-01-02", 1500, 8, 1, law, steps=4)
    returns = bars.select(pl.col("close").log().diff().over("ticker")).to_series()
    correlation = np.corrcoef(returns.to_numpy().reshape(8, 1500)[:, 1:])
    # 28 pairs of 1,499 returns: a standard error of half a point or, in common, of two.
    assert correlation[np.triu_indices(8, 1)].mean() == pytest.approx(share, abs=0.06)
