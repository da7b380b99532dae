"""Findings about bars that are coherent and yet can hardly be true: jumps, events, volumes.

A bar's own numbers may be sound while its return is not: a split that nobody recorded, a decimal
point in the wrong place, a recorded split that the price never saw. What would poison features is
*quarantined*; the rest is only reported. `bars.quarantine_reason` judges a bar by itself, this
module by the bars before it.

The limits leave real crashes alone (-20 % in October 1987, -25 % on earnings, AAPL's -52 % of
2000-09-29) and catch what no market does. A missed 3-for-2 split can't be told from a fall of a
third: it is reported, not quarantined.

A quarantined jump costs its own row and no other. The return across it is unknown, so it enters no
window; its close is the base of the next return, so a level that stays shifted is judged once, not
for ever. A single wild close costs two rows: the jump there and the jump back.

A collapse may be true and yet look impossible. It is quarantined on its day, and accepted the day
after (`confirmed`) if it came with a crowd and the next bar stays at the new level: from then on
the volatility of the features knows it, although the session itself keeps no row.
"""

import math

import numpy as np
import polars as pl
from numpy.typing import NDArray

from stock_assets.market.bars import sound_bars
from stock_assets.market.corporate_actions import check_sorted, growth_factor
from stock_assets.market.sessions import ExchangeCalendar
from stock_assets.market.windows import in_blocks, least_values, medians_before

VOLATILITY_SESSIONS = 21
"""Sessions before a bar whose returns and volumes are what it is judged against."""
LONGEST_GAP = 11
"""A return over more sessions than this is not known: no feature may span it, and a daily run does
not read so far back."""
JUDGING_SESSIONS = VOLATILITY_SESSIONS + LONGEST_GAP + 1
"""Sessions before a bar that must be at hand to judge it as a longer history would. One more than
returns span: the oldest bar at hand may be one in which nothing traded, which only the bar before
it shows."""

_FEWEST_RETURNS = 10
_UNKNOWN_VOLATILITY = 0.05  # a new listing may do what it likes, short of the absolute limits
_VOLATILITY_FLOOR = 0.005
_MAD_TO_SIGMA = 1.4826  # of normal returns

_SLACK = 0.999
"""Of a bound by which bars are sorted out before they are judged: no rounding may decide."""
_FOUND = (
    "robust_volatility",
    "jump_finding",
    "event_finding",
    "volume_finding",
    "quarantine_reason",
    "confirmed",
)
_WORDS = ("_finding", "_reason")

_IMPOSSIBLE, _IMPOSSIBLE_SIGMAS = math.log(4), 20
_UNEXPLAINED_SIGMAS = 8
_CROWD = 3.0  # volumes, after the shares have multiplied
_LIKE_A_RATIO, _LIKE_A_RATIO_SIGMAS = 0.05, 3
_WITH_A_SPLIT, _WITH_A_DIVIDEND = math.log(1.25), 0.15
_LARGE, _LARGE_SIGMAS = math.log(1.25), 10
_LARGEST_DIVIDEND = 0.5
_LARGEST_RATIO = 200.0
_VOLUME_TIMES, _LARGEST_VOLUME = 1000.0, 1e12

LOST_EVENT = "a dividend or split since the close before can't be read"
IMPOSSIBLE = "the return is too large to be true"
MISSED_SPLIT = "the return is that of a split or decimal error that is not recorded"
IMPOSSIBLE_RANGE = "high or low is too far from the close to be true"
WRONG_SPLIT = "the recorded split does not explain the price"
WRONG_DIVIDEND = "the price did not fall by the recorded dividend"
LARGE_DIVIDEND = "the dividend is more than half of the close"
LARGE_RATIO = "the split ratio is outside 1/200..200"
LARGE_MOVE = "large for this ticker; kept"
INSANE_VOLUME = "more than a thousand times the ticker's median volume, or than 1e12"
FINDING = pl.Enum(
    [
        LOST_EVENT,
        IMPOSSIBLE,
        MISSED_SPLIT,
        IMPOSSIBLE_RANGE,
        WRONG_SPLIT,
        WRONG_DIVIDEND,
        LARGE_DIVIDEND,
        LARGE_RATIO,
        LARGE_MOVE,
        INSANE_VOLUME,
    ]
)
"""What may be said of a bar; a byte, where a column of strings takes sixteen for nothing too."""


