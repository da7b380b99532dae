"""Judging bars and building features, beside pandas making the same columns, and two libraries.

`judging` reads bars, `project` what it found; together they are what a session costs. Both pandas
contenders make all 43 columns of the project from the judged bars, and a test finds the same values
to nine digits (six where the project stores single precision): see `pandas_features`. They judge
nothing, and need not see to missed sessions, quarantined bars or members that come and go. `pandas
groupby` makes a ticker's windows as pandas' guide does, `groupby(…).rolling(…)`; `pandas transform`
by a function of each ticker's values, which is faster and seldom seen.

`polars` and `mlforecast` make fewer columns, 23 of about the same kind and no outlook, with their
library's own moving sums and exponential means. Those remember their whole past: less than the
project promises, and faster for them.
"""

from functools import partial
from pathlib import Path
from typing import Any

from stock_assets_tests.benchmarks.case import Case, Measurement, Ratio, Size, measured

MOMENTUM, EMA, VARIANCE = (5, 10, 20, 60), (5, 10, 20), (2, 5, 22)
COLUMNS = 43
"""Of the project and of pandas: 16 features, volatility, return, range variance, close, the
market's three variances and the twenty of the outlook."""


def prepare(folder: Path, size: Size) -> None:
    from stock_assets.market.plausibility import judge_bars
    from stock_assets_tests.benchmarks.simulated import CALENDAR, simulated_bars

    bars = simulated_bars(size["tickers"], size["sessions"])
    _write(bars.sort("session", "ticker"), folder / "bars.parquet")
    _write(judge_bars(bars, CALENDAR), folder / "judged.parquet")


def _write(rows: Any, file: Path) -> None:
    # One row group: read back in one piece, as a sort leaves it.
    rows.write_parquet(file, row_group_size=rows.height, compression="lz4")


def _read(file: Path) -> Any:
    import polars as pl

    rows = pl.read_parquet(file, parallel="none", low_memory=True)
    assert rows.n_chunks() == 1
    return rows


def project(folder: Path, _size: Size) -> Measurement:

    from stock_assets.forecasting.features import FEATURE_SCHEMA, build_features
    from stock_assets_tests.benchmarks.simulated import CALENDAR

    assert len(FEATURE_SCHEMA) - 2 == COLUMNS
    judged = _read(folder / "judged.parquet")
    with measured() as result:
        features = build_features(judged, CALENDAR)
    return result | {"rows": features.height, "columns": features.width - 2}


def judging(folder: Path, _size: Size) -> Measurement:

    from stock_assets.market.plausibility import judge_bars
    from stock_assets_tests.benchmarks.simulated import CALENDAR

    bars = _read(folder / "bars.parquet")
    with measured() as result:
        judged = judge_bars(bars, CALENDAR)
    return result | {"rows": judged.height, "columns": judged.width - bars.width}


def plain_polars(folder: Path, _size: Size) -> Measurement:
    import polars as pl

    bars = _read(folder / "judged.parquet")
    c = pl.col
    with measured() as result:
        previous = c("close").shift(1).over("ticker")
        growth = (c("close") + c("dividend")) * c("split_ratio") / previous
        rows = bars.with_columns(
            log_close=c("close").log(),
            return_1d=growth.log(),
            overnight=((c("open") + c("dividend")) * c("split_ratio") / previous).log(),
            intraday=(c("close") / c("open")).log(),
            log_range=(c("high") / c("low")).log(),
            log_volume=c("volume").log(),
        ).with_columns(
            range_variance=c("overnight") ** 2
            + (0.5 * c("log_range") ** 2 - 0.386 * c("intraday") ** 2).clip(0)
        )
        rows = rows.with_columns(
            volatility=c("range_variance").ewm_mean(span=32).over("ticker").sqrt(),
            **{f"sum_{n}": c("return_1d").rolling_sum(n).over("ticker") for n in MOMENTUM},
            **{
                f"gap_{n}": c("log_close") - c("log_close").ewm_mean(span=n).over("ticker")
                for n in EMA
            },
            **{
                f"variance_{n}": c("range_variance").ewm_mean(span=n).over("ticker")
                for n in VARIANCE
            },
            surprise=c("log_volume") - c("log_volume").rolling_mean(20).over("ticker"),
        ).with_columns(
            *(
                (c(name) / c("volatility")).alias(f"scaled_{name}")
                for name in ("return_1d", "overnight", "intraday", "log_range")
            ),
            *(c(f"sum_{n}") / c("volatility") / n**0.5 for n in MOMENTUM),
            *(c(f"gap_{n}") / c("volatility") for n in EMA),
            *(
                (c(f"variance_{n}").sqrt() / c("volatility")).log().alias(f"ratio_{n}")
                for n in VARIANCE
            ),
            located=(c("close") - c("low")) / (c("high") - c("low")) - 0.5,
        )
        rows = rows.with_columns(
            c(f"variance_{n}").log().mean().over("session").alias(f"market_{n}") for n in VARIANCE
        ).select("ticker", "session", *_kept())
    return result | {"rows": rows.height, "columns": rows.width - 2}


