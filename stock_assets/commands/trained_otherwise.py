"""Months that were made with other settings or code than today's.

Other settings are another version's: such a month counts as missing. Other code is only said, or an
update would train twenty years anew without being asked.
"""

from collections.abc import Iterable
from typing import Any

from stock_assets.commands.project import Project
from stock_assets.resources.io_managers import stored_partitions
from stock_assets.resources.model_settings import differing_settings, settings_key
from stock_assets.resources.stored_values import read_values


def months_of_other_settings(project: Project, months: Iterable[str]) -> dict[str, str]:
    """The stored months whose version was made with other settings, and what was otherwise."""
    key = settings_key(project.settings)
    return {
        month: "; ".join(differing_settings(version.get("settings", {}), project.settings))
        or "an older release did not say with which"
        for month, version in _values(project, "registered_version", months).items()
        if version.get("settings_key") != key
    }


def trained_otherwise(project: Project, months: Iterable[str]) -> str | None:
    """A line about stored months that would be made otherwise today; None without any."""
    from stock_assets.forecasting.fingerprint import code_hash

    wanted, code = list(months), code_hash()
    settings = months_of_other_settings(project, wanted)
    studies = _values(project, "tuned_model", wanted)
    others = {
        month: "other code"
        for month, study in studies.items()
        if month not in settings and study.get("code_hash", code) != code
    }
    lines = []
    if settings:
        lines.append(
            f"{_counted(settings, studies)} had versions of other settings"
            f" ({_words(settings)}) and were made again"
        )
    if others:
        lines.append(
            f"{_counted(others, studies)} were trained otherwise ({_words(others)}) and are read"
            " as they are; --fresh trains them again"
        )
    return "; ".join(lines) or None


def _values(project: Project, asset: str, months: Iterable[str]) -> dict[str, dict[str, Any]]:
    stored = stored_partitions(project.store, asset)
    known = [month for month in months if month in stored]
    values = read_values(project.store, [stored[month].path for month in known], dict)
    return dict(zip(known, values, strict=True))


def _counted(chosen: Iterable[str], among: Iterable[str]) -> str:
    months = sorted(chosen)
    return f"{len(months)} of {len(list(among))} stored months, {months[0]}..{months[-1]},"


def _words(others: dict[str, str]) -> str:
    return " or ".join(dict.fromkeys(others.values()))
