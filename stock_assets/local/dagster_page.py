"""Dagster's page, guarded: `python -m stock_assets.local.dagster_page PORT WORKSPACE`.

Dagster's instance is that of DAGSTER_HOME.
"""

import sys
from typing import Any

import uvicorn
from dagster import DagsterInstance
from starlette.middleware import Middleware

from stock_assets.local.browser_guard import BrowserGuard
from stock_assets.local.dagster_private.page import (
    DagsterWebserver,
    WorkspaceFileTarget,
    WorkspaceProcessContext,
)
from stock_assets.local.processes import HOST

# As `dagster-webserver` has them.
_STATEMENT_MILLISECONDS = 15_000
_POOL_RECYCLE_SECONDS = 3_600
_POOL_OVERFLOW = 20
_POLL_MILLISECONDS = 2_000


class GuardedWebserver(DagsterWebserver[WorkspaceProcessContext, Any]):
    """The guard sees a request before Dagster does."""

    def build_middleware(self) -> list[Middleware]:
        return [Middleware(BrowserGuard), *super().build_middleware()]


def serve(port: int, workspace: str) -> None:
    """Serves the page until SIGTERM or Ctrl-C."""
    with DagsterInstance.get() as instance:
        instance.optimize_for_webserver(
            _STATEMENT_MILLISECONDS, _POOL_RECYCLE_SECONDS, _POOL_OVERFLOW
        )
        with WorkspaceProcessContext(instance, WorkspaceFileTarget([workspace])) as context:
            app = GuardedWebserver(context, live_data_poll_rate=_POLL_MILLISECONDS)
            uvicorn.run(
                app.create_asgi_app(),
                host=HOST,
                port=port,
                log_level="warning",
                timeout_graceful_shutdown=3,  # a browser's open sockets would hold it for ever
            )


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2])
