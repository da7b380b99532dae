"""What the tables of docs/models.md say, measured: how often noise is believed, what the gate lets
pass in ten years, our intervals beside hard rivals, and held to what they say of themselves.

Nothing here is about speed. Each contender is measured once: chance is within it, and its error is
beside its figures.
"""

from functools import partial

from stock_assets_tests.benchmarks.calibration_cases import (
    calibration_on_simulated_prices,
    calibration_on_the_sample,
)
from stock_assets_tests.benchmarks.case import Case
from stock_assets_tests.benchmarks.gate_decades import gate_over_decades
from stock_assets_tests.benchmarks.hard_rivals import beside_rivals
from stock_assets_tests.benchmarks.noise_slopes import slopes_on_noise

CASE = Case(
    title="Whether noise is believed, what the gate lets pass, and how good the intervals are",
    sizes={
        "full": {
            "ridge": 600,
            "random_forest": 100,
            "extra_trees": 100,
            "noise_tickers": 20,
            "noise_sessions": 600,
            "trees": 5,
            "decades": 300,
            "gate_tickers": 40,
            "first_year": 2003,
            "simulated_tickers": 60,
            "simulated_sessions": 1900,
            "simulated_history": 850,
        },
        "tiny": {
            "ridge": 2,
            "random_forest": 2,
            "extra_trees": 2,
            "noise_tickers": 2,
            "noise_sessions": 250,
            "trees": 2,
            "decades": 1,
            "gate_tickers": 6,
            "first_year": 2012,
            "simulated_tickers": 3,
            "simulated_sessions": 340,
            "simulated_history": 300,
        },
    },
    contenders={
        "slope of ridge": partial(slopes_on_noise, "ridge"),
        "slope of random_forest": partial(slopes_on_noise, "random_forest"),
        "slope of extra_trees": partial(slopes_on_noise, "extra_trees"),
        "gate": gate_over_decades,
        "rivals": beside_rivals,
        "calibration on the sample": calibration_on_the_sample,
        "calibration on simulated prices": calibration_on_simulated_prices,
    },
    needs={"rivals": "arch"},
    repeats=1,
    # Two standard errors of the figure above what is meant.
    bounds=[
        ("slope of ridge", "shared", 0.068),
        ("slope of random_forest", "shared", 0.094),
        ("slope of extra_trees", "shared", 0.094),
        ("gate", "approved_at_the_margin", 0.07),
        ("rivals", "interval_score_to_garch", 1.0),
        ("calibration on the sample", "farthest_coverage", 0.01),
        ("calibration on simulated prices", "farthest_coverage", 0.01),
    ],
)
