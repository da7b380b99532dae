"""The lease on a real SeaweedFS: who needs it keeps it up, the last one stops it."""

import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import grpc
import polars as pl
import psutil
import pytest

from stock_assets.errors import LocalStackError, ObjectStoreError
from stock_assets.local.grpc_security import _usable, write_security
from stock_assets.local.lease import stop_leftover, store_lease
from stock_assets.local.processes import accepts, is_running
from stock_assets.local.seaweed import BUCKET, REGION, LocalServer, _credentials, running_server
from stock_assets.resources.io_managers import ParquetIOManager
from stock_assets.resources.object_store import ObjectStore, open_store
from stock_assets.resources.partition_objects import stored_partitions
from stock_assets.resources.read_cache import read_rows
from stock_assets.resources.s3_connection import S3Connection
from stock_assets.settings import Settings
from stock_assets_tests.waiting import until

PORT = 18_333 + os.getpid() % 400 * 40


def store_at(endpoint: str, key: str, secret: str) -> ObjectStore:
    return ObjectStore(f"s3://{BUCKET}/x", S3Connection(REGION, endpoint, key, secret))


def server_on(folder: Path) -> LocalServer:
    server = running_server(folder)
    assert server
    return server


def test_objects_outlive_the_server_that_took_them(tmp_path: Path):
    for _ in range(2):
        with store_lease(tmp_path, PORT) as server:
            store = store_at(server.endpoint_url, server.access_key_id, server.secret_access_key)
            store.put_many({"a/b.json": b"1"})
            assert store.get("a/b.json") == b"1"
            assert store.keys("a") == ["a/b.json"]
        assert not is_running(server.pid)
    assert running_server(tmp_path) is None


def test_a_listing_begins_at_the_key_that_was_asked_for(tmp_path: Path):
    keys = [f"2020-01-{day:02d}" for day in range(1, 32)]
    with store_lease(tmp_path, PORT) as server:
        store = store_at(server.endpoint_url, server.access_key_id, server.secret_access_key)
        store.put_many({f"rows/session={key}/part.parquet": b"1" for key in keys})
        for since in (keys[0], keys[8], keys[9], keys[30], "2020-01-32", "2019-12-31"):
            listed = stored_partitions(store, "rows", "session", since)
            assert list(listed) == [key for key in keys if key >= since]


def test_a_copy_of_its_objects_knows_which_of_them_changed(tmp_path: Path):
    """The server's entity tags in listings and answers are the same, and new with the content."""
    settings = Settings(home=tmp_path, local_s3_port=PORT)
    days = [f"2020-{month:02d}-{day:02d}" for month in range(1, 13) for day in range(1, 11)]

    def put(store: ObjectStore, days: list[str], value: float) -> None:
        manager = ParquetIOManager(store)
        rows = pl.DataFrame({"value": [value]})
        store.put_many({f"rows/session={day}/part.parquet": manager.encode(rows) for day in days})

    def read(store: ObjectStore) -> list[float]:
        return read_rows(store, list(stored_partitions(store, "rows").values()))["value"].to_list()

    with open_store(settings) as store:
        put(store, days, 1)
        assert read(store) == [1] * 120
        put(store, days[:2], 2)
        (copy,) = (tmp_path / "var" / "read_cache").rglob("*.parquet")
        of_copy = pl.read_parquet(copy)["value"].to_list()
        assert of_copy == [1] * 120
        assert read(store) == [2] * 2 + [1] * 118
        fetched: list[str] = []
        with pytest.MonkeyPatch.context() as patch:
            get = store.get_with_tags
            patch.setattr(store, "get_with_tags", lambda keys: (fetched.extend(keys), get(keys))[1])
            assert read(store) == [2] * 2 + [1] * 118
        assert fetched == [f"rows/session={day}/part.parquet" for day in days[:2]]


def test_leases_share_one_server_and_the_last_stops_it(tmp_path: Path):
    with store_lease(tmp_path, PORT) as first:
        with store_lease(tmp_path, PORT) as second:
            assert second.pid == first.pid
        assert first.answers()
        with pytest.raises(
            LocalStackError, match=rf"in use by process {os.getpid()} \(.*\); end that first"
        ):
            stop_leftover(tmp_path)
    assert not is_running(first.pid)
    assert stop_leftover(tmp_path) is False


def test_credentials_are_asked_for_and_kept_private(tmp_path: Path):
    with store_lease(tmp_path, PORT) as server:
        stranger = store_at(server.endpoint_url, server.access_key_id, "wrong")
        with pytest.raises(ObjectStoreError, match="does not take or give a"):
            stranger.put_many({"a": b"1"})
    for name in ("credentials.json",):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


def test_every_port_is_on_loopback(tmp_path: Path):
    with store_lease(tmp_path, PORT) as server:
        listening = {
            address
            for table in ("/proc/net/tcp", "/proc/net/tcp6")
            for address in _listening(table, server.pid)
        }
    assert listening
    assert {address for address in listening if not address.startswith("0100007F")} == set()