def judge_bars(bars: pl.DataFrame, calendar: ExchangeCalendar) -> pl.DataFrame:
    """Every usable bar with what speaks against it.

    Args:
        bars: Rows of BAR_SCHEMA, any order; those that `sound_bars` leaves out are left out.
        calendar: The exchange's sessions.

    Returns:
        BAR_SCHEMA, `dividend` and `split_ratio` with the events of bars left out just before;
        `ordinal` (of the session), `spanned` (sessions since the ticker's bar before; null on its
        first row), `log_growth` (the return over them with corporate actions; null on a first row
        and over more than LONGEST_GAP of them), `robust_volatility` (of one session, from the
        median absolute return of the VOLATILITY_SESSIONS before), `jump_finding`, `event_finding`,
        `volume_finding` (null where there is none), `quarantine_reason` (null where the row may
        enter features), these four a FINDING, and `confirmed` (a quarantined return that the next
        bar showed to be true), sorted by ticker and session.

    Raises:
        UnsortedBarsError: Two bars share ticker and session.

    Row t uses bars up to t and those of JUDGING_SESSIONS before it only, and no other verdict: one
    session and ten years are judged alike. `confirmed` alone uses the ticker's next bar too, so it
    may be used from that bar's session on.
    """
    bars = sound_bars(bars)
    check_sorted(bars)
    same = pl.col("ticker") == pl.col("ticker").shift(1)
    known = (
        bars.with_columns(_ordinals(bars["session"], calendar))
        .with_columns(spanned=pl.when(same).then(pl.col("ordinal") - pl.col("ordinal").shift(1)))
        .with_columns(
            log_growth=pl.when(pl.col("spanned") <= LONGEST_GAP).then(growth_factor().log())
        )
    )
    return known.with_columns(_findings(known))


def _ordinals(sessions: pl.Series, calendar: ExchangeCalendar) -> pl.Series:
    """Position of each session in the calendar."""
    days = sessions.to_physical().to_numpy()
    if not len(days):
        return pl.Series("ordinal", days, pl.Int64)
    first = days.min()
    ordinals = np.searchsorted(calendar.days, np.arange(first, days.max() + 1))
    return pl.Series("ordinal", ordinals[days - first])


def _findings(bars: pl.DataFrame) -> list[pl.Series]:
    """What speaks against each bar, the columns _FOUND.

    Medians are dear, and of a few bars in a thousand they decide anything: those are judged, with
    as many before them as their medians want and the one after, which may confirm them.
    """
    doubtful = np.flatnonzero(_may_be_found(bars))
    near = np.zeros(bars.height + 1, dtype=bool)
    for before in range(-1, VOLATILITY_SESSIONS + 1):
        near[np.maximum(doubtful - before, 0)] = True
    at = np.flatnonzero(near[:-1])
    judged = _judged(bars[pl.Series(at, dtype=pl.UInt32)], np.isin(at, doubtful))
    return [_scattered(judged[name], at, bars.height) for name in _FOUND]


def _scattered(values: pl.Series, at: NDArray[np.int64], n_rows: int) -> pl.Series:
    """A column that has the values in the rows `at`; elsewhere null, or false."""
    if values.dtype == pl.Boolean:
        column = np.zeros(n_rows, dtype=bool)
        column[at] = values.fill_null(False).to_numpy()
        return pl.Series(values.name, column)
    told = values.is_not_null()
    of = values.filter(told).to_physical()
    found = pl.repeat(None, n_rows, dtype=of.dtype, eager=True).alias(values.name)
    if told.any():
        found = found.scatter(at[told.to_numpy()], of)
    return found.cat.to(values.dtype) if values.dtype == FINDING else found


