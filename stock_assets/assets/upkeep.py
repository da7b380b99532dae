"""The check that says on the page what is due; `stock-assets status` says the same.

It belongs to the report, which is made after each daily run: at an asset of sessions it would be
paid in every run of a backfill, and a daily run would look for what it is just about to store.
"""

from typing import Any

import dagster as dg

from stock_assets.asset_keys import Asset
from stock_assets.planning.status import STATES, WAITING, AssetStatus, Status

NOTHING_IS_DUE = dg.AssetCheckSpec(
    "nothing_is_due",
    asset=Asset.FORECAST_REPORT,
    description="Whether each object there ought to be is stored, and made of what it would be made"
    " of now. `stock-assets status` has all keys; the schedules make what is due, or a run.",
)
_MOST = 20


def due_check(status: Status) -> dg.AssetCheckResult:
    """A warning with a row for each reason."""
    counts = {
        one.asset: ", ".join(f"{one.count(s)} {s}" for s in STATES if one.count(s))
        for one in status.assets
        if one.reasons
    }
    metadata: dict[str, Any] = dict(counts)
    records = [record for one in status.assets for record in _records(one)]
    if records:
        metadata["due"] = dg.MetadataValue.table(records[:_MOST])
    return dg.AssetCheckResult(
        check_name=NOTHING_IS_DUE.name,
        passed=not status,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(f"{asset}: {said}" for asset, said in counts.items())
        or "nothing is due",
        metadata=metadata,
    )


def _records(one: AssetStatus) -> list[dg.TableRecord]:
    return [
        dg.TableRecord(
            {
                "asset": one.asset,
                "state": reason.state,
                "reason": f"waits {reason.words}" if reason.state == WAITING else reason.words,
                "keys": len(reason.keys),
                "first": reason.keys[0],
                "last": reason.keys[-1],
            }
        )
        for reason in one.reasons
    ]
