"""Who belonged to the universe on which session, so that a backtest knows no survivor beforehand.

A table of spells decides what is learned from, forecast and expected, never what is stored: the
features of a new member need its prices from before.
"""

from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

MEMBER_SCHEMA: dict[str, pl.DataType] = {
    "ticker": pl.String(),
    "first": pl.Date(),
    "last": pl.Date(),
}
"""One spell of one ticker: its first and last day as a member, both inclusive; a null `last` is
still to come."""

_ROW = "__row__"


@dataclass(frozen=True)
class Membership:
    """The spells of all tickers that ever were members.

    `spells`: MEMBER_SCHEMA, any order; those of one ticker share no day (see `wrong_spell`).
    """

    spells: pl.DataFrame

    @property
    def tickers(self) -> tuple[str, ...]:
        """Everyone who ever was a member, sorted."""
        return tuple(self.spells["ticker"].unique().sort())


def wrong_spell(spells: pl.DataFrame) -> tuple[int, str, str] | None:
    """The first spell that contradicts itself or one before it: its row, column and the reason.

    Args:
        spells: MEMBER_SCHEMA; `ticker` and `first` not null.
    """
    rows = spells.with_row_index(_ROW)
    backwards = rows.filter(pl.col("last") < pl.col("first")).head(1)
    for row, _, first, last in backwards.rows():
        return row, "last", f"{last} is before first, {first}"
    before = pl.col("last").fill_null(date.max).shift(1)
    same = pl.col("ticker") == pl.col("ticker").shift(1)
    overlapping = (
        rows.sort("ticker", "first", _ROW)
        .with_columns(before=pl.when(same).then(before), earlier=pl.col(_ROW).shift(1))
        .filter(pl.col("first") <= pl.col("before"))
        .with_columns(pl.max_horizontal(_ROW, "earlier"))
        .sort(_ROW)
        .head(1)
    )
    for row in overlapping[_ROW]:
        ticker, first, last = spells.row(row)
        until = last or "now"
        return row, "first", f"{ticker}'s spell {first}..{until} shares days with another of its"
    return None


def are_members(rows: pl.DataFrame, membership: Membership) -> pl.Series:
    """Whether each row's ticker was a member on its session, shape (n_rows,).

    Row t uses the spells that hold t only, so what a ticker became later decides nothing.
    """
    spells = membership.spells.select(
        "ticker", member_from="first", member_to=pl.col("last").fill_null(date.max)
    )
    inside = pl.col("session").is_between("member_from", "member_to")
    found = rows.select("ticker", "session").with_row_index(_ROW).join(spells, on="ticker")
    held = np.zeros(rows.height, dtype=bool)
    held[found.filter(inside)[_ROW].to_numpy()] = True
    return pl.Series(held)


def members_on(rows: pl.DataFrame, membership: Membership | None) -> pl.DataFrame:
    """The rows of tickers that were members on the row's session, in the same order.

    Args:
        rows: At least `ticker, session`.
        membership: None: everyone always is a member.
    """
    return rows if membership is None else rows.filter(are_members(rows, membership))
