"""Laws of the next return that others would forecast, beside ours, on the same days.

The sample's real stocks. GJR-GARCH(1,1) with a t law (Glosten, Jagannathan & Runkle 1993, "On the
Relation between the Expected Value and the Volatility of the Nominal Excess Return on Stocks";
package `arch`) is fitted to each ticker's returns so far, anew each month, and filtered day by day
in between. The others are those of `forecasting.baselines`. All scores come from the same formulas
over the same quantiles.
"""

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from stock_assets_tests.benchmarks.case import Measurement, Size, measured
from stock_assets_tests.benchmarks.walked import months_between, walk_forward

OURS, GARCH = "ours", "GJR-GARCH(1,1)-t"
LEAST_RETURNS = 500
"""Of a ticker before its first GARCH: of two years, fewer make its likelihood hard to climb."""
_PER_CENT = 100.0  # arch's optimiser wants returns of about one


def beside_rivals(_folder: Path, size: Size) -> Measurement:
    """Mean scores of ours and each rival on the forecasts that all have."""
    from stock_assets.forecasting.baselines import baseline_laws
    from stock_assets.forecasting.features import build_features
    from stock_assets.market.sources.sample import FIRST_SESSION, LAST_SESSION, sample_bars
    from stock_assets_tests.benchmarks.simulated import CALENDAR

    first = date(size["first_year"], 5, 1)
    with measured() as result:
        start = max(FIRST_SESSION, first.replace(year=first.year - 4))
        bars = sample_bars().filter(pl.col("session") >= start)
        own = walk_forward(bars, CALENDAR, first, LAST_SESSION)
        returns = build_features(bars, CALENDAR).select("ticker", "session", "return_1d")
        garch = pl.concat(
            _garch_laws(str(ticker), rows.drop_nulls("return_1d"), first, LAST_SESSION)
            for (ticker,), rows in returns.group_by("ticker", maintain_order=True)
        )
        known = own.drop_nulls(["realised_return", "crps", "interval_score_95"])
        both = (
            known.drop("session")
            .rename({"as_of_session": "session"})
            .join(baseline_laws(returns), on=["ticker", "session"])
            .join(garch, on=["ticker", "session"])
            .drop_nulls("half_width_split_conformal")
        )
        found = _compared(_scores_by_law(both))
    return result | {
        "laws": found,
        "forecasts": both.height,
        "share_compared": both.height / known.height,
        "first": str(both["session"].min()),
        "last": str(both["session"].max()),
        "interval_score_to_garch": found[OURS]["interval_score_95"]
        / found[GARCH]["interval_score_95"],
    }


def _garch_laws(ticker: str, rows: pl.DataFrame, first: date, last: date) -> pl.DataFrame:
    """Centre, width and degrees of freedom of the law that follows each session.

    Returns:
        `ticker, session, centre, width, freedom`, of the sessions of months that have at least
        LEAST_RETURNS before them.
    """
    from arch import arch_model

    sessions = rows["session"].to_list()
    values = _PER_CENT * rows["return_1d"].to_numpy()
    parts = []
    for month, month_end in months_between(first, last):
        start = sum(day < month for day in sessions)
        end = sum(day <= month_end for day in sessions)
        if start < LEAST_RETURNS or end == start:
            continue
        model = arch_model(values[:end], mean="Constant", vol="GARCH", p=1, o=1, q=1, dist="t")
        fitted = model.fit(last_obs=start, disp="off", show_warning=False)
        variance = fitted.forecast(horizon=1, start=start, align="origin").variance.to_numpy()[:, 0]
        parts.append(
            pl.DataFrame(
                {
                    "session": sessions[start:end],
                    "centre": float(fitted.params["mu"]) / _PER_CENT,
                    "width": np.sqrt(variance) / _PER_CENT,
                    "freedom": float(fitted.params["nu"]),
                }
            )
        )
    schema = {"session": pl.Date, **dict.fromkeys(("centre", "width", "freedom"), pl.Float64)}
    laws = pl.concat(parts) if parts else pl.DataFrame(schema=schema)
    return laws.select(pl.lit(ticker).alias("ticker"), pl.all())


def _scores_by_law(rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """`session, interval_score_95, covered_*` and, of a whole law, `crps` of each forecast."""
    from scipy.stats import norm, t

    from stock_assets.forecasting.intervals import BOUNDS, COVERAGES, GRID

    levels = np.array([*GRID, *BOUNDS])
    freedom = rows["freedom"].to_numpy()[:, None]
    # Of variance one, as the law of the fit is.
    student = t.ppf(levels, freedom) * np.sqrt((freedom - 2) / freedom)
    normal = norm.ppf(levels)[None, :]
    laws = {
        GARCH: ("centre", "width", student),
        "EWMA 0.94 normal": ("centre_ewma_normal", "width_ewma_normal", normal),
        "expanding normal": ("centre_expanding_normal", "width_expanding_normal", normal),
    }
    covered = [f"covered_{coverage}" for coverage in COVERAGES]
    found = {OURS: rows.select("session", "crps", "interval_score_95", *covered)}
    for name, (centre, width, standard) in laws.items():
        quantiles = rows[centre].to_numpy()[:, None] + rows[width].to_numpy()[:, None] * standard
        found[name] = _law_scores(rows, quantiles)
    half = rows["half_width_split_conformal"].to_numpy()
    found["split conformal"] = _interval_scores(rows, {95: (-half, half)})
    return found


def _law_scores(rows: pl.DataFrame, quantiles: np.ndarray) -> pl.DataFrame:
    """Of a law with quantiles at GRID, then BOUNDS, shape (n, 56)."""
    from stock_assets.forecasting.evaluation import pinball_crps
    from stock_assets.forecasting.intervals import COVERAGES, GRID

    grid, bounds = quantiles[:, : len(GRID)], quantiles[:, len(GRID) :].T
    pairs = {c: (bounds[2 * n], bounds[2 * n + 1]) for n, c in enumerate(COVERAGES)}
    crps = pinball_crps(grid, rows["realised_return"].to_numpy())
    return _interval_scores(rows, pairs).with_columns(crps=crps)


def _interval_scores(
    rows: pl.DataFrame, bounds: dict[int, tuple[np.ndarray, np.ndarray]]
) -> pl.DataFrame:
    """Of the 95 % interval: its width and forty times what lies beyond it."""
    realised = rows["realised_return"].to_numpy()
    lower, upper = bounds[95]
    beyond = np.maximum(lower - realised, 0) + np.maximum(realised - upper, 0)
    return rows.select(
        "session",
        interval_score_95=upper - lower + 40 * beyond,
        **{f"covered_{c}": (low <= realised) & (realised <= up) for c, (low, up) in bounds.items()},
    )


def _compared(laws: dict[str, pl.DataFrame]) -> dict[str, dict[str, Any]]:
    """Means of each law; `*_t` is Diebold and Mariano's of ours against it, positive if better."""
    from stock_assets.forecasting.long_run_variance import diebold_mariano_t

    daily = {
        name: rows.group_by("session").mean().sort("session").drop("session")
        for name, rows in laws.items()
    }
    found = {}
    for name, rows in laws.items():
        means = {column: rows[column].mean() for column in rows.columns if column != "session"}
        found[name] = means | {
            f"{loss}_t": diebold_mariano_t(
                daily[OURS][loss].to_numpy(), daily[name][loss].to_numpy()
            )
            for loss in ("crps", "interval_score_95")
            if loss in means and name != OURS
        }
    return found
