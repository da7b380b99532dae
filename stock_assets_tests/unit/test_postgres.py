from pathlib import Path

import pytest

from stock_assets.environment import load_settings
from stock_assets.errors import DatabaseError
from stock_assets.local.postgres import is_postgres, one_client_at_a_time, shown, with_driver
from stock_assets.resources.mlflow_tracking import MlflowTracking
from stock_assets.resources.object_store import open_store
from stock_assets.settings import Settings

SECRET = "postgresql://me:hunter2@db.example:5433/mlflow"


def test_a_plain_url_takes_the_driver_that_is_installed():
    for scheme in ("postgresql", "postgres"):
        assert with_driver(f"{scheme}://me@h/d") == "postgresql+psycopg2://me@h/d"
    for other in ("postgresql+psycopg://h/d", "sqlite:////x.db", "https://mlflow.example"):
        assert with_driver(other) == other
    assert is_postgres("postgresql+psycopg2://h/d")
    assert not is_postgres("https://postgresql.example")


def test_a_shown_url_has_neither_user_nor_password():
    assert shown(SECRET) == "postgresql://db.example:5433/mlflow"
    assert shown("https://me:p@ss@h/a?token=hunter2") == "https://h/a"


def test_a_server_that_is_not_there_is_one_line_without_password():
    with (
        pytest.raises(DatabaseError, match=r"//127\.0\.0\.1:9/x: connection .* refused") as error,
        one_client_at_a_time("postgresql+psycopg2://me:hunter2@127.0.0.1:9/x"),
    ):
        pass
    assert "hunter2" not in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("tracking", "artifacts"),
    [
        (None, "file://{}/sample/mlflow"),
        (SECRET, "file://{}/sample/mlflow"),
        ("https://mlflow.example", None),  # it knows where
    ],
)
def test_models_of_a_database_go_to_the_store(
    tmp_path: Path, tracking: str | None, artifacts: str | None
):
    settings = Settings(home=tmp_path, store_uri=f"file://{tmp_path}", mlflow_tracking_uri=tracking)
    with open_store(settings) as store:
        where = MlflowTracking(settings, store)._artifacts()
    assert where == (artifacts and artifacts.format(tmp_path))


def test_the_address_of_mlflow_is_a_secret(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STOCK_ASSETS_MLFLOW_TRACKING_URI", SECRET)
    assert "hunter2" not in repr(load_settings())
