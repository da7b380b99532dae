"""Two vendors of the same bars: where they disagree, who is wrong, and which values are kept.

A bar's prices are one vendor's, since an open of one and a close of the other are no bar; events
are taken apart from it. The first vendor's word stands unless something speaks against it: the
price leaps in its bar and not in the second's, it repeats a day, it lost an event. What can't be
decided is named, and the first's is kept: an odd bar loses no session. `docs/data.md` states the
policy.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from stock_assets.market.bars import PRICES
from stock_assets.market.side_by_side import side_by_side
from stock_assets.market.vendor_judge import Judge

VALUES = (*PRICES, "volume", "dividend", "split_ratio")
VENDOR = pl.Struct({name: pl.String() for name in VALUES})
"""Who gave each value of a bar; null where nobody did."""

CONTEXT_SESSIONS = 5
"""Sessions before those asked for that a comparison looks at."""

DISAGREEMENT_SCHEMA: dict[str, pl.DataType] = {
    "ticker": pl.String(),
    "session": pl.Date(),
    "kind": pl.String(),
    "wrong": pl.String(),
    "kept": pl.String(),
    "column": pl.String(),
    "first": pl.Float64(),
    "second": pl.Float64(),
}
"""`wrong`: the vendor that is; null where that can't be decided. `kept`: whose value of `column` is
stored. `first`, `second`: what each says."""
MISSING_SCHEMA: dict[str, pl.DataType] = {
    "ticker": pl.String(),
    "session": pl.Date(),
    "vendor": pl.String(),
}


@dataclass(frozen=True)
class Compared:
    """What becomes of two answers.

    `bars`: BAR_SCHEMA and `vendor` (VENDOR), sorted by ticker and session. `disagreements`:
    DISAGREEMENT_SCHEMA. `missing`: MISSING_SCHEMA, bars that only the other vendor has, from the
    vendor's own first bar of the ticker on. `n_both`: bars that both have.
    """

    bars: pl.DataFrame
    disagreements: pl.DataFrame
    missing: pl.DataFrame
    n_both: int


def compare_bars(
    first: pl.DataFrame,
    second: pl.DataFrame,
    names: tuple[str, str],
    accepted: pl.DataFrame | None = None,
) -> Compared:
    """Holds two vendors' bars against each other and takes the better values of each.

    Args:
        first: BAR_SCHEMA, one row per ticker and session; a null `dividend` or `split_ratio` is
            not known.
        second: The same of the other vendor.
        names: Of the vendors.
        accepted: `ticker, session, close` of bars that were stored earlier; they decide what the
            price was before the first session in question.

    An event that nobody knows of is none, and nobody's.
    """
    both = side_by_side(first, second)
    known = _accepted(both, accepted)
    judge = Judge.of(both, known)
    odd = both.select(
        (pl.col("has") & pl.col("has_2"))
        & pl.any_horizontal(
            pl.col("unsound") != pl.col("unsound_2"),
            (pl.col("repeats") != pl.col("repeats_2")) & pl.col("differ"),
            "apart",
            "shifted",
            "splits_differ",
            "dividends_differ",
        )
    ).to_series()
    for at in np.flatnonzero(odd):
        judge.judge(int(at))
    return Compared(
        _taken(both, judge, names),
        _named(both, judge, names),
        _missing(both, names),
        int((both["has"] & both["has_2"]).sum()),
    )


def _taken(both: pl.DataFrame, judge: Judge, names: tuple[str, str]) -> pl.DataFrame:
    """Each bar of whom it is taken from, and who that is for each value."""
    by_value = dict.fromkeys((*PRICES, "volume"), judge.bar)
    by_value |= {"dividend": judge.dividend, "split_ratio": judge.split}
    # A bar without volume takes the other's.
    lacks = both.select(
        pl.when(pl.lit(pl.Series(judge.bar)) == 0).then("volume").otherwise("volume_2").is_null()
    ).to_series()
    by_value["volume"] = np.where(lacks.to_numpy(), 1 - judge.bar, judge.bar)
    taken, vendor = {}, {}
    for name, of in by_value.items():
        is_second = pl.lit(pl.Series(of == 1))
        value = pl.when(is_second).then(f"{name}_2").otherwise(name)
        taken[name] = value
        who = pl.when(is_second).then(pl.lit(names[1])).otherwise(pl.lit(names[0]))
        vendor[name] = pl.when(value.is_not_null()).then(who)
    return both.select(
        "ticker",
        "session",
        **taken,
        vendor=pl.struct(who.alias(name) for name, who in vendor.items()).cast(VENDOR),
    ).with_columns(pl.col("dividend").fill_null(0.0), pl.col("split_ratio").fill_null(1.0))


def _named(both: pl.DataFrame, judge: Judge, names: tuple[str, str]) -> pl.DataFrame:
    rows = [
        {
            "ticker": both["ticker"][found.at],
            "session": both["session"][found.at],
            "kind": found.kind,
            "wrong": None if found.wrong is None else names[found.wrong],
            "kept": names[found.kept],
            "column": found.column,
            "first": both[found.column][found.at],
            "second": both[f"{found.column}_2"][found.at],
        }
        for found in judge.found
    ]
    return pl.DataFrame(rows, schema=DISAGREEMENT_SCHEMA)


def _missing(both: pl.DataFrame, names: tuple[str, str]) -> pl.DataFrame:
    parts = []
    for mark, name in zip(("has", "has_2"), names, strict=True):
        begun = pl.col(mark).cum_max().over("ticker")
        parts.append(
            both.filter(~pl.col(mark) & begun).select("ticker", "session", vendor=pl.lit(name))
        )
    return pl.concat(parts).cast(pl.Schema(MISSING_SCHEMA)).sort("ticker", "session")


def _accepted(both: pl.DataFrame, accepted: pl.DataFrame | None) -> NDArray[np.float64]:
    if accepted is None:
        return np.full(both.height, np.nan)
    keys = both.select("ticker", "session")
    closes = accepted.select("ticker", "session", accepted="close")
    joined = keys.join(closes, on=["ticker", "session"], how="left", maintain_order="left")
    return joined["accepted"].to_numpy().astype(np.float64)
