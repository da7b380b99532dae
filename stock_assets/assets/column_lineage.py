"""Which upstream columns each column is made of, for whatever reads Dagster's column lineage.

It stands with an asset's definition: it is the same in every partition. A test changes each column
of the bars and looks which features and labels move.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import dagster as dg

from stock_assets.asset_keys import Asset, asset_key
from stock_assets.forecasting.features import FEATURES, MARKET_VARIANCES
from stock_assets.forecasting.intervals import COVERAGES
from stock_assets.forecasting.outlook import OUTLOOK


class MadeOf(NamedTuple):
    """Columns whose whole name matches `columns` are made of these of an upstream asset.

    `sources`: empty for the columns of the same name.
    """

    columns: str
    upstream: str
    sources: Sequence[str] = ()


_GROWTH = ("close", "dividend", "split_ratio")
_RANGES = ("open", "high", "low", *_GROWTH)

FEATURES_OF = (
    MadeOf("ticker|session", Asset.RAW_PRICES),
    MadeOf("close_usd", Asset.RAW_PRICES, ["close"]),
    MadeOf("return_1d", Asset.RAW_PRICES, _GROWTH),
    MadeOf(r"days_\w+", Asset.RAW_PRICES, ["session"]),
    MadeOf("close_location", Asset.RAW_PRICES, ["high", "low", "close"]),
    MadeOf("volume_surprise", Asset.RAW_PRICES, ["volume", "split_ratio"]),
    MadeOf(r"news_\w+|season\w*", Asset.RAW_PRICES, [*_RANGES, "volume"]),
    # All others are in units of volatility, which is one of ranges and overnight moves.
    MadeOf(
        r"(?!ticker|session|close_(usd|loc)|return_1d|days_|volume_|news_|season)\w+",
        Asset.RAW_PRICES,
        _RANGES,
    ),
)

LABELLED_OF = (
    MadeOf("label_session", Asset.FEATURES, ["session"]),
    MadeOf("return_next", Asset.FEATURES, ["return_1d"]),
    MadeOf("label", Asset.FEATURES, ["return_1d", "volatility_1d"]),
    MadeOf("range_variance_next", Asset.FEATURES, ["range_variance_1d"]),
    MadeOf(r"(?!label|return_next|range_variance_next)\w+", Asset.FEATURES),
)

_POINT = ("volatility_1d", *FEATURES)
_LAW = (
    *("session", "volatility_1d", "overnight_return", "intraday_return", "range_ratio"),
    *("volume_surprise", *(name for name in FEATURES if name.startswith("volatility_ratio"))),
    *(*MARKET_VARIANCES, *OUTLOOK),
)
"""What the model of volatility reads."""

FORECASTS_OF = (
    MadeOf("ticker|close_usd|volatility_1d", Asset.FEATURES),
    MadeOf(r"\w+_session", Asset.FEATURES, ["session"]),
    MadeOf("forecast_return", Asset.FEATURES, _POINT),
    MadeOf("forecast_close_usd", Asset.FEATURES, ["close_usd", *_POINT]),
    MadeOf("forecast_volatility", Asset.FEATURES, _LAW),
    MadeOf("quantile_returns", Asset.FEATURES, [*_POINT, *_LAW]),
    MadeOf(r"(lower|upper)_\w+", Asset.FEATURES, ["close_usd", *_POINT, *_LAW]),
    MadeOf("is_fallback|fallback_reason", Asset.FEATURES, ["volatility_1d"]),
)

_REALISED = r"realised_return|error_\w+|covered_\d+|crps|interval_score_\d+|rolling_(rmse|cov)\w+"
SCORES_OF = (
    MadeOf("session", Asset.DAILY_FORECAST, ["target_session"]),
    MadeOf(
        "ticker|as_of_session|model|model_version|is_fallback|forecast_return", Asset.DAILY_FORECAST
    ),
    MadeOf(_REALISED, Asset.RAW_PRICES, _GROWTH),
    MadeOf("error_return|rolling_rmse_return", Asset.DAILY_FORECAST, ["forecast_return"]),
    MadeOf("(error|rolling_rmse)_usd", Asset.DAILY_FORECAST, ["close_usd", "forecast_close_usd"]),
    MadeOf("error_usd_random_walk", Asset.DAILY_FORECAST, ["close_usd"]),
    *(
        MadeOf(rf"\w*cover(ed|age)_{n}", Asset.DAILY_FORECAST, [f"lower_{n}_usd", f"upper_{n}_usd"])
        for n in COVERAGES
    ),
    MadeOf(r"crps|interval_score_\d+", Asset.DAILY_FORECAST, ["close_usd", "quantile_returns"]),
    MadeOf("unscored_reason", Asset.RAW_PRICES, [*_RANGES, "volume"]),
    MadeOf("record|rolling_issued", Asset.DAILY_FORECAST, ["issued_at"]),
    MadeOf("rolling_forecasts", Asset.DAILY_FORECAST, ["target_session"]),
)


def column_lineage(
    dataset: str, columns: Iterable[str], made_of: Iterable[MadeOf]
) -> dg.TableColumnLineage:
    """Of an asset with these columns; a column that no rule names comes from no upstream one."""
    rules = list(made_of)
    return dg.TableColumnLineage(
        {
            column: [
                dg.TableColumnDep(asset_key(dataset, rule.upstream), source)
                for rule in rules
                if re.fullmatch(rule.columns, column)
                for source in dict.fromkeys(rule.sources or (column,))
            ]
            for column in columns
        }
    )
