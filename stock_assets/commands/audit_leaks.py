"""`stock-assets audit-leaks`: whether what is known as of a session changes with what comes later.

It computes on the bars of the source, and neither reads nor writes the store.
"""

from collections.abc import Sequence
from datetime import date
from typing import Any

from stock_assets.backfill.progress import shown
from stock_assets.deployment import load_partitions
from stock_assets.errors import SettingsError
from stock_assets.forecasting.training_months import TrainingMonths
from stock_assets.forecasting.tuning import TuningBudget
from stock_assets.leaks.audit import Audit, Change, audit
from stock_assets.leaks.futures import World
from stock_assets.leaks.stages import Plan
from stock_assets.leaks.zoo import LEAKS, visit
from stock_assets.market.bars import BAR_SCHEMA
from stock_assets.market.months import months_before
from stock_assets.resources.prices import Prices, open_prices
from stock_assets.settings import Settings

_MONTHS = 60
"""That are looked at where no range is given."""
_TREES, _TUNING_TREES, _SAMPLE = 20, 10, 5_000
"""A model is audited for what it has seen, not for how good it is."""


def audit_leaks(
    settings: Settings,
    first: date | None,
    last: date | None,
    sessions: int,
    seed: int,
    *,
    zoo: bool = False,
) -> dict[str, Any]:
    """What the audit finds.

    Args:
        settings: Source, tickers, members, family and horizon.
        first: First session; left out: five years before the last.
        last: Last session; left out: the newest.
        sessions: At how many sessions the future is taken away.
        seed: Of the sessions and of what replaces the future.
        zoo: Audits each of the planted leaks instead.

    Raises:
        NotEnoughHistoryError: The range has too few sessions.
        SettingsError: No session lies in the range.
        SourceError: The source has no bar of it.
    """
    with open_prices(settings) as prices:
        world, plan, span = _world(settings, prices, first, last)
    if zoo:
        found = visit(world, plan, cuts=sessions, seed=seed)
        return span | _of_zoo(found)
    return span | _of_audit(audit(world, plan, cuts=sessions, seed=seed))


def _world(
    settings: Settings, prices: Prices, first: date | None, last: date | None
) -> tuple[World, Plan, dict[str, Any]]:
    partitions = load_partitions(settings)
    newest = last or partitions.newest
    oldest = first or max(partitions.first, months_before(newest, _MONTHS))
    sessions = prices.calendar.between(oldest, newest)
    if not sessions:
        raise SettingsError(
            f"no session to audit in {oldest}..{newest}: {prices.calendar.exchange} did not trade;"
            f" {prices.calendar.neighbours(oldest)}"
        )
    shown().say(f"prices     {len(prices.tickers)} tickers {sessions[0]}..{sessions[-1]}")
    bars = prices.fetch(prices.tickers, sessions).bars.select(*BAR_SCHEMA)
    months = TrainingMonths(
        prices.calendar,
        sessions[0],
        settings.train_months,
        settings.test_sessions,
        settings.min_train_sessions,
        settings.horizon,
        settings.retune_months,
    )
    budget = TuningBudget(
        family=settings.model_family,
        trials=1,
        folds=settings.tuning_folds,
        trees=_TUNING_TREES,
        sample_cap=_SAMPLE,
        seed=settings.seed,
        horizon=settings.horizon,
    )
    return (
        World.of(bars, prices.membership),
        Plan(months, budget, _TREES, settings.rmse_window),
        {
            "from": str(sessions[0]),
            "to": str(sessions[-1]),
            "tickers": bars["ticker"].n_unique(),
        },
    )


def _of_audit(found: Audit) -> dict[str, Any]:
    return {
        "ok": not found.changes,
        "sessions": [{"session": str(c.session), "because": c.because} for c in found.cuts],
        "columns": found.columns,
        "leaks": _by_column(found.changes),
    }


def _by_column(changes: Sequence[Change]) -> list[dict[str, Any]]:
    """An entry for each column, with the first change of it."""
    first: dict[tuple[str, str], Change] = {}
    sessions: dict[tuple[str, str], set[date]] = {}
    for change in changes:
        key = (change.asset, change.column)
        first.setdefault(key, change)
        sessions.setdefault(key, set()).add(change.cut)
    return [
        {
            "asset": change.asset,
            "column": change.column,
            "sessions": len(sessions[key]),
            "session": str(change.cut),
            "how": change.how,
            "values": change.rows,
            "example": change.example,
        }
        for key, change in first.items()
    ]


def _of_zoo(found: dict[str, Audit]) -> dict[str, Any]:
    leaks = [
        {
            "name": leak.name,
            "meaning": leak.meaning,
            "asset": leak.asset,
            "columns": sorted({change.column for change in found[leak.name].changes}),
            "is_named": leak.is_named(found[leak.name]),
        }
        for leak in LEAKS
    ]
    return {"ok": all(leak["is_named"] for leak in leaks), "leaks": leaks}


def lines(found: dict[str, Any]) -> list[str]:
    """The same for a person."""
    span = f"{found['from']} .. {found['to']}, {found['tickers']} tickers"
    if "columns" not in found:
        named = sum(leak["is_named"] for leak in found["leaks"])
        return [
            *(_zoo_line(leak) for leak in found["leaks"]),
            f"{span}: {named} of {len(found['leaks'])} planted leaks are named",
        ]
    compared = ", ".join(f"{asset} {count}" for asset, count in found["columns"].items())
    said = [
        f"{span}: at {len(found['sessions'])} sessions the future was cut off and replaced",
        f"columns compared, to the last bit: {compared}",
    ]
    if found["ok"]:
        return [*said, "nothing that was known before changed"]
    return [*said, *(_leak_line(leak) for leak in found["leaks"])]


def _leak_line(leak: dict[str, Any]) -> str:
    row = " ".join(str(value) for name, value in leak["example"].items() if name != "change")
    return (
        f"LEAK {leak['asset']}.{leak['column']}: changed at {leak['sessions']} session(s); as of"
        f" {leak['session']}, when {leak['how']}, {leak['values']} value(s), such as {row}:"
        f" {leak['example']['change']}"
    )


def _zoo_line(leak: dict[str, Any]) -> str:
    verdict = "named " if leak["is_named"] else "MISSED"
    columns = ", ".join(leak["columns"][:5]) or "nothing"
    return f"{verdict} {leak['name']}: {leak['asset']}: {columns}"
