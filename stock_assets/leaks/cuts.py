"""At which sessions the future is taken away: random ones, and those where leaks hide.

Many leaks reach over one session only, and only where something is odd: before a holiday, where a
ticker has no bar, at the end of a train set. A random session is seldom one of these.
"""

from collections.abc import Iterator, Sequence
from datetime import date
from itertools import pairwise

import numpy as np
import polars as pl

from stock_assets.errors import NotEnoughHistoryError
from stock_assets.forecasting.features import HISTORY_SESSIONS
from stock_assets.leaks.futures import World, without_bars
from stock_assets.leaks.stages import Cut, Plan
from stock_assets.market.months import month_key

BEFORE_HOLIDAY = "the last one before a holiday"
IN_A_HOLE = "a ticker has no bar, and has one later"
SETS_END = "the train set of {} ends"
MODEL_BEGINS = "the model of {} is trained through it"
MODEL_SERVES = "the model of {} serves"
RANDOM = "at random"
KINDS = 5
"""Cuts that are not at random, at most."""

_LEFT = 2  # sessions that must be left after a cut


def choose_cuts(world: World, plan: Plan, count: int, seed: int) -> tuple[list[Cut], World]:
    """Sessions to cut at, ascending, and the world in which one ticker has no bar at one of them.

    Args:
        world: Whose sessions.
        plan: Tells which months have enough history.
        count: How many: those where leaks hide first, the rest at random.
        seed: Of the choice.

    Raises:
        NotEnoughHistoryError: Features need more sessions than there are.
    """
    sessions = world.bars["session"].unique().sort().to_list()
    able = sessions[HISTORY_SESSIONS:-_LEFT]
    if not able:
        raise NotEnoughHistoryError(
            f"{len(sessions)} sessions are too few for an audit: features need {HISTORY_SESSIONS}"
            f" before them, and {_LEFT} have to follow; give more with --from, or other files"
        )
    dice = np.random.default_rng(seed)
    months = sorted({month_key(session) for session in able})
    trainable = [month for month in months if not plan.months.shortfall(month)]
    chosen = list(_odd_cuts(able, trainable, plan, dice))[:count]
    hole = next((cut for cut in chosen if cut.because == IN_A_HOLE), None)
    taken = {cut.session for cut in chosen}
    free = [session for session in able if session not in taken]
    for at in dice.permutation(len(free))[: count - len(chosen)]:
        chosen.append(Cut(free[at], _month_around(free[at], trainable, plan), False, RANDOM))
    return sorted(chosen, key=lambda cut: cut.session), _with_hole(world, hole, dice)


def _odd_cuts(
    able: Sequence[date], trainable: Sequence[str], plan: Plan, dice: np.random.Generator
) -> Iterator[Cut]:
    def some(of: Sequence[date]) -> date:
        return of[int(dice.integers(len(of)))]

    def cut(session: date, because: str) -> Cut:
        return Cut(session, _month_around(session, trainable, plan), trains=False, because=because)

    if trainable:
        month = trainable[int(dice.integers(len(trainable)))]
        split = plan.months.split(month)
        served = [session for session in able if month_key(session) == month]
        if served:
            yield Cut(some(served), month, trains=True, because=MODEL_SERVES.format(month))
        test_first = plan.calendar.offset(split.test_first, -1)
        yield Cut(test_first, month, trains=False, because=SETS_END.format(month))
    holidays = set(plan.calendar.weekday_holidays)
    if eves := [a for a, b in pairwise(able) if any(a < day < b for day in holidays)]:
        yield cut(some(eves), BEFORE_HOLIDAY)
    yield cut(some(able), IN_A_HOLE)
    if trainable:
        yield Cut(split.trained_through, month, trains=True, because=MODEL_BEGINS.format(month))


def _month_around(session: date, trainable: Sequence[str], plan: Plan) -> str | None:
    """A month in whose train set the session lies well inside, else the last there is."""
    return next(
        (month for month in trainable if plan.months.split(month).train_last > session),
        trainable[-1] if trainable else None,
    )


def _with_hole(world: World, cut: Cut | None, dice: np.random.Generator) -> World:
    """One of several tickers does not trade in the session of a cut."""
    if cut is None:
        return world
    after = world.bars.filter(pl.col("session") > cut.session)["ticker"].unique()
    now = world.bars.filter(pl.col("session") == cut.session)["ticker"]
    both = now.filter(now.is_in(after.to_list())).sort()
    if len(both) < 2:
        return world
    return without_bars(world, both[int(dice.integers(len(both)))], cut.session, cut.session)
