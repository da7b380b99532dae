"""Of a step's metadata.

The public way that is missing: `add_asset_metadata` takes one partition a call, and each call lists
all partitions of the run. Of 250 sessions that took longer than storing their objects.
"""

from collections.abc import Mapping
from typing import Any

from dagster import AssetExecutionContext, OutputContext
from dagster._core.execution.context.metadata_logging import (
    AssetMetadataHandle,
    OutputMetadataAccumulator,
)

__all__ = ["add_partition_metadata"]


def add_partition_metadata(
    context: AssetExecutionContext | OutputContext, metadata: Mapping[str, Mapping[str, Any]]
) -> None:
    """Adds to the event of each partition what is given by its key, beside what it has.

    Raises:
        AttributeError: Dagster no longer keeps a step's metadata as it did.
    """
    step = (
        context.step_context
        if isinstance(context, OutputContext)
        else context.get_step_execution_context()
    )
    known = dict(step._metadata_accumulator.per_output_metadata)
    for key, values in metadata.items():
        handle = AssetMetadataHandle(asset_key=step.assets_def.key, partition_key=key)  # type: ignore[union-attr]
        known[handle] = {**known.get(handle, {}), **values}
    step._metadata_accumulator = OutputMetadataAccumulator(per_output_metadata=known)
