"""Versions as the object store has them beside MLflow's registry, and registering lost ones again.

MLflow's database can be deleted or replaced while months and forecasts go on naming its versions. A
registry that numbers anew would give their numbers to other models. So what is stored is held
against it; what it lacks is registered again from the files of the studies, with equal numbers.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stock_assets.asset_keys import Asset
from stock_assets.errors import DamagedStudyError, RegistryError
from stock_assets.resources.io_managers import JsonIOManager
from stock_assets.resources.lost_studies import adopt
from stock_assets.resources.object_store import ObjectStore
from stock_assets.resources.partition_objects import partition_object, stored_partitions

if TYPE_CHECKING:
    from stock_assets.resources.model_registry import ModelRegistry


@dataclass(frozen=True)
class StoredVersion:
    """A month's version as its object names it."""

    month: str
    number: int
    run_id: str
    value: Mapping[str, Any]


def stored_versions(store: ObjectStore, through: str = "") -> list[StoredVersion]:
    """Every month's version, by number; of the months up to one, where it is given."""
    values = _values(store, Asset.REGISTERED_VERSION, through)
    found = [
        StoredVersion(month, int(v["version"]), v["mlflow_run_id"], v)
        for month, v in values.items()
        if v.get("version") is not None and "settings_key" in v
    ]
    return sorted(found, key=lambda version: version.number)


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
    studies = _values(registry.store, Asset.TUNED_MODEL)
    failed = []
    for version in lost:
        try:
            found = adopt(registry.tracking, studies.get(version.month, {}), version.run_id)
        except DamagedStudyError:
            failed.append(version.month)
            continue
        study = {**studies[version.month], **found}
        if not registry.register_again(study, version.value, version.number):
            failed.append(version.month)
            continue
        _store(registry.store, Asset.TUNED_MODEL, version.month, study)
        run_id = {"mlflow_run_id": study["mlflow_run_id"]}
        _store(registry.store, Asset.REGISTERED_VERSION, version.month, {**version.value, **run_id})
    if failed:
        registry.pass_over(max(version.number for version in lost))
    return failed


def _values(store: ObjectStore, asset: str, through: str = "") -> dict[str, dict[str, Any]]:
    stored = stored_partitions(store, asset)
    months = [month for month in stored if not through or month <= through]
    contents = store.get_many([stored[month].path for month in months])
    return dict(zip(months, map(json.loads, contents), strict=True))


def _store(store: ObjectStore, asset: str, month: str, value: Mapping[str, Any]) -> None:
    path = partition_object(asset, "month", month, JsonIOManager.file)
    store.put_encoded({path: value}, JsonIOManager(store).encode)
