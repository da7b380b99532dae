"""What speaks for whom where two vendors' bars differ: a verdict on each odd row, in order.

Rows are those of `side_by_side`. What was taken of earlier rows decides what continues the price,
so a row is judged after those before it.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from stock_assets.market.side_by_side import DIVIDEND_TOLERANCE, SMALLEST_PAYMENT

MISSED_SPLIT = "missed split"
DECIMAL_ERROR = "decimal error"
STALE_BAR = "stale bar"
SHIFTED_DAY = "shifted day"
UNSOUND_BAR = "unsound bar"
OTHER_CLOSE = "close differs"
OTHER_SPLIT = "split differs"
LOST_DIVIDEND = "lost dividend"
OTHER_DIVIDEND = "dividend differs"
OTHER_DATE = "dividend dated otherwise"

_LEAP = math.log(1.2)
"""Closes that are further apart are no matter of taste: one of them continues no price."""
_ALIKE = 0.02
_DATED_WITHIN = 3
_SMALL_RATIO, _LARGEST_RATIO = 5, 50
_LARGEST_DIVIDEND = 0.5


@dataclass(frozen=True)
class Found:
    """`at`: the row. `wrong`: 0 or 1, None where that can't be decided. `kept`: 0 or 1."""

    at: int
    kind: str
    column: str
    wrong: int | None
    kept: int


