"""PostgreSQL as Dagster and MLflow share it: which driver, and who creates tables first."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from stock_assets.errors import DatabaseError

_LOCK = 20_130_301


def is_postgres(url: str) -> bool:
    return urlsplit(url).scheme.partition("+")[0] in {"postgresql", "postgres"}


def with_driver(url: str) -> str:
    """The URL as SQLAlchemy needs it: its 2.1 takes `postgresql://` for psycopg 3.

    dagster-postgres knows psycopg2 alone, so that is installed. Other URLs stay as they are.
    """
    scheme, _, rest = url.partition("://")
    return f"postgresql+psycopg2://{rest}" if scheme in {"postgresql", "postgres"} else url


@contextmanager
def one_client_at_a_time(url: str) -> Iterator[None]:
    """Holds back the same block of other machines: two that create tables at once both fail.

    The lock is a transaction's, so the server lets go of it when the client is gone, and it holds
    behind a pool of connections too.

    Raises:
        DatabaseError: There is no connection; the message has no password.
    """
    import sqlalchemy as db

    try:
        connection = db.create_engine(url, poolclass=db.NullPool).connect()
    except (db.exc.SQLAlchemyError, ImportError) as error:
        reason = str(getattr(error, "orig", error)).strip().splitlines()[0]
        raise DatabaseError(f"{shown(url)}: {reason}; start it, or mend its URL") from None
    with connection:
        connection.execute(db.select(db.func.pg_advisory_xact_lock(_LOCK)))
        yield


def shown(url: str) -> str:
    """A URL for people and logs: without user, password and query, where secrets may be."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()
