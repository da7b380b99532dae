"""What each library asks of an S3 server: by whose credentials, in which address, how encrypted."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from dagster._core.storage.compute_log_manager import ComputeIOType
from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository, _cached_get_s3_client

from stock_assets.environment import load_settings
from stock_assets.errors import ObjectStoreError, SettingsError
from stock_assets.resources.compute_logs import ComputeLogs
from stock_assets.resources.object_store import ObjectStore, aws_environment
from stock_assets.resources.s3_account import bucket_exists
from stock_assets.resources.s3_connection import configured_connection
from stock_assets_tests.recorded_s3 import RecordedS3, recorded_s3

KEY_ARN = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd"
SSE_S3 = {"": "AES256"}
SSE_KMS = {"": "aws:kms", "aws-kms-key-id": KEY_ARN, "bucket-key-enabled": "true"}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[RecordedS3]:
    """With no credentials of this machine: none of its role, and none in its home folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    # What a test before has read of AWS's files.
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)
    _cached_get_s3_client.cache_clear()
    with recorded_s3() as started:
        yield started


def asked_by_all(**given: object) -> None:
    """Asks a server in each way in which the project does, by settings."""
    settings = load_settings(store_uri="s3://bucket/some", postgres_url="postgresql://h/d", **given)
    connection = configured_connection(settings)
    store = ObjectStore("s3://bucket/some/set", connection)
    store.put_many({"object": b"content"})
    assert store.put_if("object", b"content", '"tag"')
    store.set_aside("object")
    assert bucket_exists(store)
    with aws_environment(store):
        Path("model.skops").write_bytes(b"content")
        S3ArtifactRepository("s3://bucket/some/set/mlflow").log_artifact("model.skops")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stock_assets.resources.compute_logs.load_settings", lambda: settings)
        logs = ComputeLogs.from_config_value(None, {"base_dir": "logs"})
    printed = Path("logs/storage/run/step.out")
    printed.parent.mkdir(parents=True, exist_ok=True)
    printed.write_text("printed")
    logs.upload_to_cloud_storage(["run", "step"], ComputeIOType.STDOUT)  # type: ignore[attr-defined]
    options = connection.options("bucket")
    with pytest.raises(pl.exceptions.ComputeError, match="out of specification"):  # it is empty
        pl.scan_parquet("s3://bucket/own.parquet", storage_options=options).collect()


PUTS = [
    "/bucket/some/set/object",
    "/bucket/some/set/object",
    "/bucket/some/set/damaged/…/object",
    "/bucket/some/set/mlflow/model.skops",
    "/bucket/some/compute_logs/storage/run/step.out",
]


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({}, {}),
        ({"s3_encryption": "AES256"}, SSE_S3),
        ({"s3_encryption": "aws:kms", "s3_kms_key_id": KEY_ARN}, SSE_KMS),
    ],
)
def test_each_put_asks_for_the_encryption_of_the_settings(
    server: RecordedS3, given: dict[str, str], asked: dict[str, str]
):
    asked_by_all(
        s3_endpoint_url=server.url, s3_access_key_id="id", s3_secret_access_key="secret", **given
    )
    puts = [request for request in server.requests if request.method == "PUT"]
    assert len(puts) == len(PUTS)
    for request, path in zip(puts, PUTS, strict=True):
        start, _, end = path.partition("…")
        assert request.path.startswith(start)
        assert request.path.partition("?")[0].endswith(end)
        if "/set/mlflow/" in path or "/compute_logs/" in path:  # boto3 knows no key of the bucket
            asked = {name: value for name, value in asked.items() if name != "bucket-key-enabled"}
        assert request.encryption == asked, path
    # A server refuses a request to read that names an encryption of its own.
    others = [request for request in server.requests if request.method != "PUT"]
    assert [request for request in others if request.encryption] == []


def test_a_key_without_its_encryption_is_refused():
    with pytest.raises(SettingsError, match="S3_KMS_KEY_ID needs STOCK_ASSETS_S3_ENCRYPTION=aws:"):
        load_settings(s3_kms_key_id=KEY_ARN)


def test_a_profile_of_awss_files_is_found_by_every_library(
    server: RecordedS3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    file = tmp_path / "credentials"
    file.write_text("[team]\naws_access_key_id = TEAM\naws_secret_access_key = secret\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_PROFILE", "team")
    asked_by_all(s3_endpoint_url=server.url)
    assert len(server.requests) > len(PUTS)
    assert {request.access_key_id for request in server.requests} == {"TEAM"}
    # boto3 lends what is good for ten minutes at the least, so nobody may keep it for longer.
    asked = configured_connection(load_settings()).credentials()
    assert asked
    assert datetime.now(UTC) < asked()["expires_at"] <= datetime.now(UTC) + timedelta(minutes=5)


def test_without_any_credentials_a_message_says_so(server: RecordedS3):
    store = ObjectStore(
        "s3://bucket/set", configured_connection(load_settings(s3_endpoint_url=server.url))
    )
    with pytest.raises(ObjectStoreError, match="lacked valid authentication credentials"):
        store.put_many({"object": b"content"})
    assert server.requests == []


@pytest.mark.parametrize(
    ("addressing", "host", "path"),
    [("path", "s3.test", "/bucket/"), ("virtual", "bucket.s3.test", "/")],
)
def test_the_bucket_stands_where_the_server_wants_it(
    server: RecordedS3,
    monkeypatch: pytest.MonkeyPatch,
    addressing: str,
    host: str,
    path: str,
):
    # No such name resolves: a proxy is asked for it instead, and shows what it was asked.
    monkeypatch.setenv("HTTP_PROXY", server.url)
    monkeypatch.setenv("http_proxy", server.url)
    asked_by_all(
        s3_endpoint_url="http://s3.test",
        s3_access_key_id="id",
        s3_secret_access_key="secret",
        s3_addressing=addressing,
    )
    assert len(server.requests) > len(PUTS)
    for request in server.requests:
        asked = request.path.partition("?")[0].rstrip("/") + "/"  # of the bucket itself, too
        assert asked.startswith(f"http://{host}{path}")
        assert request.headers["host"] == host


IMPORT = """
import sys

sys.addaudithook(lambda event, _: event == "socket.connect" and sys.exit("a socket is opened"))
import stock_assets.definitions as loaded

print(len(loaded.defs().resolve_all_asset_keys()))
"""


def test_loading_the_definitions_asks_no_server(server: RecordedS3, tmp_path: Path):
    """Not by Python, which a hook would see, and not by a library of its own: none is asked."""
    environment = os.environ | {
        "STOCK_ASSETS_HOME": str(tmp_path),
        "STOCK_ASSETS_STORE_URI": "s3://bucket/some",
        "STOCK_ASSETS_S3_ENDPOINT_URL": server.url,
        "STOCK_ASSETS_S3_ACCESS_KEY_ID": "id",
        "STOCK_ASSETS_S3_SECRET_ACCESS_KEY": "secret",
        "STOCK_ASSETS_POSTGRES_URL": f"postgresql://user:password@{server.url[7:]}/database",
    }
    loaded = subprocess.run(
        [sys.executable, "-c", IMPORT], capture_output=True, text=True, env=environment, check=False
    )
    assert (loaded.returncode, loaded.stdout) == (0, "9\n"), loaded.stderr
    assert server.requests == []
