"""What each object is made of: for every asset its code, its settings, and the keys that it reads.

This is the one place that says so. What an object *was* made of stands in its stamp; what it would
be made of *now* is computed here from the stamps of its inputs; the plan compares the two.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from itertools import accumulate
from typing import Any

from stock_assets.asset_keys import Asset
from stock_assets.forecasting.fingerprint import source_hash
from stock_assets.forecasting.promotion import PARTS, ModelVersion, Succession
from stock_assets.forecasting.splits import SplitSessions
from stock_assets.forecasting.training_months import TrainingMonths
from stock_assets.planning.stamp import Stamp, digest

SESSION_ASSETS = (Asset.RAW_PRICES, Asset.FEATURES, Asset.DAILY_FORECAST, Asset.FORECAST_RMSE)
MONTH_ASSETS = (Asset.TRAIN_SET, Asset.TEST_SET, Asset.TUNED_MODEL, Asset.REGISTERED_VERSION)
IN_ORDER = (
    Asset.RAW_PRICES,
    Asset.FEATURES,
    *MONTH_ASSETS,
    Asset.DAILY_FORECAST,
    Asset.FORECAST_RMSE,
)
"""Each asset after those that it is made of."""

_MODULES = {
    Asset.FEATURES: "features",
    Asset.TRAIN_SET: "splits",
    Asset.TEST_SET: "splits",
    Asset.TUNED_MODEL: "training",
    Asset.REGISTERED_VERSION: "gate",
    Asset.DAILY_FORECAST: "forecast",
    Asset.FORECAST_RMSE: "evaluation",
}
"""The module of `forecasting` that computes an asset. Prices are data: no code makes them stale."""
VERSIONS, CHAMPIONS, LENDER = "versions", "champions", "lender"
"""Inputs that are no partitions: who serves a session, who judges a month, whose search it uses."""
PARAMS, ASKED, THROUGH, ISSUED = "params", "asked", "through", "issued"
"""Marks: of a study its parameters, of prices the tickers asked for, of a set its retrain, of a
forecast that it was issued and stays as it is."""
AND = " & "
_MODULO = 2**64

Stamps = Mapping[str, Mapping[str, Stamp]]
"""By asset and key."""


@dataclass(frozen=True)
class Window:
    """Sessions of an upstream asset that go into a session: the `count` that end `shift` before."""

    upstream: str
    count: int
    shift: int = 0


@dataclass(frozen=True)
class Rules:
    """What the settings of a deployment make of the graph.

    `windows`: of each session asset. `settings`: those that matter to each asset. `months`: whose
    data and whose search a month learns from.
    """

    windows: Mapping[str, Sequence[Window]]
    settings: Mapping[str, Mapping[str, Any]]
    months: TrainingMonths


class Lineage:
    """What objects would be made of now.

    Args:
        rules: Of the deployment.
        sessions: Every partition key of the session assets, ascending.
    """

    def __init__(self, rules: Rules, sessions: Sequence[str]) -> None:
        self.rules = rules
        self.sessions = list(sessions)
        self._splits: dict[tuple[str, date | None], SplitSessions | None] = {}

    @cached_property
    def _places(self) -> dict[str, int]:
        return {session: place for place, session in enumerate(self.sessions)}

    def split(self, month: str, through: date | None = None) -> SplitSessions | None:
        """The data of a month's model, or of a retrain of it; None with too little history."""
        if (month, through) not in self._splits:
            months = self.rules.months
            short = months.shortfall(month, through)
            self._splits[month, through] = None if short else months.split(month, through)
        return self._splits[month, through]

    def lender(self, month: str) -> str:
        """The month whose search a month uses; itself where it is searched."""
        return self.rules.months.lender(month)

    @staticmethod
    def code(asset: str) -> str:
        """Hash of the code that computes an asset; empty for prices."""
        module = _MODULES.get(asset)
        return source_hash(f"stock_assets.forecasting.{module}") if module else ""

    def upstream(self, asset: str) -> tuple[str, ...]:
        """The assets that it reads, itself included where months look at each other."""
        if asset in self.rules.windows:
            return tuple(window.upstream for window in self.rules.windows[asset])
        return {
            Asset.TRAIN_SET: (Asset.FEATURES,),
            Asset.TEST_SET: (Asset.FEATURES,),
            Asset.TUNED_MODEL: (Asset.TRAIN_SET, Asset.TEST_SET, Asset.TUNED_MODEL),
            Asset.REGISTERED_VERSION: (Asset.TUNED_MODEL, Asset.TEST_SET),
        }.get(asset, ())

    def ranges(self, asset: str, key: str, through: date | None = None) -> Iterator["Range"]:
        """The sessions of upstream assets that go into a session or a month's set."""
        if asset in self.rules.windows:
            place = self._places[key]
            for window in self.rules.windows[asset]:
                last = place - window.shift
                yield Range(window.upstream, max(0, last - window.count + 1), last)
        elif asset in (Asset.TRAIN_SET, Asset.TEST_SET):
            span = self.split(key, through)
            if span:
                first = span.train_first if asset == Asset.TRAIN_SET else span.test_first
                yield Range(
                    Asset.FEATURES,
                    bisect_left(self.sessions, str(first)),
                    bisect_right(self.sessions, str(span.trained_through)) - 1,
                )

    def made_of(
        self,
        asset: str,
        keys: Sequence[str],
        stamps: Stamps,
        versions: Sequence[ModelVersion] = (),
        through: Mapping[str, Sequence[date]] | None = None,
    ) -> dict[str, Stamp]:
        """The stamps that objects made now would have, but for value and time.

        Args:
            asset: Whose.
            keys: Its sessions or months.
            stamps: Of what is stored upstream.
            versions: In the registry; who serves or judges depends on them.
            through: Of months that were trained again, the sessions through which, ascending.
        """
        code, settings = self.code(asset), self.rules.settings.get(asset, {})
        retrained = through or {}
        sums = {
            upstream: _Sums(self.sessions, stamps.get(upstream, {}))
            for upstream in self.upstream(asset)
            if upstream in SESSION_ASSETS
        }
        serving = _Serving(versions)
        found = {}
        for key in keys:
            again = last_of(retrained, key)
            own = dict(settings)
            inputs = {
                part.upstream: sums[part.upstream].digest(part.first, part.last)
                for part in self.ranges(asset, key, again)
            }
            if asset in (Asset.TRAIN_SET, Asset.TEST_SET):
                own["data"] = self._data(asset, key, again)
            elif asset == Asset.TUNED_MODEL:
                inputs = {
                    one: _value(stamps, one, key) for one in (Asset.TRAIN_SET, Asset.TEST_SET)
                }
                lender = stamps.get(Asset.TUNED_MODEL, {}).get(self.lender(key))
                if lender and self.lender(key) != key:
                    inputs[LENDER] = lender.marks.get(PARAMS, "")
            elif asset == Asset.REGISTERED_VERSION:
                inputs = {
                    one: _value(stamps, one, key) for one in (Asset.TUNED_MODEL, Asset.TEST_SET)
                }
                study = stamps.get(Asset.TUNED_MODEL, {}).get(key)
                if study and PARAMS in study.marks:
                    # Of a month that was trained again, each of its versions has judges.
                    spans = [self.split(key, one) for one in (None, *retrained.get(key, ()))]
                    inputs[CHAMPIONS] = AND.join(
                        serving.champions(span.trained_through) for span in spans if span
                    )
            elif asset == Asset.DAILY_FORECAST:
                inputs[VERSIONS] = serving.on(date.fromisoformat(key))
            found[key] = Stamp(code, own, inputs)
        return found

    def _data(self, asset: str, month: str, through: date | None) -> str:
        span = self.split(month, through)
        if span is None:
            return "too little history"
        first, last = (
            (span.train_first, span.train_last)
            if asset == Asset.TRAIN_SET
            else (span.test_first, span.trained_through)
        )
        return f"{first}..{last}"


