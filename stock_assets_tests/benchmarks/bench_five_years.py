"""Five years walked forward from nothing: what `stock-assets backtest` does over sixty months.

Prices, features, training with default settings, forecasts and scores through the assets, on the
local S3 server and MLflow's database. Three years of prices before the range are fetched, too: the
first month's model wants them.

`bookkeeping` says what no computation can be quicker than: as many partitions through empty assets,
a small Parquet object put for each, and for each month a run, a model and a version by MLflow's own
functions. The computation of 6 tickers has to fit into what is left of its bound.
"""

from io import BytesIO
from pathlib import Path
from typing import Any

from stock_assets_tests.benchmarks.case import Case, Measurement, Ratio, Size, measured
from stock_assets_tests.benchmarks.homes import home_for, newest_months, opened, walked_forward

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


def bookkeeping(folder: Path, size: Size) -> Measurement:
    from stock_assets.asset_keys import Asset
    from stock_assets.planning.lineage import IN_ORDER
    from stock_assets_tests.benchmarks.hollow import walked_hollow

    bars = folder / f"{size['few']}.parquet"
    with opened(home_for(folder, "bookkeeping"), bars, size) as project:
        wanted = newest_months(project, size["months"]).wanted()
        parts = {"dagster": walked_hollow(project, wanted)}
        with measured() as parts["store"]:
            _store_small(project, sum(len(wanted.of(asset)) for asset in IN_ORDER))
        with measured() as parts["mlflow"]:
            _log_plainly(project, len(wanted.of(Asset.TUNED_MODEL)))
    return {
        key: sum(part[key] for part in parts.values()) for key in ("seconds", "cpu_seconds")
    } | {"stages": {name: round(part["seconds"], 2) for name, part in parts.items()}}


def _store_small(project: Any, n_objects: int) -> None:
    """Objects of six rows, as the assets put theirs: several at once, encoded by threads."""
    import polars as pl

    def encoded(rows: pl.DataFrame) -> bytes:
        content = BytesIO()
        rows.write_parquet(content)
        return content.getvalue()

    rows = pl.DataFrame({f"column_{n}": [float(n)] * 6 for n in range(8)})
    project.store.put_encoded({f"small/{n}.parquet": rows for n in range(n_objects)}, encoded)


def _log_plainly(project: Any, n_months: int) -> None:
    """For each month a run, its model and a version of it, by MLflow's own functions."""
    import mlflow
    import pandas as pd
    from sklearn.dummy import DummyRegressor

    example = pd.DataFrame({"x": [0.0, 1.0]})
    model = DummyRegressor(strategy="constant", constant=0.0).fit(example, [0.0, 0.0])
    mlflow.set_tracking_uri(f"sqlite:///{project.settings.home}/plain.db")
    mlflow.create_experiment("plain", artifact_location=str(project.settings.home / "plain"))
    for n in range(n_months):
        with mlflow.start_run(experiment_id=mlflow.get_experiment_by_name("plain").experiment_id):
            mlflow.log_params({f"parameter_{i}": i for i in range(12)})
            mlflow.log_metrics({f"metric_{i}": float(n) for i in range(12)})
            mlflow.sklearn.log_model(
                model,
                name="model",
                pip_requirements=[
                    "scikit-learn",
                    "skops",
                ],  # else MLflow starts a process to find them
                registered_model_name="plain",
                serialization_format="skops",
            )


CASE = Case(
    title="Five years of 120 tickers, and of 6, walked forward from nothing, default settings",
    sizes={
        "full": {"many": 120, "few": 6, "sessions": 2016, "months": MONTHS},
        "tiny": {"many": 4, "few": 3, "sessions": 260, "months": 2, "quick": 1},
    },
    prepare=prepare,
    contenders={"120 tickers": many, "6 tickers": few, "bookkeeping": bookkeeping},
    ratios=[
        Ratio("6 tickers / 120 tickers", "6 tickers", ["120 tickers"]),
        Ratio("6 tickers / bookkeeping", "6 tickers", ["bookkeeping"]),
    ],
    bounds=[("120 tickers", "seconds", 150.0), ("6 tickers", "seconds", 60.0)],
    repeats=1,
)