def _listening(table: str, pid: int) -> list[str]:
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            link = str(descriptor.readlink())
        except FileNotFoundError:
            continue
        if link.startswith("socket:["):
            inodes.add(link[8:-1])
    rows = [line.split() for line in Path(table).read_text().splitlines()[1:]]
    return [row[1] for row in rows if row[3] == "0A" and row[9] in inodes]


def test_a_busy_port_is_passed_over(tmp_path: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1] % 40_000 or 20_000
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with store_lease(tmp_path, port) as server:
            assert server.port > port
            assert server.answers()


def _killed_holder(folder: Path) -> tuple[int, int]:
    """The numbers of a process that was killed with a lease, and of the server that it left."""
    code = (
        "import sys, time; from pathlib import Path; from stock_assets.local.lease import *\n"
        f"with store_lease(Path({str(folder)!r}), {PORT}) as s: print(s.pid, flush=True);"
        " time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert holder.stdout
    pid = int(holder.stdout.readline())
    holder.kill()
    holder.wait()
    assert is_running(pid)
    return holder.pid, pid


def test_a_server_left_by_a_kill_is_taken_over_and_stopped(tmp_path: Path):
    _, pid = _killed_holder(tmp_path)
    with store_lease(tmp_path, PORT) as server:
        assert server.pid == pid
    assert not is_running(pid)


def test_a_killed_server_is_back_on_its_port_and_no_lease_leaves_another(tmp_path: Path):
    """The inner lease meets a dead server; the outer one began with it."""
    settings, folder = Settings(home=tmp_path, local_s3_port=PORT), tmp_path / "var" / "store"
    with open_store(settings) as outer:
        outer.put_many({"a": b"1"})
        first = server_on(folder)
        os.kill(first.pid, signal.SIGKILL)
        with open_store(settings) as inner:
            assert inner.get("a") == b"1"
            second = server_on(folder)
        assert (second.port, second.pid != first.pid) == (first.port, True)
        assert outer.get("a") == b"1"
    assert running_server(folder) is None
    assert not is_running(second.pid)


def test_clients_of_a_killed_or_stopped_server_wait_and_go_on(tmp_path: Path):
    settings, folder = Settings(home=tmp_path, local_s3_port=PORT), tmp_path / "var" / "store"
    with open_store(settings) as store:
        rows = ParquetIOManager(store).encode(pl.DataFrame({"value": [1.0]}))
        store.put_many({"a.parquet": rows})
        for how in (signal.SIGSTOP, signal.SIGKILL):
            os.kill(server_on(folder).pid, how)
            assert store.get("a.parquet") == rows
        os.kill(server_on(folder).pid, signal.SIGKILL)
        assert store.get("a.parquet") == rows


def test_a_server_is_found_and_ended_without_its_records(tmp_path: Path):
    """Left by a kill, stopped, with server.json and credentials.json lost or damaged."""
    holder, pid = _killed_holder(tmp_path)
    (tmp_path / "server.json").write_bytes(b"\xff\x00{")
    (tmp_path / "credentials.json").write_bytes(b"")
    os.kill(pid, signal.SIGSTOP)
    assert server_on(tmp_path).pid == pid
    assert stop_leftover(tmp_path) is True
    assert not is_running(pid)
    assert not is_running(holder)


def test_damaged_credentials_are_made_anew_and_objects_stay(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    settings, folder = Settings(home=tmp_path, local_s3_port=PORT), tmp_path / "var" / "store"
    with open_store(settings) as store:
        store.put_many({"a": b"1"})
    for torn in (b"{", b"\xff", b"[]", b'{"id": "a"}', b""):
        (folder / "credentials.json").write_bytes(torn)
        assert all(_credentials(folder))
        said = f"{folder}/credentials.json was damaged: the local store has new credentials"
        assert caplog.messages.pop().startswith(said)
    with open_store(settings) as store:
        assert store.get("a") == b"1"


def test_what_is_no_folder_of_ours_is_refused_in_a_line(tmp_path: Path):
    (tmp_path / "var").write_text("")
    remedy = f"`mv {tmp_path}/var {tmp_path}/var.damaged-1` and run again"
    with (
        pytest.raises(LocalStackError, match=f"^{tmp_path}/var: File exists; {remedy}"),
        store_lease(tmp_path / "var" / "store", PORT),
    ):
        pass


def test_nobody_without_our_certificate_or_token_comes_in(tmp_path: Path):
    with store_lease(tmp_path, PORT) as server:
        store = store_at(server.endpoint_url, server.access_key_id, server.secret_access_key)
        store.put_many({"a": b"1"})
        ports = _ports(server.pid)
        for name in ("s3", "master", "volume", "filer", "admin"):
            assert not _takes_plain_grpc(ports[name] + 10_000), name
        shell = _shell(tmp_path / "elsewhere", ports)
        assert "stock-assets" not in shell
        # The same with the owner's certificate: it is the door that held.
        assert "stock-assets" in _shell(tmp_path, ports)
        for method, body in (("GET", None), ("DELETE", None), ("POST", b"1")):
            assert _status(f"http://127.0.0.1:{ports['volume']}/1,01637037d6", method, body) == 401
            assert _status(f"http://127.0.0.1:{ports['filer']}/buckets/", method, body) == 404
        assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
        (socket_of_s3,) = Path(tempfile.gettempdir()).glob(f"seaweedfs-s3-{server.port}.sock")
        assert stat.S_IMODE(socket_of_s3.stat().st_mode) == 0o700


def test_what_anybody_on_the_machine_sees_of_it_changes_nothing(tmp_path: Path):
    """Without credentials, and by whatever name: that it runs, its folder and its size."""
    with store_lease(tmp_path, PORT) as server:
        store = store_at(server.endpoint_url, server.access_key_id, server.secret_access_key)
        store.put_many({"a": b"1"})
        ports = _ports(server.pid)
        until("the last of its servers", lambda: accepts(ports["admin"]))
        found = {
            (name, method, path, host): _status(
                f"http://127.0.0.1:{ports[name]}{path}", method, body, host
            )
            for host in ("127.0.0.1", "evil.example")
            for name, method, body, paths in _ASKED
            for path in paths
        }
        shown = {asked[:3] for asked, status in found.items() if status < 400}
        assert shown == {
            ("master", "GET", "/"), ("master", "GET", "/cluster/status"),
            ("volume", "GET", "/status"), ("s3", "GET", "/status"), ("s3", "GET", "/healthz"),
            ("admin", "GET", "/health"), ("admin", "GET", "/metrics"),
        }  # fmt: skip
        assert store.get("a") == b"1"


_CHANGES = (
    "/dir/assign", "/vol/grow?count=1", "/vol/vacuum", f"/col/delete?collection={BUCKET}",
    "/submit", "/admin/assign_volume?volume=9", "/shutdown",
)  # fmt: skip
_ASKED = (
    ("admin", "GET", None, ("/", "/health", "/metrics", "/api/config", "/object-store/buckets")),
    ("admin", "POST", b"{}", ("/api/s3/buckets", "/api/users", "/login")),
    ("master", "GET", None, ("/", "/cluster/status", "/dir/status", "/dir/lookup?volumeId=1")),
    ("master", "POST", b"", _CHANGES),
    ("master", "GET", None, _CHANGES),
    ("volume", "GET", None, ("/status", "/", "/ui/index.html", "/stats/disk", "/metrics")),
    ("volume", "POST", b"", ("/admin/vacuum/compact?volume=1", "/1,01637037d6")),
    ("volume", "DELETE", None, ("/1,01637037d6",)),
    ("filer", "GET", None, ("/", "/buckets/", f"/buckets/{BUCKET}/a", "/metrics")),
    ("filer", "DELETE", None, (f"/buckets/{BUCKET}?recursive=true",)),
    ("s3", "GET", None, ("/status", "/healthz", "/", f"/{BUCKET}", f"/{BUCKET}/a", "/metrics")),
    ("s3", "DELETE", None, (f"/{BUCKET}/a", f"/{BUCKET}")),
)


def _ports(pid: int) -> dict[str, int]:
    arguments = psutil.Process(pid).cmdline()
    pairs = (a.removeprefix("-").split(".port=") for a in arguments if ".port=" in a)
    return {name: int(port) for name, port in pairs}


def _takes_plain_grpc(port: int) -> bool:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=1)
        except grpc.FutureTimeoutError:
            return False
    return True


def _shell(folder: Path, ports: dict[str, int]) -> str:
    """What SeaweedFS' own shell lists, called in a folder, within three seconds."""
    folder.mkdir(exist_ok=True)
    addresses = (
        f"-{name}=127.0.0.1:{ports[name]}.{ports[name] + 10_000}" for name in ("master", "filer")
    )
    try:
        return subprocess.run(
            [str(Path(sys.executable).with_name("weed")), "shell", *addresses],
            input="fs.ls /buckets\n",
            cwd=folder,
            env={"HOME": str(folder)},
            capture_output=True,
            text=True,
            timeout=3,
            check=False,
        ).stdout
    except subprocess.TimeoutExpired as late:
        return (late.stdout or b"").decode()


def _status(url: str, method: str, body: bytes | None, host: str = "127.0.0.1") -> int:
    request = urllib.request.Request(url, body, {"Host": host}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_damaged_or_ending_certificate_is_made_anew(tmp_path: Path):
    certificate = tmp_path / "grpc.pem"
    write_security(tmp_path)
    whole = certificate.read_bytes()
    write_security(tmp_path)
    assert certificate.read_bytes() == whole
    for torn in (b"", whole[: len(whole) // 2], whole.replace(b"PRIVATE", b"PUBLIC")):
        certificate.write_bytes(torn)
        write_security(tmp_path)
        assert _usable(certificate)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda now=time.time: now() + 9.1 * 365 * 86_400)
        assert not _usable(certificate)
