"""The settings that decide what a month's model is: versions are keyed by them.

What serves a range depends on the deployment's own settings, so versions of others neither serve
nor stand beside a candidate. Prices, storage, runs and alerts are none of it; nor are code and
data, on which a version depends too, but which nobody chooses.
"""

from collections.abc import Mapping
from typing import Any

from stock_assets.forecasting.fingerprint import fingerprint
from stock_assets.settings import Settings

_OF_STUDIES = (
    "model_family",
    "tuning_trials",
    "tuning_folds",
    "tuning_trees",
    "trees",
    "sample_cap",
    "seed",
    "horizon",
    "train_months",
    "min_train_sessions",
    "test_sessions",
    # Whose parameters a month takes over depends on the months that are searched.
    "retune_months",
)


def settings_of_studies(settings: Settings) -> dict[str, Any]:
    """The settings that a month's study depends on, by their names."""
    return {name: getattr(settings, name) for name in _OF_STUDIES}


def settings_of_versions(settings: Settings) -> dict[str, Any]:
    """The same of a version: also how the gate judged it."""
    return settings_of_studies(settings) | {"gate_margin": settings.gate_margin}


def settings_key(settings: Settings) -> str:
    """Equal for two deployments that share versions."""
    return fingerprint(settings_of_versions(settings))


def differing_settings(then: Mapping[str, Any], settings: Settings) -> list[str]:
    """What was otherwise when a version was made, in words: `model_family ridge, now …`."""
    return [
        f"{name} {then[name]}, now {value}"
        for name, value in settings_of_versions(settings).items()
        if name in then and then[name] != value
    ]
