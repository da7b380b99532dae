"""The lease on a real SeaweedFS: who needs it keeps it up, the last one stops it."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from stock_assets.errors import LocalStackError, ObjectStoreError
from stock_assets.local.lease import stop_leftover, store_lease
from stock_assets.local.processes import is_running
from stock_assets.local.seaweed import BUCKET, REGION, running_server
from stock_assets.resources.io_managers import ParquetIOManager, stored_partitions
from stock_assets.resources.object_store import ObjectStore, S3Connection, open_store
from stock_assets.resources.read_cache import read_rows
from stock_assets.settings import Settings

PORT = 18_333 + os.getpid() % 400 * 40


def store_at(endpoint: str, key: str, secret: str) -> ObjectStore:
    return ObjectStore(f"s3://{BUCKET}/x", S3Connection(REGION, endpoint, key, secret))


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
        with pytest.raises(LocalStackError, match="in use by a run or page"):
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


def test_a_server_left_by_a_kill_is_taken_over_and_stopped(tmp_path: Path):
    code = (
        "import sys, time; from pathlib import Path; from stock_assets.local.lease import *\n"
        f"with store_lease(Path({str(tmp_path)!r}), {PORT}) as s: print(s.pid, flush=True);"
        " time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert holder.stdout
    pid = int(holder.stdout.readline())
    holder.kill()
    holder.wait()
    assert is_running(pid)
    with store_lease(tmp_path, PORT) as server:
        assert server.pid == pid
    assert not is_running(pid)


def test_a_killed_server_is_started_again_with_its_objects(tmp_path: Path):
    settings = Settings(home=tmp_path, local_s3_port=PORT)
    with open_store(settings) as store:
        store.put_many({"a": b"1"})
        pid = json.loads((tmp_path / "var" / "store" / "server.json").read_text())["pid"]
        os.kill(pid, signal.SIGKILL)
        time.sleep(0.2)
    with open_store(settings) as store:
        assert store.get("a") == b"1"
