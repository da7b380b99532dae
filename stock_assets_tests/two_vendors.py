"""Two vendors of the same simulated or real bars, and errors planted into either.

Each vendor has noise of its own: it rounds, and takes its open, high, low and close from other
trades. What is planted is known by ticker, session and kind.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import polars as pl

from stock_assets.market.bars import PRICES
from stock_assets.market.sessions import load_calendar
from stock_assets_tests.simulated_prices import simulated_bars

APART = 16
"""Sessions of a ticker between two planted errors, so that each is found for itself."""
IN_OLD_SHARES, BLOCK = 6, 3


def bars_with_events(seed: int, n_tickers: int, n_sessions: int) -> pl.DataFrame:
    """Simulated bars with a dividend a quarter and a split a year."""
    rng = np.random.default_rng(seed)
    bars = simulated_bars(load_calendar("XNYS"), "2011-01-03", n_sessions, n_tickers, seed, steps=8)
    place = pl.int_range(pl.len()).over("ticker")
    offset = pl.col("ticker").hash(seed) % 60
    bars = bars.with_columns(
        dividend=pl.when((place + offset) % 63 == 62).then(pl.col("close") * 0.006),
        split_ratio=pl.when((place + offset) % 252 == 200).then(
            pl.Series(rng.choice([1.5, 2.0, 3.0, 4.0, 0.1], bars.height))
        ),
    ).with_columns(pl.col("dividend").fill_null(0.0), pl.col("split_ratio").fill_null(1.0))
    shares = pl.col("split_ratio").cum_prod().over("ticker")
    paid = (pl.col("dividend") / shares).round(2)
    return bars.with_columns(pl.col(*PRICES) / shares, pl.col("volume") * shares, dividend=paid)


def as_seen(bars: pl.DataFrame, seed: int, decimals: int) -> pl.DataFrame:
    """What a vendor makes of the truth."""
    rng = np.random.default_rng(seed)

    def noisy(name: str, size: float) -> pl.Expr:
        return pl.col(name) * pl.Series(np.exp(size * rng.standard_normal(bars.height)))

    seen = bars.with_columns(
        *(noisy(name, 4e-4) for name in ("open", "high", "low")),
        noisy("close", 2e-4),
        noisy("volume", 0.03),
        pl.col("dividend").round(decimals),
    )
    return seen.with_columns(
        high=pl.max_horizontal(*PRICES), low=pl.min_horizontal(*PRICES)
    ).with_columns(pl.col(*PRICES).round(decimals))


@dataclass
class Planted:
    """Bars of both vendors with errors in them.

    `errors`: ticker, session and kind of each, with the vendor that has it. `spoilt`: every bar
    that was changed.
    """

    frames: list[pl.DataFrame]
    errors: dict[tuple[str, date, str], int] = field(default_factory=dict)
    spoilt: set[tuple[str, date]] = field(default_factory=set)

    def columns(self, vendor: int) -> dict[str, list]:
        return self.frames[vendor].to_dict(as_series=False)


def planted(bars: pl.DataFrame, seed: int, each: int, kinds: tuple[str, ...]) -> Planted:
    """Plants `each` errors of every kind at random, in one vendor or the other."""
    rng = np.random.default_rng(seed)
    made = Planted([as_seen(bars, seed + 1, 2), as_seen(bars, seed + 2, 4)])
    columns = [made.columns(0), made.columns(1)]
    tickers, sessions = columns[0]["ticker"], columns[0]["session"]
    taken = np.zeros(bars.height, dtype=bool)
    order = rng.permutation(bars.height)
    for kind in kinds:
        left = each
        for at in map(int, order):
            around = slice(max(0, at - APART), at + APART)
            whole = tickers[around.start] == tickers[min(around.stop, bars.height) - 1]
            if not left or taken[around].any() or not whole or around.stop >= bars.height:
                continue
            vendor = int(rng.integers(2))
            spoilt = _ERRORS[kind](columns[vendor], at, rng)
            if not spoilt:
                continue
            taken[around] = True
            left -= 1
            made.errors[tickers[at], sessions[at], kind] = vendor
            made.spoilt |= {(tickers[row], sessions[row]) for row in spoilt}
        assert not left, f"no room for {left} more of {kind}"
    made.frames = [
        pl.DataFrame(one, schema=frame.schema)
        for one, frame in zip(columns, made.frames, strict=True)
    ]
    return made


Columns = dict[str, list]


def _missed_split(columns: Columns, at: int, rng: np.random.Generator) -> list[int]:
    ratio = columns["split_ratio"][at]
    if ratio == 1:
        return []
    columns["split_ratio"][at] = 1.0
    if rng.random() < 0.5:
        return [at]
    rows = list(range(at, at + IN_OLD_SHARES))
    for row in rows:
        for name in PRICES:
            columns[name][row] *= ratio
    return rows


def _hundredfold(columns: Columns, at: int, rng: np.random.Generator) -> list[int]:
    factor = rng.choice([100.0, 0.01])
    for name in PRICES:
        columns[name][at] *= factor
    return [at]


def _stale(columns: Columns, at: int, rng: np.random.Generator) -> list[int]:
    if columns["split_ratio"][at] != 1:
        return []
    flat = rng.random() < 0.5
    for name in PRICES:
        columns[name][at] = columns["close" if flat else name][at - 1]
    columns["volume"][at] = 0.0 if flat else columns["volume"][at - 1]
    return [at]


def _lost_dividend(columns: Columns, at: int, _: np.random.Generator) -> list[int]:
    if columns["dividend"][at] == 0:
        return []
    columns["dividend"][at] = 0.0
    return [at]


def _shifted(columns: Columns, at: int, rng: np.random.Generator) -> list[int]:
    """The bars of some sessions are those of the sessions after, or before."""
    by = int(rng.choice([1, -1]))
    rows = list(range(at, at + (1 if by == 1 and rng.random() < 0.5 else BLOCK)))
    if any(columns["split_ratio"][row] != 1 for row in range(at - 1, at + BLOCK + 2)):
        return []
    for name in (*PRICES, "volume"):
        columns[name][rows[0] : rows[-1] + 1] = [columns[name][row + by] for row in rows]
    return rows


_ERRORS: dict[str, Callable[[Columns, int, np.random.Generator], list[int]]] = {
    "missed split": _missed_split,
    "decimal error": _hundredfold,
    "stale bar": _stale,
    "lost dividend": _lost_dividend,
    "shifted day": _shifted,
}
KINDS = tuple(_ERRORS)
