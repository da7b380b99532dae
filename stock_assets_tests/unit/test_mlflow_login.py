"""A tracking server's password goes into the header that it asks for, and into nothing else."""

import base64
import json
import os
import traceback
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from stock_assets.resources.mlflow_tracking import MlflowTracking
from stock_assets.resources.object_store import open_store
from stock_assets.settings import Settings
from stock_assets_tests.stand_in_server import StandInServer

PASSWORD = "hunter2@%:x"
USERINFO = "me:hunter2%40%25%3Ax"


class Tracking(StandInServer):
    """Knows one experiment; `asked`: the Authorization header of each request."""

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.asked: list[str | None] = []


class _Handler(BaseHTTPRequestHandler):
    server: Any

    def do_GET(self) -> None:
        self.server.stand_in.asked.append(self.headers.get("Authorization"))
        known = {"experiment_id": "1", "name": "x", "lifecycle_stage": "active"}
        content = json.dumps({"experiment": known}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Tracking]:
    with Tracking() as running:
        yield running


def tracking(folder: Path, uri: str) -> MlflowTracking:
    settings = Settings(home=folder, store_uri=f"file://{folder}", mlflow_tracking_uri=uri)
    with open_store(settings) as store:
        return MlflowTracking(settings, store)


def test_the_server_is_asked_with_user_and_password(server: Tracking, tmp_path: Path):
    host = server.origin.removeprefix("http://")
    with tracking(tmp_path, f"http://{USERINFO}@{host}").client():
        pass
    wanted = base64.b64encode(f"me:{PASSWORD}".encode()).decode()
    assert server.asked == [f"Basic {wanted}"]
    assert "MLFLOW_TRACKING_PASSWORD" not in os.environ
    # The next one of this process has none: it is not sent the first one's.
    with tracking(tmp_path, server.origin).client():
        pass
    assert server.asked[1:] == [None]


def test_a_server_that_is_not_there_is_named_without_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    server = tracking(tmp_path, f"http://{USERINFO}@127.0.0.1:9/?token=hunter2")
    assert server.uri == "http://127.0.0.1:9/"
    refused = pytest.raises(Exception, match=r"API request to http://127\.0\.0\.1:9/")
    with refused as error, server.client():
        pass
    assert "hunter2" not in "".join(traceback.format_exception(error.value))
