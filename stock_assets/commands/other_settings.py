"""Months that were trained with other settings than today's: a range reads them as they are."""

import json
from collections.abc import Iterable
from typing import Any

from stock_assets.commands.project import Project
from stock_assets.resources.io_managers import stored_partitions


def trained_otherwise(project: Project, months: Iterable[str]) -> str | None:
    """A line about the stored months whose settings differ from today's; None where none do."""
    from stock_assets.assets.study import settings_of_studies

    stored = stored_partitions(project.store, "tuned_model")
    known = [month for month in months if month in stored]
    studies = map(json.loads, project.store.get_many([stored[month] for month in known]))
    today = settings_of_studies(project.settings)
    others = {
        month: difference
        for month, study in zip(known, studies, strict=True)
        if (difference := _difference(study.get("settings", {}), today))
    }
    if not others:
        return None
    first, last, words = min(others), max(others), " or ".join(dict.fromkeys(others.values()))
    return (
        f"{len(others)} of {len(known)} stored months, {first}..{last}, were trained with other"
        f" settings ({words}) and are read as they are; --fresh trains them again"
    )


def _difference(then: dict[str, Any], today: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {then[name]}, now {value}"
        for name, value in today.items()
        if name in then and then[name] != value
    )
