"""Features of a session: ratios and returns known at that session's close.

All are free of scale and start: a feature is a weighted sum over a fixed number of past bars, so a
later split can't change it and a backfill of ten years gives what the daily run gave. Sums are
those of `market.windows` on purpose: a running sum would carry the start of the range in its last
bits.

Other packages add features by entry points of the group `stock_assets.features`: each a function of
one ticker's bars, see `added_columns`.

Range variance after Garman & Klass (1980), "On the Estimation of Security Price Volatilities from
Historical Data", plus the squared overnight return.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from stock_assets.errors import AddedFeatureError
from stock_assets.extensions import FEATURES_GROUP, installed, loaded, names_of
from stock_assets.forecasting.outlook import (
    OUTLOOK,
    OUTLOOK_SESSIONS,
    SHARES,
    next_session_columns,
    outlook_columns,
    share_logs,
)
from stock_assets.forecasting.panel import Panel
from stock_assets.market.bars import BAR_SCHEMA
from stock_assets.market.membership import Membership, are_members
from stock_assets.market.plausibility import JUDGING_SESSIONS, judge_bars
from stock_assets.market.sessions import ExchangeCalendar
from stock_assets.market.windows import Values, decaying_sums, in_blocks, ramp_sums

WINDOW = 63
"""Returns that the longest feature looks back on."""
SLACK = 10
"""Sessions that a ticker may have missed within the window before its features become null."""
HISTORY_SESSIONS = WINDOW + SLACK
"""Sessions before a session whose bars FEATURES are made of."""
BAR_SESSIONS = OUTLOOK_SESSIONS + HISTORY_SESSIONS + JUDGING_SESSIONS
"""Sessions before a session whose bars must be at hand to compute its row: the outlook looks at
earlier rows, these at the bars before them, and each bar is judged by those before it."""

MOMENTUM_SESSIONS = (5, 10, 20, 60)
EMA_SPANS = (5, 10, 20)
VARIANCE_SPANS = (2, 5, 22)
_VOLATILITY_SPAN = 32  # the decay of 0.94 a day that RiskMetrics (1996) made a habit
_VOLUME_SESSIONS = 20
_VOLATILITY_FLOOR = 1e-4  # a suspended ticker has no range; one basis point keeps ratios finite

_FEATURES: tuple[str, ...] = (
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

MARKET_VARIANCES: tuple[str, ...] = tuple(f"market_log_variance_{n}" for n in VARIANCE_SPANS)
"""Mean over the session's tickers of the log of their exponential mean variance, each no farther
than MOST_APART from the median: what the market's volatility is, for volatility forecasts and for
tickers without a history of their own."""
MOST_APART = 3.0
"""Of a ticker's log variance from the session's median: twenty times the variance or a twentieth.
Beyond it a bar that is hardly a bar (a price that does not move, a wild one) would count for more
than one ticker; a share's log variance is seldom 2 away."""

_BEFORE_FEATURES: dict[str, pl.DataType] = {
    "ticker": pl.String(),
    "session": pl.Date(),
    "close_usd": pl.Float64(),
    "return_1d": pl.Float64(),
    "volatility_1d": pl.Float64(),
    "range_variance_1d": pl.Float64(),
}
_TAKEN = (*_BEFORE_FEATURES, *_FEATURES, *MARKET_VARIANCES, *OUTLOOK)
ADDED: tuple[str, ...] = names_of(FEATURES_GROUP, _TAKEN)
"""Features of other packages that are installed."""
FEATURES: tuple[str, ...] = (*_FEATURES, *ADDED)
"""What a model sees, in this order. Returns and gaps are in units of `volatility_1d`."""

FEATURE_SCHEMA: dict[str, pl.DataType] = {
    **_BEFORE_FEATURES,
    **{name: pl.Float64() for name in FEATURES},
    **{name: pl.Float64() for name in MARKET_VARIANCES},
    **OUTLOOK,
}

FEATURE_LATER = frozenset((*OUTLOOK, *ADDED))
"""Columns that the first objects lack: null there."""