def _may_be_found(bars: pl.DataFrame) -> NDArray[np.bool_]:
    """False of a bar that no rule below can find anything about, whatever its medians are.

    All rules but that for missed splits want a return or a range beyond a fixed size. Those want it
    to be within 0.05 or three sigmas of log 2 at least, and beyond eight of the same sigmas: so
    0.5 at least. No median volume is below the least of the VOLATILITY_SESSIONS rows before, whose
    ticker's they may not be.
    """
    names = ("log_growth", "high", "low", "close", "dividend", "split_ratio")
    columns = {name: bars[name].to_numpy() for name in names}
    unknown = np.full(VOLATILITY_SESSIONS, np.nan)
    volumes = np.concatenate([unknown, bars["volume"].to_numpy()])
    found = np.empty(bars.height, dtype=bool)
    ratio = _SLACK * _LARGEST_RATIO

    def block(first: int, last: int) -> None:
        growth, high, low, close, dividend, split = (c[first:last] for c in columns.values())
        before = volumes[first : last + VOLATILITY_SESSIONS - 1]
        volume = volumes[first + VOLATILITY_SESSIONS : last + VOLATILITY_SESSIONS]
        found[first:last] = (
            (np.abs(growth) > _SLACK * _WITH_A_DIVIDEND)
            | (high > _SLACK * math.exp(_IMPOSSIBLE) * low)
            # Unknown ones are NaN, which is not below anything.
            | ~(dividend <= _SLACK * _LARGEST_DIVIDEND * close)
            | (split > ratio)
            | (split < 1 / ratio)
            | (volume > _LARGEST_VOLUME)
            | (volume > _SLACK * _VOLUME_TIMES * least_values(before, VOLATILITY_SESSIONS))
        )

    in_blocks(block, 0, bars.height)
    return found


def _judged(bars: pl.DataFrame, doubtful: NDArray[np.bool_]) -> pl.DataFrame:
    """_FOUND of some bars; of those that are not doubtful that there is nothing."""
    is_doubtful = pl.lit(pl.Series(doubtful))
    return (
        bars.with_columns(size=pl.col("log_growth").abs())
        .with_columns(size_of_one=pl.col("size") * pl.col("spanned").pow(-0.5))
        .pipe(_with_medians)
        .with_columns(_jump(), _wrong_event(), _volume())
        .with_columns(
            quarantine_reason=pl.coalesce(_lost_event(), "jump", "wrong_event"),
            jump_finding=pl.when(pl.col("wrong_event").is_null()).then(
                pl.coalesce("jump", _large_move())
            ),
            event_finding=pl.coalesce(_lost_event(), "wrong_event", _implausible_event()),
        )
        .with_columns(
            pl.when(is_doubtful).then(name).cast(FINDING).alias(name)
            for name in _FOUND
            if name.endswith(_WORDS)
        )
        .with_columns(
            robust_volatility=pl.when(
                pl.col("jump_finding").is_not_null() | pl.col("event_finding").is_not_null()
            ).then("robust_volatility"),
            confirmed=_confirmed(),
        )
        .select(_FOUND)
    )


def _before(bars: pl.DataFrame, column: str) -> pl.Series:
    """Median of a column over the VOLATILITY_SESSIONS sessions before, of the same ticker."""
    medians = medians_before(
        bars[column].to_numpy(),
        bars["ordinal"].to_numpy(),
        bars["ticker"].rle_id().cast(pl.Int64).to_numpy(),
        VOLATILITY_SESSIONS,
        _FEWEST_RETURNS,
    )
    return pl.Series(medians, nan_to_null=True)


def _with_medians(bars: pl.DataFrame) -> pl.DataFrame:
    # The median of absolute returns: one jump, or ten of them, hardly move it.
    volatility = (_MAD_TO_SIGMA * _before(bars, "size_of_one")).fill_null(_UNKNOWN_VOLATILITY)
    return bars.with_columns(
        robust_volatility=volatility.clip(lower_bound=_VOLATILITY_FLOOR),
        median_volume=_before(bars, "volume"),
    )


def _beyond(move: pl.Expr, sigmas: float, at_least: float) -> pl.Expr:
    return move > pl.max_horizontal(sigmas * pl.col("robust_volatility"), pl.lit(at_least))


def _lost_event() -> pl.Expr:
    return pl.when(pl.col("dividend").is_null()).then(pl.lit(LOST_EVENT))


def _crowded(ratio: pl.Expr) -> pl.Expr:
    """Whether far more was traded than `ratio` times as many shares explain."""
    crowd = pl.col("volume") > _CROWD * ratio * pl.col("median_volume")
    return crowd.fill_null(False)


