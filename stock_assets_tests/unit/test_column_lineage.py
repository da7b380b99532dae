"""The lineage of columns is what the computation does: whatever moves is declared, and moves."""

import numpy as np
import polars as pl
import pytest

from stock_assets.asset_keys import Asset
from stock_assets.assets.column_lineage import (
    FEATURES_OF,
    FORECASTS_OF,
    LABELLED_OF,
    SCORES_OF,
    column_lineage,
)
from stock_assets.forecasting.evaluation import SCORE_SCHEMA
from stock_assets.forecasting.features import FEATURE_SCHEMA, build_features
from stock_assets.forecasting.forecast_schema import FORECAST_SCHEMA
from stock_assets.forecasting.splits import LABELLED_SCHEMA, labelled_rows
from stock_assets.market.revisions import STORED_SCHEMA
from stock_assets.market.sessions import ExchangeCalendar
from stock_assets_tests.simulated_prices import simulated_bars

MIDDLE = (pl.col("high") + pl.col("low")) / 2
ANOTHER = {
    "open": pl.col("open") + 0.2 * (MIDDLE - pl.col("open")),
    "high": pl.col("high") * 1.001,
    "low": pl.col("low") * 0.999,
    "close": pl.col("close") + 0.2 * (MIDDLE - pl.col("close")),
    "volume": pl.col("volume") * 1.5,
    "dividend": pl.col("close") * 0.001,
    "split_ratio": pl.lit(1.001),
}
"""Other values that are as plausible."""


def declared(schema: dict[str, pl.DataType], rules: tuple, source: str) -> set[str]:
    lineage = column_lineage("sample", schema, rules)
    return {
        column
        for column, deps in lineage.deps_by_column.items()
        if source in [dep.column_name for dep in deps]
    }


def moved(one: pl.DataFrame, other: pl.DataFrame) -> set[str]:
    assert one.height == other.height
    return {name for name in one.columns if not one[name].equals(other[name])}


@pytest.fixture(scope="module")
def bars(xnys: ExchangeCalendar) -> pl.DataFrame:
    return simulated_bars(xnys, "2010-01-04", 500, 5, seed=3)


@pytest.mark.parametrize("column", ANOTHER)
def test_a_column_of_bars_moves_what_is_declared_to_be_made_of_it(
    bars: pl.DataFrame, xnys: ExchangeCalendar, column: str
):
    some = pl.Series(np.random.default_rng(1).random(bars.height) < 0.2)
    changed = bars.with_columns(pl.when(some).then(ANOTHER[column]).otherwise(column).alias(column))
    before, after = (build_features(each, xnys) for each in (bars, changed))
    assert moved(before, after) == declared(FEATURE_SCHEMA, FEATURES_OF, column)


@pytest.mark.parametrize("column", ["return_1d", "range_variance_1d", "volatility_1d", "news_10"])
def test_a_feature_moves_the_labelled_columns_made_of_it(
    bars: pl.DataFrame, xnys: ExchangeCalendar, column: str
):
    features = build_features(bars, xnys)
    changed = features.with_columns(pl.col(column) * 1.01)
    before, after = (labelled_rows(each, xnys, 1) for each in (features, changed))
    assert moved(before, after) == declared(LABELLED_SCHEMA, LABELLED_OF, column)


@pytest.mark.parametrize(
    ("schema", "rules", "without"),
    [
        (FEATURE_SCHEMA, FEATURES_OF, set()),
        (LABELLED_SCHEMA, LABELLED_OF, set()),
        # What a version or the store says, not a column.
        (
            FORECAST_SCHEMA,
            FORECASTS_OF,
            {"model", "model_version", "intervals_version", "trained_through"}
            | {"issued_at", "record_number", "record_hash"},
        ),
        (SCORE_SCHEMA, SCORES_OF, set()),
    ],
)
def test_every_column_comes_from_columns_that_are_stored(
    schema: dict[str, pl.DataType], rules: tuple, without: set[str]
):
    stored = {
        Asset.RAW_PRICES: STORED_SCHEMA,
        Asset.FEATURES: FEATURE_SCHEMA,
        Asset.DAILY_FORECAST: FORECAST_SCHEMA,
    }
    lineage = column_lineage("sample", schema, rules).deps_by_column
    assert {column for column, deps in lineage.items() if not deps} == without
    for deps in lineage.values():
        for dep in deps:
            assert dep.asset_key.path[0] == "sample"
            assert dep.column_name in stored[dep.asset_key.path[1]]
