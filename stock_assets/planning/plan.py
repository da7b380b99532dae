"""The plan: for every asset which keys are due, and why, in words.

A pure function of the stamps of what is stored and of what is wanted. A key is due where its object
is missing, can't be read, or was made of something else than it would be made of now. What lies
downstream of a due key waits for it: it may turn out not to change.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import accumulate
from typing import Any, Literal

from stock_assets.asset_keys import Asset
from stock_assets.forecasting.promotion import ModelVersion
from stock_assets.planning.lineage import (
    CHAMPIONS,
    IN_ORDER,
    LENDER,
    SESSION_ASSETS,
    VERSIONS,
    Lineage,
    last_of,
)
from stock_assets.planning.stamp import Stamp

State = Literal["missing", "damaged", "stale"]
_WORDS = {
    Asset.RAW_PRICES: "prices",
    Asset.DAILY_FORECAST: "the forecast",
    Asset.FORECAST_RMSE: "the scores",
    Asset.TRAIN_SET: "the train set",
    Asset.TEST_SET: "the test set",
    Asset.TUNED_MODEL: "the model",
    Asset.REGISTERED_VERSION: "the version",
}
_NAMED = 3


@dataclass(frozen=True)
class Due:
    """Why a key is due.

    `waits`: something upstream is due first. `certain`: it is due whatever becomes of that; else it
    may turn out not to change. `tickers`: of prices, those to fetch; empty: all.
    """

    state: State
    reason: str
    waits: bool = False
    certain: bool = False
    tickers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """Which keys of each asset there ought to be."""

    keys: Mapping[str, Sequence[str]]

    def of(self, asset: str) -> Sequence[str]:
        return self.keys.get(asset, ())

    def with_keys(self, more: Collection[tuple[str, str]]) -> "Wanted":
        """The same and some others, each an asset and a key."""
        others = {asset: {key for of, key in more if of == asset} for asset in IN_ORDER}
        return Wanted({one: sorted({*self.of(one), *others[one]}) for one in IN_ORDER})


@dataclass(frozen=True)
class Stored:
    """What is stored, as the plan sees it.

    `stamps`: by asset and key, of objects that can be read. `damaged`: by asset and key, what is
    wrong with those that can't. `asked`: the tickers that a session's prices were asked for.
    `issued`: sessions whose forecast was issued: they stay as they are. `retrained`: of months, the
    sessions of their own through which they were trained again, ascending. `anew`: by asset, keys
    that someone asked for anew, and since when (ISO 8601).
    """

    stamps: Mapping[str, Mapping[str, Stamp]]
    damaged: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    asked: Mapping[str, frozenset[str]] = field(default_factory=dict)
    issued: frozenset[str] = frozenset()
    retrained: Mapping[str, Sequence[date]] = field(default_factory=dict)
    anew: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def with_asked(self, more: Mapping[str, frozenset[str]]) -> "Stored":
        """The same where more tickers were asked for, by session."""
        asked = {**self.asked}
        for key, tickers in more.items():
            asked[key] = asked.get(key, frozenset()) | tickers
        return replace(self, asked=asked)


@dataclass(frozen=True)
class Plan:
    """What is due of each asset, by key.

    `retrained`: see `Stored`. `damaged`: what is wrong with objects by asset and key, also with
    those that are not wanted.
    """

    due: Mapping[str, Mapping[str, Due]]
    retrained: Mapping[str, Sequence[date]] = field(default_factory=dict)
    damaged: Mapping[tuple[str, str], str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return any(self.due.values())

    def ready(self, asset: str) -> dict[str, Due]:
        """What can be made now: what waits for something upstream is left out."""
        return {key: due for key, due in self.due.get(asset, {}).items() if not due.waits}

    def count(self, asset: str, state: State) -> int:
        return sum(due.state == state for due in self.due.get(asset, {}).values())


def make_plan(
    lineage: Lineage,
    stored: Stored,
    wanted: Wanted,
    versions: Sequence[ModelVersion] = (),
    tickers: Sequence[str] = (),
) -> Plan:
    """What is due of the wanted keys, upstream first.

    Args:
        lineage: What objects would be made of now.
        stored: What there is.
        wanted: What there ought to be.
        versions: In the registry.
        tickers: That prices are wanted of.
    """
    due: dict[str, dict[str, Due]] = {}
    for asset in IN_ORDER:
        keys = [
            key
            for key in wanted.of(asset)
            if asset != Asset.DAILY_FORECAST or key not in stored.issued
        ]
        expected = lineage.made_of(asset, keys, stored.stamps, versions, stored.retrained)
        expected = _as_far_as_known(lineage, asset, expected, due, stored)
        waiting = _waiting(lineage, asset, keys, due, stored)
        found: dict[str, Due] = {}
        for key in keys:
            one = _own_reason(lineage, asset, key, stored, expected[key], frozenset(tickers))
            waits = waiting.get(key)
            if asset == Asset.TUNED_MODEL and (lender := lineage.lender(key)) != key:
                waits = waits or (f"the search of {lender}" if lender in found else None)
            if one and waits:
                one = replace(one, reason=f"{one.reason}; waits for {waits}", waits=True)
            elif waits:
                one = Due("stale", f"waits for {waits}", waits=True)
            if one:
                found[key] = one
        due[asset] = found
    damaged = {(one, key): why for one, of in stored.damaged.items() for key, why in of.items()}
    return Plan(due, stored.retrained, damaged)


def _as_far_as_known(
    lineage: Lineage,
    asset: str,
    expected: dict[str, Stamp],
    due: Mapping[str, Mapping[str, Due]],
    stored: Stored,
) -> dict[str, Stamp]:
    """The same, but inputs are as they were where some of them can't be read until they are made.

    They may be made with equal values: such a key waits, and nothing is known against it yet.
    """
    gone = {
        upstream: {key for key, one in due.get(upstream, {}).items() if one.state != "stale"}
        for upstream in lineage.upstream(asset)
    }
    stamps = stored.stamps.get(asset, {})
    if asset == Asset.TUNED_MODEL:
        gone[asset] = expected.keys() - stamps.keys()
    if not any(gone.values()):
        return expected
    counts = {
        upstream: [0, *accumulate(key in keys for key in lineage.sessions)]
        for upstream, keys in gone.items()
        if upstream in SESSION_ASSETS and keys
    }
    found = dict(expected)
    for key in expected.keys() & stamps.keys():
        unknown = {upstream for upstream, keys in gone.items() if key in keys}
        for part in lineage.ranges(asset, key, last_of(stored.retrained, key)):
            until = counts.get(part.upstream)
            if until and part.last >= part.first and until[part.last + 1] > until[part.first]:
                unknown.add(part.upstream)
        if asset == Asset.TUNED_MODEL and lineage.lender(key) in gone[asset]:
            unknown.add(LENDER)
        if asset == Asset.REGISTERED_VERSION and Asset.TUNED_MODEL in unknown:
            unknown.add(CHAMPIONS)
        if unknown:
            known = {n: v for n, v in expected[key].inputs.items() if n not in unknown}
            was = {n: v for n, v in stamps[key].inputs.items() if n in unknown}
            found[key] = replace(expected[key], inputs={**known, **was})
    return found


def _own_reason(
    lineage: Lineage, asset: str, key: str, stored: Stored, expected: Stamp, tickers: frozenset[str]
) -> Due | None:
    if why := stored.damaged.get(asset, {}).get(key):
        return Due("damaged", f"damaged: {why}", certain=True)
    stamp = stored.stamps.get(asset, {}).get(key)
    if stamp is None:
        return Due("missing", "missing", certain=True)
    if asset == Asset.RAW_PRICES:
        lacking = tickers - stored.asked.get(key, frozenset())
        if lacking:
            named = tuple(sorted(lacking))
            return Due("stale", f"{_listed(named)} never fetched", tickers=named)
        return None
    since = stored.anew.get(asset, {}).get(key)
    if since and stamp.made_at < since:
        return Due("stale", f"asked for anew on {since[:10]}", certain=True)
    own = list(_own_differences(stamp, expected))
    reasons = own + list(_changed_inputs(lineage, asset, key, stored, stamp, expected))
    return Due("stale", "; ".join(reasons), certain=bool(own)) if reasons else None


def _own_differences(stamp: Stamp, expected: Stamp) -> Iterator[str]:
    """By which code and settings an object was made that are others now."""
    if not stamp.code:
        yield "an older release made it, which did not say of what"
        return
    if stamp.code != expected.code:
        yield "made by other code"
    for name in sorted(stamp.settings.keys() | expected.settings.keys()):
        then, now = stamp.settings.get(name), expected.settings.get(name)
        if then != now:
            yield f"made with {name} {_said(then)}, now {_said(now)}"


def _changed_inputs(
    lineage: Lineage, asset: str, key: str, stored: Stored, stamp: Stamp, expected: Stamp
) -> Iterator[str]:
    """Which of an object's inputs are others now."""
    if not stamp.code:
        return
    for name in sorted(stamp.inputs.keys() | expected.inputs.keys()):
        if stamp.inputs.get(name) != expected.inputs.get(name):
            yield _changed_input(lineage, asset, key, name, stored, stamp)


