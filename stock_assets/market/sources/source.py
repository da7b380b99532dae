"""What a source of prices must be able to do."""

from collections.abc import Sequence
from datetime import date
from typing import Protocol

import polars as pl


class PriceSource(Protocol):
    """A place that bars can be fetched from. Fetching twice gives the same bars."""

    name: str

    def default_tickers(self) -> tuple[str, ...]:
        """The tickers to use where the settings name none."""
        ...

    def first_session(self) -> date:
        """The first session that this source can serve (partitions start there by default)."""
        ...

    def last_session(self) -> date | None:
        """The last session of a source that ends; None for one that goes on."""
        ...

    def fetch_bars(self, tickers: Sequence[str], first: date, last: date) -> pl.DataFrame:
        """Bars as traded, from `first` to `last` inclusive.

        Returns:
            Rows of BAR_SCHEMA sorted by ticker and session. A ticker that was not listed on a
            session has no row there; values are as the source has them, sound or not.

        Raises:
            UnknownTickerError: The source has no such ticker.
            SourceError: Anything else that stands between the caller and the bars.
        """
        ...
