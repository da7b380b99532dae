"""Assets as objects: one per partition, hive-style, written by one PUT each, read in one scan.

An asset says in its metadata how it is partitioned (`partitioned_by`). Its value is one frame with
that column (`partition_column`), or a mapping from partition key to value. A re-run replaces the
objects of its keys and touches no other. Formats: Parquet for frames, JSON for small values.
"""

import io
from abc import abstractmethod
from collections.abc import Collection, Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from typing import Any, get_origin

import dagster as dg
import polars as pl

from stock_assets.asset_keys import asset_name
from stock_assets.errors import MissingPartitionsError, PartitionMismatchError
from stock_assets.local.dagster_private.metadata import add_partition_metadata
from stock_assets.local.dagster_private.runs import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    BACKFILL_ID_TAG,
    PARTITION_NAME_TAG,
)
from stock_assets.local.steps import Step, tell
from stock_assets.partitions import partition_keys
from stock_assets.planning.stamp import STAMP_FIELD, Stamp, stamped
from stock_assets.resources.object_store import ObjectStore, StoredObject
from stock_assets.resources.one_by_one import OneByOne, StoredPartitions, refuse_missing
from stock_assets.resources.partition_objects import partition_object, stored_partitions
from stock_assets.resources.read_cache import read_rows
from stock_assets.resources.stamper import Stamper
from stock_assets.resources.stored_values import as_json, read_values

PARTITIONED_BY = "partitioned_by"
PARTITION_COLUMN = "partition_column"
HISTORY = "history"
"""Metadata of an input: partitions before its first key that are read too.

History is no upstream in Dagster's sense on purpose: a window mapping would make a backfill of one
session target every later one whose window it lies in, whether or not there are data.
"""
MAY_BE_MISSING = "may_be_missing"
"""Metadata of an input that may have holes, and is None where none of its partitions exists."""
EMPTY_IS_MISSING = "empty_is_missing"
"""Metadata of an output whose partitions are not stored where they have no rows, so that they are
missed downstream and made again."""


def _with_history(context: dg.InputContext) -> list[str]:
    """The partition keys to read: the input's own, and those before them that it asks for."""
    own = list(context.asset_partition_keys)
    history = context.definition_metadata.get(HISTORY)
    if not history or not own:
        return own
    every = partition_keys(context.asset_partitions_def)
    first = every.index(own[0])
    return [*every[max(0, first - history) : first], *own]


def _check_unbroken(
    asset: str, wanted: list[str], found: Collection[str], *, may_begin_late: bool
) -> None:
    """Refuses input with a hole, which a window would span in silence.

    Where history begins is another matter: the first keys of a window may not be there yet.
    """
    first = min(found, default=wanted[-1] if wanted else "")
    refuse_missing(
        asset,
        [key for key in wanted if key not in found and (key >= first or not may_begin_late)],
    )


def _refuse_to_overtake(context: dg.InputContext, asset: str, before: list[str]) -> None:
    """Refuses to take keys that an earlier run of the same backfill makes for keys without data.

    A backfill is cut into runs. Should a later one start first, or an earlier one have failed,
    history would begin late for no other reason.
    """
    backfill = context.step_context.dagster_run.tags.get(BACKFILL_ID_TAG)
    if not before or backfill is None:
        return
    for run in context.instance.get_runs(dg.RunsFilter(tags={BACKFILL_ID_TAG: backfill})):
        first, last = (
            run.tags.get(tag, run.tags.get(PARTITION_NAME_TAG, ""))
            for tag in (ASSET_PARTITION_RANGE_START_TAG, ASSET_PARTITION_RANGE_END_TAG)
        )
        made = run.asset_selection or frozenset()
        if context.asset_key in made and first <= before[-1] and last >= before[0]:
            raise MissingPartitionsError(
                f"{asset} of {before[0]}..{before[-1]} is made by another run of this backfill"
                f" ({run.run_id[:8]}, {run.status.value.lower()}) that must end first; run this one"
                " again then, and limit runs per backfill to one as dagster.yaml does"
            )


