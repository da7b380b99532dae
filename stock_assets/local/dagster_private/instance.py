"""Of opening an instance.

The public way that is missing: `DagsterInstance.from_config` reads dagster.yaml as it is, and takes
no part of it otherwise. A queue of runs of one's own may be named there, and Dagster's page on
customising it imports the classes from here (`run_order`).
"""

from dagster._core.instance.ref import InstanceRef
from dagster._core.run_coordinator import QueuedRunCoordinator, SubmitRunContext

__all__ = ["InstanceRef", "QueuedRunCoordinator", "SubmitRunContext"]
