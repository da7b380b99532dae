"""The SeaweedFS process: its command line, its start, its probe and its end.

Every port listens on 127.0.0.1 only, credentials are required, telemetry is off.
"""

import json
import os
import secrets
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path

import obstore
from obstore.store import S3Store

from stock_assets.errors import LocalStackError
from stock_assets.local.processes import HOST, command_line, is_free, stop_group

BUCKET = "stock-assets"
REGION = "us-east-1"
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


@dataclass(frozen=True)
class LocalServer:
    """A SeaweedFS that was started: enough to reach it and to end it."""

    pid: int
    port: int
    access_key_id: str
    secret_access_key: str

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
    path = Path(sys.executable).with_name("weed")
    if not path.exists():
        raise LocalStackError(
            f"the SeaweedFS binary is not at {path}; install with `make setup`, or set"
            " STOCK_ASSETS_STORE_URI to a store of your own (s3://… or file://…)"
        )
    return str(path)


def _credentials(folder: Path) -> tuple[str, str]:
    """The machine's own, made once and readable by the owner only."""
    path = folder / "credentials.json"
    if not path.exists():
        text = json.dumps({"id": secrets.token_hex(10), "secret": secrets.token_hex(20)})
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
    stored = json.loads(path.read_text())
    return stored["id"], stored["secret"]


def state_path(folder: Path) -> Path:
    return folder / "server.json"


def running_server(folder: Path) -> LocalServer | None:
    """The server that was started on this folder, if it still is a process of ours."""
    try:
        server = LocalServer(**json.loads(state_path(folder).read_text()))
    except (FileNotFoundError, json.JSONDecodeError, TypeError):
        return None
    return server if _is_ours(server.pid, folder) else None


def _is_ours(pid: int, folder: Path) -> bool:
    """Whether the process is a SeaweedFS on this folder: numbers of processes are used again."""
    return f"-dir={folder / 'data'}" in command_line(pid)


def start_server(folder: Path, preferred_port: int) -> LocalServer:
    """Starts SeaweedFS on `folder` and waits until it serves objects.

    Raises:
        LocalStackError: It ended or did not answer in time; the message names its log.
    """
    (folder / "data").mkdir(parents=True, exist_ok=True)
    (folder / "logs").mkdir(exist_ok=True)
    for tries_left in reversed(range(_START_TRIES)):
        ports = free_ports(preferred_port)
        try:
            return _start_on(folder, ports)
        except _EndedError as ended:
            # Somebody may have taken a port between our look and its start: look again elsewhere.
            if not tries_left:
                raise LocalStackError(str(ended)) from None
            preferred_port += 10 * len(_SERVERS) + secrets.randbelow(50)
    raise AssertionError("unreachable")


class _EndedError(Exception):
    """The server ended while it was starting."""


def _start_on(folder: Path, ports: dict[str, int]) -> LocalServer:
    access_key_id, secret_access_key = _credentials(folder)
    log = folder / "logs" / "server.log"
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
        )
    server = LocalServer(process.pid, ports["s3"], access_key_id, secret_access_key)
    # Written before it answers: whoever comes after a kill finds the process.
    path = state_path(folder)
    path.touch(mode=0o600)
    path.write_text(json.dumps(asdict(server)))
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            path.unlink()
            lines = log.read_text(errors="replace").strip().splitlines()
            reason = next((line for line in lines if "port" in line.lower()), "".join(lines[-1:]))
            raise _EndedError(
                f"SeaweedFS ended with code {process.returncode}: {reason}; log: {log}"
            )
        if server.serves():
            return server
        time.sleep(0.05)
    stop_server(folder, server)
    raise LocalStackError(f"SeaweedFS did not answer within {_START_SECONDS} s; log: {log}")


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
        f"-bucket={BUCKET}",
    ]


def stop_server(folder: Path, server: LocalServer) -> None:
    """Ends the server; every write that it acknowledged is on disk.

    Its volume server waits for idle connections for half a minute, so after a few seconds, in
    which all else has been closed, it is killed. Acknowledged objects survive that.
    """
    stop_group(server.pid, patience=_STOP_SECONDS)
    state_path(folder).unlink(missing_ok=True)
