"""What the schedules ask for: all that is due of what the dataset ought to hold."""

from datetime import date

from stock_assets.asset_keys import Asset
from stock_assets.partitions import Partitions
from stock_assets.planning.plan import Plan
from stock_assets.resources.object_store import open_store
from stock_assets.resources.prices import open_prices
from stock_assets.settings import Settings
from stock_assets.standing import standing_of


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
        found = standing_of(settings, partitions, store, prices.tickers, today)
        return found.plan if found.extent else None


def waiting_months(plan: Plan) -> dict[str, str]:
    """Months of which nothing can be made yet, since sessions that they learn from are due."""
    sets = (Asset.TRAIN_SET, Asset.TEST_SET)
    return {
        month: due.reason
        for asset in sets
        for month, due in plan.due.get(asset, {}).items()
        if due.waits
    }
