"""Where objects live: one bucket or folder, through obstore.

Its PUTs are four times faster than boto3's from threads. How an S3 server is reached stands in
`s3_connection`, and what an account needs (is the bucket there, compute logs) in `s3_account`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import obstore
from obstore.exceptions import AlreadyExistsError, PreconditionError
from obstore.store import LocalStore, S3Store

from stock_assets.environment import variables_set
from stock_assets.errors import DamagedObjectError, ObjectStoreError
from stock_assets.local.lease import store_lease
from stock_assets.local.locks import locked
from stock_assets.local.own_folder import remedy_of_damage
from stock_assets.local.seaweed import BUCKET, REGION
from stock_assets.resources.s3_connection import S3Connection, configured_connection
from stock_assets.resources.seal import is_sealed, seal
from stock_assets.settings import Settings

T = TypeVar("T")

_AT_ONCE = 16
_DAMAGED = "damaged"
# Some four seconds at the least: a local server that was killed is back on its port before.
_RETRIES = 8
_FIRST_WAIT, _LONGEST_WAIT = timedelta(seconds=0.5), timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as a listing or an answer shows it.

    `tag`: its entity tag, which is another as soon as its content is (RFC 9110, section 8.8.3).
    """

    path: str
    tag: str


@dataclass(frozen=True, slots=True)
class CacheFolder:
    """Where copies of objects may lie on this machine's disk, and what all may take."""

    path: Path
    most_bytes: int


