"""The SeaweedFS process: its command line, its start, its probe and its end.

Every port listens on 127.0.0.1 only; telemetry is off. S3 requires the credentials, the gRPC ports
our certificate, a volume's objects a signed token (`grpc_security`); the filer takes no HTTP. What
any user of the machine can still see without them: the master's and the volume server's status
pages, with the data's folder and size, the admin server's counters, and that the servers are up.
What it writes, its sockets in /tmp included, only its owner can open.
"""

import json
import logging
import os
import secrets
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import obstore
import psutil
from obstore.store import S3Store

from stock_assets.errors import LocalStackError
from stock_assets.local.grpc_security import write_private, write_security
from stock_assets.local.own_folder import own_folder, remedy_of_damage
from stock_assets.local.processes import HOST, is_free, own_processes, stop_group

BUCKET = "stock-assets"
REGION = "us-east-1"
_BINARY = "weed"
_START_SECONDS = 60
_STOP_SECONDS = 2.5
# SeaweedFS gives each server a gRPC port 10,000 above its HTTP port.
_GRPC_OFFSET = 10_000
# The admin server takes a port even with its page switched off.
_SERVERS = ("s3", "master", "volume", "filer", "admin")
_START_TRIES = 5
_PROBE_KEY = ".started-by"
# A write to a server that is not ready may never be answered; the next try is.
_PROBE_SECONDS = 2
# Others may be keeping a server busy that does not answer for less.
_HUNG_SECONDS = 15
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LocalServer:
    """A SeaweedFS that was started: enough to reach it and to watch it."""

    pid: int
    port: int
    access_key_id: str
    secret_access_key: str = field(repr=False)

    @property
    def endpoint_url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def answers(self) -> bool:
        """Whether our own bucket can be listed with our credentials: nobody else's server can."""
        try:
            obstore.list_with_delimiter(self._bucket(_HUNG_SECONDS))
        except Exception:  # noqa: BLE001  # obstore raises its own errors and OSError; all of them mean "not yet"
            return False
        return True

    def serves(self) -> bool:
        """Whether it takes an object and gives it back.

        A starting server lists its bucket well before its volumes, which hold what the objects
        consist of, have been announced: until then every read fails. All are announced at once.
        """
        store = self._bucket(_PROBE_SECONDS)
        said = str(self.pid).encode()
        try:
            obstore.put(store, _PROBE_KEY, said)
            return bytes(obstore.get(store, _PROBE_KEY).bytes()) == said
        except Exception:  # noqa: BLE001  # as above
            return False

    def _bucket(self, seconds: int) -> S3Store:
        return S3Store(
            BUCKET,
            endpoint=self.endpoint_url,
            access_key_id=self.access_key_id,
            secret_access_key=self.secret_access_key,
            region=REGION,
            client_options={"allow_http": True, "timeout": f"{seconds}s"},
            retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=seconds)},
        )


def free_ports(preferred: int) -> dict[str, int]:
    """A port for each server, near `preferred`; their gRPC ports are free too.

    Raises:
        LocalStackError: Too few in the next two hundred.
    """
    found: dict[str, int] = {}
    for port in range(preferred, preferred + 200):
        if len(found) == len(_SERVERS):
            break
        if is_free(port) and is_free(port + _GRPC_OFFSET):
            found[_SERVERS[len(found)]] = port
    if len(found) < len(_SERVERS):
        raise LocalStackError(
            f"fewer than {len(_SERVERS)} free ports at {HOST}:{preferred}..{preferred + 199}; set"
            " STOCK_ASSETS_LOCAL_S3_PORT to another range"
        )
    return found


def _weed_binary() -> str:
    path = Path(sys.executable).with_name(_BINARY)
    if not path.exists():
        raise LocalStackError(
            f"the SeaweedFS binary is not at {path}; install with `make setup`, or set"
            " STOCK_ASSETS_STORE_URI to a store of your own (s3://… or file://…)"
        )
    return str(path)


def _credentials(folder: Path) -> tuple[str, str]:
    """The machine's own, made once and readable by the owner only.

    The objects do not depend on them: damaged ones are replaced, and whoever wrote them down
    elsewhere is told.
    """
    path = folder / "credentials.json"
    if path.exists():
        try:
            stored = json.loads(path.read_bytes())
            return str(stored["id"]), str(stored["secret"])
        except (ValueError, KeyError, TypeError):
            _log.warning("%s was damaged: the local store has new credentials from now on", path)
    made = {"id": secrets.token_hex(10), "secret": secrets.token_hex(20)}
    write_private(path, json.dumps(made).encode())
    return made["id"], made["secret"]