def build_features(
    bars: pl.DataFrame, calendar: ExchangeCalendar, membership: Membership | None = None
) -> pl.DataFrame:
    """Features of every bar.

    Args:
        bars: Rows of BAR_SCHEMA, any order, or what `judge_bars` made of them.
        calendar: The exchange's sessions, to see how many a ticker missed.
        membership: Who has a row in which session, and is part of the market; a new member's row
            is made of its bars from before too. None: everyone.

    Returns:
        FEATURE_SCHEMA, one row per bar that `judge_bars` gives no reason against, sorted by ticker
        and session. All of FEATURES and `volatility_1d` are null together where fewer than
        WINDOW + 1 such bars lie within the last HISTORY_SESSIONS sessions; MARKET_VARIANCES where
        they are so for all; OUTLOOK where FEATURES are, and where it is not known; `return_1d` and
        `range_variance_1d` on a ticker's first row and after LONGEST_GAP sessions without a bar.
        Where it missed fewer, `return_1d` spans them, and counts in variances and features as that
        of an average one of them. No NaN.

    Raises:
        UnsortedBarsError: Two bars share ticker and session.
        AddedFeatureError: A feature of another package is not what it has to be.

    Row t uses bars up to t only, and none from more than BAR_SESSIONS before it.
    """
    judged = bars if "confirmed" in bars.columns else judge_bars(bars, calendar)
    # After the changes: a quarantined bar has none of its own, and is where the next one starts.
    # A confirmed one is in the windows of later rows, but has no row: it was doubted on its day.
    # Eagerly: where nothing is quarantined, nothing is copied.
    is_row = pl.col("quarantine_reason").is_null()
    if membership is not None:
        is_row &= pl.lit(are_members(judged, membership))
    rows = (
        judged.select(
            *_GIVEN,
            "ordinal",
            is_usable=pl.col("quarantine_reason").is_null() | pl.col("confirmed"),
            is_row=is_row,
            volume_ratio=pl.Series(_volume_ratios(judged)),
            # Of a first row it is not known, and no window needs it.
            spanned=pl.col("spanned").fill_null(1),
        )
        .filter(pl.col("is_usable"))
        .with_columns(whole=_has_whole_window())
        .with_columns(known=pl.col("whole") & pl.col("is_row"))
        .rechunk()
    )
    # Like the medians below, before memory is full of columns.
    next_session = next_session_columns(rows["ordinal"], calendar)
    columns, log_variances = _computed(rows)
    rows = rows.drop("open", "high", "low", "dividend", "volume_ratio", "spanned")
    panel = Panel.of(rows)
    medians = panel.medians(list(log_variances.values()))
    columns |= _added(judged, rows, columns, panel)
    columns |= _outlook(panel, rows["whole"].to_numpy(), columns, log_variances, calendar)
    del columns["one_return"]
    found = rows.select(
        "is_row",
        "ticker",
        "session",
        pl.col("close").alias("close_usd"),
        pl.col("log_growth").alias("return_1d"),
        pl.Series("range_variance_1d", columns.pop("range_variance_1d"), nan_to_null=True),
        *_null_where_unknown(columns, np.flatnonzero(~panel.known)),
        *_market_means(panel, log_variances, medians),
        *next_session,
    )
    if not rows["is_row"].all():
        found = found.filter("is_row")
    return found.select(pl.col(n).cast(t) for n, t in FEATURE_SCHEMA.items())


