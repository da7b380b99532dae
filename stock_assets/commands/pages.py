"""`stock-assets ui`: Dagster's and MLflow's pages on this machine, until Ctrl-C."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

import click

from stock_assets.errors import LocalStackError
from stock_assets.local.processes import HOST, accepts, free_port, running
from stock_assets.resources.mlflow_runs import MlflowTracking
from stock_assets.resources.object_store import ObjectStore, open_store
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
        pages = {}
        if not settings.mlflow_tracking_uri:
            pages["MLflow"] = stack.enter_context(_mlflow(settings, store))
        pages["Dagster"] = stack.enter_context(_dagster(settings))
        _await({name: port for name, (port, _) in pages.items()}, pages, settings)
        for name in sorted(pages):
            click.echo(f"{name:<8} http://{HOST}:{pages[name][0]}")
        if settings.mlflow_tracking_uri:
            click.echo(f"MLflow   {settings.mlflow_tracking_uri}")
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


Page = tuple[int, subprocess.Popen[bytes]]


def _binary(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


@contextmanager
def _dagster(settings: Settings) -> Iterator[Page]:
    port = free_port(settings.dagster_port)
    command = [_binary("dagster"), "dev", "--host", HOST, "--port", str(port)]
    command += ["--workspace", str(settings.home / "workspace.yaml")]
    # dagster.yaml is found, and its telemetry switch obeyed, whatever folder this is called in.
    home = {} if "DAGSTER_HOME" in os.environ else {"DAGSTER_HOME": str(settings.home)}
    with running("dagster", command, pages_folder(settings), home, settings.home) as process:
        yield port, process


@contextmanager
def _mlflow(settings: Settings, store: ObjectStore) -> Iterator[Page]:
    tracking = MlflowTracking(settings, store)
    with tracking.client():  # the schema and the experiment exist before the server looks
        pass
    port = free_port(settings.mlflow_port)
    command = [_binary("mlflow"), "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", tracking.uri]
    environment: Mapping[str, str] = {
        **(store.connection.environment() if store.connection else {}),
        # Without it the server runs job workers that nobody here uses, at 1.5 GB.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    with running("mlflow", command, pages_folder(settings), environment, settings.home) as process:
        yield port, process


def _await(ports: Mapping[str, int], pages: Mapping[str, Page], settings: Settings) -> None:
    deadline = time.monotonic() + _START_SECONDS
    waiting = dict(ports)
    while waiting:
        _check_alive(pages, settings)
        if time.monotonic() > deadline:
            raise LocalStackError(
                f"{', '.join(waiting)} did not come up within {_START_SECONDS} s; logs are in"
                f" {pages_folder(settings)}"
            )
        time.sleep(0.2)
        waiting = {name: port for name, port in waiting.items() if not accepts(port)}


def _check_alive(pages: Mapping[str, Page], settings: Settings) -> None:
    for name, (_, process) in pages.items():
        if process.poll() is not None:
            log = pages_folder(settings) / f"{name.lower()}.log"
            tail = log.read_text(errors="replace").strip().splitlines()[-1:]
            raise LocalStackError(
                f"{name}'s page ended with code {process.returncode}: {' '.join(tail)}; log: {log}"
            )
