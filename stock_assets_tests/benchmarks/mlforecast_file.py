"""A file of forecasts as users of mlforecast have it; docs/score.md shows this function."""

import polars as pl


def forecasts_of_mlforecast(features: pl.DataFrame, targets: int) -> pl.DataFrame:
    """Log returns of the newest sessions, one ahead, with 50, 80 and 95 % intervals."""
    import lightgbm as lgb
    from mlforecast import MLForecast
    from mlforecast.lag_transforms import RollingMean, RollingStd
    from mlforecast.utils import PredictionIntervals

    sessions = features["session"].unique().sort()
    number = {session: n for n, session in enumerate(sessions)}
    series = features.drop_nulls("return_1d").select(
        unique_id="ticker",
        # Sessions have holidays in between; their numbers have not.
        ds=pl.col("session").replace_strict(number, return_dtype=pl.Int64),
        y="return_1d",
    )
    forecast = MLForecast(
        models={"LightGBM": lgb.LGBMRegressor(n_estimators=50, learning_rate=0.03, verbosity=-1)},
        freq=1,
        lags=[1, 2, 3, 4, 5],
        lag_transforms={1: [RollingStd(5), RollingStd(20), RollingMean(20)]},
    )
    found = forecast.cross_validation(
        series.sort("unique_id", "ds"),
        n_windows=targets,
        h=1,
        refit=21,
        static_features=[],
        prediction_intervals=PredictionIntervals(n_windows=50, h=1),
        level=[50, 80, 95],
    )
    dates = dict(enumerate(sessions))
    return found.drop("y").with_columns(
        pl.col("ds", "cutoff").replace_strict(dates, return_dtype=pl.Date)
    )
