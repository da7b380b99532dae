"""`stock-assets doctor`: is every part there, and if not, how to mend it."""

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from errno import EACCES
from urllib.parse import urlparse

from stock_assets.automation.celery_workers import NO_WORKER, look_at_workers
from stock_assets.backfill.project import open_instance, refuse_unusable_history
from stock_assets.deployment import load_partitions
from stock_assets.errors import LocalStackError, StockAssetsError
from stock_assets.local.own_folder import first_unwritable, refusal
from stock_assets.planning.lineage import IN_ORDER
from stock_assets.resources.damage import find_damaged
from stock_assets.resources.mlflow_database import refuse_unusable_database
from stock_assets.resources.model_registry import ModelRegistry
from stock_assets.resources.notifier import Notifier
from stock_assets.resources.object_store import ObjectStore, open_store
from stock_assets.resources.prices import open_prices
from stock_assets.resources.s3_account import bucket_exists
from stock_assets.settings import Settings

_PROBE = "doctor/probe"
_NO_TAG = '"0"'


@dataclass(frozen=True)
class Finding:
    """One part: whether it works, and what was seen or must be done."""

    part: str
    ok: bool
    detail: str


def diagnose(settings: Settings) -> list[Finding]:
    """Looks at settings, source, store, registry, history, workers where there are some, metrics,
    channels; raises for none of them.
    """
    findings = [
        _look("settings", lambda: _state(settings)),
        _look("source", lambda: _source(settings)),
    ]
    try:
        with open_store(settings) as store:
            findings.append(_look("store", lambda: _store(settings, store)))
            findings.append(_look("objects", lambda: _objects(store)))
            findings.append(_look("registry", lambda: _registry(settings, store)))
    except StockAssetsError as error:
        findings.append(Finding("store", False, str(error)))
    findings.append(_look("dagster", lambda: _history(settings)))
    if settings.executor == "celery":
        findings.append(ask_workers(settings))
    findings.append(_look("metrics", lambda: _metrics(settings)))
    findings.append(_look("notify", lambda: _notify(settings)))
    return findings


def _look(part: str, see: Callable[[], str]) -> Finding:
    try:
        return Finding(part, True, see())
    except Exception as error:  # noqa: BLE001  # a doctor reports whatever it meets
        return Finding(part, False, str(error).splitlines()[0] if str(error) else repr(error))


def _state(settings: Settings) -> str:
    folder = settings.state_folder
    foreign = first_unwritable(folder) if folder.is_dir() else None
    if foreign:
        raise LocalStackError(refusal(PermissionError(EACCES, os.strerror(EACCES), str(foreign))))
    return f"dataset {settings.dataset_name}, state in var/"


def _source(settings: Settings) -> str:
    with open_prices(settings) as prices:
        source = " beside ".join(vendor.name for vendor in prices.vendors)
        tickers, table = len(prices.tickers), settings.members_uri
    partitions = load_partitions(settings)
    return (
        f"{source}: {tickers} tickers, sessions {partitions.first}..{partitions.newest} of"
        f" {settings.calendar}{f', members after {table}' if table else ''}"
    )


def _store(settings: Settings, store: ObjectStore) -> str:
    if store.connection and not bucket_exists(store):
        raise StockAssetsError(f"{store.uri}: no such bucket, or no right to see it; create it")
    store.put_many({_PROBE: b"ok"})
    if store.get(_PROBE) != b"ok":
        raise StockAssetsError(f"{store.uri} does not give back what was written")
    # Neither may be written: an object is there, and it has another tag.
    conditions = (None, _NO_TAG) if store.connection else (None,)
    taken = [tag for tag in conditions if store.put_if(_PROBE, b"no", tag) is not None]
    store.delete([_PROBE])
    if taken:
        raise StockAssetsError(
            f"{store.uri} takes a PUT whose condition is not met (If-None-Match, If-Match), so two"
            " writers at once would mix; use a server that knows conditional writes"
        )
    where = "local SeaweedFS, " if settings.uses_local_store else ""
    return f"{where}{store.uri}: written, read and deleted"


def _objects(store: ObjectStore) -> str:
    number, damaged = find_damaged(store, IN_ORDER)
    if damaged:
        raise store.damaged(damaged)
    return f"{number} looked at, none is damaged"


def _registry(settings: Settings, store: ObjectStore) -> str:
    registry = ModelRegistry(settings, store)
    refuse_unusable_database(settings, thorough=True)
    versions = registry.versions()
    registry.refuse_lost()
    for version in versions:
        registry.load(version)
    point = sum(version.approved for version in versions)
    intervals = sum(version.intervals_approved for version in versions)
    kind = urlparse(registry.tracking.uri).scheme.partition("+")[0]
    return (
        f"{kind}: {registry.name} has {len(versions)} versions of these settings, {point} with"
        f" approved point forecasts, {intervals} with approved intervals; {registry.others()} of"
        " other settings"
    )


def _history(settings: Settings) -> str:
    refuse_unusable_history(settings, thorough=True)
    with open_instance(settings) as instance:
        return (
            f"{instance.get_runs_count()} runs; `stock-assets prune` deletes the logs of old ones"
        )


def ask_workers(settings: Settings) -> Finding:
    """Whether the broker answers, and workers of Celery by way of it."""
    return _look("workers", lambda: _workers(settings))


def _workers(settings: Settings) -> str:
    found = look_at_workers(settings)
    if not found.busy:
        raise StockAssetsError(NO_WORKER)
    return f"{len(found.busy)} of Celery answer, {found.waiting} steps wait"


def _notify(settings: Settings) -> str:
    """Channels by name alone: their URLs are secrets. Nothing is sent."""
    channels = Notifier(settings).channels()
    if not channels:
        return "not set (STOCK_ASSETS_NOTIFY_URLS): alerts are only on Dagster's page"
    return f"{', '.join(c.name for c in channels)}; `stock-assets notify-test` sends a message"


def _metrics(settings: Settings) -> str:
    if not settings.pushgateway_url:
        return "not set (STOCK_ASSETS_PUSHGATEWAY_URL): nothing is pushed"
    address = urlparse(settings.pushgateway_url)
    try:
        with socket.create_connection((address.hostname or "", address.port or 80), timeout=5):
            return f"{settings.pushgateway_url} accepts connections"
    except OSError as error:
        raise StockAssetsError(
            f"{settings.pushgateway_url}: {error}; start it (monitor/) or unset the variable"
        ) from error