class _PartitionedIOManager(dg.IOManager):
    """The plumbing; formats say how a value becomes bytes."""

    file: str

    def __init__(self, store: ObjectStore, stamper: Stamper | None = None) -> None:
        self.store = store
        self.stamper = stamper

    @abstractmethod
    def encode(self, value: Any, stamp: Stamp | None = None) -> bytes: ...

    @abstractmethod
    def decode_one(self, stored: StoredObject) -> Any: ...

    def split(
        self,
        value: Any,
        keys: list[str],
        column: str | None,  # noqa: ARG002  # frames need it
    ) -> Mapping[str, Any]:
        """The value of each partition key."""
        if not isinstance(value, Mapping):
            raise PartitionMismatchError(
                f"an output of {len(keys)} partitions must be a mapping from partition key to"
                f" value, not {type(value).__name__}"
            )
        return value

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        asset = asset_name(context.asset_key)
        metadata = context.definition_metadata
        keys = list(context.asset_partition_keys)
        by = metadata[PARTITIONED_BY]
        if isinstance(obj, OneByOne):
            self._store_one_by_one(context, obj, asset, by, keys)
            return
        values = self.split(obj, keys, metadata.get(PARTITION_COLUMN))
        if set(values) != set(keys):
            odd = sorted(set(values) ^ set(keys))
            raise PartitionMismatchError(
                f"{asset}: the output has other partitions than the run: {', '.join(odd[:5])}"
            )
        if metadata.get(EMPTY_IS_MISSING):
            values = {key: value for key, value in values.items() if len(value)}
        self.store_values(context, asset, by, values)
        self._show_each(
            context, {key: self._shown(asset, by, key, value) for key, value in values.items()}
        )

    def store_values(
        self,
        context: dg.OutputContext,  # noqa: ARG002  # who stores elsewhere says so
        asset: str,
        by: str,
        values: Mapping[str, Any],
        folder: str = "",
    ) -> None:
        """Writes the value of each partition key, with the stamp of what it was made of.

        `folder`: where, if not in the asset's own.
        """
        stamps = self.stamper.stamps(asset, values) if self.stamper else {}
        paths = {key: partition_object(folder or asset, by, key, self.file) for key in values}
        key_of = {path: key for key, path in paths.items()}
        stored = self.store.put_encoded(
            {paths[key]: (value, stamps.get(key)) for key, value in values.items()},
            lambda pair: self.encode(*pair),
            lambda path: tell(Step(asset, key_of[path])),
        )
        if self.stamper and not folder:
            entries = {key: (stored[path].tag, stamps[key]) for key, path in paths.items()}
            self.stamper.stored(asset, entries)

    def _shown(self, asset: str, by: str, key: str, value: Any) -> dict[str, Any]:
        """What the page shows of a partition: where it lies, and what it is."""
        path = partition_object(asset, by, key, self.file)
        return {
            "object": dg.MetadataValue.path(f"{self.store.uri}/{path}"),
            **self.describe(value),
        }

    @staticmethod
    def _show_each(context: dg.OutputContext, shown: Mapping[str, Mapping[str, Any]]) -> None:
        """With each partition's event its own: what is added to an output is in all of them."""
        if len(context.asset_partition_keys) == 1:
            for values in shown.values():
                context.add_output_metadata(values)
            return
        add_partition_metadata(context, shown)

    def _store_one_by_one(
        self, context: dg.OutputContext, obj: OneByOne, asset: str, by: str, keys: list[str]
    ) -> None:
        left, shown = set(keys), {}
        stamper = self.stamper if obj.while_others_write else None

        def store(values: Mapping[str, Any]) -> None:
            with stamper.writing() if stamper else nullcontext():
                self.store_values(context, asset, by, values)

        # The next value is made while one is stored, and no more than these two are in memory.
        with (
            stamper.while_others_write() if stamper else nullcontext(),
            ThreadPoolExecutor(1) as writer,
            ExitStack() as ending,
        ):
            if isinstance(obj.values, Generator):
                ending.callback(obj.values.close)  # a failure ends what goes on for them
            stored: Future[None] | None = None
            for key, value in obj.values:
                if key not in left:
                    raise PartitionMismatchError(f"{asset}: {key} is no partition of the run")
                left.remove(key)
                shown[key] = self._shown(asset, by, key, value)
                if stored:
                    stored.result()
                stored = writer.submit(store, {key: value})
            if stored:
                stored.result()
        if left:
            raise PartitionMismatchError(f"{asset}: no value for {', '.join(sorted(left)[:5])}")
        self._show_each(context, shown)

    def describe(self, value: Any) -> dict[str, Any]:  # noqa: ARG002
        """Metadata of a partition, by its value."""
        return {}

    def load_input(self, context: dg.InputContext) -> Any:
        asset = asset_name(context.asset_key)
        upstream = context.upstream_output
        described = upstream.definition_metadata if upstream else {}
        if context.dagster_type.typing_type is StoredPartitions:
            stored = self._looked_up(asset, stored_partitions(self.store, asset))
            return StoredPartitions(
                asset,
                described.get(PARTITION_COLUMN, ""),
                list(context.asset_partition_keys),
                partition_keys(context.asset_partitions_def),
                stored,
                self.decode_many,
            )
        wanted = _with_history(context)
        by = described.get(PARTITIONED_BY, "")
        since = wanted[0] if by and wanted else ""
        stored = self._looked_up(asset, stored_partitions(self.store, asset, by, since))
        found = {key: stored[key] for key in wanted if key in stored}
        one_per_key = get_origin(context.dagster_type.typing_type) is dict
        if not context.definition_metadata.get(MAY_BE_MISSING):
            _check_unbroken(asset, wanted, found, may_begin_late=not one_per_key)
        _refuse_to_overtake(context, asset, [key for key in wanted if key not in found])
        if not found:
            return None
        if one_per_key:
            return {key: self.decode_one(one) for key, one in found.items()}
        return self.decode_many(list(found.values()))

    def _looked_up(self, asset: str, stored: dict[str, StoredObject]) -> dict[str, StoredObject]:
        if self.stamper:
            self.stamper.see(asset, stored)
        return stored

    def decode_many(self, objects: Sequence[StoredObject]) -> Any:
        (stored,) = objects
        return self.decode_one(stored)


