"""What the values of settings may be: lists that are written as text, names, addresses.

Messages show what was given, but for secrets. So an address that messages show takes no password.
"""

import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

# A dataset is a folder, a part of object keys, of names in MLflow and of labels in Prometheus.
_DATASET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# What MLflow takes; a driver may follow the database's name.
_TRACKING = re.compile(
    r"(https?|sqlite|(postgresql|postgres|mysql|mssql)(\+\w+)?|file|databricks(-uc)?|uc)(:.*)?",
    re.DOTALL,
)
_LOGIN = re.compile(r"://[^/?#]*@")
_PASSWORD = re.compile(r"://[^/?#]*:[^/?#]*@")


def is_postgres(url: str) -> bool:
    return urlsplit(url).scheme.partition("+")[0] in {"postgresql", "postgres"}


def _pairs(value: object, example: str) -> object:
    """NAME=VALUE,… as a mapping; what is no text is left to its type."""
    if not isinstance(value, str):
        return value
    pairs = [pair.partition("=") for pair in value.split(",") if pair.strip()]
    if any(not (name.strip() and of.strip()) for name, _, of in pairs):
        raise ValueError(f"must be a list like {example}")
    return {name.strip(): of.strip() for name, _, of in pairs}


def _limits(value: object) -> object:
    """Numbers by ticker, which are written in any case."""
    pairs = _pairs(value, "AAPL=0.05,IBM=0.03")
    return {name.upper(): of for name, of in pairs.items()} if isinstance(pairs, dict) else pairs


def _columns(value: object) -> object:
    return _pairs(value, "session=Date,close=Last")


def _plain_name(value: str) -> str:
    if value and not _DATASET.fullmatch(value):
        raise ValueError(
            "must be a name of at most 64 letters, digits, dots, hyphens and underscores that"
            " starts with a letter or digit"
        )
    return value


def _without(login: re.Pattern[str], value: str | None) -> str | None:
    """Errors of stores, listings and pages name these addresses."""
    if value and login.search(value):
        raise ValueError(
            "must have no user and password in it, since messages and pages show it; an S3"
            " server's are STOCK_ASSETS_S3_ACCESS_KEY_ID and …_S3_SECRET_ACCESS_KEY"
        )
    return value


def _without_login(value: str | None) -> str | None:
    return _without(_LOGIN, value)


def _without_password(value: str | None) -> str | None:
    return _without(_PASSWORD, value)


def _absolute_path(value: str | None) -> str | None:
    """The same files have the same name from whatever folder they are named."""
    if value is None or value.startswith("s3://"):
        return value
    return str(Path(value.removeprefix("file://")).expanduser().resolve())


def _known_scheme(value: str | None) -> str | None:
    if value is not None and not value.startswith(("s3://", "file://")):
        raise ValueError("must start with s3:// or file://")
    return value.rstrip("/") if value else None


def _known_tracking(value: SecretStr | None) -> SecretStr | None:
    """MLflow's own refusal would quote the address with its password."""
    if value and not _TRACKING.fullmatch(value.get_secret_value()):
        raise ValueError("must be http(s)://…, postgresql://… or another that MLflow knows")
    return value


def _database(value: SecretStr | None) -> SecretStr | None:
    """Without what was given in the message: it has a password."""
    if value is None:
        return None
    url = value.get_secret_value()
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:  # a password with a slash in it is read as a port
        url, parts = "", urlsplit("")
    if not is_postgres(url) or parts.path in {"", "/"} or parts.fragment:
        raise ValueError(
            "must be like postgresql://user:password@host/database; what is special in a"
            " password is escaped, / as %2F and @ as %40"
        )
    return value


ByTicker = Annotated[dict[str, Annotated[float, Field(gt=0)]], NoDecode, BeforeValidator(_limits)]
ByColumn = Annotated[dict[str, str], NoDecode, BeforeValidator(_columns)]
DatasetName = Annotated[str, AfterValidator(_plain_name)]
OpenAddress = Annotated[str | None, AfterValidator(_without_login)]
"""An address that messages show."""
OwnFiles = Annotated[OpenAddress, AfterValidator(_absolute_path)]
StoreUri = Annotated[OpenAddress, AfterValidator(_known_scheme)]
ArtifactUri = Annotated[str | None, AfterValidator(_without_password)]
"""A user without a password, as of sftp://me@host, is no secret."""
TrackingUri = Annotated[SecretStr | None, AfterValidator(_known_tracking)]
PostgresUrl = Annotated[SecretStr | None, AfterValidator(_database)]
