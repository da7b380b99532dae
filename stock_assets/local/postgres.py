"""PostgreSQL as Dagster, MLflow and Optuna share it: driver, schemas, who creates tables first.

Dagster and MLflow both have a table `runs`, MLflow and Optuna both `trials` and the like, and all
three an `alembic_version` that tells what their migrations have done. In one schema, whoever comes
second takes the other's for its own and dies in a migration. So each has a schema, by the search
path of its connections: none of them knows of it, and one database is enough.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from pydantic import SecretStr

from stock_assets.errors import DatabaseError

if TYPE_CHECKING:
    from sqlalchemy import Connection

Schema = Literal["dagster", "mlflow", "optuna"]
_SCHEMAS = ("dagster", "mlflow", "optuna")
_LOCK = 20_130_301


def with_driver(url: str) -> str:
    """The URL as SQLAlchemy needs it: its 2.1 takes `postgresql://` for psycopg 3.

    dagster-postgres knows psycopg2 alone, so that is installed. Other URLs stay as they are.
    """
    scheme, _, rest = url.partition("://")
    return f"postgresql+psycopg2://{rest}" if scheme in {"postgresql", "postgres"} else url


def database_of(schema: Schema, own: SecretStr | None, shared: SecretStr | None) -> str | None:
    """The URL of a part's database, with driver; None where there is none.

    Args:
        schema: The part's, in the shared database.
        own: A database for this part alone. Its tables go where the database puts them.
        shared: The database of all parts.
    """
    if own is not None or shared is None:
        return with_driver(own.get_secret_value()) if own else None
    from sqlalchemy import make_url

    url = make_url(with_driver(shared.get_secret_value()))
    options = f"{url.query.get('options', '')} -csearch_path={schema}".strip()
    return url.update_query_dict({"options": options}).render_as_string(hide_password=False)


def connected(url: str) -> "Connection":
    """A connection, to be closed by its `with`.

    Raises:
        DatabaseError: There is none; the message has no password.
    """
    import sqlalchemy as db

    try:
        return db.create_engine(url, poolclass=db.NullPool).connect()
    except (db.exc.SQLAlchemyError, ImportError) as error:
        reason = str(getattr(error, "orig", error)).strip().splitlines()[0]
        raise DatabaseError(f"{shown(url)}: {reason}; start it, or mend its URL") from None


def refuse_cut_off(url: str, error: Exception) -> None:
    """Names the database where it went down under somebody's feet, whatever came of that.

    Raises:
        DatabaseError: It can't be reached now, or could not be when the error struck. The message
            has no password.
    """
    import sqlalchemy as db
    from dagster_postgres.utils import DagsterPostgresException

    with connected(url):
        pass
    if isinstance(error, (db.exc.OperationalError, DagsterPostgresException)):
        raise DatabaseError(
            f"{shown(url)}: the connection was lost; what was stored stays, run again"
        ) from error


@contextmanager
def one_client_at_a_time(url: str) -> Iterator[None]:
    """Holds back the same block of other machines: two that create tables at once both fail.

    The schema that the URL names is there within it.

    The lock is a transaction's, so the server lets go of it when the client is gone, and it holds
    behind a pool of connections too.

    Raises:
        DatabaseError: There is no connection; the message has no password.
    """
    import sqlalchemy as db

    with connected(url) as connection:
        connection.execute(db.select(db.func.pg_advisory_xact_lock(_LOCK)))
        schema = connection.scalar(db.text("show search_path"))
        # Asked first: to create one if it is missing takes a right that its tables do not need.
        if schema in _SCHEMAS and connection.scalar(db.select(db.func.current_schema())) is None:
            with connection.engine.begin() as other:  # a commit of the first lets go of the lock
                other.execute(db.schema.CreateSchema(schema))
        yield


def shown(url: str) -> str:
    """A URL for people and logs: without user, password and query, where secrets may be."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()