def _added(
    judged: pl.DataFrame, rows: pl.DataFrame, columns: Mapping[str, Any], panel: Panel
) -> dict[str, Any]:
    """The columns ADDED of some rows, from the judged bars that they are of."""
    if not ADDED:
        return {}
    bars = judged.filter(pl.col("quarantine_reason").is_null() | pl.col("confirmed"))
    made = added_columns(
        bars.select(
            *BAR_SCHEMA,
            pl.col("log_growth").alias("return_1d"),
            pl.Series("range_variance_1d", columns["range_variance_1d"], nan_to_null=True),
            volatility_1d=pl.when(rows["whole"]).then(
                pl.Series(columns["volatility_1d"], nan_to_null=True)
            ),
        )
    )
    for name, values in made.items():
        if len(wrong := np.flatnonzero(panel.known & ~np.isfinite(values))):
            ticker, session = rows.row(int(wrong[0]))[:2]
            raise AddedFeatureError(
                f"{installed(FEATURES_GROUP)[name].value} gives {name} of {ticker} on {session} as"
                f" {values[wrong[0]]}: it has to be a finite number wherever volatility_1d is one"
            )
    return made


def added_columns(bars: pl.DataFrame) -> dict[str, Values]:
    """The features of other packages, by name; each is asked for one ticker at a time.

    Args:
        bars: BAR_SCHEMA, `return_1d`, `range_variance_1d` and `volatility_1d`, of usable bars
            sorted by ticker and session.

    Raises:
        AddedFeatureError: A function does not give one number a bar.
    """
    columns = {name: np.full(bars.height, np.nan) for name in ADDED}
    at = 0
    for own in bars.partition_by("ticker", maintain_order=True):
        for name, column in columns.items():
            made = loaded(FEATURES_GROUP, name)(own)
            if not isinstance(made, pl.Series) or len(made) != own.height:
                raise AddedFeatureError(
                    f"{installed(FEATURES_GROUP)[name].value} does not give {name} as a Series of"
                    f" one value a bar ({own.height} of {own['ticker'][0]})"
                )
            column[at : at + own.height] = made.cast(pl.Float64).to_numpy()
        at += own.height
    return columns


def _null_where_unknown(columns: dict[str, Any], unknown: NDArray[np.int64]) -> Iterator[pl.Series]:
    """Takes the columns one by one, so that of 2.4 M rows there are never two copies.

    `unknown`: the rows.
    """
    for name in list(columns):
        values = columns.pop(name)
        values[unknown] = np.nan
        yield pl.Series(name, values, nan_to_null=True)


def _outlook(
    panel: Panel,
    whole: NDArray[np.bool_],
    columns: Mapping[str, Values],
    log_variances: Mapping[int, Values],
    calendar: ExchangeCalendar,
) -> dict[str, Any]:
    """What of OUTLOOK is made of the rows of other sessions and tickers."""
    moves = {
        "one_return": columns["one_return"],
        "variance": columns["range_variance_1d"],
        "volatility": columns["volatility_1d"],
        "log_variance": log_variances[VARIANCE_SPANS[-1]],
        "volume": columns["volume_surprise"],
    }
    return outlook_columns(panel, whole, moves, calendar)


_PRICED = ("open", "high", "low", "close", "dividend")
_GIVEN = ("ticker", "session", *_PRICED, "log_growth")


def _volume_ratios(bars: pl.DataFrame) -> Values:
    """Volume over the one before, in today's shares: a split must not look like more trading."""
    volume, split = (bars[name].to_numpy() for name in ("volume", "split_ratio"))
    follows = bars.select((pl.col("ticker") == pl.col("ticker").shift(1)).fill_null(False))
    same = follows.to_series().to_numpy()
    ratios = np.ones(bars.height)

    def block(first: int, last: int) -> None:
        now, before = slice(max(first, 1), last), slice(max(first, 1) - 1, last - 1)
        ratio = volume[now] / (volume[before] * split[now])
        # Indices and days without trading have no volume; what can't be compared has not changed.
        np.copyto(ratios[now], ratio, where=same[now] & np.isfinite(ratio) & (ratio > 0))

    in_blocks(block, 0, bars.height)
    return ratios


def _has_whole_window() -> pl.Expr:
    """Whether the WINDOW + 1 bars up to a row are its ticker's, and young enough."""
    span = pl.col("ordinal") - pl.col("ordinal").shift(WINDOW)
    whole = (span <= HISTORY_SESSIONS) & (pl.col("ticker") == pl.col("ticker").shift(WINDOW))
    return whole.fill_null(False)


