"""How often a search believes a model where there is nothing to find.

Each universe is simulated anew: prices with a market that moves all tickers, clustering volatility
and jumps, and no signal. Its features are the project's own, so they overlap and persist as real
ones do. What counts is the search's end: whether the slope of the best trial is above zero.
"""

from functools import partial
from pathlib import Path

from stock_assets_tests.benchmarks.case import Measurement, Size, in_two_processes, measured

TRIALS, FOLDS = 8, 4


def slope_on_noise(seed: int, family: str, tickers: int, sessions: int, trees: int) -> list[float]:
    """Estimate and standard error of the slope that a search of one universe ends with."""
    from stock_assets.forecasting.features import build_features
    from stock_assets.forecasting.splits import labelled_rows
    from stock_assets.forecasting.tuning import TuningBudget, search
    from stock_assets_tests.benchmarks.simulated import CALENDAR
    from stock_assets_tests.simulated_prices import Law, simulated_bars

    law = Law(market_share=0.3)
    bars = simulated_bars(CALENDAR, "2008-01-02", sessions, tickers, seed, law, steps=12)
    rows = labelled_rows(build_features(bars, CALENDAR), CALENDAR)
    # As many trials as a large universe gets: what is tried is whether their number is harmless.
    budget = TuningBudget(
        family, TRIALS, FOLDS, trees, sample_cap=5_000, seed=seed, jobs=1, rows_per_trial=1
    )
    slope = search(rows, budget).slope
    return [slope.estimate, slope.standard_error]


def slopes_on_noise(family: str, _folder: Path, size: Size) -> Measurement:
    """Shares of searches that end with a slope, with a level shared by the trials and without."""
    import numpy as np

    from stock_assets.forecasting.shrinkage import confidence_z

    runs = size[family]
    work = partial(
        slope_on_noise,
        family=family,
        tickers=size["noise_tickers"],
        sessions=size["noise_sessions"],
        trees=size["trees"],
    )
    with measured() as result:
        estimate, error = np.array(in_two_processes(work, range(runs))).T
    shares = {
        name: float(np.mean(estimate > confidence_z(candidates) * error))
        for name, candidates in (("shared", TRIALS), ("unshared", 1))
    }
    errors = {
        f"{name}_error": float(np.sqrt(share * (1 - share) / runs))
        for name, share in shares.items()
    }
    return result | shares | errors | {"runs": runs, "trials": TRIALS}