def _processes(folder: Path) -> list[psutil.Process]:
    """Every SeaweedFS of ours on this folder: found by what runs, whatever a file says."""
    on_folder = f"-dir={folder / 'data'}"
    return own_processes(
        lambda process: process.name() == _BINARY and on_folder in process.cmdline()
    )


def running_server(folder: Path) -> LocalServer | None:
    """The server that runs on this folder, as its arguments and environment describe it."""
    for process in _processes(folder):
        with suppress(psutil.Error, StopIteration, KeyError):
            arguments, environment = process.cmdline(), process.environ()
            port = next(a for a in arguments if a.startswith("-s3.port=")).partition("=")[2]
            key, secret = environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"]
            return LocalServer(process.pid, int(port), key, secret)
    return None


def last_port(folder: Path) -> int | None:
    """Where the last server listened: whoever still needs it looks for its successor there."""
    try:
        return int(json.loads((folder / "server.json").read_bytes())["port"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def start_server(folder: Path, preferred_port: int) -> LocalServer:
    """Starts SeaweedFS on `folder` and waits until it serves objects.

    Raises:
        LocalStackError: It ended or did not answer in time; the message names its log.
        OSError: The folder can't be written.
    """
    own_folder(folder / "data")
    own_folder(folder / "logs")
    write_security(folder)
    for tries_left in reversed(range(_START_TRIES)):
        ports = free_ports(preferred_port)
        try:
            return _start_on(folder, ports)
        except _EndedError as ended:
            # Somebody may have taken a port between our look and its start: look again, and then
            # elsewhere.
            if not tries_left:
                raise LocalStackError(f"{ended}; {remedy_of_damage(folder / 'data')}") from None
            if tries_left < _START_TRIES - 1:
                preferred_port += 10 * len(_SERVERS) + secrets.randbelow(50)
    raise AssertionError("unreachable")


class _EndedError(Exception):
    """The server ended while it was starting."""


def _start_on(folder: Path, ports: dict[str, int]) -> LocalServer:
    access_key_id, secret_access_key = _credentials(folder)
    log = folder / "logs" / "server.log"
    if log.exists():
        log.replace(log.with_name("server.before.log"))  # it may tell why the last one ended
    with log.open("wb") as output:
        process = subprocess.Popen(
            _command(folder, ports),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=os.environ
            | {"AWS_ACCESS_KEY_ID": access_key_id, "AWS_SECRET_ACCESS_KEY": secret_access_key},
            start_new_session=True,  # Ctrl-C must reach the run first, the store last
            umask=0o077,
        )
    server = LocalServer(process.pid, ports["s3"], access_key_id, secret_access_key)
    try:
        _await(server, process, log)
    except BaseException:
        stop_group(server.pid, patience=_STOP_SECONDS)
        raise
    write_private(folder / "server.json", json.dumps({"port": server.port}).encode())
    return server


def _await(server: LocalServer, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            lines = log.read_text(errors="replace").strip().splitlines()
            reason = next((line for line in lines if "port" in line.lower()), "".join(lines[-1:]))
            raise _EndedError(
                f"SeaweedFS ended with code {process.returncode}: {reason}; log: {log}"
            )
        if server.serves():
            return
        time.sleep(0.05)
    raise LocalStackError(
        f"SeaweedFS did not answer within {_START_SECONDS} s; log: {log};"
        f" {remedy_of_damage(log.parents[1] / 'data')}"
    )


def _command(folder: Path, ports: dict[str, int]) -> list[str]:
    return [
        _weed_binary(),
        f"-logdir={folder / 'logs'}",
        "mini",
        f"-dir={folder / 'data'}",
        f"-ip={HOST}",
        f"-ip.bind={HOST}",
        *(f"-{name}.port={port}" for name, port in ports.items()),
        "-disableHttp",
        "-admin.ui=false",
        "-webdav=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-master.telemetry=false",
        "-volume.preStopSeconds=0",  # no other server needs time to hear that it goes
        f"-bucket={BUCKET}",
    ]


def stop_server(folder: Path) -> bool:
    """Ends whatever server runs on the folder; whether there was one.

    Every write that it acknowledged is on disk. Its volume server waits for idle connections for
    half a minute, so after a few seconds, in which all else has been closed, it is killed.
    Acknowledged objects survive that.
    """
    processes = _processes(folder)
    for process in processes:
        stop_group(process.pid, patience=_STOP_SECONDS)
    return bool(processes)
