"""Every column of every stored frame is described, in words and with its unit."""

import pytest

from stock_assets.assets.columns import COLUMNS, column_words, columns_of
from stock_assets.forecasting.evaluation import SCORE_SCHEMA
from stock_assets.forecasting.features import FEATURE_SCHEMA
from stock_assets.forecasting.forecast_schema import FORECAST_SCHEMA
from stock_assets.forecasting.splits import LABELLED_SCHEMA
from stock_assets.market.revisions import STORED_SCHEMA

SCHEMAS = (STORED_SCHEMA, FEATURE_SCHEMA, LABELLED_SCHEMA, FORECAST_SCHEMA, SCORE_SCHEMA)


def test_none_is_left_out_and_none_is_described_that_is_not_stored():
    stored = {name for schema in SCHEMAS for name in schema}
    assert all(all(column_words(name)) for name in stored)
    stems = {name.removesuffix("_usd").rstrip("0123456789").rstrip("_") for name in stored}
    assert COLUMNS.keys() <= stored | stems


@pytest.mark.parametrize(
    ("name", "words", "unit"),
    [
        ("momentum_20", "Return of the last 20 sessions.", "in units of volatility_1d"),
        ("lower_95_usd", "Lower end of the 95 % interval.", "currency per share"),
        ("covered_50", "Whether the 50 % interval held the outcome.", "yes or no"),
        (
            "volatility_1d",
            "Volatility of one session, of ranges and overnight moves.",
            "log return",
        ),
    ],
)
def test_a_number_in_a_name_is_in_its_words(name: str, words: str, unit: str):
    assert column_words(name) == (words, unit)


def test_the_page_gets_name_type_words_and_unit():
    schema = columns_of(SCORE_SCHEMA, scores=True)["dagster/column_schema"]
    columns = {column.name: column for column in schema.columns}
    assert list(columns) == list(SCORE_SCHEMA)
    assert (columns["crps"].type, columns["crps"].description) == (
        "Float64",
        "How far the whole law was off; smaller is better. Unit: log return.",
    )
    assert str(columns["session"].description).startswith("Target session")
    with pytest.raises(KeyError):
        column_words("nobody_knows")
