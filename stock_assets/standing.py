"""How a dataset stands at the moment. Looks only: starts no run and needs no right to write."""

from dataclasses import dataclass, field

from stock_assets.deployment import lineage_of, load_partitions
from stock_assets.errors import DamagedObjectError
from stock_assets.partitions import Partitions
from stock_assets.planning.extent import Range, extent
from stock_assets.planning.plan import Plan, make_plan
from stock_assets.planning.status import Status, status_of
from stock_assets.resources.model_registry import ModelRegistry
from stock_assets.resources.object_store import ObjectStore, open_store
from stock_assets.resources.prices import open_prices
from stock_assets.resources.stored_state import stored_state
from stock_assets.settings import Settings


@dataclass(frozen=True)
class Standing:
    """What is stored and due.

    `extent`: what the dataset ought to hold; None where there is nothing to go by. `lost`: versions
    that are stored and that the registry lacks: the next run registers them again first.
    """

    status: Status
    extent: Range | None = None
    lost: list[int] = field(default_factory=list)


def standing(settings: Settings, partitions: Partitions | None = None) -> Standing:
    """Of what the settings name, by the store and the registry alone."""
    with open_store(settings) as store, open_prices(settings) as prices:
        return standing_of(
            settings, partitions or load_partitions(settings), store, list(prices.tickers)
        )


def standing_of(
    settings: Settings, partitions: Partitions, store: ObjectStore, tickers: list[str]
) -> Standing:
    """The same with the store open and the tickers known that prices are wanted of."""
    lineage = lineage_of(settings, partitions)
    stored = stored_state(store, is_live=partitions.is_live)
    keys = {
        asset: stamps.keys() | stored.damaged.get(asset, {}).keys()
        for asset, stamps in stored.stamps.items()
    }
    whole = extent(settings, partitions, lineage, keys)
    registry = ModelRegistry(settings, store)
    plan = (
        make_plan(lineage, stored, whole.wanted(), registry.versions(), tickers)
        if whole
        else Plan({})
    )
    return Standing(status_of(plan, stored), whole, _lost(registry))


def _lost(registry: ModelRegistry) -> list[int]:
    try:
        return [version.number for version in registry.lost()]
    except DamagedObjectError:
        return []  # it is due by itself
