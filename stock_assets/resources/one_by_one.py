"""Values of many partitions that are never all in memory: stored as they come, read when asked for.

A month of training data spans years of sessions, so a run over twelve months must not hold twelve
of them; and what a run had stored before it was killed stays.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from stock_assets.errors import MissingPartitionsError
from stock_assets.resources.object_store import StoredObject


def refuse_missing(asset: str, missing: Sequence[str]) -> None:
    """Refuses to go on without some partitions of an asset.

    Raises:
        MissingPartitionsError: There are any.
    """
    if missing:
        span = missing[0] if len(missing) == 1 else f"{missing[0]}..{missing[-1]}"
        raise MissingPartitionsError(
            f"{asset} was never materialised for {span} ({len(missing)} keys); do that in the page,"
            " or with `stock-assets run` over that range",
            asset,
            missing,
        )


@dataclass(frozen=True)
class OneByOne:
    """An output whose partitions are stored one by one, as they come.

    Args:
        values: Partition keys with their values. The next is asked for while one is stored.
        while_others_write: Whether they are made without the right to write, which is held while
            one is stored. What they are made of may then be replaced meanwhile: it must have been
            looked up before it is read, as stamps say.
    """

    values: Iterator[tuple[str, Any]]
    while_others_write: bool = False


class StoredPartitions(Mapping[str, Any]):
    """An input whose partitions are read when asked for.

    Args:
        asset: Its name.
        column: That holds the partition key, of frames.
        own: Partition keys that the run reads by Dagster's word, ascending.
        every: All partition keys there are, ascending.
        stored: The object of each partition that was materialised.
        read: The value of one object, or the rows of several.
    """

    def __init__(
        self,
        asset: str,
        column: str,
        own: Sequence[str],
        every: Sequence[str],
        stored: Mapping[str, StoredObject],
        read: Callable[[list[StoredObject]], Any],
    ) -> None:
        self._asset, self._column, self._own, self._every = asset, column, own, every
        self._stored, self._read = stored, read
        self._held: tuple[list[str], pl.DataFrame] = ([], pl.DataFrame())

    def __getitem__(self, key: str) -> Any:
        if key not in self._own:
            raise KeyError(key)
        refuse_missing(self._asset, [] if key in self._stored else [key])
        return self._read([self._stored[key]])

    def __iter__(self) -> Iterator[str]:
        return iter(self._own)

    def __len__(self) -> int:
        return len(self._own)

    def rows_between(self, first: str, last: str) -> pl.DataFrame:
        """The rows of every partition from `first` to `last`, in key order.

        What the call before read is not read again: months in order share most of their sessions.

        Raises:
            MissingPartitionsError: One was never materialised.
        """
        wanted = [key for key in self._every if first <= key <= last]
        refuse_missing(self._asset, [key for key in wanted if key not in self._stored])
        keys, rows = self._held
        held = [key for key in keys if first <= key]
        if not held or wanted[: len(held)] != held:
            held, rows = [], pl.DataFrame()
        new = [self._stored[key] for key in wanted[len(held) :]]
        parts = [rows.filter(pl.col(self._column) >= pl.lit(first).str.to_date())] if held else []
        if new:
            parts.append(self._read(new))
        if not parts:
            return rows
        rows = pl.concat(parts, how="diagonal") if len(parts) > 1 else parts[0]
        self._held = (wanted, rows)
        return rows
