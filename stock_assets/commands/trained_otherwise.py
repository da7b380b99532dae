"""Months that were trained with other settings or code than today's: read as they are, but said."""

import json
from collections.abc import Iterable
from typing import Any

from stock_assets.commands.project import Project
from stock_assets.resources.io_managers import stored_partitions


def trained_otherwise(project: Project, months: Iterable[str]) -> str | None:
    """A line about stored months that would be trained otherwise today; None without any."""
    from stock_assets.assets.study import settings_of_studies
    from stock_assets.forecasting.fingerprint import code_hash

    stored = stored_partitions(project.store, "tuned_model")
    known = [month for month in months if month in stored]
    studies = map(json.loads, project.store.get_many([stored[month].path for month in known]))
    settings, code = settings_of_studies(project.settings), code_hash()
    others = {}
    for month, study in zip(known, studies, strict=True):
        differences = _differences(study.get("settings", {}), settings)
        if study.get("code_hash", code) != code:
            differences.append("other code")
        if differences:
            others[month] = ", ".join(differences)
    if not others:
        return None
    first, last, words = min(others), max(others), " or ".join(dict.fromkeys(others.values()))
    return (
        f"{len(others)} of {len(known)} stored months, {first}..{last}, were trained otherwise"
        f" ({words}) and are read as they are; --fresh trains them again"
    )


def _differences(then: dict[str, Any], today: dict[str, Any]) -> list[str]:
    return [
        f"{name} {then[name]}, now {value}"
        for name, value in today.items()
        if name in then and then[name] != value
    ]
