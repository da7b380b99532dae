"""What the benchmark measures pandas at is the project's own work: the same columns."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from stock_assets.forecasting.features import FEATURE_SCHEMA, build_features
from stock_assets.market.sessions import ExchangeCalendar
from stock_assets_tests.benchmarks.bench_features import pandas_rows
from stock_assets_tests.benchmarks.pandas_features import PandasFeatures, of_each, of_groups
from stock_assets_tests.benchmarks.simulated import simulated_bars

KEYS = ("ticker", "session")
Both = tuple[pl.DataFrame, pd.DataFrame]


@pytest.fixture(scope="module", params=[of_groups, of_each], ids=lambda windows: windows.__name__)
def both(xnys: ExchangeCalendar, request: pytest.FixtureRequest) -> Both:
    """Two years and a half of seven tickers: one is listed a year later, one ends earlier."""
    bars = simulated_bars(7, 640)
    days = bars["session"].unique().sort()
    late = (pl.col("ticker") == "T0003") & (pl.col("session") < days[252])
    gone = (pl.col("ticker") == "T0005") & (pl.col("session") > days[510])
    bars = bars.filter(~late, ~gone)
    theirs = PandasFeatures(pandas_rows(bars), pd.DatetimeIndex(xnys.sessions), request.param)
    return build_features(bars, xnys), theirs.made()


def test_pandas_makes_the_projects_columns(both: Both):
    ours, theirs = both
    assert set(theirs.columns) == set(FEATURE_SCHEMA) - {"ticker", "session"}
    assert len(theirs) == ours.height


@pytest.mark.parametrize("name", [name for name in FEATURE_SCHEMA if name not in KEYS])
def test_pandas_finds_the_projects_values(both: Both, name: str):
    ours, theirs = both
    found = ours[name].cast(pl.Float64).to_numpy()
    assert np.isfinite(found).mean() > 0.4
    # Single precision, in which the outlook is stored, can't agree any better.
    within = 1e-6 if ours.schema[name] == pl.Float32 else 1e-9
    np.testing.assert_allclose(theirs[name], found, rtol=within, atol=within)
