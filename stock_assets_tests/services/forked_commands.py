"""The command line as a process that need not import everything again: a fork of one that has.

Importing costs more than most commands do. Each fork runs the `main` of the command line with a
group, folder, environment and output of its own, and without root's right to read everything: a
file that its owner may not read is one that the command may not read.
"""

import ctypes
import multiprocessing as mp
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

from stock_assets_tests.conftest import CHECKOUT

_IMPORTED_ONCE = [
    "mlflow",
    "mlflow.sklearn",
    "sklearn.ensemble",
    "skops.io",
    "optuna",
    "dagster_mlflow",
    "matplotlib.pyplot",
    "scipy.special",
    "sqlalchemy",
    "dagster._core.storage.event_log",
    "dagster._core.storage.runs",
    "dagster._core.storage.schedules",
    "dagster._core.execution.api",
    "mlflow.tracking._model_registry",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_store",
    "alembic.command",
    "boto3",
    "rich.table",
    "stock_assets.cli",
    "stock_assets.local.dagster_storage",
    "stock_assets.assets.studies",
    "stock_assets.commands.doctor",
    "stock_assets.commands.run",
    "stock_assets.commands.tables",
    "stock_assets.forecasting.forecast",
    "stock_assets_tests.services.inspected_homes",
]
# Read by libraries when they are imported, as the command sets it before.
_BEFORE_IMPORTS = {
    "DAGSTER_EVENT_BATCH_SIZE": "500",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "PYTHONPATH": str(CHECKOUT),
}
PROGRAM = Path(sys.executable).with_name("stock-assets")
# Linux's numbers of what root may by default: read, write and list whatever the modes say.
_DAC_OVERRIDE, _DAC_READ_SEARCH = 1, 2
_PR_CAPBSET_DROP = 24
_CAPABILITY_VERSION_3 = 0x20080522


@dataclass(frozen=True)
class Said:
    """What a process ended with and printed."""

    code: int | None
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err


def start_server() -> None:
    """Imports once; every later process of `run_forked` is a fork of that."""
    before = {name: os.environ.get(name) for name in _BEFORE_IMPORTS}
    os.environ.update(_BEFORE_IMPORTS)
    try:
        mp.get_context("forkserver").set_forkserver_preload(_IMPORTED_ONCE)
        forkserver.ensure_running()
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def command(
    arguments: list[str],
    home: Path,
    environment: Mapping[str, str],
    seconds: float,
    *,
    as_installed: bool = False,
) -> Said:
    """`stock-assets` with these arguments, in a checkout's folder.

    `as_installed`: the fork becomes the program in the environment's `bin` and imports for itself.
    """
    work = _become_program if as_installed else _stock_assets
    return run_forked(work, (arguments,), home, environment, seconds)


def run_forked(
    work: Callable[..., None],
    arguments: tuple[Any, ...],
    home: Path,
    environment: Mapping[str, str],
    seconds: float,
) -> Said:
    """Calls a function of a module in a process of its own; `code` None: it did not end in time."""
    said = home.parent / f"{home.name}.said"
    said.mkdir(exist_ok=True)
    process = mp.get_context("forkserver").Process(
        target=_in_place, args=(work, arguments, home, dict(environment), said)
    )
    process.start()
    process.join(seconds)
    code = process.exitcode
    if code is None and process.pid:
        os.killpg(process.pid, signal.SIGKILL)
        process.join()
    return Said(code, *(Path(said, name).read_text(errors="replace") for name in ("out", "err")))


def _in_place(
    work: Callable[..., None],
    arguments: tuple[Any, ...],
    home: Path,
    environment: dict[str, str],
    said: Path,
) -> None:
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, name in ((1, "out"), (2, "err")):
        descriptor = os.open(said / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(home)
    give_up_reading_everything()
    work(*arguments)


def _stock_assets(arguments: list[str]) -> None:
    from stock_assets.cli import main

    sys.argv = ["stock-assets", *arguments]
    main(args=arguments, prog_name="stock-assets")


def _become_program(arguments: list[str]) -> None:
    os.execv(PROGRAM, [str(PROGRAM), *arguments])  # noqa: S606  # in place of the fork


def give_up_reading_everything() -> None:
    """Root is held to the modes of files from now on, here and in every process it starts."""
    if os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    # Effective, permitted, inheritable, each of capabilities 0..31, then of 32..63.
    sets = (ctypes.c_uint32 * 6)()
    assert libc.capget(header, sets) == 0
    for capability in (_DAC_OVERRIDE, _DAC_READ_SEARCH):
        assert libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) == 0
    keep = ~(1 << _DAC_OVERRIDE | 1 << _DAC_READ_SEARCH) & 0xFFFFFFFF
    for n in range(3):
        sets[n] &= keep
    assert libc.capset(header, sets) == 0
