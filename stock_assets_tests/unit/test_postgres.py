from pathlib import Path

import pytest
from pydantic import SecretStr

from stock_assets.environment import load_settings
from stock_assets.errors import DatabaseError, SettingsError
from stock_assets.local.postgres import (
    database_of,
    one_client_at_a_time,
    shown,
    with_driver,
)
from stock_assets.resources.mlflow_database import tracking_uri
from stock_assets.resources.mlflow_tracking import MlflowTracking
from stock_assets.resources.object_store import open_store
from stock_assets.setting_values import is_postgres
from stock_assets.settings import Settings

SECRET = "postgresql://me:hunter2@db.example:5433/mlflow"


def test_a_plain_url_takes_the_driver_that_is_installed():
    for scheme in ("postgresql", "postgres"):
        assert with_driver(f"{scheme}://me@h/d") == "postgresql+psycopg2://me@h/d"
    for other in ("postgresql+psycopg://h/d", "sqlite:////x.db", "https://mlflow.example"):
        assert with_driver(other) == other
    assert is_postgres("postgresql+psycopg2://h/d")
    assert not is_postgres("https://postgresql.example")


def test_each_part_has_a_schema_of_the_shared_database_or_a_database_of_its_own():
    shared, own = SecretStr("postgresql://me:p%40%2F@h:5433/d"), SecretStr("postgres://h/own")
    assert database_of("optuna", None, None) is None
    assert database_of("mlflow", None, shared) == (
        "postgresql+psycopg2://me:p%40%2F@h:5433/d?options=-csearch_path%3Dmlflow"
    )
    assert database_of("mlflow", own, shared) == "postgresql+psycopg2://h/own"


def test_what_a_url_asks_of_the_server_stays():
    url = SecretStr("postgresql://h/d?sslmode=require&options=-cstatement_timeout%3D9s")
    assert database_of("dagster", None, url) == (
        "postgresql+psycopg2://h/d"
        "?options=-cstatement_timeout%3D9s+-csearch_path%3Ddagster&sslmode=require"
    )


def test_mlflow_takes_its_own_address_before_the_shared_one():
    both = Settings(postgres_url=SECRET, mlflow_tracking_uri="https://mlflow.example")
    assert tracking_uri(both) == "https://mlflow.example"
    assert tracking_uri(Settings(postgres_url=SECRET)).endswith("search_path%3Dmlflow")


@pytest.mark.parametrize(
    "url",
    [
        "hunter2",
        "mysql://me:hunter2@h/d",
        "postgresql://me:hunter2@h",
        "postgresql://me:hunter2/x@h/d",  # the slash ends the host
        "postgresql://me:hunter2#x@h/d",
    ],
)
@pytest.mark.parametrize("name", ["postgres_url", "dagster_url", "studies_url"])
def test_what_is_no_address_of_a_database_is_refused_without_being_shown(name: str, url: str):
    with pytest.raises(SettingsError, match=rf"^STOCK_ASSETS_{name.upper()}: must be lik") as error:
        load_settings(**{name: url})
    assert "hunter2" not in str(error.value)
    assert "%2F and @ as %40" in str(error.value)


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