def _changed_input(
    lineage: Lineage, asset: str, key: str, name: str, stored: Stored, stamp: Stamp
) -> str:
    """Which input is another now: those made later than the object itself, where there are any."""
    if name == VERSIONS:
        return "another version serves it now"
    if name == CHAMPIONS:
        return "the champion of its day is another now"
    if name == LENDER:
        return f"the search of {lineage.lender(key)} found other parameters"
    known = stored.stamps.get(name, {})
    later = [
        one
        for part in lineage.ranges(asset, key, last_of(stored.retrained, key))
        if part.upstream == name
        for one in lineage.sessions[part.first : part.last + 1]
        if one in known and known[one].made_at > stamp.made_at
    ]
    what = _WORDS.get(name, name)
    if not later:
        return f"{what} went into it that are others now"
    changed = "were fetched later or revised" if name == Asset.RAW_PRICES else "changed"
    return f"{what} of {_listed(later)} {changed}"


def _waiting(
    lineage: Lineage,
    asset: str,
    keys: Sequence[str],
    due: Mapping[str, Mapping[str, Due]],
    stored: Stored,
) -> dict[str, str]:
    """What each key waits for, in words."""
    found: dict[str, str] = {}
    # Bars of more tickers, should the source have any, change what was made without them: no wait.
    blocking = {
        upstream: {key for key, one in due[upstream].items() if not one.tickers}
        for upstream in lineage.upstream(asset)
        if upstream in SESSION_ASSETS
    }
    counts = {
        upstream: [0, *accumulate(one in keys for one in lineage.sessions)]
        for upstream, keys in blocking.items()
        if keys
    }
    months = [one for one in lineage.upstream(asset) if one not in SESSION_ASSETS and one != asset]
    for key in keys:
        for part in lineage.ranges(asset, key, last_of(stored.retrained, key)):
            until = counts.get(part.upstream)
            if until and part.last >= part.first and until[part.last + 1] > until[part.first]:
                first = next(
                    one
                    for one in lineage.sessions[part.first : part.last + 1]
                    if one in blocking[part.upstream]
                )
                found[key] = f"{_WORDS.get(part.upstream, part.upstream)} of {first}"
                break
        for upstream in months:
            if key not in found and key in due.get(upstream, {}):
                found[key] = f"{_WORDS[upstream]} of {key}"
        if (
            asset == Asset.DAILY_FORECAST
            and key not in found
            and key[:7] in due[Asset.REGISTERED_VERSION]
        ):
            found[key] = f"the version of {key[:7]}"
    return found


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _said(value: Any) -> str:
    return "nothing" if value is None else str(value)
