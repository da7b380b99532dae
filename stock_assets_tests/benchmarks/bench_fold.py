"""One walk-forward fold beside mlforecast with LightGBM: train on three years, forecast a session.

`project` is a month's whole training with default settings: search, slope, test record, intervals,
the model that serves. `reusing` is the same with parameters lent by the month before, as two of
three months are. mlforecast fits LightGBM's defaults on lags and rolling statistics of the returns,
and predicts one step: no search, no test, no intervals.
"""

import os
from pathlib import Path

from stock_assets_tests.benchmarks.case import Case, Measurement, Ratio, Size, measured


def prepare(folder: Path, size: Size) -> None:
    from stock_assets.forecasting.features import build_features
    from stock_assets.forecasting.splits import labelled_rows
    from stock_assets_tests.benchmarks.simulated import CALENDAR, simulated_bars

    features = build_features(simulated_bars(size["tickers"], size["sessions"]), CALENDAR)
    features.write_parquet(folder / "features.parquet")
    labelled_rows(features, CALENDAR).write_parquet(folder / "labelled.parquet")


def _train(folder: Path, size: Size, lent: bool) -> Measurement:
    import polars as pl
    from threadpoolctl import threadpool_limits

    from stock_assets.forecasting.month_training import tuning_budget
    from stock_assets.forecasting.training import train_model
    from stock_assets.resources.model_settings import settings_of_studies
    from stock_assets.settings import Settings
    from stock_assets_tests.benchmarks.homes import QUICK

    settings = Settings(**(QUICK if size.get("quick") else {}))
    rows = pl.read_parquet(folder / "labelled.parquet")
    sessions = rows["session"].unique().sort()
    test_first = sessions[-settings.test_sessions]
    train_last = sessions[-settings.test_sessions - 2]
    budget = tuning_budget(settings_of_studies(settings), jobs=os.cpu_count() or 1)
    train = rows.filter(pl.col("session") <= train_last)
    test = rows.filter(pl.col("session") >= test_first)
    params = train_model(train, test, budget, settings.trees).tuning.params if lent else None
    with measured() as result, threadpool_limits(1, user_api="blas"):  # as `tuned_model` does
        train_model(train, test, budget, settings.trees, params=params)
    return result | {"rows": rows.height}


def project(folder: Path, size: Size) -> Measurement:
    return _train(folder, size, lent=False)


def reusing(folder: Path, size: Size) -> Measurement:
    return _train(folder, size, lent=True)


def mlforecast(folder: Path, _size: Size) -> Measurement:
    import lightgbm as lgb
    import polars as pl
    from mlforecast import MLForecast
    from mlforecast.lag_transforms import ExponentiallyWeightedMean, RollingMean, RollingStd

    features = pl.read_parquet(folder / "features.parquet")
    series = features.select(
        "ticker",
        pl.col("session").rank("dense").cast(pl.Int64).alias("ds"),
        pl.col("return_1d").fill_null(0.0).alias("y"),
    ).rename({"ticker": "unique_id"})
    transforms = [
        *(RollingMean(n) for n in (5, 10, 20, 60)),
        *(RollingStd(n) for n in (5, 10, 20, 60)),
        *(ExponentiallyWeightedMean(2 / (n + 1)) for n in (5, 10, 20)),
    ]
    with measured() as result:
        forecast = MLForecast(
            models={"lightgbm": lgb.LGBMRegressor(verbosity=-1, n_jobs=2)},
            freq=1,
            lags=[1, 2, 3, 4, 5],
            lag_transforms={1: transforms},
            num_threads=2,
        )
        forecast.fit(series.to_pandas(), static_features=[])
        forecast.predict(1)
    return result | {"rows": series.height}


CASE = Case(
    title="A walk-forward fold of 120 tickers and three years",
    sizes={
        "full": {"tickers": 120, "sessions": 830},
        "tiny": {"tickers": 3, "sessions": 220, "quick": 1},
    },
    prepare=prepare,
    contenders={"project": project, "reusing": reusing, "mlforecast": mlforecast},
    needs={"mlforecast": "mlforecast"},
    ratios=[
        Ratio("project with its search / mlforecast with LightGBM", "project", ["mlforecast"]),
        Ratio("project with lent parameters / the same", "reusing", ["mlforecast"]),
    ],
    once=("reusing",),
    repeats=2,
    notes="The project's includes a search (or lent parameters), a test record and intervals.",
)
