"""How cost grows with tickers and with years: verdicts and features, and the chain through Dagster.

The exponent is the slope of a straight line through the CPU seconds of all sizes, on logarithmic
scales. That between the two largest sizes is beside it: what every size pays alike flatters it
least, but it rests on two points, and differs by 0.1 from one run to the next.
"""

import math
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from stock_assets_tests.benchmarks.case import Case, Measurement, Size, measured
from stock_assets_tests.benchmarks.homes import home_for, opened

TICKERS, YEARS, SESSIONS_A_YEAR = (10, 100, 500, 2000), (1, 5, 20), 252


def exponents(sizes: Sequence[int], seconds: Sequence[float]) -> dict[str, float]:
    """The slope through all points, and the exponent between the two largest sizes."""
    points = [(math.log(n), math.log(s)) for n, s in zip(sizes, seconds, strict=True)]
    (before, at), (largest, most) = points[-2:]
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / sum(
        (x - mean_x) ** 2 for x, _ in points
    )
    return {"exponent": slope, "last step": (most - at) / (largest - before)}


def _core(grid: Sequence[tuple[int, int]], axis: int) -> Measurement:
    from stock_assets.forecasting.features import build_features
    from stock_assets.market.plausibility import judge_bars
    from stock_assets_tests.benchmarks.simulated import CALENDAR, simulated_bars

    def work(tickers: int, sessions: int) -> float:
        bars = simulated_bars(tickers, sessions).sort("session", "ticker")
        best = math.inf
        for _ in range(3):
            start = time.process_time()
            build_features(judge_bars(bars, CALENDAR), CALENDAR)
            best = min(best, time.process_time() - start)
        return best

    return _grown(grid, axis, work)


def _grown(
    grid: Sequence[tuple[int, int]], axis: int, work: Callable[[int, int], float]
) -> Measurement:
    work(*grid[0])  # what only the first call pays
    with measured() as result:
        seconds = [work(*point) for point in grid]
    sizes = [point[axis] for point in grid]
    return result | {
        "points": {
            f"{t} tickers x {s} sessions": took for (t, s), took in zip(grid, seconds, strict=True)
        },
        **exponents(sizes, seconds),
    }


def core_by_tickers(_folder: Path, size: Size) -> Measurement:
    part = size["one_in"]
    sessions = 5 * SESSIONS_A_YEAR // part
    return _core([(max(1, n // part), sessions) for n in TICKERS], 0)


def core_by_years(_folder: Path, size: Size) -> Measurement:
    part = size["one_in"]
    # Enough that no size fits the processor's cache: what the smaller ones gain there is no growth.
    tickers = max(1, 500 // part)
    return _core([(tickers, n * SESSIONS_A_YEAR // part) for n in YEARS], 1)


def _chain(folder: Path, grid: Sequence[tuple[int, int]], axis: int, name: str) -> Measurement:
    from stock_assets.automation.jobs import DAILY_JOB
    from stock_assets.backfill.project import run_partitions
    from stock_assets_tests.benchmarks.simulated import simulated_bars

    def work(tickers: int, sessions: int) -> float:
        file = folder / f"{name}.parquet"
        simulated_bars(tickers, sessions).write_parquet(file)
        home = home_for(folder, name)
        size = {"quick": 1}  # a folder as the store: the server's CPU is no process of ours
        with opened(home, file, size) as project:
            keys = project.partitions.sessions.get_partition_keys()
            start = time.process_time()
            for asset in ("raw_prices", "features"):
                per_run = project.settings.sessions_per_run
                run_partitions(project, DAILY_JOB, [asset], keys, keys, per_run)
            took = time.process_time() - start
        shutil.rmtree(home)
        return took

    return _grown(grid, axis, work)


def chain_by_tickers(folder: Path, size: Size) -> Measurement:
    part = size["one_in"]
    grid = [(max(1, n // part), SESSIONS_A_YEAR // part) for n in TICKERS]
    return _chain(folder, grid, 0, "tickers")


def chain_by_years(folder: Path, size: Size) -> Measurement:
    part = size["one_in"]
    grid = [(max(1, 100 // part), n * SESSIONS_A_YEAR // part) for n in YEARS[:2]]
    if part == 1:
        grid.append((100, 10 * SESSIONS_A_YEAR))
    return _chain(folder, grid, 1, "years")


CASES: dict[str, Any] = {
    "core by tickers": core_by_tickers,
    "core by years": core_by_years,
    "chain by tickers": chain_by_tickers,
    "chain by years": chain_by_years,
}
CASE = Case(
    title="CPU against tickers (10, 100, 500, 2,000) and years (1, 5, 20)",
    sizes={"full": {"one_in": 1}, "tiny": {"one_in": 12}},
    contenders=CASES,
    bounds=[
        *((name, "exponent", 1.05) for name in CASES),
        *((name, "last step", None) for name in CASES),
    ],
    repeats=1,
    notes="Verdicts and features in memory at five years (tickers) and 500 tickers (years); the"
    " chain of prices and features through Dagster at one year, and at 1, 5 and 10 years.",
)