class ParquetIOManager(_PartitionedIOManager):
    """Polars frames as zstd Parquet.

    An input typed as a frame gets the rows of all its partitions that exist, in key order, from one
    scan; one typed `dict[str, pl.DataFrame]` gets a frame per key and refuses a missing one; one
    typed `StoredPartitions` reads what it is asked for.
    """

    file = "part.parquet"

    def encode(self, value: pl.DataFrame, stamp: Stamp | None = None) -> bytes:
        buffer = io.BytesIO()
        value.write_parquet(buffer, compression="zstd", statistics=False)
        content = buffer.getvalue()
        return stamped(content, stamp) if stamp else content

    def decode_one(self, stored: StoredObject) -> pl.DataFrame:
        return self.decode_many([stored])

    def decode_many(self, objects: Sequence[StoredObject]) -> pl.DataFrame:
        return read_rows(self.store, objects)

    def split(self, value: Any, keys: list[str], column: str | None) -> Mapping[str, Any]:
        if not isinstance(value, pl.DataFrame):
            return super().split(value, keys, column)
        if column is None:
            raise PartitionMismatchError("a frame needs the metadata `partition_column`")
        parts = {
            str(key): part
            for (key,), part in value.partition_by(
                column, as_dict=True, maintain_order=True
            ).items()
        }
        empty = value.clear()
        # A partition without rows is stored as such: it was looked at and there was nothing.
        return {**dict.fromkeys(keys, empty), **parts}

    def describe(self, value: pl.DataFrame) -> dict[str, Any]:
        return {"dagster/row_count": value.height}


class JsonIOManager(_PartitionedIOManager):
    """Small plain values as JSON, one object per partition; inputs come as `dict[str, dict]`."""

    file = "value.json"

    def encode(self, value: Any, stamp: Stamp | None = None) -> bytes:
        return as_json({**value, STAMP_FIELD: stamp.as_values()} if stamp else value)

    def decode_one(self, stored: StoredObject) -> dict[str, Any]:
        return read_values(self.store, [stored.path], dict)[0]
