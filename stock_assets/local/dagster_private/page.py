"""Of the page.

The public way that is missing: the command `dagster-webserver` has no option for a middleware; its
server class has a method for it (`dagster_page`).
"""

from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster_webserver.webserver import DagsterWebserver

__all__ = [
    "DagsterWebserver",
    "WorkspaceFileTarget",
    "WorkspaceProcessContext",
]
