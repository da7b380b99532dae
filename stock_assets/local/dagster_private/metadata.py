"""Of a step's metadata.

The public way that is missing: `add_asset_metadata` takes one partition at a time. Each time it
lists the run's partitions anew, a cron expression at a time, and copies what is known of all of
them: of a run of 250 sessions that takes as long as to store their objects.
"""

from collections.abc import Mapping
from typing import Any

from dagster import AssetKey
from dagster._core.execution.context.metadata_logging import (
    AssetMetadataHandle,
    OutputMetadataAccumulator,
)
from dagster._core.execution.context.system import StepExecutionContext

__all__ = ["StepExecutionContext", "add_partition_metadata"]


def add_partition_metadata(
    step: StepExecutionContext, asset_key: AssetKey, metadata: Mapping[str, Mapping[str, Any]]
) -> None:
    """What `add_asset_metadata` does for each partition key of the run's, all at once.

    Args:
        step: That materialises the asset.
        asset_key: The asset.
        metadata: By partition key, each one of the run's.
    """
    known = dict(step._metadata_accumulator.per_output_metadata)
    for key, values in metadata.items():
        handle = AssetMetadataHandle(asset_key=asset_key, partition_key=key)
        known[handle] = {**known.get(handle, {}), **values}
    step._metadata_accumulator = OutputMetadataAccumulator(per_output_metadata=known)
