"""Sums and medians over a fixed number of past values, as fast as numpy goes.

Each result is made of the values of its own window alone, by the same operations in the same order
wherever the window lies: no running sum, no exponential mean that remembers its whole past, no
matrix product whose blocks depend on the position. So a range's start shows in no last bit.

NaN stands for a value that is not known; a sum over a window that holds one is NaN.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import polars as pl
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Values = NDArray[np.float64]

_BLOCK = 16_384
"""Rows worked on at once: what a few dozen arrays of them take fits a core's cache."""
_MEDIAN_BLOCK = 4_096
_KEPT = 2**22
"""Bytes. glibc takes more than an array of a block from the system, and gives it back, each time,
until it has seen a larger one freed: most of what a block costs would be new pages."""


def decaying_sums(
    values: Values, decay: float, count: int, made: dict[tuple[float, int], Values] | None = None
) -> Values:
    """Sum over j < count of decay**j times the value j before; shape (n - count + 1,).

    By doubling: a window of 2 m is one of m and the one m before it, so 63 weights cost ten
    multiplications. A decay of 1 makes plain sums.

    Args:
        values: Shape (n,).
        decay: Of the weights.
        count: Values in a window.
        made: Sums of the very same values, kept between calls: windows are made of shorter ones.
    """
    if count == 1:
        return values
    if made is not None and (decay, count) in made:
        return made[decay, count]
    # Of an odd window the newest value is taken off, then halves are left.
    part = 1 if count % 2 else count // 2
    older = decaying_sums(values, decay, count - part, made)
    newer = values[count - 1 :] if part == 1 else older[part:]
    older = older[: len(newer)]
    sums = older + newer if decay == 1 else older * decay**part
    if decay != 1:
        sums += newer
    if made is not None:
        made[decay, count] = sums
    return sums


def ramp_sums(values: Values, count: int) -> Values:
    """Sum over j < count of (count - j) times the value j before; shape (n - count + 1,)."""
    size = len(values) - count + 1
    plain = values[count - 1 :].copy()
    total = plain.copy()
    for back in range(1, count):
        plain += values[count - 1 - back :][:size]
        total += plain
    return total


def least_values(values: Values, count: int) -> Values:
    """Least known value of each `count` neighbours, by doubling; shape (n - count + 1,)."""
    done, least = 1, values
    while done < count:
        step = min(done, count - done)
        least, done = np.fmin(least[step:], least[:-step]), done + step
    return least


def medians_before(
    values: Values, ordinals: NDArray[np.int64], groups: NDArray[np.int64], span: int, fewest: int
) -> Values:
    """Median of the known values that the `span` ordinals before each row have in its own group.

    Args:
        values: Shape (n_rows,).
        ordinals: Strictly increasing within a group.
        groups: Rows of a group lie together.
        span: Ordinals before the row's own.
        fewest: NaN where fewer values are known.
    """
    result = np.empty(len(values))
    # Rows before the first are of no group.
    values = np.concatenate([np.full(span, np.nan), values])
    groups = np.concatenate([np.full(span, -1), groups])
    ordinals = np.concatenate([np.zeros(span, np.int64), ordinals])
    whole = (groups[span:] == groups[:-span]) & (ordinals[span:] == ordinals[:-span] + span)

    def block(first: int, last: int) -> None:
        def before(of: NDArray[Any]) -> NDArray[Any]:
            return sliding_window_view(of[first : last + span - 1], span)

        ranked = np.sort(before(values), axis=1)  # NaN last
        result[first:last] = (ranked[:, (span - 1) // 2] + ranked[:, span // 2]) / 2
        rows = np.flatnonzero(~whole[first:last] | np.isnan(ranked[:, -1]))
        if not len(rows):
            return
        at = rows + first + span
        inside = (before(groups)[rows] == groups[at, None]) & (
            before(ordinals)[rows] >= ordinals[at, None] - span
        )
        ranked = np.sort(np.where(inside, before(values)[rows], np.nan), axis=1)
        known = np.count_nonzero(~np.isnan(ranked), axis=1)
        each = np.arange(len(rows))
        low, high = ranked[each, np.maximum(known - 1, 0) // 2], ranked[each, known // 2 % span]
        result[first + rows] = np.where(known >= fewest, (low + high) / 2, np.nan)

    in_blocks(block, 0, len(result), _MEDIAN_BLOCK)
    return result


def together(places: NDArray[np.int64]) -> Any:
    """Ascending places as a slice where none is left out: several times as fast to index by."""
    first, last = places[0], places[-1]
    return slice(first, last + 1) if last - first == len(places) - 1 else places


def in_blocks(work: Callable[[int, int], None], first: int, last: int, size: int = _BLOCK) -> None:
    """Calls `work(first, last)` for neighbouring blocks of rows, on as many threads as polars."""
    starts = range(first, last, size)

    def block(start: int) -> None:
        with np.errstate(invalid="ignore", divide="ignore"):
            work(start, min(start + size, last))

    if len(starts) <= 1:
        for start in starts:
            block(start)
        return
    np.empty(_KEPT, np.uint8)  # freed at once
    with ThreadPoolExecutor(pl.thread_pool_size()) as pool:
        for _ in pool.map(block, starts):
            pass
