"""How a dataset stands, for people and monitors: the plan as counts, words and seconds."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from statistics import median
from zoneinfo import ZoneInfo

from stock_assets.planning.lineage import IN_ORDER, SESSION_ASSETS
from stock_assets.planning.plan import Due, Plan, Stored

MISSING, STALE, DAMAGED, WAITING = "missing", "stale", "damaged", "waiting"
STATES = (MISSING, STALE, DAMAGED, WAITING)
"""Waiting: nothing is wrong with it, but with something that it is made of."""


@dataclass(frozen=True)
class Reason:
    """Why some keys of an asset are due; `keys` ascending."""

    state: str
    words: str
    keys: tuple[str, ...]


@dataclass(frozen=True)
class AssetStatus:
    """What is stored of an asset, and what is due.

    `newest`: the last key that is stored. `seconds`: what the next run will take for it, as long as
    its objects took; None where something is due and none of them says.
    """

    asset: str
    stored: int
    newest: str | None
    reasons: tuple[Reason, ...] = ()
    seconds: float | None = 0.0

    def count(self, *states: str) -> int:
        return sum(len(one.keys) for one in self.reasons if one.state in states)

    @property
    def to_make(self) -> int:
        """Keys that the next run makes; what waits may turn out not to change."""
        return self.count(MISSING, STALE, DAMAGED)

    def keys(self, *states: str) -> list[str]:
        return sorted({key for one in self.reasons if one.state in states for key in one.keys})


@dataclass(frozen=True)
class Status:
    """Every asset's. `issued`: sessions whose forecast was issued and stays."""

    assets: tuple[AssetStatus, ...] = ()
    issued: int = 0

    def __bool__(self) -> bool:
        """Whether anything is due."""
        return any(one.reasons for one in self.assets)

    @property
    def is_empty(self) -> bool:
        return not any(one.stored for one in self.assets)

    @property
    def seconds(self) -> float | None:
        each = [one.seconds for one in self.assets]
        return None if None in each else sum(filter(None, each))


def status_of(plan: Plan, stored: Stored) -> Status:
    """A plan in words and numbers, damaged objects that nobody asked for included."""
    assets = []
    for asset in IN_ORDER:
        stamps, damaged = stored.stamps.get(asset, {}), stored.damaged.get(asset, {})
        due = {key: Due("damaged", f"damaged: {why}") for key, why in damaged.items()}
        reasons = _grouped({**due, **plan.due.get(asset, {})})
        keys = stamps.keys() | damaged.keys()
        one = AssetStatus(asset, len(keys), max(keys, default=None), reasons)
        took = [stamp.seconds for stamp in stamps.values() if stamp.seconds]
        each = median(took) if took else None if one.to_make else 0.0
        seconds = None if each is None else one.to_make * each
        assets.append(AssetStatus(asset, one.stored, one.newest, reasons, seconds))
    return Status(tuple(assets), len(stored.issued))


def oldest_due_seconds(status: Status, now: datetime, time_zone: str) -> float:
    """How long ago the oldest due session was over: at midnight, exchange's time. 0: none is due.

    Args:
        status: Of the dataset.
        now: With its time zone.
        time_zone: Of the exchange.
    """
    due = [
        key
        for one in status.assets
        if one.asset in SESSION_ASSETS
        for key in one.keys(MISSING, STALE, DAMAGED)
    ]
    if not due:
        return 0.0
    midnight = datetime.combine(
        date.fromisoformat(min(due)) + timedelta(days=1), time(), ZoneInfo(time_zone)
    )
    return max(0.0, (now - midnight).total_seconds())


def _grouped(due: Mapping[str, Due]) -> tuple[Reason, ...]:
    """Keys with the same state and reason together, the most frequent first."""
    groups: dict[tuple[str, str], list[str]] = {}
    for key, one in sorted(due.items()):
        own, _, upstream = one.reason.partition("waits for ")
        state = one.state if own else WAITING
        groups.setdefault((state, own.removesuffix("; ") or f"for {upstream}"), []).append(key)
    reasons = [Reason(state, words, tuple(keys)) for (state, words), keys in groups.items()]
    return tuple(sorted(reasons, key=lambda one: (STATES.index(one.state), -len(one.keys))))
