"""What comes of an S3 server that is busy, slow, full, denies, or is cut off in mid-answer.

A stand-in on loopback answers as the specification of S3 says; each fault is scripted.
"""

import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest

from stock_assets.errors import ObjectStoreError
from stock_assets.resources import object_store
from stock_assets.resources.object_store import ObjectStore, open_store
from stock_assets.settings import Settings
from stock_assets_tests.stand_in_server import StandInServer

CONTENT = bytes(range(256)) * 4_000  # a megabyte: several packets


class S3StandIn(StandInServer):
    """A bucket. `faults`: what it does with the next requests; then it is well.

    `asked`: how many requests there were.
    """

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.objects: dict[str, bytes] = {}
        self.faults: list[str] = []
        self.asked = 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:  # as http.server calls it
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if not self._fails():
            self._stand_in.objects[self.path] = content
            self._answer(200, b"")

    def do_GET(self) -> None:
        if not self._fails():
            self._answer(200, self._stand_in.objects[self.path])

    @property
    def _stand_in(self) -> S3StandIn:
        return self.server.stand_in  # type: ignore[attr-defined, no-any-return]

    def _fails(self) -> bool:
        self._stand_in.asked += 1
        fault = self._stand_in.faults.pop(0) if self._stand_in.faults else ""
        if fault == "slow":
            time.sleep(1)
        elif fault == "cut off":
            self._answer(200, CONTENT, of_which=300_000)
            self.close_connection = True
            return True
        elif fault:
            status, _, code = fault.partition(" ")
            self._answer(int(status), f"<Error><Code>{code}</Code></Error>".encode())
            return True
        return False

    def _answer(self, status: int, body: bytes, of_which: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"1"')
        self.send_header("Last-Modified", "Fri, 01 Mar 2013 21:00:00 GMT")
        self.end_headers()
        self.wfile.write(body[:of_which])

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[S3StandIn]:
    with S3StandIn() as started:
        yield started


@pytest.fixture
def store(server: S3StandIn, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    monkeypatch.setattr(object_store, "_RETRIES", 3)
    settings = Settings(
        store_uri="s3://bucket/prefix", s3_endpoint_url=server.origin,
        s3_access_key_id="id", s3_secret_access_key="secret", read_cache_gb=0,
    )  # fmt: skip
    with open_store(settings) as opened:
        yield opened


@pytest.mark.parametrize("fault", ["503 SlowDown", "500 InternalError", "slow"])
def test_a_busy_server_is_asked_again_and_a_slow_one_is_waited_for(
    server: S3StandIn, store: ObjectStore, fault: str
):
    server.faults = [fault, fault]
    store.put_many({"key": CONTENT})
    server.faults = [fault, fault]
    assert store.get("key") == CONTENT


def test_an_answer_that_was_cut_off_is_never_a_shorter_object(
    server: S3StandIn, store: ObjectStore
):
    store.put_many({"key": CONTENT})
    server.faults = ["cut off"] * 50
    with pytest.raises(ObjectStoreError, match="sample does not take or give key"):
        store.get("key")
    server.faults = []
    assert store.get("key") == CONTENT


@pytest.mark.parametrize("fault", ["403 AccessDenied", "507 InsufficientStorage"])
def test_a_server_that_denies_or_is_full_is_one_line_with_what_looks_into_it(
    server: S3StandIn, store: ObjectStore, fault: str
):
    server.faults = [fault] * 50
    with pytest.raises(ObjectStoreError) as refused:
        store.put_many({"key": CONTENT})
    said = str(refused.value)
    assert said.startswith("s3://bucket/prefix/sample does not take or give key: ")
    assert said.endswith("; `stock-assets doctor` looks into it")
    assert fault.split(maxsplit=1)[0] in said
    assert "\n" not in said
    assert "secret" not in said
    # To ask again would not help who is denied.
    assert server.asked == (1 if fault.startswith("403") else 4)
    server.faults = []
    store.put_many({"key": CONTENT})
    assert store.get("key") == CONTENT
