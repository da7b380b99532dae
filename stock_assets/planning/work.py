"""What a plan asks Dagster for: assets and keys that are made in one run."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import groupby
from typing import Any

from stock_assets.asset_keys import Asset
from stock_assets.planning.lineage import MONTH_ASSETS, SESSION_ASSETS
from stock_assets.planning.plan import Due, Plan

_SETS = (Asset.TRAIN_SET, Asset.TEST_SET)


@dataclass(frozen=True)
class Work:
    """What Dagster is asked for at once: some assets of neighbouring keys.

    `why`: for a person.
    """

    assets: tuple[str, ...]
    keys: list[str]
    why: str
    config: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def sessions_due(plan: Plan, asset: str) -> Iterator[Work]:
    """The sessions of an asset that can be made now, those with the same tickers together."""
    groups: dict[tuple[str, ...], list[str]] = {}
    ready = plan.ready(asset)
    for key, due in ready.items():
        groups.setdefault(due.tickers, []).append(key)
    for tickers, keys in groups.items():
        config = {asset: {"tickers": list(tickers)}} if tickers else {}
        yield Work((asset,), keys, _why(ready[key] for key in keys), config)


def months_due(plan: Plan) -> Iterator[Work]:
    """The months that something can be made of now, neighbours with the same assets together.

    What is due for certain is made in the run that makes what it is made of. A month whose sessions
    are due waits as a whole. Months come in order: earlier ones lend their parameters to later
    ones, and judge them.
    """
    by_month: dict[str, dict[str, Due]] = {}
    for asset in MONTH_ASSETS:
        for month, due in plan.due.get(asset, {}).items():
            by_month.setdefault(month, {})[asset] = due
    ready: list[tuple[str, tuple[str, ...]]] = []
    for month, of_month in sorted(by_month.items()):
        sets_wait = any(one.waits for asset, one in of_month.items() if asset in _SETS)
        if not sets_wait and any(not one.waits for one in of_month.values()):
            assets = (asset for asset, one in of_month.items() if not one.waits or one.certain)
            ready.append((month, tuple(assets)))
    for (assets, retrains), group in groupby(
        ready, key=lambda one: (one[1], tuple(plan.retrained.get(one[0], ())))
    ):
        months = [month for month, _ in group]
        reasons = _why(by_month[month][asset] for month in months for asset in assets)
        if not retrains:
            yield Work(assets, months, reasons)
        elif {Asset.TUNED_MODEL, Asset.REGISTERED_VERSION} & set(assets):
            # Its earlier versions serve the sessions up to each, and judge the next.
            yield Work(MONTH_ASSETS, months, reasons)
            for through in retrains:
                yield Work(MONTH_ASSETS, months, reasons, _through(through, MONTH_ASSETS))
        else:
            yield Work(assets, months, reasons, _through(retrains[-1], assets))


def _through(session: date, assets: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The config of a month's sets that reach up to a session of its own."""
    return {asset: {"train_through": str(session)} for asset in _SETS if asset in assets}


def _why(due: Iterable[Due]) -> str:
    """The most frequent reasons."""
    reasons = Counter(one.reason.partition("; ")[0] for one in due)
    named = [reason for reason, _ in reasons.most_common(2)]
    return ", ".join(named) + (", …" if len(reasons) > len(named) else "")


def runs_of_sessions(plan: Plan, every: Sequence[str], per_run: int) -> Iterator[Work]:
    """All session assets that are due, together: as few runs as neighbours and bounds allow.

    What is due for certain is made in the run that makes what it is made of. What may turn out not
    to change waits for the next plan.

    Args:
        plan: What is due.
        every: Every session, ascending.
        per_run: Sessions of one run at the most.
    """
    by_key: dict[str, dict[str, Due]] = {}
    for asset in SESSION_ASSETS:
        for key, due in plan.due.get(asset, {}).items():
            if not due.waits or due.certain:
                by_key.setdefault(key, {})[asset] = due
    groups: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for key, of_key in sorted(by_key.items()):
        prices = of_key.get(Asset.RAW_PRICES)
        groups.setdefault((tuple(of_key), prices.tickers if prices else ()), []).append(key)
    # Prices come first: what is missing downstream of them elsewhere waits for them.
    for (assets, tickers), keys in sorted(
        groups.items(), key=lambda one: Asset.RAW_PRICES not in one[0][0]
    ):
        config = {Asset.RAW_PRICES: {"tickers": list(tickers)}} if tickers else {}
        for first, last in neighbouring_ranges(keys, every, per_run):
            within = [key for key in keys if first <= key <= last]
            why = _why(due for key in within for due in by_key[key].values())
            yield Work(assets, within, why, config)


def neighbouring_ranges(
    keys: Sequence[str], all_keys: Sequence[str], longest: int
) -> list[tuple[str, str]]:
    """The keys as ranges (first, last) without gaps, none longer than `longest`."""
    position = {key: n for n, key in enumerate(all_keys)}
    ranges: list[list[str]] = []
    for key in keys:
        follows = ranges and position[key] == position[ranges[-1][-1]] + 1
        if follows and len(ranges[-1]) < longest:
            ranges[-1].append(key)
        else:
            ranges.append([key])
    return [(keys[0], keys[-1]) for keys in ranges]
