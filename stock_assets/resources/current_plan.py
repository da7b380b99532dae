"""The plan as of now: what the store holds, held against what the settings and the source want."""

from collections.abc import Mapping, Sequence

from stock_assets.partitions import Partitions
from stock_assets.planning.lineage import Lineage
from stock_assets.planning.plan import Plan, Wanted, make_plan
from stock_assets.resources.model_registry import ModelRegistry
from stock_assets.resources.object_store import ObjectStore, StoredObject
from stock_assets.resources.stored_state import stored_state
from stock_assets.settings import Settings


def current_plan(
    settings: Settings,
    partitions: Partitions,
    lineage: Lineage,
    store: ObjectStore,
    tickers: Sequence[str],
    wanted: Wanted,
    objects: Mapping[str, Mapping[str, StoredObject]] | None = None,
    answered: Mapping[str, frozenset[str]] | None = None,
) -> Plan:
    """What is due of some keys.

    Args:
        settings: Of the deployment.
        partitions: Of the deployment.
        lineage: Of the deployment.
        store: What is looked at.
        tickers: That prices are wanted of.
        wanted: Keys that there ought to be.
        objects: A listing that was made before.
        answered: By session, tickers whose prices are not asked for again.
    """
    stored = stored_state(store, wanted, is_live=partitions.is_live, objects=objects)
    stored = stored.with_asked(answered or {})
    versions = ModelRegistry(settings, store).versions()
    return make_plan(lineage, stored, wanted, versions, tickers)