def _computed(rows: pl.DataFrame) -> tuple[dict[str, Any], dict[int, Values]]:
    """`range_variance_1d`, `one_return`; `volatility_1d`, FEATURES and SHARES; and the logs of the
    mean variances.

    All but the first two are right where a row's window is whole, else without meaning: hence no
    grouping by ticker. In blocks, so that what is between bars and features never leaves the
    caches.
    """
    inputs = (*_PRICED, "log_growth", "volume_ratio", "spanned")
    given = {name: rows[name].to_numpy() for name in inputs}
    columns = {name: _unknown_at_first(rows.height) for name in ("volatility_1d", *FEATURES)}
    columns |= {name: _unknown_at_first(rows.height, np.float32) for name in SHARES}
    log_variances = {n: _unknown_at_first(rows.height) for n in VARIANCE_SPANS}
    changed = {name: np.empty(rows.height) for name in ("range_variance_1d", "one_return")}

    def block(first: int, last: int) -> None:
        lead = max(0, first - WINDOW + 1)
        changes = _changes({name: values[lead:last] for name, values in given.items()})
        for name, values in changed.items():
            values[first:last] = changes[name][first - lead :]
        if last < WINDOW:
            return
        features, variances = _features_of(changes)
        at = slice(lead + WINDOW - 1, last)
        for name, values in features.items():
            columns[name][at] = values
        for n, values in variances.items():
            log_variances[n][at] = values

    in_blocks(block, 0, rows.height)
    return columns | changed, log_variances


def _unknown_at_first(n_rows: int, dtype: type = np.float64) -> NDArray[Any]:
    """A column of which only the rows that no window reaches are set: to NaN."""
    column: NDArray[Any] = np.empty(n_rows, dtype)
    column[: WINDOW - 1] = np.nan
    return column


def _changes(rows: Mapping[str, Any]) -> dict[str, Values]:
    """What one session changed: returns, range variance, log volume. NaN on a first row."""
    opened, close = rows["open"], rows["close"]
    intraday = np.log(close / opened)
    log_range = np.log(rows["high"] / rows["low"])
    garman_klass = np.maximum(0.5 * log_range**2 - (2 * np.log(2) - 1) * intraday**2, 0)
    # The same as from the close before, which may be quarantined, to the open.
    paid = rows["dividend"]
    overnight = rows["log_growth"] + np.log((opened + paid) / (close + paid))
    # A return over several sessions is what each of them moved, times the root of their number.
    per_session = _roots(rows["spanned"])
    return {
        **rows,
        "one_return": rows["log_growth"] * per_session,
        "overnight": overnight * per_session,
        "intraday": intraday,
        "log_range": log_range,
        "log_volume": np.log(rows["volume_ratio"]),
        "range_variance_1d": (overnight * per_session) ** 2 + garman_klass,
    }


def _roots(spanned: NDArray[np.int64]) -> Values:
    """Of one over the sessions that returns span, nearly all one: a power is dear."""
    roots = np.ones(len(spanned))
    several = np.flatnonzero(spanned != 1)
    roots[several] = spanned[several] ** -0.5
    return roots


def _mean(values: Values, span: int) -> Values:
    """Exponential mean of the past WINDOW values; shape (n - WINDOW + 1,)."""
    decay = 1 - 2 / (span + 1)
    weight: float = (1 - decay) / (1 - decay**WINDOW)
    return weight * decaying_sums(values, decay, WINDOW)


def _gap(returns: Values, span: int, plain: Values) -> Values:
    """Log price minus the exponential mean of the past WINDOW ones; shape (n - WINDOW + 2,).

    `plain`: sums of WINDOW - 1 returns.
    """
    # ln P[t] - sum_j w[j] ln P[t-j] = sum_i r[t-i] * (weight of all prices older than t-i), and
    # that weight is (decay**(i + 1) - decay**WINDOW) / (1 - decay**WINDOW).
    decay = 1 - 2 / (span + 1)
    rest = decay**WINDOW
    sums = decay * decaying_sums(returns, decay, WINDOW - 1)
    gap: Values = (sums - rest * plain) / (1 - rest)
    return gap


