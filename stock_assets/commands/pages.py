"""`stock-assets ui`: Dagster's and MLflow's pages on this machine, until Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

import click

from stock_assets.asset_keys import Asset, asset_key, asset_page
from stock_assets.backfill.killed import restore_history
from stock_assets.backfill.project import open_instance
from stock_assets.errors import LocalStackError
from stock_assets.local.postgres import shown
from stock_assets.local.processes import HOST, accepts, free_port, running
from stock_assets.resources.mlflow_database import is_tracking_server, tracking_uri
from stock_assets.resources.mlflow_tracking import MlflowTracking, runs_by_skill
from stock_assets.resources.model_registry import ModelRegistry
from stock_assets.resources.object_store import ObjectStore, open_store
from stock_assets.resources.partition_objects import stored_partitions
from stock_assets.settings import Settings

_START_SECONDS = 180


def pages_folder(settings: Settings) -> Path:
    """Logs and numbers of the processes behind the pages."""
    return settings.state_folder / "pages"


def serve_pages(settings: Settings) -> None:
    """Starts both pages and waits; nothing that it started survives it.

    Raises:
        LocalStackError: A page does not come up; the message names its log.
    """
    with terminated_like_interrupted(), ExitStack() as stack:
        store = stack.enter_context(open_store(settings))
        click.echo("starting the pages; this takes half a minute …", err=True)
        with open_instance(settings) as instance:
            restore_history(instance, store, settings.dataset_name)
        pages: dict[str, Page] = {}
        if not is_tracking_server(tracking_uri(settings)):
            pages["MLflow"] = stack.enter_context(_mlflow(settings, store))
        pages |= stack.enter_context(_dagster(settings))
        _await(pages, settings)
        for name, (port, _) in sorted(pages.items()):
            if isinstance(port, int):
                click.echo(f"{name:<8} http://{HOST}:{port}")
        if "MLflow" not in pages:
            click.echo(f"MLflow   {shown(tracking_uri(settings))}")
        for name, address in _links(settings, store, pages).items():
            click.echo(f"{name:<16} {address}")
        click.echo("Ctrl-C ends both.")
        try:
            while True:
                time.sleep(1)
                _check_alive(pages, settings)
        except KeyboardInterrupt as why:
            click.echo(f"{why or 'Ctrl-C'}: stopping …", err=True)


@contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """A SIGTERM ends things in the same order as Ctrl-C."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt("ended from outside (`stock-assets down`, SIGTERM)")

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


# Where it listens, if it does: a port, or the path of a socket.
Page = tuple[int | str | None, subprocess.Popen[bytes]]


def _binary(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


@contextmanager
def _dagster(settings: Settings) -> Iterator[dict[str, Page]]:
    """What `dagster dev` starts, with a guard in front of the page."""
    folder, home = pages_folder(settings), settings.home
    port, workspace = free_port(settings.dagster_port), str(folder / "workspace.yaml")
    # dagster.yaml is found, and its telemetry switch obeyed, whatever folder this is called in.
    environment = {"DAGSTER_HOME": os.environ.get("DAGSTER_HOME") or str(home)}
    # A socket in a folder that is ours alone: whoever reaches it can run the code's jobs.
    with tempfile.TemporaryDirectory() as hidden, ExitStack() as stack:
        socket = f"{hidden}/code.sock"
        _write_workspace(Path(workspace), settings.code_location, socket)

        def start(name: str, *command: str) -> subprocess.Popen[bytes]:
            return stack.enter_context(running(name, list(command), folder, environment, home))

        code = ["--module-name", "stock_assets.definitions", "--working-directory", str(home)]
        code += ["--location-name", settings.code_location]
        code += ["--log-level", "warning", "--socket", socket]
        pages: dict[str, Page] = {
            "Code": (socket, start("code", _binary("dagster"), "code-server", "start", *code))
        }
        _await(pages, settings)  # or the page would begin with an error that it has to get over
        page = ["-m", "stock_assets.local.dagster_page", str(port), workspace]
        daemon = ["run", "--workspace", workspace]
        pages["Dagster"] = (port, start("dagster", sys.executable, *page))
        pages["Daemon"] = (None, start("daemon", _binary("dagster-daemon"), *daemon))
        yield pages


def _links(settings: Settings, store: ObjectStore, pages: Mapping[str, Page]) -> dict[str, str]:
    """Where people find what they came for, by name."""
    newest = max(stored_partitions(store, Asset.DAILY_FORECAST), default="")
    forecasts = asset_page(asset_key(settings.dataset_name, Asset.DAILY_FORECAST).path, newest)
    links = {"newest forecasts": f"http://{HOST}:{pages['Dagster'][0]}{forecasts}"}
    registry = ModelRegistry(settings, store)
    if "MLflow" not in pages:
        return links | {"versions": f"{shown(registry.tracking.uri)}/#/models/{registry.name}"}
    mlflow = f"http://{HOST}:{pages['MLflow'][0]}"
    return links | {
        "versions": f"{mlflow}/#/models/{registry.name}",
        "runs by skill": f"{mlflow}/#{runs_by_skill(registry.tracking)}",
    }


def _write_workspace(file: Path, name: str, socket: str) -> None:
    location = {"grpc_server": {"location_name": name, "socket": socket}}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"load_from": [location]}))


@contextmanager
def _mlflow(settings: Settings, store: ObjectStore) -> Iterator[Page]:
    tracking = MlflowTracking(settings, store)
    with tracking.client():  # the schema and the experiment exist before the server looks
        pass
    port = free_port(settings.mlflow_port)
    command = [_binary("mlflow"), "server", "--host", HOST, "--workers", "1", "--port", str(port)]
    environment: Mapping[str, str] = {
        **(store.connection.environment() if store.connection else {}),
        # Every user of this machine can read arguments, which a database's password must not be in.
        "MLFLOW_BACKEND_STORE_URI": tracking.uri,
        # Without it the server runs job workers that nobody here uses, at 1.5 GB.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    with running("mlflow", command, pages_folder(settings), environment, settings.home) as process:
        yield port, process


def _await(pages: Mapping[str, Page], settings: Settings) -> None:
    deadline = time.monotonic() + _START_SECONDS
    waiting = {name: where for name, (where, _) in pages.items() if where}
    while waiting:
        _check_alive(pages, settings)
        if time.monotonic() > deadline:
            raise LocalStackError(
                f"{', '.join(waiting)} did not come up within {_START_SECONDS} s; logs are in"
                f" {pages_folder(settings)}"
            )
        time.sleep(0.2)
        waiting = {name: where for name, where in waiting.items() if not accepts(where)}


def _check_alive(pages: Mapping[str, Page], settings: Settings) -> None:
    for name, (_, process) in pages.items():
        if process.poll() is not None:
            log = pages_folder(settings) / f"{name.lower()}.log"
            tail = log.read_text(errors="replace").strip().splitlines()[-1:]
            raise LocalStackError(
                f"{name} ended with code {process.returncode}: {' '.join(tail)}; log: {log}"
            )
