"""Stored forecasts and outcomes to judge others beside: by hand, and of the sample's last weeks."""

import io
import math
from datetime import date
from typing import Any

import polars as pl

from stock_assets.asset_keys import Asset
from stock_assets.forecasting.evaluation import SCORE_SCHEMA
from stock_assets.forecasting.forecast_schema import FORECAST_SCHEMA
from stock_assets.forecasting.intervals import BOUNDS, COVERAGES, normal_quantiles
from stock_assets.market.sessions import load_calendar
from stock_assets.market.sources.sample import sample_bars
from stock_assets.resources.object_store import ObjectStore
from stock_assets.resources.partition_objects import object_path
from stock_assets_tests.conftest import CHECKOUT

D1, D2, D3, D4 = date(2024, 2, 29), date(2024, 3, 1), date(2024, 3, 4), date(2024, 3, 5)
"""A Thursday to a Tuesday: two sessions lie on either side of a weekend."""
MLFORECAST = CHECKOUT / "stock_assets_tests" / "data" / "mlforecast.csv"
"""What mlforecast says of the sample; `make bench CASES=scoring` writes it."""


def own_row(
    ticker: str, as_of: date, target: date, close: float, unit: float, point: float = 0.0
) -> dict[str, Any]:
    """A forecast with a normal law of that width around the point; bounds twice as far away."""
    law = normal_quantiles()
    names = [f"{side}_{coverage}_usd" for coverage in COVERAGES for side in ("lower", "upper")]
    assert len(names) == len(BOUNDS)
    return {
        "ticker": ticker,
        "as_of_session": as_of,
        "target_session": target,
        "close_usd": close,
        "volatility_1d": unit,
        "forecast_volatility": unit,
        "forecast_return": point,
        "forecast_close_usd": close * math.exp(point),
        **{
            name: close * math.exp(point + 2 * unit * bound)
            for name, bound in zip(names, law.bounds, strict=True)
        },
        "quantile_returns": [point + unit * z for z in law.grid],
        "model": "random_walk",
        "is_fallback": False,
    }


def own_forecasts(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame([{n: row.get(n) for n in FORECAST_SCHEMA} for row in rows], FORECAST_SCHEMA)


def outcome(ticker: str, session: date, realised: float | None) -> dict[str, Any]:
    return {
        "ticker": ticker,
        "session": session,
        "realised_return": realised,
        "error_return": realised,
        "error_return_random_walk": realised,
    }


def outcomes(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame([{n: row.get(n) for n in SCORE_SCHEMA} for row in rows], SCORE_SCHEMA)


def store_february(store: ObjectStore) -> pl.DataFrame:
    """Forecasts of the sample's February 2013 and its first of March, and their scores.

    Models as a month has them, without the search and without Dagster or MLflow.

    Returns:
        The scores, of which `backtest` makes its summary.
    """
    from sklearn.linear_model import Ridge

    from stock_assets.forecasting.evaluation import score_forecasts
    from stock_assets.forecasting.features import build_features
    from stock_assets.forecasting.forecast import ServedModel, Serving, forecast_sessions
    from stock_assets.forecasting.intervals import fit_intervals
    from stock_assets.forecasting.model import ShrunkRegressor, feature_matrix
    from stock_assets.forecasting.promotion import ModelVersion
    from stock_assets.forecasting.splits import labelled_rows
    from stock_assets.market.plausibility import judge_bars

    calendar = load_calendar("XNYS")
    bars = sample_bars().filter(pl.col("session") >= date(2011, 1, 3))
    judged = judge_bars(bars, calendar)
    features = build_features(judged, calendar)
    through = date(2013, 1, 30)
    known = labelled_rows(features, calendar).filter(pl.col("label_session") <= through)
    model = ShrunkRegressor(Ridge(100.0), 0.5).fit(
        feature_matrix(known), (known["return_next"] / known["volatility_1d"]).to_numpy()
    )
    version = ModelVersion(through, 1, approved=True, family="ridge")
    served = ServedModel(version, model, fit_intervals(known))
    sessions = calendar.between(date(2013, 1, 31), date(2013, 3, 1))
    targets = {session: calendar.next_session(session) for session in sessions}
    forecasts = forecast_sessions(features, targets, Serving(served, served), calendar)
    over = forecasts.filter(pl.col("target_session") <= sessions[-1])
    scores = score_forecasts(over, judged)
    for asset, rows, by in (
        (Asset.DAILY_FORECAST, forecasts, "as_of_session"),
        (Asset.FORECAST_RMSE, scores.select(*scores.columns, **_missing(scores)), "session"),
    ):
        for (session,), own in rows.group_by(by, maintain_order=True):
            content = io.BytesIO()
            own.write_parquet(content)
            store.put_many({object_path(asset, str(session)): content.getvalue()})
    return scores


def _missing(scores: pl.DataFrame) -> dict[str, pl.Expr]:
    """The rolling columns, which nobody reads here."""
    return {
        name: pl.lit(None, dtype=dtype)
        for name, dtype in SCORE_SCHEMA.items()
        if name not in scores.columns
    }