def last_of(retrained: Mapping[str, Sequence[date]], month: str) -> date | None:
    """The session through which a month was trained last; None where that is its usual one."""
    return next(reversed(retrained.get(month, ())), None)


@dataclass(frozen=True)
class Range:
    """Places of sessions of an upstream asset, both ends inclusive; `last` may lie before them."""

    upstream: str
    first: int
    last: int


class _Sums:
    """Digests of windows, each from two running sums: the digest of a set is the sum of its own."""

    def __init__(self, sessions: Sequence[str], stored: Mapping[str, Stamp]) -> None:
        each = (int(digest(key, stored[key].value), 16) if key in stored else 0 for key in sessions)
        self._until = [0, *accumulate(each)]

    def digest(self, first: int, last: int) -> str:
        total = self._until[last + 1] - self._until[first] if first <= last else 0
        return f"{total % _MODULO:016x}"


class _Serving:
    """Who serves, by part."""

    def __init__(self, versions: Sequence[ModelVersion]) -> None:
        self._parts = [Succession(versions, part) for part in PARTS]

    def on(self, session: date) -> str:
        """Numbers and fingerprints, of point and intervals; a dash for nobody."""
        serving = (part.on(session) for part in self._parts)
        return "/".join(f"{v.version}:{v.fingerprint}" if v else "-" for v in serving)

    def champions(self, through: date) -> str:
        """Fingerprints of those who judge a month: their numbers change no verdict."""
        judges = (part.on(through) for part in self._parts)
        return "/".join(v.fingerprint if v else "-" for v in judges)


def _value(stamps: Stamps, asset: str, key: str) -> str:
    stamp = stamps.get(asset, {}).get(key)
    return stamp.value if stamp else ""
