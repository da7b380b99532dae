"""Of launchers of runs.

The public way that is missing: `run_launcher:` in dagster.yaml takes a class of one's own, but
neither the default one nor what run monitoring asks of it is exported (`run_launcher`), and the
documentation has the tags of a run as words.
"""

from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher
from dagster._core.storage.tags import GRPC_INFO_TAG, PRIORITY_TAG

__all__ = [
    "GRPC_INFO_TAG",
    "PRIORITY_TAG",
    "CheckRunHealthResult",
    "DefaultRunLauncher",
    "WorkerStatus",
]
