"""Features of a session: ratios and returns known at that session's close.

All are free of scale and start: a feature is a weighted sum over a fixed number of past bars, so a
later split can't change it and a backfill of ten years gives what the daily run gave. Sums use
explicit weights on purpose: a running sum would carry the start of the range in its last bits.

Range variance after Garman & Klass (1980), "On the Estimation of Security Price Volatilities from
Historical Data", plus the squared overnight return.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from stock_assets.market.plausibility import JUDGING_SESSIONS, judge_bars
from stock_assets.market.sessions import ExchangeCalendar

WINDOW = 63
"""Returns that the longest feature looks back on."""
SLACK = 10
"""Sessions that a ticker may have missed within the window before its features become null."""
HISTORY_SESSIONS = WINDOW + SLACK
"""Sessions before a session whose bars its features are made of."""
BAR_SESSIONS = HISTORY_SESSIONS + JUDGING_SESSIONS
"""Sessions before a session whose bars must be at hand to compute its features: each bar that they
are made of is judged by those before it."""

MOMENTUM_SESSIONS = (5, 10, 20, 60)
EMA_SPANS = (5, 10, 20)
VARIANCE_SPANS = (2, 5, 22)
_VOLATILITY_SPAN = 32  # the decay of 0.94 a day that RiskMetrics (1996) made a habit
_VOLUME_SESSIONS = 20
_VOLATILITY_FLOOR = 1e-4  # a suspended ticker has no range; one basis point keeps ratios finite

FEATURES: tuple[str, ...] = (
    "scaled_return_1d",
    *(f"momentum_{n}" for n in MOMENTUM_SESSIONS),
    *(f"ema_gap_{n}" for n in EMA_SPANS),
    "overnight_return",
    "intraday_return",
    "close_location",
    "range_ratio",
    "volume_surprise",
    *(f"volatility_ratio_{n}" for n in VARIANCE_SPANS),
)
"""What a model sees, in this order. Returns and gaps are in units of `volatility_1d`."""

MARKET_VARIANCES: tuple[str, ...] = tuple(f"market_log_variance_{n}" for n in VARIANCE_SPANS)
"""Mean over the session's tickers of the log of their exponential mean variance: what the market's
volatility is, for volatility forecasts and for tickers without a history of their own."""

FEATURE_SCHEMA: dict[str, pl.DataType] = {
    "ticker": pl.String(),
    "session": pl.Date(),
    "close_usd": pl.Float64(),
    "return_1d": pl.Float64(),
    "volatility_1d": pl.Float64(),
    "range_variance_1d": pl.Float64(),
    **{name: pl.Float64() for name in FEATURES},
    **{name: pl.Float64() for name in MARKET_VARIANCES},
}


def _ema_weights(span: int) -> np.ndarray:
    """Weights of the past WINDOW values, newest last, summing to 1."""
    decay = 1 - 2 / (span + 1)
    weights: np.ndarray = decay ** np.arange(WINDOW)[::-1]
    return np.asarray(weights / weights.sum())


def _ema_gap_weights(span: int) -> np.ndarray:
    """Weights on the past returns that give log price minus its exponential mean."""
    # ln P[t] - sum_j w[j] ln P[t-j] = sum_i r[t-i] * (weight of all prices older than t-i).
    return np.cumsum(_ema_weights(span))[:-1]


def _surprise_weights(sessions: int) -> np.ndarray:
    """Weights on the past changes that give a value minus its plain mean over `sessions`."""
    return np.arange(1, sessions) / sessions


def _weighted_sum(column: str, weights: np.ndarray) -> pl.Expr:
    """Sum of the last len(weights) values of a ticker, newest times the last weight.

    A null in the window makes it null. So does a ticker's start, as its first change is null: hence
    no grouping by ticker.
    """
    return (
        pl.col(column)
        .fill_null(float("nan"))  # weighted windows refuse nulls and pass NaN on
        .rolling_sum(len(weights), weights=weights.tolist(), min_samples=len(weights))
        .fill_nan(None)
    )


def build_features(bars: pl.DataFrame, calendar: ExchangeCalendar) -> pl.DataFrame:
    """Features of every bar.

    Args:
        bars: Rows of BAR_SCHEMA, any order, or what `judge_bars` made of them.
        calendar: The exchange's sessions, to see how many a ticker missed.

    Returns:
        FEATURE_SCHEMA, one row per bar that is neither incoherent nor quarantined, sorted by ticker
        and session. All of FEATURES and `volatility_1d` are null together where fewer than
        WINDOW + 1 such bars lie within the last HISTORY_SESSIONS sessions; MARKET_VARIANCES where
        they are so for all; `return_1d` is null on a ticker's first row. No NaN.

    Raises:
        UnsortedBarsError: Two bars share ticker and session.

    Row t uses bars up to t only, and none from more than BAR_SESSIONS before it.
    """
    judged = bars if "jump_finding" in bars.columns else judge_bars(bars, calendar)
    # After the changes: a quarantined bar has none of its own, and is where the next one starts.
    changes = _changes(judged).filter(pl.col("quarantine_reason").is_null())
    sums = _window_sums(changes)
    return _market(_ratios(sums)).select(pl.col(n).cast(t) for n, t in FEATURE_SCHEMA.items())


def _changes(bars: pl.DataFrame) -> pl.DataFrame:
    """What one session changed: returns, range variance, log volume. Null on a first row."""
    same = pl.col("ticker") == pl.col("ticker").shift(1)
    previous_close = pl.when(same).then(pl.col("close").shift(1))
    # In today's shares: a 2-for-1 split alone must not look like doubled trading. Indices and days
    # without trading have no volume; what can't be compared has not changed.
    volume_ratio = pl.col("volume") / (pl.col("volume").shift(1) * pl.col("split_ratio"))
    volume_change = pl.when(volume_ratio.is_finite() & (volume_ratio > 0)).then(volume_ratio.log())
    intraday = (pl.col("close") / pl.col("open")).log()
    log_range = (pl.col("high") / pl.col("low")).log()
    garman_klass = (0.5 * log_range**2 - (2 * np.log(2) - 1) * intraday**2).clip(lower_bound=0)
    overnight = (
        (pl.col("open") + pl.col("dividend")) * pl.col("split_ratio") / previous_close
    ).log()
    return bars.with_columns(
        return_1d=pl.col("log_growth"),
        overnight=overnight,
        intraday=intraday,
        log_range=log_range,
        volume_change=pl.when(same).then(volume_change.fill_null(0.0)),
        range_variance_1d=overnight**2 + garman_klass,
    )


def _window_sums(changes: pl.DataFrame) -> pl.DataFrame:
    ones = {n: np.ones(n) for n in MOMENTUM_SESSIONS}
    variance = _weighted_sum("range_variance_1d", _ema_weights(_VOLATILITY_SPAN))
    span = pl.col("ordinal") - pl.col("ordinal").shift(WINDOW)
    whole = (span <= HISTORY_SESSIONS) & (pl.col("ticker") == pl.col("ticker").shift(WINDOW))
    return changes.with_columns(
        pl.when(whole.fill_null(False)).then(sums).alias(name)
        for name, sums in (
            ("volatility_1d", variance.sqrt().clip(lower_bound=_VOLATILITY_FLOOR)),
            *((f"sum_{n}", _weighted_sum("return_1d", ones[n])) for n in MOMENTUM_SESSIONS),
            *((f"gap_{n}", _weighted_sum("return_1d", _ema_gap_weights(n))) for n in EMA_SPANS),
            *(
                (f"variance_{n}", _weighted_sum("range_variance_1d", _ema_weights(n)))
                for n in VARIANCE_SPANS
            ),
            (
                "volume_surprise",
                _weighted_sum("volume_change", _surprise_weights(_VOLUME_SESSIONS)),
            ),
        )
    )


def _ratios(sums: pl.DataFrame) -> pl.DataFrame:
    """Everything in units of the ticker's own volatility; null where that is."""
    volatility = pl.col("volatility_1d")
    high_low = pl.col("high") - pl.col("low")
    located = (pl.col("close") - pl.col("low")) / high_low - 0.5
    known = volatility.is_not_null()
    floor_variance = _VOLATILITY_FLOOR**2
    return sums.with_columns(
        close_usd=pl.col("close"),
        scaled_return_1d=pl.col("return_1d") / volatility,
        overnight_return=pl.col("overnight") / volatility,
        intraday_return=pl.col("intraday") / volatility,
        close_location=pl.when(known & (high_low > 0)).then(located).when(known).then(0.0),
        range_ratio=pl.col("log_range") / volatility,
        **{f"momentum_{n}": pl.col(f"sum_{n}") / volatility / n**0.5 for n in MOMENTUM_SESSIONS},
        **{f"ema_gap_{n}": pl.col(f"gap_{n}") / volatility for n in EMA_SPANS},
        **{
            f"volatility_ratio_{n}": (
                pl.col(f"variance_{n}").clip(lower_bound=floor_variance).sqrt() / volatility
            ).log()
            for n in VARIANCE_SPANS
        },
    )


def _market(rows: pl.DataFrame) -> pl.DataFrame:
    """Adds MARKET_VARIANCES; null in a session where no ticker has features."""
    log_variance = {
        name: 2 * (pl.col(f"volatility_ratio_{n}") + pl.col("volatility_1d").log())
        for name, n in zip(MARKET_VARIANCES, VARIANCE_SPANS, strict=True)
    }
    return rows.with_columns(
        value.mean().over("session").alias(name) for name, value in log_variance.items()
    )


def complete_rows(features: pl.DataFrame, names: Sequence[str] = FEATURES) -> pl.DataFrame:
    """The rows in which every feature and the volatility are known."""
    return features.drop_nulls([*names, "volatility_1d"])
