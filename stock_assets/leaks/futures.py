"""All that a pipeline is given, and the same with another future.

A *world* is bars, spells of members and revisions. What a pipeline says of a session must be the
same in every world that agrees up to that session's close.
"""

from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import polars as pl

from stock_assets.market.bars import PRICES
from stock_assets.market.membership import MEMBER_SCHEMA, Membership

REVISED_SCHEMA: dict[str, pl.DataType] = {
    "ticker": pl.String(),
    "session": pl.Date(),
    "known_from": pl.Date(),
    "factor": pl.Float64(),
}
"""A bar's prices times `factor`, as its source says from the session `known_from` on."""

_WILD, _SPLIT, _PAYS, _GONE = 11, 9, 7, 13
"""One in so many later bars has nonsense for prices, an event, or is missing."""
_REVISED_BARS = 20
_REVISED_SESSIONS = 250
_REVISION = 1.01


@dataclass(frozen=True)
class World:
    """What there is to know.

    Args:
        bars: BAR_SCHEMA, sorted by ticker and session: as their source first said them.
        membership: Who belonged to the universe when.
        revisions: REVISED_SCHEMA, of what the source said later.
    """

    bars: pl.DataFrame
    membership: Membership
    revisions: pl.DataFrame

    @classmethod
    def of(cls, bars: pl.DataFrame, membership: Membership | None = None) -> "World":
        """The world of some bars, without revisions; without a table everyone is a member."""
        always = bars.group_by("ticker").agg(
            first=pl.col("session").min(), last=pl.lit(None, dtype=pl.Date)
        )
        spells = always.select(pl.col(name).cast(dtype) for name, dtype in MEMBER_SCHEMA.items())
        return cls(
            bars.sort("ticker", "session"),
            membership or Membership(spells.sort("ticker")),
            pl.DataFrame(schema=REVISED_SCHEMA),
        )


def cut_after(world: World, session: date) -> World:
    """The same world on the evening of a session: nothing is there that comes later."""
    spells = world.membership.spells.filter(pl.col("first") <= session)
    still = pl.when(pl.col("last") < session).then("last").alias("last")
    return replace(
        world,
        bars=world.bars.filter(pl.col("session") <= session),
        membership=Membership(spells.with_columns(still)),
        revisions=world.revisions.filter(pl.col("known_from") <= session),
    )


def replaced_after(world: World, session: date, seed: int) -> World:
    """The same world up to a session, and another one after it.

    Every later number is another. Some are nonsense and some bars are gone; there are other splits
    and dividends. One ticker is delisted and one is a member no longer, where there are several.
    Some bars of before the session are revised after it.
    """
    known = cut_after(world, session)
    later = world.bars.filter(pl.col("session") > session)
    dice = np.random.default_rng([seed, session.toordinal()])
    # By name: what becomes of one ticker's future must not depend on who else is there.
    tickers = known.bars.filter(pl.col("session") >= session)["ticker"].unique().sort()
    lost = dice.permutation(tickers.to_numpy())[:2].tolist() if len(tickers) > 1 else []
    return World(
        pl.concat([known.bars, _another(later, dice, lost[:1])]).sort("ticker", "session"),
        _without(known.membership, session, lost[1:]),
        pl.concat([known.revisions, _revised(known.bars, later, dice)]),
    )


def started_late(world: World, first: date) -> World:
    """The same world whose prices begin with a session."""
    return replace(world, bars=world.bars.filter(pl.col("session") >= first))


def without_bars(world: World, ticker: str, first: date, last: date) -> World:
    """The same world in which a ticker did not trade for some sessions."""
    gone = (pl.col("ticker") == ticker) & pl.col("session").is_between(first, last)
    return replace(world, bars=world.bars.filter(~gone))


def _another(later: pl.DataFrame, dice: np.random.Generator, delisted: list[str]) -> pl.DataFrame:
    size = later.height
    kind = dice.integers(0, 2**31, size)
    factor = np.exp(dice.uniform(0.01, 0.25, size) * dice.choice([-1, 1], size))
    factor[kind % _WILD == 0] *= 1 + kind[kind % _WILD == 0] % 997
    another = pl.Series(factor)
    return later.with_columns(
        *(pl.col(name) * another for name in PRICES),
        volume=pl.Series(dice.lognormal(14, 2, size)),
        split_ratio=pl.Series(np.where(kind % _SPLIT == 0, 3.0, 1.0)),
        dividend=pl.when(pl.Series(kind % _PAYS == 0)).then(pl.col("close") * 0.03).otherwise(0.0),
    ).filter(pl.Series(kind % _GONE > 0) & ~pl.col("ticker").is_in(delisted))


def _without(members: Membership, session: date, gone: list[str]) -> Membership:
    """A spell that goes on at the session ends after it."""
    last = pl.when(pl.col("ticker").is_in(gone) & pl.col("last").is_null())
    return Membership(
        members.spells.with_columns(last=last.then(pl.lit(session)).otherwise("last"))
    )


def _revised(known: pl.DataFrame, later: pl.DataFrame, dice: np.random.Generator) -> pl.DataFrame:
    """Some of the newest known bars, as the source says them in the session after."""
    newest = known["session"].unique().sort().tail(_REVISED_SESSIONS)
    rows = known.filter(pl.col("session").is_in(newest.to_list())).select("ticker", "session")
    at = dice.permutation(rows.height)[:_REVISED_BARS]
    after = later["session"].min()
    return rows[at].select(
        "ticker",
        "session",
        known_from=pl.lit(after, dtype=pl.Date),
        factor=pl.lit(_REVISION),
    )[: 0 if after is None else None]
