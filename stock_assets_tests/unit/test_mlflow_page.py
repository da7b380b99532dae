"""Addresses on MLflow's page tell no password and fit who serves it."""

from pathlib import Path

import pytest

from stock_assets.resources.mlflow_page import run_address, version_address
from stock_assets.settings import Settings


@pytest.mark.parametrize(
    ("uri", "page"),
    [
        (None, "http://127.0.0.1:5000"),
        ("postgresql://me:secret@db/mlflow", "http://127.0.0.1:5000"),  # `make ui` serves it
        ("https://me:secret@mlflow.example/base/", "https://mlflow.example/base"),
    ],
)
def test_run_and_version_have_an_address(uri: str | None, page: str, tmp_path: Path):
    settings = Settings(home=tmp_path, mlflow_tracking_uri=uri)
    assert run_address(settings, "abc") == f"{page}/#/runs/abc"
    assert (
        version_address(settings, "stock_assets_a.b", 3)
        == f"{page}/#/models/stock_assets_a.b/versions/3"
    )
