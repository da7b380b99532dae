"""Where MLflow keeps runs and versions: a database of this machine, or the one that is named."""

import shutil
import sqlite3
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from stock_assets.local.postgres import connected, database_of, shown
from stock_assets.local.sqlite_files import refuse_unusable
from stock_assets.setting_values import is_postgres
from stock_assets.settings import Settings


def tracking_uri(settings: Settings) -> str:
    """Where MLflow is asked; of a tracking server without user, password and query.

    MLflow's errors quote a server's address as it was given. Who asks is `tracking_login`'s.
    """
    uri = database_of("mlflow", settings.mlflow_tracking_uri, settings.postgres_url)
    if uri:
        return shown(uri) if uri.startswith("http") else uri
    local_database(settings).parent.mkdir(parents=True, exist_ok=True)
    return local_uri(settings)


def tracking_login(settings: Settings) -> dict[str, str]:
    """The variables by which MLflow learns a tracking server's user and password."""
    uri = settings.mlflow_tracking_uri.get_secret_value() if settings.mlflow_tracking_uri else ""
    parts = urlsplit(uri)
    if not uri.startswith("http") or parts.username is None:
        return {}
    return {
        "MLFLOW_TRACKING_USERNAME": unquote(parts.username),
        "MLFLOW_TRACKING_PASSWORD": unquote(parts.password or ""),
    }


def is_tracking_server(uri: str) -> bool:
    """Whether somebody serves it already, its page included, and not we from a database."""
    return uri.startswith(("http://", "https://", "databricks"))


def local_database(settings: Settings) -> Path:
    """MLflow's SQLite file, where no tracking server is set."""
    return settings.state_folder / "mlflow" / "mlflow.db"


def local_uri(settings: Settings) -> str:
    return f"sqlite:///{local_database(settings)}"


def create_whole(database: Path) -> None:
    """Creates MLflow's tables elsewhere first: a kill among them would leave half of a schema,
    which MLflow can't complete.
    """
    if database.exists():
        return
    import mlflow

    # A folder that no killed process used: SQLite would play back the journal that it left there.
    for left in database.parent.glob("new-*"):
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(dir=database.parent, prefix="new-") as folder:
        new = Path(folder) / database.name
        mlflow.MlflowClient(f"sqlite:///{new}").search_experiments(max_results=1)
        new.rename(database)


def refuse_unusable_database(settings: Settings, *, thorough: bool = False) -> None:
    """Refuses this machine's database where it is none, or locked for long.

    Raises:
        DatabaseFileError: Names the file and what mends it.
    """
    if tracking_uri(settings) == local_uri(settings):
        database = local_database(settings)
        remedy = (
            f"`mv {database} {database}.damaged-1` and `stock-assets run`, which registers the"
            " stored versions again"
        )
        refuse_unusable(database, remedy, "experiments", thorough=thorough)


@dataclass(frozen=True)
class RegisteredRow:
    """A version as the database has it: its number, its MLflow run, its tags by name."""

    version: int
    run_id: str
    tags: Mapping[str, str]


_VERSIONS = (
    "select v.version, v.run_id, t.key, t.value from model_versions v"
    " left join model_version_tags t on t.name = v.name and t.version = v.version"
    " where v.name = :name and v.current_stage <> 'Deleted_Internal'"
)


def registered_rows(settings: Settings, name: str) -> list[RegisteredRow] | None:
    """Every version of a model, straight from the database.

    MLflow's own way takes seconds to import, for a run that has nothing to do. None where a
    tracking server has the registry.

    Raises:
        DatabaseError: There is no connection to it.
    """
    uri = tracking_uri(settings)
    if uri == local_uri(settings):
        rows = _rows_of_file(settings, name)
    elif is_postgres(uri):
        rows = _rows_of_postgres(uri, name)
    else:
        return None
    found: dict[int, RegisteredRow] = {}
    tags: dict[int, dict[str, str]] = {}
    for version, run_id, tag, value in rows:
        found.setdefault(version, RegisteredRow(version, run_id, tags.setdefault(version, {})))
        if tag is not None:
            tags[version][tag] = value
    return list(found.values())


def _rows_of_file(settings: Settings, name: str) -> Sequence[Any]:
    database = local_database(settings)
    if not database.exists():
        return []
    refuse_unusable_database(settings)
    try:
        with closing(sqlite3.connect(f"file:{quote(str(database))}?mode=ro", uri=True)) as opened:
            tables = {row[0] for row in opened.execute("select name from sqlite_master")}
            if "model_versions" not in tables:
                return []
            return opened.execute(_VERSIONS, {"name": name}).fetchall()
    except sqlite3.DatabaseError:
        refuse_unusable_database(settings, thorough=True)  # where that is why
        raise


def _rows_of_postgres(url: str, name: str) -> Sequence[Any]:
    import sqlalchemy as db

    with connected(url) as connection:
        if connection.scalar(db.select(db.func.to_regclass("model_versions"))) is None:
            return []
        return connection.execute(db.text(_VERSIONS), {"name": name}).fetchall()