def _features_of(rows: Mapping[str, Values]) -> tuple[dict[str, Values], dict[int, Values]]:
    """Features of all rows but the first WINDOW - 1, and the logs of their mean variances.

    Everything is in units of the ticker's own volatility.
    """
    now = {name: values[WINDOW - 1 :] for name, values in rows.items()}
    size = len(now["close"])
    returns, variance = rows["log_growth"], rows["range_variance_1d"]
    volatility = np.maximum(np.sqrt(_mean(variance, _VOLATILITY_SPAN)), _VOLATILITY_FLOOR)
    per_volatility = 1 / volatility
    high_low = now["high"] - now["low"]
    located = (now["close"] - now["low"]) / high_low - 0.5
    located[~(high_low > 0)] = 0.0
    log_variances = {
        n: np.log(np.maximum(_mean(variance, n), _VOLATILITY_FLOOR**2)) for n in VARIANCE_SPANS
    }
    log_volatility, slowest = np.log(volatility), VARIANCE_SPANS[-1]
    slow_variance = np.exp(log_variances[slowest])
    made: dict[tuple[float, int], Values] = {}
    momenta = {
        f"momentum_{n}": decaying_sums(returns, 1, n, made)[-size:] * per_volatility * n**-0.5
        for n in MOMENTUM_SESSIONS
    }
    plain = decaying_sums(returns, 1, WINDOW - 1, made)
    gaps = {f"ema_gap_{n}": _gap(returns, n, plain)[-size:] * per_volatility for n in EMA_SPANS}
    volumes = rows["log_volume"][-size - _VOLUME_SESSIONS + 2 :]
    features = {
        "volatility_1d": volatility,
        "scaled_return_1d": now["one_return"] * per_volatility,
        **momenta,
        **gaps,
        "overnight_return": now["overnight"] * per_volatility,
        "intraday_return": now["intraday"] * per_volatility,
        "close_location": located,
        "range_ratio": now["log_range"] * per_volatility,
        # Log volume minus its plain mean, as a sum of the changes since.
        "volume_surprise": ramp_sums(volumes, _VOLUME_SESSIONS - 1) / _VOLUME_SESSIONS,
        **{
            f"volatility_ratio_{n}": 0.5 * value - log_volatility
            for n, value in log_variances.items()
        },
        **{
            name: share_logs(_mean(rows[of] ** 2, slowest), slow_variance)
            for name, of in zip(SHARES, ("overnight", "one_return"), strict=True)
        },
    }
    return features, log_variances


def _market_means(
    panel: Panel, log_variances: Mapping[int, Values], medians: Sequence[Values]
) -> Iterator[pl.Series]:
    """MARKET_VARIANCES of each row; null in a session where no ticker has features.

    The variances of rows make room for them. `medians`: theirs, by session.
    """
    columns = log_variances.values()
    for name, values, median in zip(MARKET_VARIANCES, columns, medians, strict=True):
        mean = median + _mean_apart(panel, values, median)
        panel.spread(mean, out=values)
        yield pl.Series(name, values, nan_to_null=True)


def _mean_apart(panel: Panel, values: Values, median: Values) -> Values:
    """By session, the mean of how far known rows are from the median, MOST_APART at most.

    Takes the place of the values.
    """

    def block(first: int, last: int) -> None:
        some = values[first:last]
        some -= median[panel.sessions[first:last]]
        np.clip(some, -MOST_APART, MOST_APART, out=some)

    in_blocks(block, 0, len(values))
    total, count = panel.sums(values)
    return np.asarray(total / np.maximum(count, 1))


def complete_rows(features: pl.DataFrame, names: Sequence[str] = FEATURES) -> pl.DataFrame:
    """The rows in which every feature and the volatility are known."""
    return features.drop_nulls([*names, "volatility_1d"])