class ObjectStore:
    """Objects by key under one root.

    Args:
        uri: s3://bucket/prefix or file:///folder, without a slash at the end.
        connection: Of an s3 root.
        cache: For copies that make reading faster (`read_cache`); none without it.
        files: The folder of the server's own files, where it is this machine's.
    """

    def __init__(
        self,
        uri: str,
        connection: S3Connection | None = None,
        cache: CacheFolder | None = None,
        files: Path | None = None,
    ) -> None:
        self.uri = uri
        self._files = files
        self.connection = connection
        self.cache = cache
        self._store: S3Store | LocalStore
        if uri.startswith("file://"):
            folder = Path(uri.removeprefix("file://"))
            folder.mkdir(parents=True, exist_ok=True)
            self._store = LocalStore(folder, mkdir=True)
        elif connection is not None:
            prefix = uri.removeprefix("s3://").partition("/")[2]
            self._store = S3Store(
                self.bucket,
                prefix=prefix or None,
                config=connection.store_options(self.bucket),  # type: ignore[arg-type]  # obstore's keys
                credential_provider=connection.credentials(),
                client_options={"allow_http": bool(connection.endpoint_url), "timeout": "60s"},
                retry_config={
                    "max_retries": _RETRIES,
                    "retry_timeout": timedelta(seconds=60),
                    "backoff": {
                        "init_backoff": _FIRST_WAIT,
                        "max_backoff": _LONGEST_WAIT,
                        "base": 2,
                    },
                },
            )
        else:
            raise ObjectStoreError(f"{uri} needs an S3 connection")

    @property
    def bucket(self) -> str:
        """Of an s3 root."""
        return self.uri.removeprefix("s3://").partition("/")[0]

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise ObjectStoreError(f"no object {what} in {self.uri}") from error
        except (OSError, obstore.exceptions.BaseError) as error:
            reason = str(error).splitlines()[0][:300]
            raise ObjectStoreError(
                f"{self.uri} does not take or give {what}: {reason}; {self._remedy(error)}"
            ) from error

    def _remedy(self, error: Exception) -> str:
        """A server that answers and can't give what it took has damaged files."""
        if self._files and "status code: 5" in str(error):
            return remedy_of_damage(self._files)
        return "`stock-assets doctor` looks into it"

    def put_many(self, objects: Mapping[str, bytes]) -> None:
        """Writes each object in one atomic PUT, many at a time; one failure fails the call."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for _ in pool.map(self._put, objects.keys(), objects.values()):
                pass

    def put_encoded(
        self,
        values: Mapping[str, T],
        encode: Callable[[T], bytes],
        on_put: Callable[[str], None] = lambda _path: None,
    ) -> dict[str, StoredObject]:
        """The same of values, which become Parquet or JSON by `encode`, each with a checksum.

        `on_put`: called with the path of each that is there, from any thread.
        """

        def put(item: tuple[str, T]) -> StoredObject:
            stored = self._put(item[0], seal(item[0], encode(item[1])))
            on_put(item[0])
            return stored

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return dict(zip(values, pool.map(put, values.items()), strict=True))

    def _put(self, key: str, content: bytes) -> StoredObject:
        with self._explained(key):
            return StoredObject(key, obstore.put(self._store, key, content)["e_tag"] or "")

    def get(self, key: str) -> bytes:
        return self.get_with_tags([key])[0][0]

    def get_many(self, keys: list[str]) -> list[bytes]:
        return [content for content, _ in self.get_with_tags(keys)]

    def get_with_tags(self, keys: list[str]) -> list[tuple[bytes, str]]:
        """Objects' contents, each with the entity tag of that very content.

        Raises:
            DamagedObjectError: Some have a checksum that is not theirs; it names them all.
        """
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            found = list(pool.map(self._get_with_tag, keys))
        pairs = zip(keys, found, strict=True)
        if damaged := [key for key, (content, _) in pairs if is_sealed(key, content) is False]:
            raise self.damaged(dict.fromkeys(damaged, "its bytes are not those of its checksum"))
        return found

    def _get_with_tag(self, key: str) -> tuple[bytes, str]:
        with self._explained(key):
            answer = obstore.get(self._store, key)
            return bytes(answer.bytes()), answer.meta["e_tag"] or ""

    def find_with_tag(self, key: str) -> tuple[bytes, str] | None:
        """An object's content and entity tag; None where there is none."""
        with self._explained(key), suppress(FileNotFoundError):
            answer = obstore.get(self._store, key)
            return bytes(answer.bytes()), answer.meta["e_tag"] or ""
        return None

    def put_if(self, key: str, content: bytes, tag: str | None) -> str | None:
        """Writes an object if there is still the one of an entity tag, or still none.

        Returns:
            Its new tag; None where another one was faster.
        """
        refused = (AlreadyExistsError, PreconditionError, FileNotFoundError)
        with self._explained(key), suppress(*refused):
            if tag is None:
                return obstore.put(self._store, key, content, mode="create")["e_tag"] or ""
            if isinstance(self._store, S3Store):
                return obstore.put(self._store, key, content, mode={"e_tag": tag})["e_tag"] or ""
            # A folder knows no such condition.
            with locked(Path(self.uri.removeprefix("file://")) / f"{key}.lock"):
                if obstore.head(self._store, key)["e_tag"] == tag:
                    return obstore.put(self._store, key, content)["e_tag"] or ""
        return None

    def damaged(self, reasons: Mapping[str, str]) -> DamagedObjectError:
        """The error that names damaged objects, each with what is wrong with it."""
        return DamagedObjectError(reasons, self.uri)

    def set_aside(self, key: str) -> str:
        """Moves an object to where nothing is read from; its new key. None there is no error."""
        aside = f"{_DAMAGED}/{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}/{key}"
        with self._explained(key), suppress(FileNotFoundError):
            obstore.copy(self._store, key, aside)
            obstore.delete(self._store, key)
        return aside

    def listed(self, prefix: str, after: str | None = None) -> list[StoredObject]:
        """Objects under a folder-like prefix, ascending, or those whose keys sort after one.

        A listing costs 0.2 ms a key on the local server, so who needs the newest says so.
        """
        with self._explained(f"{prefix}/"):
            listed = obstore.list(self._store, prefix, offset=after).collect()
        objects = (StoredObject(entry["path"], entry["e_tag"] or "") for entry in listed)
        return sorted(objects, key=lambda stored: stored.path)

    def keys(self, prefix: str) -> list[str]:
        """Keys under a folder-like prefix, ascending."""
        return [stored.path for stored in self.listed(prefix)]

    def refuse_unlisted(self, keys: Iterable[str]) -> None:
        """Refuses a store that holds an object which its listings do not show.

        Raises:
            ObjectStoreError: Its directory is damaged: whatever is made would be missed again.
        """
        for key in keys:
            with suppress(FileNotFoundError):
                obstore.head(self._store, key)
                remedy = remedy_of_damage(self._files) if self._files else "mend or replace it"
                raise ObjectStoreError(
                    f"{self.uri} holds {key} and does not list it, its directory is damaged:"
                    f" {remedy}"
                )

    def delete(self, keys: list[str]) -> None:
        with self._explained(", ".join(keys)):
            obstore.delete(self._store, keys)


@contextmanager
def open_store(settings: Settings) -> Iterator[ObjectStore]:
    """The object store that the settings name; the local one is up while the block runs."""
    with ExitStack() as stack:
        if settings.uses_local_store:
            server = stack.enter_context(
                store_lease(settings.state_folder / "store", settings.local_s3_port)
            )
            uri = f"s3://{BUCKET}"
            connection = S3Connection(
                REGION, server.endpoint_url, server.access_key_id, server.secret_access_key
            )
        else:
            uri = str(settings.store_uri)
            connection = configured_connection(settings)
        is_file = uri.startswith("file://")
        most_bytes = int(settings.read_cache_gb * 10**9)
        cache = CacheFolder(settings.state_folder / "read_cache", most_bytes)
        yield ObjectStore(
            f"{uri}/{settings.dataset_name}",
            None if is_file else connection,
            cache if most_bytes else None,
            settings.state_folder / "store" / "data" if settings.uses_local_store else None,
        )


@contextmanager
def aws_environment(store: ObjectStore) -> Iterator[None]:
    """MLflow knows S3 by environment variables alone: set for the block, put back after it."""
    with variables_set(store.connection.environment() if store.connection else {}):
        yield
