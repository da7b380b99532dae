"""What the schedules ask for: all that is due of what the dataset ought to hold."""

from collections.abc import Iterable
from datetime import date

from stock_assets.asset_keys import Asset
from stock_assets.deployment import lineage_of
from stock_assets.market.months import month_key
from stock_assets.partitions import Partitions
from stock_assets.planning.extent import extent
from stock_assets.planning.lineage import MONTH_ASSETS, Lineage
from stock_assets.planning.plan import Plan
from stock_assets.resources.current_plan import current_plan
from stock_assets.resources.object_store import open_store
from stock_assets.resources.prices import open_prices
from stock_assets.resources.stored_state import listed_objects
from stock_assets.settings import Settings


def due_now(settings: Settings, partitions: Partitions, today: date) -> Plan | None:
    """What is due by the newest session; None where nothing is stored of a source that ended.

    Args:
        settings: Of the deployment.
        partitions: Of the deployment.
        today: The exchange's date: a month that has begun is trained before its first session ends.

    Raises:
        MissingPartitionsError: There is no session yet.
        StockAssetsError: Store, registry or source can't be asked.
    """
    with open_store(settings) as store, open_prices(settings) as prices:
        lineage = lineage_of(settings, partitions)
        objects = listed_objects(store)
        whole = extent(settings, partitions, lineage, objects)
        if whole is None:
            return None
        months = _with_begun(partitions, lineage, whole.months, month_key(today))
        wanted = whole.wanted().with_keys(
            {(asset, month) for asset in MONTH_ASSETS for month in months}
        )
        return current_plan(settings, partitions, lineage, store, prices.tickers, wanted, objects)


def waiting_months(plan: Plan) -> dict[str, str]:
    """Months of which nothing can be made yet, since sessions that they learn from are due."""
    sets = (Asset.TRAIN_SET, Asset.TEST_SET)
    return {
        month: due.reason
        for asset in sets
        for month, due in plan.due.get(asset, {}).items()
        if due.waits
    }


def _with_begun(
    partitions: Partitions, lineage: Lineage, months: Iterable[str], begun: str
) -> Iterable[str]:
    """With the month that has begun, where the source goes that far, and whose search it uses."""
    if not (partitions.is_live and partitions.months.has_partition_key(begun)):
        return months
    return lineage.rules.months.with_lenders({*months, begun})
