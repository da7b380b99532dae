"""What the calendar says of a month's training: its sessions, and whose parameters it takes over.

Nothing here looks at what is stored or was trained before, so the answers are the same whenever
and in whatever order months are trained.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import cached_property

from stock_assets.forecasting.features import HISTORY_SESSIONS
from stock_assets.forecasting.splits import SplitSessions, split_sessions
from stock_assets.market.months import month_key, month_of, months_before
from stock_assets.market.sessions import ExchangeCalendar


@dataclass(frozen=True)
class TrainingMonths:
    """The months of one deployment as its settings train them.

    Args:
        calendar: Of the exchange.
        first: The session with which prices begin.
        train_months: How far a month's train set reaches back.
        test_sessions: Sessions of its test set.
        min_train_sessions: Sessions that its train set must have at least.
        horizon: Sessions that a label spans.
        retune_months: Months of a block: the first of them that can be trained is searched.
    """

    calendar: ExchangeCalendar
    first: date
    train_months: int
    test_sessions: int
    min_train_sessions: int
    horizon: int
    retune_months: int

    def cut_off(self, month: str) -> date:
        """The last session that the model of a month may look at, unless it is trained again."""
        return self.calendar.last_before(month_of(month))

    def split(self, month: str, through: date | None = None) -> SplitSessions:
        """The boundaries of the training of a month that has enough history, see `shortfall`."""
        through = through or self.cut_off(month)
        first = max(months_before(month_of(month), self.train_months), self.first)
        return split_sessions(self.calendar, through, first, self.test_sessions, self.horizon)

    def shortfall(self, month: str, through: date | None = None) -> str | None:
        """Why there is too little history for a month's model; None where there is enough.

        What counts is the calendar: which sessions there are, not which were materialised.

        Args:
            month: Its key.
            through: The last session that the model may look at, where that is not its cut-off.
        """
        through = through or self.cut_off(month)
        oldest = months_before(month_of(month), self.train_months)
        usable = len(self.calendar.between(max(oldest, self._complete), through))
        needed = self.test_sessions + self.min_train_sessions
        if usable >= needed:
            return None
        return (
            f"{usable} sessions with complete features up to {through}, {needed} are needed"
            f" (prices begin {self.first})"
        )

    @cached_property
    def _complete(self) -> date:
        """Before this session no ticker has complete features."""
        begin = self.calendar.between(self.first, self.calendar.last)
        return begin[min(HISTORY_SESSIONS, len(begin) - 1)]

    def lender(self, month: str) -> str:
        """The month whose search a month's model takes its parameters from.

        Months are cut into blocks of `retune_months`, counted from year 0. The first month of a
        block that has enough history lends to those after it, never to earlier ones: a month
        without such a one before it in its block is its own.
        """
        start = month_of(month)
        place = (start.year * 12 + start.month - 1) % self.retune_months
        block = (month_key(months_before(start, earlier)) for earlier in range(place, 0, -1))
        begin = month_key(self.first)  # with nothing before it, no month to train
        return next((m for m in block if m > begin and not self.shortfall(m)), month)

    def with_lenders(self, months: Iterable[str]) -> list[str]:
        """These months and their lenders, ascending: all that must be trained for them."""
        return sorted({one for month in months for one in (month, self.lender(month))})
