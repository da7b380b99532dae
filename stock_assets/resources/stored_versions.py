"""Versions as the object store has them beside MLflow's registry, and registering lost ones again.

MLflow's database can be deleted or replaced while months and forecasts go on naming its versions. A
registry that numbers anew would give their numbers to other models. So what is stored is held
against it; what it lacks is registered again from the files of the studies, with equal numbers.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stock_assets.asset_keys import Asset
from stock_assets.errors import RegistryError
from stock_assets.resources.io_managers import JsonIOManager
from stock_assets.resources.lost_studies import adopt
from stock_assets.resources.object_store import ObjectStore
from stock_assets.resources.partition_objects import partition_object, stored_partitions
from stock_assets.resources.stored_values import put_values, read_values

if TYPE_CHECKING:
    from stock_assets.resources.model_registry import ModelRegistry

EARLIER = "earlier"
"""Of the value of a month that was trained again: that of the version that it had before."""
_OF_STUDY = (
    "month",
    "family",
    "trained_through",
    "fingerprint",
    "mlflow_run_id",
    "mlflow_model_id",
)
"""What a version says of its study."""


@dataclass(frozen=True)
class StoredVersion:
    """A month's version as its object names it."""

    month: str
    number: int
    run_id: str
    value: Mapping[str, Any]


def stored_versions(store: ObjectStore, through: str = "") -> list[StoredVersion]:
    """Every version that a month has or had, by number; of the months up to one, if it is given."""
    found = [
        StoredVersion(month, int(v["version"]), v["mlflow_run_id"], v)
        for month, value in _values(store, Asset.REGISTERED_VERSION, through).items()
        for v in with_earlier(value)
        if v.get("version") is not None and "settings_key" in v
    ]
    return sorted(found, key=lambda version: version.number)


def with_earlier(value: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    """A month's value, and those of the versions that it had before, newest first."""
    while value:
        yield value
        value = value.get(EARLIER)


def earlier_version(
    store: ObjectStore, month: str, settings_key: str, trained_through: str
) -> dict[str, Any] | None:
    """The value of the version that a month has or had before it was trained through a session."""
    found = stored_partitions(store, Asset.REGISTERED_VERSION, "month", month).get(month)
    known = with_earlier(read_values(store, [found.path], dict)[0]) if found else ()
    return next(
        (
            value
            for value in known
            if value.get("settings_key") == settings_key
            and (value.get("trained_through") or trained_through) < trained_through
        ),
        None,
    )


def lost_versions(
    store: ObjectStore, registered: Mapping[int, str], through: str = ""
) -> list[StoredVersion]:
    """Those that a registry has not, or that are another model's there, by number.

    Args:
        store: Where months are stored.
        registered: The MLflow run of each version in the registry.
        through: As above.
    """
    return [
        version
        for version in stored_versions(store, through)
        if registered.get(version.number) != version.run_id
    ]


def refuse_lost(lost: list[StoredVersion], name: str) -> None:
    """Refuses to go on with a registry that lacks stored versions.

    Raises:
        RegistryError: Says which, and what mends it.
    """
    if lost:
        numbers = ", ".join(str(version.number) for version in lost[:5])
        raise RegistryError(
            f"MLflow's registry lacks {len(lost)} stored version{'s'[: len(lost) > 1]} of {name}"
            f" ({numbers}{', …' if len(lost) > 5 else ''}): its database was lost or replaced;"
            " `stock-assets run` registers them again"
        )


def restore_versions(registry: "ModelRegistry", lost: list[StoredVersion]) -> list[str]:
    """Registers lost versions again, lowest first; the months for which that can't be done.

    Their studies get MLflow runs of their own, which the months' objects then name. A month is left
    out where its files are gone, or where its number is another model's by now; nothing that is
    registered later gets the number of one that was lost.
    """
    store, failed = registry.store, dict[str, None]()
    studies = _values(store, Asset.TUNED_MODEL)
    for version in lost:
        study = studies.get(version.month, {})
        # A month that was trained again has the study of its newest version: the files of those
        # before are known by what their versions say.
        own = study if study.get("mlflow_run_id") == version.run_id else {}
        known = {name: version.value[name] for name in _OF_STUDY if name in version.value}
        try:
            found = adopt(registry.tracking, known | own)
        except RegistryError:
            failed[version.month] = None
            continue
        if not registry.register_again(found, version):
            failed[version.month] = None
            continue
        for asset in (Asset.TUNED_MODEL, Asset.REGISTERED_VERSION):
            _move(store, asset, version, found.place)
    if failed:
        registry.pass_over(max(version.number for version in lost))
    return list(failed)


def _values(store: ObjectStore, asset: str, through: str = "") -> dict[str, dict[str, Any]]:
    stored = stored_partitions(store, asset)
    months = [month for month in stored if not through or month <= through]
    values = read_values(store, [stored[month].path for month in months], dict)
    return dict(zip(months, values, strict=True))


def _move(store: ObjectStore, asset: str, version: StoredVersion, place: Mapping[str, str]) -> None:
    """Lets a month's object name where a study lies now, and leaves all else of it as it is."""
    path = partition_object(asset, "month", version.month, JsonIOManager.file)
    if not store.keys(path.rpartition("/")[0]):
        return
    value = json.loads(store.get(path))  # with its stamp
    moved = [v for v in with_earlier(value) if v.get("mlflow_run_id") == version.run_id]
    for one in moved:
        one |= {name: where for name, where in place.items() if name in one}
    if moved:
        put_values(store, {path: value})
