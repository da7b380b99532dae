"""The audit: what a pipeline says of the past, with one future and with others.

At each of some sessions the future is cut off, and it is replaced by another one; what is to be
known by then is computed again and compared bit by bit. A third time the distant past is taken
away: a row that changes then is made of more sessions than a daily run reads. After freqtrade's
`lookahead-analysis` and `recursive-analysis`, which do so with the signals of a strategy.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from stock_assets.leaks.cuts import choose_cuts
from stock_assets.leaks.futures import World, cut_after, replaced_after, started_late
from stock_assets.leaks.stages import STAGES, Cut, Plan, Run, Stage

CUT_OFF = "what comes after it was cut off"
REPLACED = "what comes after it was replaced"
STARTED_LATE = "the distant past was cut off"


@dataclass(frozen=True)
class Change:
    """One column of an asset that changed at one cut.

    Args:
        asset: Whose.
        column: Its name; that of the key where rows came or went.
        cut: The session by which all of it was to be known.
        how: What was done to the world.
        rows: How many values changed.
        example: One of them: its row's key, the value before and after.
    """

    asset: str
    column: str
    cut: date
    how: str
    rows: int
    example: dict[str, Any]


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    `columns`: how many columns of each asset were compared at least once.
    """

    cuts: Sequence[Cut]
    changes: Sequence[Change]
    columns: dict[str, int]


def audit(
    world: World,
    plan: Plan,
    *,
    cuts: int,
    seed: int,
    stages: Sequence[Stage] = STAGES,
    until: Callable[[Sequence[Change]], bool] = lambda changes: False,  # noqa: ARG005
) -> Audit:
    """Looks for what changes when the future does.

    Args:
        world: Bars of some sessions, and who was a member.
        plan: How the pipeline is set up.
        cuts: Sessions to look at, see `choose_cuts`.
        seed: Of the sessions and of what replaces the future.
        stages: The pipeline; of each cut the first stage that changes is told, since all after it
            change for the same reason.
        until: Whether what was found is enough.
    """
    chosen, prepared = choose_cuts(world, plan, cuts, seed)
    changes: list[Change] = []
    columns: dict[str, set[str]] = {}
    for cut in chosen:
        worlds = _others(prepared, plan, cut, seed)
        changes += _changes_at(prepared, worlds, plan, cut, stages, columns)
        if until(changes):
            break
    return Audit(chosen, changes, {asset: len(names) for asset, names in columns.items()})


def _others(world: World, plan: Plan, cut: Cut, seed: int) -> list[tuple[str, World, int | None]]:
    """Worlds that agree with this one as of the cut; the last column: by how many sessions."""
    before = plan.calendar.between(plan.calendar.first, cut.session)
    others: list[tuple[str, World, int | None]] = [
        (CUT_OFF, cut_after(world, cut.session), None),
        (REPLACED, replaced_after(world, cut.session, seed), None),
    ]
    reach = max(stage.reach or 0 for stage in STAGES)
    first: date = world.bars.select(pl.col("session").min()).item()
    start = before[-1 - reach :][0]
    if start > first:
        others.append((STARTED_LATE, started_late(cut_after(world, cut.session), start), reach))
    return others


def _changes_at(
    world: World,
    others: Sequence[tuple[str, World, int | None]],
    plan: Plan,
    cut: Cut,
    stages: Sequence[Stage],
    columns: dict[str, set[str]],
) -> list[Change]:
    base = Run(world, plan, cut)
    runs = [(how, Run(other, plan, cut), reach) for how, other, reach in others]
    found: list[Change] = []
    for stage in stages:
        base.frames[stage.asset] = stage.make(base)
        for how, run, reach in runs:
            # A run that started late has too little history for more than it is to show.
            if reach is not None and stage.reach is None:
                continue
            made = run.frames[stage.asset] = stage.make(run)
            rows, other = base.frames[stage.asset], made
            if reach is not None:
                rows, other = (f.filter(pl.col(stage.known) == cut.session) for f in (rows, other))
            for column, count, example in _compared(stage, cut.session, rows, other, columns):
                found.append(Change(stage.asset, column, cut.session, how, count, example))
        if found:
            return found
    return found


def _compared(
    stage: Stage, at: date, before: pl.DataFrame, after: pl.DataFrame, columns: dict[str, set[str]]
) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Columns in which two runs differ on what is to be known by a session's close.

    Yields:
        Column, number of values that differ, and one of them.
    """
    known = pl.col(stage.known) <= at
    old, new = before.filter(known), after.filter(known)
    key = list(stage.key)
    if old.height:
        columns.setdefault(stage.asset, set()).update(before.columns)
    for rows, others, words in ((old, new, "it is gone"), (new, old, "it is new")):
        lone = rows.join(others, on=key, how="anti", nulls_equal=True)
        if lone.height:
            yield stage.key[0], lone.height, {**_key_of(lone, key), "change": words}
    names = [name for name in before.columns if name not in key]
    yield from _differing(old, new, key, names)
    for by, some in stage.earlier.items():
        earlier = (pl.col(by) <= at) & ~known
        old, new = before.filter(earlier), after.filter(earlier)
        yield from _differing(old, new, key, [name for name in some if name in before.columns])


def _differing(
    before: pl.DataFrame, after: pl.DataFrame, key: list[str], names: Sequence[str]
) -> Iterator[tuple[str, int, dict[str, Any]]]:
    both = before.join(after, on=key, suffix=" after", nulls_equal=True, maintain_order="left")
    for name in names:
        old, new = both[name], both[f"{name} after"]
        apart = np.flatnonzero(different(old, new))
        if len(apart):
            at = int(apart[0])
            row = _key_of(both[at : at + 1], key)
            yield name, len(apart), {**row, "change": f"{_short(old[at])} became {_short(new[at])}"}


def different(before: pl.Series, after: pl.Series) -> np.ndarray:
    """Which values of two columns are not the same to the last bit, shape (n_rows,)."""
    if before.dtype != after.dtype:
        return np.ones(len(before), dtype=bool)
    if before.dtype.is_float():
        bits = [values.to_numpy().astype(np.float64).view(np.uint64) for values in (before, after)]
        lost = [values.is_null().to_numpy() for values in (before, after)]
        return np.asarray((lost[0] != lost[1]) | (~lost[0] & (bits[0] != bits[1])))
    if before.dtype.is_nested():
        return np.array(
            [repr(a) != repr(b) for a, b in zip(before.to_list(), after.to_list(), strict=True)],
            dtype=bool,
        )
    return before.ne_missing(after).to_numpy()


def _key_of(rows: pl.DataFrame, key: list[str]) -> dict[str, Any]:
    return {name: str(rows[name][0]) for name in key}


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value!r}"
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
