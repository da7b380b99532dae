"""Of jobs, runs and their events; `import dagster` has loaded all of it.

The public way that is missing:
- constants of tags: the documentation has them as words;
- `RUNLESS_…`, `DagsterEventBatchMetadata`, `StepMaterializationData`: `report_runless_asset_event`
  writes one event at a time, and a store of ten years that Dagster does not know of has 20,000;
- `AssetCheckEvaluationPlanned`, `AssetCheckExecutionRecordStatus`: rows of checks are written by a
  storage alone, and ours cuts them short (`dagster_storage`);
- `DagsterAssetCheckFailedError`: what a blocking check raises is not exported;
- `RemoteJobOrigin` and its parts: `execute_in_process` gives a run no origin, without which the
  page shows it neither among its job's runs nor on the timeline (`command_runs`);
- `UnresolvedAssetJobDefinition`: what `define_asset_job` returns has no other name;
- `ConfigurableClassData`, `UserConfigSchema`: a storage of one's own may be named in dagster.yaml,
  but the types of the methods that it must have are not exported.
"""

from dagster._config.config_schema import UserConfigSchema
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationPlanned,
)
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._core.errors import DagsterAssetCheckFailedError
from dagster._core.events import DagsterEventBatchMetadata, StepMaterializationData
from dagster._core.instance.utils import RUNLESS_JOB_NAME, RUNLESS_RUN_ID
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    BACKFILL_ID_TAG,
    MAX_RETRIES_TAG,
    PARTITION_NAME_TAG,
)
from dagster._serdes import ConfigurableClassData

__all__ = [
    "ASSET_PARTITION_RANGE_END_TAG",
    "ASSET_PARTITION_RANGE_START_TAG",
    "BACKFILL_ID_TAG",
    "MAX_RETRIES_TAG",
    "PARTITION_NAME_TAG",
    "RUNLESS_JOB_NAME",
    "RUNLESS_RUN_ID",
    "AssetCheckEvaluationPlanned",
    "AssetCheckExecutionRecordStatus",
    "ConfigurableClassData",
    "DagsterAssetCheckFailedError",
    "DagsterEventBatchMetadata",
    "RegisteredCodeLocationOrigin",
    "RemoteJobOrigin",
    "RemoteRepositoryOrigin",
    "StepMaterializationData",
    "UnresolvedAssetJobDefinition",
    "UserConfigSchema",
]
