"""Rows of a report for any number of tickers: drawn normal, so that what the page says is known."""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from statistics import NormalDist
from typing import Any

import numpy as np
import polars as pl

from stock_assets.forecasting.evaluation import SCORE_SCHEMA, add_rolling, score_forecasts
from stock_assets.forecasting.forecast_schema import FORECAST_SCHEMA, RECORD_COLUMNS
from stock_assets.forecasting.intervals import COVERAGES, GRID
from stock_assets.forecasting.promotion import ModelVersion
from stock_assets.market.sessions import ExchangeCalendar
from stock_assets.monitoring.episodes import Rules
from stock_assets.monitoring.live_scores import live_scores
from stock_assets.monitoring.thresholds import Measure, Thresholds
from stock_assets.report.rows import About, ReportRows

Z = {c: NormalDist().inv_cdf(0.5 + c / 200) for c in COVERAGES}
QUANTILES = np.array([NormalDist().inv_cdf(level) for level in GRID])
IMPORTANCE = {"feature": pl.String(), "mse_increase": pl.Float64()}


def registered(month: str, version: int | None, **values: Any) -> dict[str, Any]:
    """A value of `registered_version`."""
    return {
        "month": month,
        "version": version,
        "approved": True,
        "reason": "approved: margin +2.00%",
        "intervals_approved": True,
        "intervals_reason": "approved: CRPS -1.20% of the normal law's",
        "trained_through": "2012-08-31",
        "family": "random_walk",
        "mlflow_run_id": "run",
    } | values


def report_rows(
    calendar: ExchangeCalendar,
    tickers: list[str],
    sessions: int = 60,
    width: float = 1.0,
    model: str = "random_walk",
    sigma: float = 0.01,
    edit: Callable[[pl.DataFrame], pl.DataFrame] = lambda forecasts: forecasts,
    edit_bars: Callable[[pl.DataFrame], pl.DataFrame] = lambda bars: bars,
    versions: tuple[ModelVersion, ...] = (),
    months: Mapping[str, Mapping[str, Any]] | None = None,
    limit: float | None = 0.04,
    **about: Any,
) -> ReportRows:
    """Forecasts of no change whose intervals are `width` times those that are right.

    Args:
        calendar: Whose sessions; the newest one is 2013-03-01.
        tickers: Their names.
        sessions: Scored ones; none are no scores at all.
        width: Of the intervals; 1.0 is that of the law of the returns.
        model: Who made the points.
        sigma: Standard deviation of the returns.
        edit: Changes forecasts before they are scored.
        edit_bars: The same of bars.
        versions: Of the registry.
        months: Registered versions.
        limit: The threshold of the rolling RMSE.
        about: Other words about it.
    """
    newest = date(2013, 3, 1)
    every = calendar.between(date(2011, 1, 3), newest)
    draw = np.random.default_rng(1)
    returns = draw.normal(0, sigma, (len(every), len(tickers)))
    closes = 100 * np.exp(returns.cumsum(axis=0))
    bars = edit_bars(_bars(every, tickers, closes))
    shown = every[-sessions:] if sessions else every[-1:]
    as_of = [*every[-sessions - 1 : -1], newest] if sessions else [newest]
    forecasts, grids = _forecasts(calendar, every, as_of, tickers, closes, width * sigma, model)
    forecasts = edit(forecasts)
    scores = pl.DataFrame(schema=SCORE_SCHEMA)
    if sessions:
        with_grids = forecasts.join(grids, on=["ticker", "target_session"])
        over = with_grids.filter(pl.col("target_session") <= newest)
        scores = add_rolling(
            score_forecasts(over.select(*FORECAST_SCHEMA), bars), list(shown), 20
        ).select(*SCORE_SCHEMA)
    words = {
        "dataset": "simulated",
        "made_at": datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
        "horizon": 1,
        "window": 20,
        "newest_due": newest,
        "goes_on": False,
        "sessions": shown,
        "left_out": 0,
        "code_hash": "c0de" * 16,
        "settings_key": "5e77" * 16,
        "command": "stock-assets report",
    }
    flat = {
        "ticker": np.tile(tickers, len(every)),
        "session": np.repeat(np.array(every, dtype="datetime64[D]"), len(tickers)),
        "return_1d": returns.ravel(),
    }
    return ReportRows(
        About(**(words | about)),
        forecasts,
        grids,
        scores,
        bars.filter(pl.col("session") >= every[-max(sessions + 1, 61)]),
        pl.DataFrame(flat),
        months if months is not None else {"2012-09": registered("2012-09", 1)},
        {},
        versions,
        pl.DataFrame(schema=IMPORTANCE),
        {
            one.session: one.readings()
            for one in live_scores(scores, "simulated", list(shown) if sessions else [])
        },
        Thresholds({Measure.RETURN: limit} if limit else {}),
        Rules(5, 20),
    )


def _bars(every: tuple[date, ...], tickers: list[str], closes: np.ndarray) -> pl.DataFrame:
    flat = closes.ravel()
    return pl.DataFrame(
        {
            "ticker": np.tile(tickers, len(every)),
            "session": np.repeat(np.array(every, dtype="datetime64[D]"), len(tickers)),
            **dict.fromkeys(("open", "high", "low", "close"), flat),
            "volume": np.full(flat.shape, 1e6),
            "dividend": np.zeros(flat.shape),
            "split_ratio": np.ones(flat.shape),
        }
    ).with_columns(
        quarantine_reason=pl.lit(None, pl.String()),
        revisions=pl.lit(
            [],
            pl.List(
                pl.Struct(
                    {
                        "column": pl.String(),
                        "from": pl.Float64(),
                        "to": pl.Float64(),
                        "revised_at": pl.Datetime("us", "UTC"),
                    }
                )
            ),
        ),
    )


def _forecasts(
    calendar: ExchangeCalendar,
    every: tuple[date, ...],
    as_of: list[date],
    tickers: list[str],
    closes: np.ndarray,
    scale: float,
    model: str,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    place = {session: n for n, session in enumerate(every)}
    close = closes[[place[session] for session in as_of]].ravel()
    n, k = len(as_of), len(tickers)
    targets = [calendar.next_session(session) for session in as_of]
    frame = pl.DataFrame(
        {
            "ticker": np.tile(tickers, n),
            "as_of_session": np.repeat(np.array(as_of, dtype="datetime64[D]"), k),
            "target_session": np.repeat(np.array(targets, dtype="datetime64[D]"), k),
            "close_usd": close,
            "volatility_1d": np.full(n * k, scale),
            "forecast_volatility": np.full(n * k, scale),
            "forecast_return": np.zeros(n * k),
            "forecast_close_usd": close,
            **{
                f"{side}_{c}_usd": close * np.exp(sign * Z[c] * scale)
                for c in COVERAGES
                for side, sign in (("lower", -1), ("upper", 1))
            },
            "model": np.full(n * k, model),
            "model_version": np.full(n * k, 1),
            "intervals_version": np.full(n * k, 1),
            "trained_through": np.full(n * k, np.datetime64("2012-08-31", "D")),
            "is_fallback": np.full(n * k, False),
        }
    ).with_columns(
        pl.lit(None, FORECAST_SCHEMA[name]).alias(name)
        for name in ("fallback_reason", *RECORD_COLUMNS)
    )
    grids = frame.select("ticker", "target_session").with_columns(
        quantile_returns=pl.lit(list(QUANTILES * scale), pl.List(pl.Float64()))
    )
    return frame, grids
