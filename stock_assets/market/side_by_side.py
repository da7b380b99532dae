"""Bars of two vendors beside each other: what differs between them, row by row.

What looks odd is marked here and judged in `vendors`. Columns of the second vendor end in `_2`.
"""

import polars as pl

from stock_assets.market.bars import BAR_SCHEMA, PRICES, by_ticker, quarantine_reason

CLOSE_TOLERANCE = 0.002
"""Relative. Vendors take the closing auction or the last trade of all venues, round to the cent, or
undo a split: closes of large shares differ by less than a tenth of a per cent then."""
SMALLEST_STEP = 0.01
"""Of a price: closes that are a step apart are the same, whatever the price."""
DIVIDEND_TOLERANCE, SMALLEST_PAYMENT = 0.02, 0.006
SPLIT_TOLERANCE = 0.001
_UNMOVED = 1e-6
_MUCH_NEARER = 4.0

_KEY = ("ticker", "session")
_VENDORS = ("", "_2")


def are_close(one: pl.Expr, other: pl.Expr) -> pl.Expr:
    """Whether two prices are the same but for what vendors differ in; null where one is missing."""
    tolerance = pl.max_horizontal(
        CLOSE_TOLERANCE * pl.max_horizontal(one, other), pl.lit(SMALLEST_STEP)
    )
    return (one - other).abs() <= tolerance + _UNMOVED


def same_dividend(one: pl.Expr, other: pl.Expr) -> pl.Expr:
    """Whether two payments are one, rounded differently. Something is never nothing."""
    tolerance = pl.max_horizontal(
        DIVIDEND_TOLERANCE * pl.max_horizontal(one, other), pl.lit(SMALLEST_PAYMENT)
    )
    return ((one - other).abs() <= tolerance) & ((one > 0) == (other > 0))


def same_split(one: pl.Expr, other: pl.Expr) -> pl.Expr:
    return (one - other).abs() <= SPLIT_TOLERANCE * pl.max_horizontal(one, other)


def side_by_side(first: pl.DataFrame, second: pl.DataFrame) -> pl.DataFrame:
    """Every bar of either vendor.

    Args:
        first: BAR_SCHEMA, one row per ticker and session; a null `dividend` or `split_ratio` is
            not known.
        second: The same of the other vendor.

    Returns:
        One row per ticker and session, sorted by both: BAR_SCHEMA's columns of each vendor, and
        marks, none of them null. `is_new`: the ticker's first row. Of each vendor `has` (it has the
        row), `unsound` (a quarantine reason, unknown events aside), `repeats` (the bar only repeats
        the vendor's own one before). Of both `apart` (closes are not the same), `differ` (a price
        is not), `shifted` (the bar is much nearer to the other vendor's neighbouring session than
        to its own), `splits_differ` and `dividends_differ` (both are known).
    """
    both = by_ticker(
        _marked(first, "").join(_marked(second, "_2"), on=_KEY, how="full", coalesce=True)
    )
    near = [_distance(one, two, by) for one, two in (_VENDORS, _VENDORS[::-1]) for by in (1, -1)]
    same = pl.all_horizontal(are_close(pl.col(name), pl.col(f"{name}_2")) for name in PRICES)
    marks = both.select(
        is_new=pl.col("ticker") != pl.col("ticker").shift(1).fill_null(""),
        apart=~are_close(pl.col("close"), pl.col("close_2")),
        differ=~same,
        shifted=~same
        & (pl.min_horizontal(near) < CLOSE_TOLERANCE)
        & (pl.min_horizontal(near) * _MUCH_NEARER < _distance(*_VENDORS, 0)),
        splits_differ=~same_split(pl.col("split_ratio"), pl.col("split_ratio_2")),
        dividends_differ=~same_dividend(pl.col("dividend"), pl.col("dividend_2")),
    )
    return both.hstack(marks).with_columns(pl.col(pl.Boolean).fill_null(False))


def _marked(bars: pl.DataFrame, suffix: str) -> pl.DataFrame:
    """One vendor's bars with its own marks, all its columns renamed."""
    bars = by_ticker(bars.select(*BAR_SCHEMA))
    known = bars.with_columns(
        pl.col("dividend").fill_null(0.0), pl.col("split_ratio").fill_null(1.0)
    )
    before = {name: pl.col(name).shift(1).over("ticker") for name in PRICES}
    unmoved = {
        name: (pl.col(name) * pl.col("split_ratio") - before[name]).abs() <= _UNMOVED * before[name]
        for name in PRICES
    }
    is_flat = pl.col("high") == pl.col("low")
    marks = known.select(
        has=pl.lit(True),
        unsound=quarantine_reason().is_not_null(),
        repeats=unmoved["close"] & (is_flat | pl.all_horizontal(unmoved.values())),
    )
    values = bars.with_columns(pl.col(*PRICES).fill_nan(None))
    return values.hstack(marks).rename(
        {name: f"{name}{suffix}" for name in (*BAR_SCHEMA, *marks.columns) if name not in _KEY}
    )


def _distance(one: str, two: str, by: int) -> pl.Expr:
    """Largest log ratio of a price of one vendor to the other's `by` sessions before."""
    logs = [
        (pl.col(f"{n}{one}").log() - pl.col(f"{n}{two}").shift(by).over("ticker").log()).abs()
        for n in PRICES
    ]
    return pl.max_horizontal(logs)
