"""The right to write a dataset, between real processes, in a folder and on a real S3 server."""

import json
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import obstore
import pytest

from stock_assets.commands.doctor import _store
from stock_assets.errors import LostLeaseError, StockAssetsError
from stock_assets.local.lease import store_lease
from stock_assets.local.process_identity import ProcessIdentity, this_process
from stock_assets.local.seaweed import BUCKET, REGION
from stock_assets.resources.object_store import ObjectStore
from stock_assets.resources.s3_connection import S3Connection
from stock_assets.resources.writer_lease import KEY, others_may_write, training_once, writing
from stock_assets.settings import Settings

PORT = 38_333 + os.getpid() % 200 * 40
BEGIN = """
import json, sys, time
from stock_assets.local.process_identity import ProcessIdentity
from stock_assets.resources.object_store import ObjectStore
from stock_assets.resources.s3_connection import S3Connection
from stock_assets.resources.writer_lease import writing
uri, connection, seconds, machine = json.loads(sys.argv[1])
store = ObjectStore(uri, S3Connection(**connection) if connection else None)
process = ProcessIdentity(machine, 1, 0.0) if machine else None
"""
HOLD = f"""{BEGIN}
with writing(store, "run", seconds=seconds, process=process) as lease:
    print(lease.number, flush=True)
    for line in sys.stdin:
        lease.check()
        print("may write", flush=True)
"""
COUNT = f"""{BEGIN}
for _ in range(6):
    with writing(store, "run", seconds=seconds) as lease:
        count = int(store.get("count"))
        time.sleep(0.02)
        store.put_many({{"count": str(count + 1).encode()}})
"""
TRAIN = f"""{BEGIN}
from stock_assets.resources.writer_lease import training_once
with training_once(store, "2012-10"):
    print("trains", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Connection]:
    with store_lease(tmp_path_factory.mktemp("store"), PORT) as server:
        yield S3Connection(
            REGION, server.endpoint_url, server.access_key_id, server.secret_access_key
        )


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, connection: S3Connection) -> ObjectStore:
    if request.param == "folder":
        return ObjectStore(f"file://{tmp_path}/sample")
    return ObjectStore(f"s3://{BUCKET}/{tmp_path.name}/sample", connection)


@contextmanager
def started(
    code: str, store: ObjectStore, seconds: float = 60, machine: str = ""
) -> Iterator[subprocess.Popen[str]]:
    connection = asdict(store.connection) if store.connection else None
    child = subprocess.Popen(
        [sys.executable, "-c", code, json.dumps([store.uri, connection, seconds, machine])],
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": "/usr/bin:/bin"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with child:
        try:
            yield child
        finally:
            child.kill()


def told(child: subprocess.Popen[str], word: str = "") -> str:
    if word:
        child.stdin.write(f"{word}\n")
        child.stdin.flush()
    return child.stdout.readline().strip()


def test_of_two_processes_one_writes_at_a_time(store: ObjectStore):
    store.put_many({"count": b"0"})
    with started(COUNT, store, 2) as one, started(COUNT, store, 2) as other:
        assert (one.wait(100), other.wait(100)) == (0, 0)
    assert store.get("count") == b"12"
    with writing(store, "run") as lease:
        assert lease.number == 13


def test_who_was_killed_is_followed_at_once(store: ObjectStore):
    said: list[str] = []
    with started(HOLD, store) as holder:
        assert told(holder) == "1"
        killing = threading.Timer(0.8, holder.kill)
        killing.start()
        # It lasts for a minute: without the look at the process this would take that long.
        with writing(store, "daily", said.append) as lease:
            assert holder.wait(5) == -signal.SIGKILL
            assert lease.number == 2
    where = f"{platform.node()}:{holder.pid}"
    assert said == [f"waiting for `run` of {where}, which writes sample"]


def test_a_month_is_trained_once_while_others_are_trained_and_stored(store: ObjectStore):
    said: list[str] = []
    with started(TRAIN, store) as other:
        assert told(other) == "trains"
        with training_once(store, "2012-11", said.append), writing(store, "run", said.append):
            assert said == []
        killing = threading.Timer(0.8, other.kill)
        killing.start()
        with training_once(store, "2012-10", said.append):
            assert other.wait(5) == -signal.SIGKILL
    where = f"{platform.node()}:{other.pid}"
    assert said == [
        f"waiting for `training of 2012-10` of {where}, which writes the model of 2012-10 of sample"
    ]


def test_who_lets_others_write_waits_for_them_at_the_end(store: ObjectStore):
    said: list[str] = []
    with writing(store, "run") as lease:
        assert lease.number == 1
        with others_may_write(store, "run", said.append) as others_write:
            assert others_write
            other = started(HOLD, store)
            with other as holder:
                assert told(holder) == "2"
                threading.Timer(0.8, holder.stdin.close).start()
                with writing(store, "run", said.append) as again:
                    assert again.number == 3
        with writing(store, "the same process") as inner:
            assert inner.number == 4
            with others_may_write(store, "run") as others_write:
                assert not others_write
    assert len(said) == 1


def test_who_slept_on_another_machine_is_followed_when_its_time_is_over_and_told(
    store: ObjectStore,
):
    with started(HOLD, store, 1, "another") as holder:
        assert told(holder) == "1"
        assert told(holder, "may I?") == "may write"
        time.sleep(1.5)  # it is renewed
        os.kill(holder.pid, signal.SIGSTOP)
        began = time.monotonic()
        with writing(store, "daily") as lease:
            assert 0.9 < time.monotonic() - began < 15
            assert lease.number == 2
            os.kill(holder.pid, signal.SIGCONT)
            assert told(holder, "may I?") == ""
            lease.check()
        assert holder.wait(30) == 1
        assert holder.stderr.read().splitlines()[-1] == (
            "stock_assets.errors.LostLeaseError: run may not write sample any more: it was held up"
            f" for more than 1 s, and `daily` of {platform.node()}:{os.getpid()} took over;"
            " run it again"
        )


def test_a_process_enters_again_in_any_thread_and_leaves_once(store: ObjectStore):
    numbers = []

    def again() -> None:
        with writing(store, "the run within") as lease:
            numbers.append(lease.number)

    with writing(store, "run") as lease:
        again()
        thread = threading.Thread(target=again)
        thread.start()
        thread.join()
        lease.check()
        assert json.loads(store.get(KEY))["id"] is not None
    assert numbers == [1, 1]
    assert json.loads(store.get(KEY))["id"] is None
    with writing(store, "run") as lease:
        assert lease.number == 2


def test_a_writer_hears_on_leaving_that_another_took_over(store: ObjectStore):
    def slept() -> None:
        with writing(store, "run"):
            taken = json.loads(store.get(KEY)) | {"id": "x", "who": "daily", "host": "h", "pid": 7}
            store.put_many({KEY: json.dumps(taken | {"number": 2}).encode()})

    with pytest.raises(LostLeaseError, match="and `daily` of h:7 took over; run it again"):
        slept()


def test_who_lost_it_before_others_may_write_hears_that_and_keeps_nothing(store: ObjectStore):
    def slept() -> None:
        with writing(store, "run"):
            store.put_many({KEY: json.dumps({"number": 7, "id": None}).encode()})
            with others_may_write(store, "run"):
                pytest.fail("it was not told that it has lost")

    with pytest.raises(LostLeaseError):
        slept()
    for number in (9, 10):
        with writing(store, "run") as lease:
            assert lease.number == number
        assert json.loads(store.get(KEY))["id"] is None


def test_what_can_not_be_read_is_taken_when_nobody_renews_it(store: ObjectStore):
    store.put_many({KEY: b'{"num'})
    before = int(time.time())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stock_assets.resources.leases.SECONDS", 0.5)
        with writing(store, "run", seconds=0.5) as lease:
            assert before < lease.number < before + 60


def test_the_doctor_finds_a_store_that_ignores_conditions(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
):
    def heedless(*given: Any, mode: Any = None) -> Any:
        del mode
        return put(*given)

    assert _store(Settings(store_uri="file:///x"), store).endswith("written, read and deleted")
    put = obstore.put
    monkeypatch.setattr(obstore, "put", heedless)
    with pytest.raises(StockAssetsError, match=r"takes a PUT whose condition is not met"):
        _store(Settings(store_uri="file:///x"), store)
    assert store.keys("doctor") == []


def test_a_number_that_another_process_has_now_is_not_the_one_that_is_gone():
    here = this_process()
    assert not here.is_gone()
    assert ProcessIdentity(here.machine, here.pid, here.started - 60).is_gone()
    assert not ProcessIdentity("another", here.pid, here.started - 60).is_gone()
    assert not ProcessIdentity("", 4_000_000, 0.0).is_gone()
    assert ProcessIdentity(here.machine, 4_000_000, 0.0).is_gone()