def _confirmed() -> pl.Expr:
    """Whether the ticker's next bar says that an impossible return was none.

    A decimal error goes back the next day, and nobody trades on it; a collapse stays where it fell,
    and everybody does.
    """
    growth = pl.col("log_growth")
    follows = pl.col("ticker") == pl.col("ticker").shift(-1)
    next_growth = growth.shift(-1)
    stays = next_growth.abs() < growth.abs() / 2
    traded_on = pl.col("volume").shift(-1) >= pl.col("median_volume")
    sound_after = pl.col("quarantine_reason").shift(-1).is_null()
    impossible = pl.col("quarantine_reason") == IMPOSSIBLE
    crowded = _crowded(growth.abs().exp())
    return (impossible & crowded & follows & stays & traded_on & sound_after).fill_null(False)


def _jump() -> pl.Expr:
    """Why the bar's prices can't be true after the close before; null where they can."""
    size = pl.col("size")
    # Since the close before: what the first price of the day was, in the same shares.
    opened = (
        pl.col("log_growth")
        + ((pl.col("open") + pl.col("dividend")) / (pl.col("close") + pl.col("dividend"))).log()
    )
    ratio = opened.abs().exp().round().clip(lower_bound=2.0).log()
    tolerance = pl.max_horizontal(
        _LIKE_A_RATIO_SIGMAS * pl.col("robust_volatility"), pl.lit(_LIKE_A_RATIO)
    )
    # A split moves the price overnight by a whole ratio, and the day after that is like any other.
    # A fall by half that is true brings a crowd with it (AAPL 2000-09-29: 19 times the volume).
    like_a_split = (
        ~_crowded(ratio.exp())
        & ((opened.abs() - ratio).abs() < tolerance)
        & ((size - ratio).abs() < tolerance)
        & (opened.sign() == pl.col("log_growth").sign())
    )
    wick = pl.max_horizontal(
        (pl.col("high") / pl.col("close")).log(), (pl.col("close") / pl.col("low")).log()
    )
    return (
        pl.when(_beyond(size, _UNEXPLAINED_SIGMAS, 0.0) & like_a_split)
        .then(pl.lit(MISSED_SPLIT))
        .when(_beyond(size, _IMPOSSIBLE_SIGMAS, _IMPOSSIBLE))
        .then(pl.lit(IMPOSSIBLE))
        .when(_beyond(wick, _IMPOSSIBLE_SIGMAS, _IMPOSSIBLE))
        .then(pl.lit(IMPOSSIBLE_RANGE))
        .alias("jump")
    )


def _wrong_event() -> pl.Expr:
    """Why a recorded event can't be true: the price did not do what it says."""
    size = pl.col("size")
    split = pl.col("split_ratio") != 1
    # The move of the price alone, had there been no dividend.
    alone = (pl.col("log_growth") - (1 + pl.col("dividend") / pl.col("close")).log()).abs()
    return (
        pl.when(split & _beyond(size, _UNEXPLAINED_SIGMAS, _WITH_A_SPLIT))
        .then(pl.lit(WRONG_SPLIT))
        .when(
            (pl.col("dividend") > 0)
            & _beyond(size, _UNEXPLAINED_SIGMAS, _WITH_A_DIVIDEND)
            & (alone < size / 3)
        )
        .then(pl.lit(WRONG_DIVIDEND))
        .alias("wrong_event")
    )


def _implausible_event() -> pl.Expr:
    ratio = pl.col("split_ratio")
    return (
        pl.when(pl.col("dividend") > _LARGEST_DIVIDEND * pl.col("close"))
        .then(pl.lit(LARGE_DIVIDEND))
        .when((ratio > _LARGEST_RATIO) | (ratio < 1 / _LARGEST_RATIO))
        .then(pl.lit(LARGE_RATIO))
    )


def _large_move() -> pl.Expr:
    return pl.when(_beyond(pl.col("size"), _LARGE_SIGMAS, _LARGE)).then(pl.lit(LARGE_MOVE))


def _volume() -> pl.Expr:
    usual = pl.col("median_volume")
    return (
        pl.when(
            (pl.col("volume") > _LARGEST_VOLUME)
            | ((usual > 0) & (pl.col("volume") > _VOLUME_TIMES * usual))
        )
        .then(pl.lit(INSANE_VOLUME))
        .alias("volume_finding")
    )
