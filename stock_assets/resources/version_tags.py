"""A version's tags in MLflow's registry: its settings, the gate's verdicts, people's decisions.

Here they are written and read; who may write them when is the registry's.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from typing import Any

from stock_assets.forecasting.fingerprint import fingerprint
from stock_assets.forecasting.gate import GateDecision
from stock_assets.forecasting.promotion import (
    INTERVALS,
    PARTS,
    POINT,
    ModelVersion,
    Part,
    Promotion,
)
from stock_assets.resources.logged_studies import FINGERPRINT_TAG
from stock_assets.resources.mlflow_database import RegisteredRow

GATE_TAGS: dict[Part, str] = {POINT: "gate", INTERVALS: "gate_intervals"}
KEY_TAG, SETTINGS_TAG = "settings_key", "settings"
_APPROVED, REJECTED = "approved", "rejected"
SUPERSEDED = "superseded"
"""By a version of the same month that was made of other data or code, or anew."""
_PROMOTIONS_TAG = "promotions"
_AUDIT_TAG = "audit_"


def settings_tags(settings: Mapping[str, Any]) -> dict[str, str]:
    """With which settings a version was made: to compare, and to read."""
    words = json.dumps(settings, sort_keys=True, allow_nan=False)
    return {KEY_TAG: fingerprint(settings), SETTINGS_TAG: words}


def decision_tags(part: Part, decision: GateDecision) -> dict[str, str]:
    """The gate's decision as tags: verdict, words, numbers (null where not known)."""
    tag = GATE_TAGS[part]
    numbers = [
        {n: None if isinstance(v, float) and not math.isfinite(v) else v for n, v in one.items()}
        for one in map(asdict, decision.comparisons)
    ]
    return {
        tag: _APPROVED if decision.approved else REJECTED,
        f"{tag}_reason": decision.reason,
        f"{tag}_numbers": json.dumps(numbers, allow_nan=False),
    }


def as_version(found: RegisteredRow) -> ModelVersion:
    """What its tags say of a version that this release registered."""
    promotions = json.loads(found.tags.get(_PROMOTIONS_TAG, "[]"))
    point, intervals = (found.tags.get(GATE_TAGS[part]) == _APPROVED for part in PARTS)
    return ModelVersion(
        trained_through=date.fromisoformat(found.tags["trained_through"]),
        version=found.version,
        approved=point,
        family=found.tags["family"],
        promotions=tuple(
            Promotion(date.fromisoformat(p["after"]), p["at"], tuple(p["parts"]))
            for p in promotions
        ),
        intervals_approved=intervals,
        fingerprint=found.tags.get(FINGERPRINT_TAG, ""),
        month=found.tags.get("month", ""),
    )


def promotion_tags(tags: Mapping[str, str], promotion: Promotion, entry: str) -> dict[str, str]:
    """The tags of a version with one more promotion, and an entry that tells people of it.

    `tags`: those that it has.
    """
    known = json.loads(tags.get(_PROMOTIONS_TAG, "[]"))
    new = {"after": str(promotion.after), "at": promotion.at, "parts": list(promotion.parts)}
    count = sum(name.startswith(_AUDIT_TAG) for name in tags)
    return {f"{_AUDIT_TAG}{count + 1:03d}": entry, _PROMOTIONS_TAG: json.dumps([*known, new])}
