"""`stock-assets audit-leaks`: whether anything known as of a session changes with the future.

It reads the source and writes nothing.
"""

import time
from collections.abc import Mapping, Sequence
from datetime import date
from itertools import groupby
from typing import Any

from stock_assets.deployment import load_partitions
from stock_assets.forecasting.features import ADDED
from stock_assets.forecasting.month_training import tuning_budget
from stock_assets.forecasting.training_months import TrainingMonths
from stock_assets.leaks.audit import Change, audit
from stock_assets.leaks.futures import World
from stock_assets.leaks.stages import Plan
from stock_assets.leaks.zoo import LEAKS, visit
from stock_assets.market.months import months_before
from stock_assets.market.sessions import ExchangeCalendar
from stock_assets.resources.model_settings import settings_of_studies
from stock_assets.resources.prices import open_prices
from stock_assets.settings import Settings

_MONTHS = 60
_TREES, _TUNING_TREES, _FOLDS, _JOBS = 20, 10, 2, 2
"""A leak shows in a few trees as in many."""


def audit_source(
    settings: Settings, first: date | None, last: date | None, cuts: int, seed: int
) -> dict[str, Any]:
    """What the audit finds with the source's bars, all features and the settings' family.

    Args:
        settings: Source, tickers, members, family, months and horizon.
        first: First session; left out: five years before the last.
        last: Last session; left out: the newest.
        cuts: Sessions at which the future is taken away.
        seed: Of the choice.

    Raises:
        NotEnoughHistoryError: There are too few sessions.
        SourceError: There are no bars.
    """
    start = time.monotonic()
    world, plan = _setup(settings, first, last)
    found = audit(world, plan, cuts=cuts, seed=seed)
    return {
        "ok": not found.changes,
        **_told(world, plan, seed),
        "features": list(ADDED),
        "sessions": [
            {"session": str(cut.session), "because": cut.because, "model": cut.trains}
            for cut in found.cuts
        ],
        "columns": found.columns,
        "leaks": _by_column(found.changes),
        "seconds": round(time.monotonic() - start, 1),
    }


def visit_zoo(
    settings: Settings, first: date | None, last: date | None, cuts: int, seed: int
) -> dict[str, Any]:
    """Which planted leaks the audit names on the same data; arguments as above."""
    start = time.monotonic()
    world, plan = _setup(settings, first, last)
    audits = visit(world, plan, cuts=cuts, seed=seed)
    leaks = [
        {
            "name": leak.name,
            "meaning": leak.meaning,
            "asset": leak.asset,
            "columns": list(leak.columns),
            "named": leak.is_named(audits[leak.name].changes),
            "found": _by_column(audits[leak.name].changes),
        }
        for leak in LEAKS
    ]
    named = sum(bool(leak["named"]) for leak in leaks)
    return {
        "ok": named == len(leaks),
        **_told(world, plan, seed),
        "named": named,
        "of": len(leaks),
        "leaks": leaks,
        "seconds": round(time.monotonic() - start, 1),
    }


def _setup(settings: Settings, first: date | None, last: date | None) -> tuple[World, Plan]:
    partitions = load_partitions(settings)
    last = min(last or partitions.newest, partitions.newest)
    first = max(first or months_before(last, _MONTHS), partitions.first)
    with open_prices(settings) as prices:
        sessions = prices.calendar.between(first, last)
        bars = prices.fetch(prices.tickers, sessions).bars
        world = World.of(bars, prices.membership)
    return world, plan_of(settings, prices.calendar, sessions[0])


def plan_of(settings: Settings, calendar: ExchangeCalendar, first: date) -> Plan:
    """The settings' pipeline with less of a search and smaller models.

    Args:
        settings: Family, months and horizon.
        calendar: Of the exchange.
        first: The session with which prices begin.
    """
    known = dict(settings_of_studies(settings)) | {
        "tuning_trees": min(settings.tuning_trees, _TUNING_TREES),
        "tuning_folds": min(settings.tuning_folds, _FOLDS),
    }
    return Plan(
        TrainingMonths(
            calendar,
            first,
            settings.train_months,
            settings.test_sessions,
            settings.min_train_sessions,
            settings.horizon,
            settings.retune_months,
        ),
        tuning_budget(known, _JOBS),
        min(settings.trees, _TREES),
        settings.rmse_window,
    )


def _told(world: World, plan: Plan, seed: int) -> dict[str, Any]:
    sessions = world.bars["session"]
    return {
        "from": str(sessions.min()),
        "to": str(sessions.max()),
        "tickers": world.bars["ticker"].unique().sort().to_list(),
        "family": plan.budget.family,
        "seed": seed,
    }


def _by_column(changes: Sequence[Change]) -> list[dict[str, Any]]:
    """One finding for each column, with the first example of each way in which it changed."""

    def name(change: Change) -> tuple[str, str]:
        return change.asset, change.column

    return [
        {
            "asset": asset,
            "column": column,
            "sessions": len({change.cut for change in of}),
            "values": sum(change.rows for change in of),
            "examples": [
                {"cut": str(change.cut), "when": how, **change.example}
                for how, change in {c.how: c for c in reversed(of)}.items()
            ],
        }
        for (asset, column), group in groupby(sorted(changes, key=name), key=name)
        for of in [list(group)]
    ]


def lines(found: Mapping[str, Any]) -> list[str]:
    """The audit for a person."""
    count = len(found["sessions"])
    added = f", and {', '.join(found['features'])} among the features" if found["features"] else ""
    said = [f"{_range(found)}, family {found['family']}{added}", "The future was taken away at"]
    said += [f"  {cut['session']}  {cut['because']}" for cut in found["sessions"]]
    compared = ", ".join(f"{asset} {columns}" for asset, columns in found["columns"].items())
    said.append(f"Columns compared: {compared}")
    if not any(cut["model"] for cut in found["sessions"]):
        said.append("No model was trained: no month has enough history, or --sessions is too small")
    said += [line for leak in found["leaks"] for line in _leak_lines(leak, count)]
    if found["ok"]:
        said.append(f"Nothing changed that was known before ({found['seconds']} s)")
    else:
        said.append(f"{len(found['leaks'])} columns know what comes later ({found['seconds']} s)")
    return said


def zoo_lines(found: Mapping[str, Any]) -> list[str]:
    """The zoo for a person."""
    said = [_range(found)]
    for leak in found["leaks"]:
        columns = ", ".join(leak["columns"])
        said.append(
            f"{'named' if leak['named'] else 'MISSED'}  {leak['asset']}: {columns}"
            f"  ({leak['name']}: {leak['meaning'].rstrip('.')})"
        )
    said.append(f"{found['named']} of {found['of']} leaks were named ({found['seconds']} s)")
    return said


def _range(found: Mapping[str, Any]) -> str:
    return f"{found['from']} .. {found['to']}, {len(found['tickers'])} tickers"


def _leak_lines(leak: Mapping[str, Any], count: int) -> list[str]:
    where = f"at {leak['sessions']} of {count} sessions, {leak['values']} values"
    said = [f"LEAK {leak['asset']}.{leak['column']} changed {where}"]
    for example in leak["examples"]:
        row = {name: text for name, text in example.items() if name not in _NO_KEY}
        said.append(
            f"  {example['cut']}, when {example['when']}: {' '.join(row.values())}:"
            f" {example['change']}"
        )
    return said


_NO_KEY = ("cut", "when", "change")