@dataclass
class Judge:
    """Goes through the odd rows in order, since what was taken before decides what continues it.

    Arrays have a row per bar; those of both vendors have the shape (2, n_bars), NaN for unknown.
    `bar`, `split`, `dividend`: whose is taken, 0 or 1.
    """

    marks: Mapping[str, NDArray[np.bool_]]
    values: Mapping[str, NDArray[np.float64]]
    accepted: NDArray[np.float64]
    bar: NDArray[np.int64]
    split: NDArray[np.int64]
    dividend: NDArray[np.int64]
    found: list[Found] = field(default_factory=list)
    told: dict[int, tuple[str, int | None]] = field(default_factory=dict)
    """What was found of whole stretches, by row that is still to be judged."""

    @classmethod
    def of(cls, both: pl.DataFrame, accepted: NDArray[np.float64]) -> "Judge":
        values = {
            name: np.stack(
                [both[f"{name}{vendor}"].to_numpy().astype(np.float64) for vendor in ("", "_2")]
            )
            for name in ("close", "dividend", "split_ratio")
        }
        marks = {n: both[n].to_numpy() for n, kind in both.schema.items() if kind == pl.Boolean}
        # An event that can't be one is not known; beside a price that can't be one, it may be.
        for name, least in (("dividend", 0.0), ("split_ratio", np.nextafter(0.0, 1.0))):
            known = np.isfinite(values[name]) & (values[name] >= least)
            values[name] = np.where(known, values[name], np.nan)

        def whose(name: str) -> NDArray[np.int64]:
            return np.where(np.isnan(values[name][0]) & ~np.isnan(values[name][1]), 1, 0)

        return cls(
            marks,
            values,
            accepted,
            np.where(marks["has"], 0, 1),
            whose("split_ratio"),
            whose("dividend"),
        )

    def judge(self, at: int) -> None:
        """Of one row: its bar, then its events. Rows come in ascending order."""
        price = self._bar(at)
        if price:
            kind, wrong = price
            self.bar[at] = 1 if wrong == 0 else 0
            self._note(at, kind, "close", wrong, int(self.bar[at]))
        if self.marks["splits_differ"][at]:
            self._split(at, price)
        if self.marks["dividends_differ"][at]:
            self._dividend(at)

    def _note(self, at: int, kind: str, column: str, wrong: int | None, kept: int) -> None:
        self.found.append(Found(at, kind, column, wrong, kept))

    # --- the bar

    def _bar(self, at: int) -> tuple[str, int | None] | None:
        """What is odd about the prices of a row, and whose they are; None where nothing is."""
        marks = self.marks
        leap = self._leap(at)
        is_leap = marks["apart"][at] and abs(leap) >= _LEAP
        if marks["unsound"][at] != marks["unsound_2"][at]:
            kind = self._kind_of_leap(at, at) if is_leap else UNSOUND_BAR
            return kind, 0 if marks["unsound"][at] else 1
        if marks["differ"][at] and (wrong := self._repeats(at)) is not None:
            return SHIFTED_DAY if self._is_shifted(at + 1) else STALE_BAR, wrong
        if at in self.told:
            return self.told[at]
        if is_leap:
            first, last = self._stretch(at)
            kind = self._kind_of_leap(first, last)
            # A bar of another day that differs by a whole factor is rarer than a wrong factor.
            if kind != OTHER_CLOSE or not marks["shifted"][at]:
                return self._tell(at, last, (kind, self._wrong_of_leap(first, last)))
        if marks["shifted"][at]:
            first, last = self._around(at, lambda row: bool(marks["shifted"][row]))
            return self._tell(at, last, (SHIFTED_DAY, self._wrong_of_shift(first, last)))
        return (OTHER_CLOSE, None) if marks["apart"][at] else None

    def _tell(
        self, first: int, last: int, verdict: tuple[str, int | None]
    ) -> tuple[str, int | None]:
        """Of a whole stretch at once: judged row by row, a long one would take for ever."""
        self.told |= dict.fromkeys(range(first, last + 1), verdict)
        return verdict

    def _repeats(self, at: int) -> int | None:
        """Who alone only repeats the bar before."""
        one, two = self.marks["repeats"][at], self.marks["repeats_2"][at]
        return None if one == two else (0 if one else 1)

    def _is_inner(self, at: int) -> bool:
        """Whether a row is of the same ticker as the one before it."""
        return at < len(self.bar) and not self.marks["is_new"][at]

    def _is_shifted(self, at: int) -> bool:
        return self._is_inner(at) and bool(self.marks["shifted"][at]) and self._repeats(at) is None

    def _wrong_of_shift(self, first: int, last: int) -> int | None:
        """A stretch of shifted days begins or ends with a bar that repeats another."""
        until = last + 2 if self._is_inner(last + 1) else last + 1
        wrong = {self._repeats(row) for row in range(first, until)} - {None}
        return wrong.pop() if len(wrong) == 1 else None

    def _leap(self, at: int) -> float:
        """Log of the second's close over the first's."""
        one, two = self.values["close"][:, at]
        return math.log(two / one) if one > 0 and two > 0 else 0.0

    def _stretch(self, at: int) -> tuple[int, int]:
        """The first and last of the neighbouring rows that are apart by the same factor."""

        def is_alike(row: int) -> bool:
            return bool(self.marks["apart"][row]) and abs(self._leap(row) - self._leap(at)) < _ALIKE

        return self._around(at, is_alike)

    def _around(self, at: int, belongs: Callable[[int], bool]) -> tuple[int, int]:
        """The first and last row of a stretch of one ticker."""
        first = last = at
        while self._is_inner(first) and belongs(first - 1):
            first -= 1
        while self._is_inner(last + 1) and belongs(last + 1):
            last += 1
        return first, last

    def _kind_of_leap(self, first: int, last: int) -> str:
        factor = math.exp(abs(self._leap(first)))
        recorded = {
            max(ratio, 1 / ratio)
            for row in (first, last + 1)
            if row == first or self._is_inner(row)
            for ratio in self.values["split_ratio"][:, row]
            if ratio > 0
        }
        if any(abs(math.log(factor / ratio)) < _ALIKE for ratio in recorded):
            return MISSED_SPLIT
        if any(abs(math.log(factor) - n * math.log(10)) < _ALIKE for n in (1, 2, 3)):
            return DECIMAL_ERROR
        # Ratios are whole, or small ones like 3:2. Any large number is near to a whole one.
        denominators = (1, 2, 3, 4) if factor < _SMALL_RATIO else (1,)
        is_ratio = any(
            abs(math.log(factor * n / max(1, round(factor * n)))) < _ALIKE / 2 for n in denominators
        )
        return MISSED_SPLIT if is_ratio and factor < _LARGEST_RATIO else OTHER_CLOSE

    def _wrong_of_leap(self, first: int, last: int) -> int | None:
        """Whose price does not continue what was taken before the stretch, or after it."""
        for row in range(first, last + 1):
            if (wrong := self._other_than(row, self.accepted[row])) is not None:
                return wrong
        if self._is_inner(first):
            before = self._taken_close(first - 1)
            wrong = self._less_likely(first, before, self.values["close"][:, first])
            if wrong is not None:
                return wrong
        if self._is_inner(last + 1) and not self.marks["apart"][last + 1]:
            after = np.full(2, self._taken_close(last + 1))
            return self._less_likely(last + 1, self.values["close"][:, last], after)
        return None

    def _other_than(self, row: int, accepted: float) -> int | None:
        """Who does not say what was stored, where one of them does."""
        near = np.abs(np.log(self.values["close"][:, row] / accepted)) < abs(self._leap(row)) / 4
        return None if near[0] == near[1] else int(near[0])

    def _less_likely(self, at: int, before: Any, after: NDArray[np.float64]) -> int | None:
        """Who is wrong about a move into a row; a recorded split explains one."""
        ratios = self.values["split_ratio"][:, at]
        ratios = np.where(ratios > 0, ratios, 1.0)
        moves = np.abs(np.log(after * ratios / before))
        doubt = abs(self._leap(at if self.marks["apart"][at] else at - 1)) / 2
        if np.isnan(moves).any():
            return None
        if abs(moves[0] - moves[1]) > doubt:
            return int(moves[1] > moves[0])
        has_split = np.abs(np.log(ratios)) > doubt
        # Both continue their own price. A split that somebody recorded did happen.
        return None if has_split[0] == has_split[1] or moves.min() > doubt else int(has_split[0])

    def _taken_close(self, at: int) -> float:
        if not math.isnan(self.accepted[at]):
            return float(self.accepted[at])
        return float(self.values["close"][self.bar[at], at])

    # --- events

    def _split(self, at: int, price: tuple[str, int | None] | None) -> None:
        ratios = self.values["split_ratio"][:, at]
        if np.isnan(ratios).any():
            return
        if price and price[0] == MISSED_SPLIT and price[1] is not None:
            self.split[at] = self.bar[at]
            return
        kept = 0 if ratios[0] != 1 else 1
        if self._is_inner(at) and abs(math.log(ratios[0] / ratios[1])) > _LEAP:
            close = self.values["close"][self.bar[at], at]
            moves = np.abs(np.log(close * ratios / self._taken_close(at - 1)))
            kept = int(moves[1] < moves[0])
        self.split[at] = kept
        wrong = 1 - kept
        self._note(
            at, MISSED_SPLIT if ratios[wrong] == 1 else OTHER_SPLIT, "split_ratio", wrong, kept
        )

    def _dividend(self, at: int) -> None:
        paid = self.values["dividend"][:, at]
        if np.isnan(paid).any():
            return
        if paid.min() > 0:
            self._note(at, OTHER_DIVIDEND, "dividend", None, 0)
            return
        who = int(paid[1] > 0)
        if offset := self._dated_otherwise(at, who):
            # Counted once, on the earlier day: the later one may not be known yet.
            self.dividend[at] = 1 - who if offset < 0 else who
            self._note(at, OTHER_DATE, "dividend", None, int(self.dividend[at]))
            return
        is_likely = paid[who] <= _LARGEST_DIVIDEND * self.values["close"][self.bar[at], at]
        self.dividend[at] = who if is_likely else 0
        wrong = 1 - who if is_likely else None
        self._note(at, LOST_DIVIDEND, "dividend", wrong, int(self.dividend[at]))

    def _dated_otherwise(self, at: int, who: int) -> int:
        """Sessions to the day on which the other has this dividend alone; 0 where there is none."""
        paid, other = self.values["dividend"][who, at], 1 - who
        for by in (-1, 1):
            row = at
            for offset in range(1, _DATED_WITHIN + 1):
                row += by
                if row < 0 or not self._is_inner(max(row, row - by)):
                    break
                there = self.values["dividend"][:, row]
                tolerance = max(SMALLEST_PAYMENT, DIVIDEND_TOLERANCE * paid)
                if there[who] == 0 and there[other] > 0 and abs(there[other] - paid) <= tolerance:
                    return by * offset
        return 0
