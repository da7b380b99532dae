"""Five years walked forward from nothing: what `stock-assets backtest` does over sixty months.

Prices, features, training with default settings, forecasts and scores through the assets, on the
local S3 server and MLflow's database. Three years of prices before the range are fetched, too: the
first month's model wants them.
"""

from pathlib import Path

from stock_assets_tests.benchmarks.case import Case, Measurement, Ratio, Size
from stock_assets_tests.benchmarks.homes import home_for, opened, walked_forward

MONTHS = 60


def prepare(folder: Path, size: Size) -> None:
    from stock_assets_tests.benchmarks.simulated import simulated_bars

    for tickers in (size["many"], size["few"]):
        bars = simulated_bars(tickers, size["sessions"])
        bars.write_parquet(folder / f"{tickers}.parquet")


def _walk(folder: Path, size: Size, tickers: int) -> Measurement:
    with opened(home_for(folder, "home"), folder / f"{tickers}.parquet", size) as project:
        return walked_forward(project, size["months"])


def many(folder: Path, size: Size) -> Measurement:
    return _walk(folder, size, size["many"])


def few(folder: Path, size: Size) -> Measurement:
    return _walk(folder, size, size["few"])


CASE = Case(
    title="Five years of 120 tickers, and of 6, walked forward from nothing, default settings",
    sizes={
        "full": {"many": 120, "few": 6, "sessions": 2016, "months": MONTHS},
        "tiny": {"many": 4, "few": 3, "sessions": 260, "months": 2, "quick": 1},
    },
    prepare=prepare,
    contenders={"120 tickers": many, "6 tickers": few},
    ratios=[Ratio("6 tickers / 120 tickers", "6 tickers", ["120 tickers"])],
    bounds=[("120 tickers", "seconds", 150.0), ("6 tickers", "seconds", 60.0)],
    repeats=1,
)