def _kept() -> tuple[str, ...]:
    return (
        *("close", "return_1d", "volatility", "range_variance", "surprise", "located"),
        *(f"scaled_{name}" for name in ("return_1d", "overnight", "intraday", "log_range")),
        *(f"sum_{n}" for n in MOMENTUM),
        *(f"gap_{n}" for n in EMA),
        *(f"{what}_{n}" for what in ("ratio", "market") for n in VARIANCE),
    )


def pandas_rows(bars: Any) -> Any:
    """Bars as the rival wants them: tickers a category, sessions in its own dates."""
    import pandas as pd
    import polars as pl

    given = ("open", "high", "low", "close", "volume", "dividend", "split_ratio")
    rows = pd.DataFrame({name: bars[name].to_numpy() for name in given})
    rows["ticker"] = pd.Categorical(bars["ticker"].to_list())
    rows["session"] = bars["session"].cast(pl.Datetime("ns")).to_numpy()
    return rows


def pandas(windows: str, folder: Path, _size: Size) -> Measurement:
    import pandas as pd

    from stock_assets_tests.benchmarks import pandas_features
    from stock_assets_tests.benchmarks.simulated import CALENDAR

    bars = _read(folder / "judged.parquet")
    rows, days = pandas_rows(bars), pd.DatetimeIndex(CALENDAR.sessions)
    del bars
    with measured() as result:
        made = pandas_features.PandasFeatures(rows, days, getattr(pandas_features, windows)).made()
    assert made.shape[1] == COLUMNS
    return result | {"rows": len(made), "columns": made.shape[1]}


def mlforecast_preprocess(folder: Path, _size: Size) -> Measurement:
    import polars as pl
    from mlforecast import MLForecast
    from mlforecast.lag_transforms import (
        ExponentiallyWeightedMean,
        RollingMax,
        RollingMean,
        RollingMin,
        RollingStd,
    )

    bars = _read(folder / "judged.parquet")
    series = bars.select(
        unique_id="ticker", ds="ordinal", y=pl.col("log_growth").fill_null(0.0)
    ).to_pandas()
    del bars
    transforms = [
        *(RollingMean(n) for n in (5, 10, 20, 60)),
        *(RollingStd(n) for n in (5, 10, 20, 60)),
        *(RollingMin(n) for n in (20, 60)),
        *(RollingMax(n) for n in (20, 60)),
        *(ExponentiallyWeightedMean(2 / (n + 1)) for n in (2, 5, 10, 20, 22, 32)),
    ]
    forecast = MLForecast(
        models=[], freq=1, lags=[1, 2, 3, 4, 5], lag_transforms={1: transforms}, num_threads=2
    )
    with measured() as result:
        made = forecast.preprocess(series, static_features=[])
    return result | {"rows": len(made), "columns": made.shape[1] - 3}


CASE = Case(
    title="Feature building: 459 tickers x 5,230 sessions (2.4 M rows), 43 columns",
    sizes={
        "full": {"tickers": 459, "sessions": 5230},
        "tiny": {"tickers": 3, "sessions": 200},
    },
    prepare=prepare,
    contenders={
        "project": project,
        "judging": judging,
        "pandas groupby": partial(pandas, "of_groups"),
        "pandas transform": partial(pandas, "of_each"),
        "polars": plain_polars,
        "mlforecast": mlforecast_preprocess,
    },
    needs={"mlforecast": "mlforecast"},
    ratios=[
        Ratio("pandas groupby / project", "pandas groupby", ["project"], at_least=6),
        Ratio("mlforecast's preprocess / project", "mlforecast", ["project"], at_least=1),
        Ratio("polars / project", "polars", ["project"]),
        Ratio(
            "pandas groupby / (judging + project)",
            "pandas groupby",
            ["judging", "project"],
            at_least=6,
        ),
        Ratio("pandas transform / (judging + project)", "pandas transform", ["judging", "project"]),
        Ratio("mlforecast / (judging + project)", "mlforecast", ["judging", "project"]),
    ],
    bounds=[("project", "peak_mb", 1024.0), ("judging", "peak_mb", 1024.0)],
    notes="pandas makes the same 43 columns, and a test compares the values: `pandas groupby` by"
    " `groupby(…).rolling(…)`, `pandas transform` by a function of each ticker, which is faster."
    " `polars` and `mlforecast` make 23 columns and no outlook. `judging` looks for splits that"
    " nobody recorded and the like, which no rival does.",
)
