"""The columns of a forecast; apart from `forecast`, which imports scikit-learn."""

import polars as pl

from stock_assets.forecasting.intervals import COVERAGES

FORECAST_SCHEMA: dict[str, pl.DataType] = {
    "ticker": pl.String(),
    "as_of_session": pl.Date(),
    "target_session": pl.Date(),
    "close_usd": pl.Float64(),
    "volatility_1d": pl.Float64(),
    "forecast_volatility": pl.Float64(),
    "forecast_return": pl.Float64(),
    "forecast_close_usd": pl.Float64(),
    **{
        f"{side}_{coverage}_usd": pl.Float64()
        for coverage in COVERAGES
        for side in ("lower", "upper")
    },
    "quantile_returns": pl.List(pl.Float64()),
    "model": pl.String(),
    "model_version": pl.Int64(),
    "intervals_version": pl.Int64(),
    "trained_through": pl.Date(),
    "is_fallback": pl.Boolean(),
    "fallback_reason": pl.String(),
    "issued_at": pl.Datetime("us", "UTC"),
    "record_number": pl.Int64(),
    "record_hash": pl.String(),
}
"""Columns of a forecast. Prices are in the shares of `as_of_session`: a split or dividend up to
the target session is not known yet. `forecast_volatility` is the unit, of one session, in which
quantiles were scaled. `quantile_returns` are log returns at intervals.GRID.

`forecast_return` is the mean of the log return, corporate actions included. `forecast_close_usd` is
the close times its exponential: the geometric mean of the coming close, which is below its mean and
not exactly its median.

`model`, `model_version` and `trained_through` are the point forecast's. `model` is random_walk
where the version's slope is zero (it found no signal and forecasts no change) and where no version
made the point, which `fallback_reason` then explains. `intervals_version` made volatility,
intervals and quantiles, maybe another version; it is null where they are the normal law's.
`is_fallback`: no version made the point. Volatility, intervals and quantiles are null where
a ticker's history is too short to know them and no version lends it the market's.

`issued_at`: when a session's forecasts were issued, before their target opened; null for hindsight,
as are `record_number`, which counts issued sessions, and `record_hash`; see `record`."""

RECORD_COLUMNS = ("issued_at", "record_number", "record_hash")
FORECAST_LATER = frozenset({"intervals_version", *RECORD_COLUMNS})
"""Columns that the first objects lack: null there."""
