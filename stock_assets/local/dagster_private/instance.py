"""Of opening an instance.

The public way that is missing: `DagsterInstance.from_config` reads dagster.yaml as it is, and takes
no part of it otherwise.
"""

from dagster._core.instance.ref import InstanceRef

__all__ = ["InstanceRef"]
