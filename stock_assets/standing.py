"""How a dataset stands: what it ought to hold, what is stored, what is due.

Looks only: it starts no run and needs no right to write. Schedules, `stock-assets status`, the
check on the page and the exporter all ask here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from zoneinfo import ZoneInfo

from stock_assets.deployment import lineage_of, load_partitions
from stock_assets.errors import DamagedObjectError
from stock_assets.market.months import month_key
from stock_assets.partitions import Partitions
from stock_assets.planning.extent import Range, extent
from stock_assets.planning.lineage import MONTH_ASSETS, Lineage
from stock_assets.planning.plan import Plan, Stored, make_plan
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

    plan: Plan
    stored: Stored
    extent: Range | None = None
    lost: list[int] = field(default_factory=list)

    @property
    def status(self) -> Status:
        return status_of(self.plan, self.stored)


def standing(settings: Settings, partitions: Partitions | None = None) -> Standing:
    """Of what the settings name, as of now.

    Raises:
        StockAssetsError: Store, registry or source can't be asked.
    """
    with open_store(settings) as store, open_prices(settings) as prices:
        known = partitions or load_partitions(settings)
        today = datetime.now(ZoneInfo(known.calendar.time_zone)).date()
        found = standing_of(settings, known, store, prices.tickers, today)
        lost = _lost(ModelRegistry(settings, store))
        return Standing(found.plan, found.stored, found.extent, lost)


def standing_of(
    settings: Settings,
    partitions: Partitions,
    store: ObjectStore,
    tickers: Sequence[str],
    today: date,
) -> Standing:
    """The same with the store open; the registry is not held against it.

    Args:
        settings: Of the deployment.
        partitions: Of the deployment.
        store: What is looked at.
        tickers: That prices are wanted of.
        today: The exchange's date: a month that has begun is trained before its first session ends.

    Raises:
        MissingPartitionsError: There is no session yet.
    """
    lineage = lineage_of(settings, partitions)
    stored = stored_state(store, is_live=partitions.is_live)
    keys = {
        asset: stamps.keys() | stored.damaged.get(asset, {}).keys()
        for asset, stamps in stored.stamps.items()
    }
    whole = extent(settings, partitions, lineage, keys)
    if whole is None:
        return Standing(Plan({}), stored)
    months = _with_begun(partitions, lineage, whole.months, month_key(today))
    wanted = whole.wanted().with_keys(
        {(asset, month) for asset in MONTH_ASSETS for month in months}
    )
    versions = ModelRegistry(settings, store).versions()
    return Standing(make_plan(lineage, stored, wanted, versions, tickers), stored, whole)


def _with_begun(
    partitions: Partitions, lineage: Lineage, months: Iterable[str], begun: str
) -> Iterable[str]:
    """With the month that has begun, where the source goes that far, and whose search it uses."""
    if not (partitions.is_live and partitions.months.has_partition_key(begun)):
        return months
    return lineage.rules.months.with_lenders({*months, begun})


def _lost(registry: ModelRegistry) -> list[int]:
    try:
        return [version.number for version in registry.lost()]
    except DamagedObjectError:
        return []  # it is due by itself
