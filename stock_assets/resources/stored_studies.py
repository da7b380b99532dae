"""The stored studies of other months, whose parameters a month's training takes over."""

from collections.abc import Mapping
from typing import Any

from stock_assets.asset_keys import Asset
from stock_assets.errors import MissingPartitionsError
from stock_assets.forecasting.study import MonthStudy, month_study
from stock_assets.resources.object_store import ObjectStore
from stock_assets.resources.partition_objects import stored_partitions
from stock_assets.resources.stored_values import read_values


def stored_study(store: ObjectStore, month: str, settings: Mapping[str, Any]) -> MonthStudy:
    """The stored study of a month, or why it has none.

    Raises:
        MissingPartitionsError: It was never trained, or with other settings.
    """
    found = stored_partitions(store, Asset.TUNED_MODEL, "month", month).get(month)
    study = month_study(read_values(store, [found.path], dict)[0]) if found else None
    if study and study.settings == settings:
        return study
    missing = "was made with other settings" if study else "was never materialised"
    raise MissingPartitionsError(
        f"{Asset.TUNED_MODEL} of {month}, which lends its parameters, {missing}: materialise that"
        f" month in the page first, or with `stock-assets run --from {month}-01 --to {month}-28`",
        Asset.TUNED_MODEL,
        [month],
    )
