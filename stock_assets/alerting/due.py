"""What is due of a dataset as Prometheus metrics, and what of it the newest run failed to make.

A look at the store may take long, or for ever where the store is away: it is taken in a thread of
its own, and a scrape gets what the last one found. Where that failed it gets nothing of this, and
all else that the exporter shows.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime

import dagster as dg
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from stock_assets.automation.jobs import (
    DAILY_ASSETS,
    MONTHLY_ASSETS,
    assets_asked_of,
    is_of_dataset,
)
from stock_assets.deployment import load_partitions
from stock_assets.local.dagster_private.runs import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)
from stock_assets.local.seaweed import running_server
from stock_assets.planning.status import DAMAGED, MISSING, STALE, Status, oldest_due_seconds
from stock_assets.settings import Settings
from stock_assets.standing import Standing, standing

DUE_METRICS = {
    "stock_assets_partitions": "Keys of an asset that are missing or damaged, stale, or failed:"
    " due, and the newest run that was to make them failed.",
    "stock_assets_oldest_due_seconds": "Of a source that goes on: how long the oldest session of"
    " which something is due has been over; 0 where nothing is due.",
}
_KEPT_SECONDS, _KEPT_SECONDS_ASLEEP = 60.0, 900.0
"""A local store that is down is started for a look, and stopped: not every minute."""
_PATIENCE_SECONDS = 5.0
"""Of a scrape with a look; Prometheus waits ten."""
_RUNS = 500
"""The newest, among which a key's newest is looked for."""
_log = logging.getLogger(__name__)


class DueKeys(Collector):
    """What a scrape gets.

    Args:
        instance: Stays open for as long as this is used.
        settings: Of the dataset.
        look: How it stands.
        clock: Seconds, growing.
    """

    def __init__(
        self,
        instance: dg.DagsterInstance,
        settings: Settings,
        look: Callable[[Settings], Standing] = standing,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._instance, self._settings, self._look, self._clock = instance, settings, look, clock
        self._found: Status | None = None
        self._looked_at: float | None = None
        self._looking: threading.Thread | None = None

    def collect(self) -> Iterable[GaugeMetricFamily]:
        if not self._looking and (self._looked_at is None or self._is_old()):
            self._looking = look = threading.Thread(target=self._refresh, daemon=True)
            look.start()
            look.join(_PATIENCE_SECONDS)
        return [] if self._found is None else self._families(self._found)

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Nothing is looked at when the exporter starts."""
        return []

    def _is_old(self) -> bool:
        settings = self._settings
        asleep = settings.uses_local_store and not running_server(settings.state_folder / "store")
        kept = _KEPT_SECONDS_ASLEEP if asleep else _KEPT_SECONDS
        return self._clock() - (self._looked_at or 0.0) >= kept

    def _refresh(self) -> None:
        try:
            self._found = self._look(self._settings).status
        except Exception as error:  # noqa: BLE001  # whatever it is, the other metrics go on
            self._found = None
            _log.warning("what is due can't be told: %s", str(error).partition("\n")[0])
        finally:
            self._looked_at, self._looking = self._clock(), None

    def _families(self, status: Status) -> Iterable[GaugeMetricFamily]:
        dataset = self._settings.dataset_name
        partitions = _gauge("stock_assets_partitions", "dataset", "asset", "state")
        failed = failed_keys(status, self._newest_runs())
        for one in status.assets:
            counts = {
                "missing": one.count(MISSING, DAMAGED),
                "stale": one.count(STALE),
                "failed": failed[one.asset],
            }
            for state, count in counts.items():
                partitions.add_metric([dataset, one.asset, state], count)
        yield partitions
        oldest = _gauge("stock_assets_oldest_due_seconds", "dataset")
        known = load_partitions(self._settings)
        if known.is_live:
            age = oldest_due_seconds(status, datetime.now(UTC), known.calendar.time_zone)
            oldest.add_metric([dataset], age)
        yield oldest

    def _newest_runs(self) -> list[dg.DagsterRun]:
        mine = self._settings.dataset_name
        runs = self._instance.get_runs(limit=_RUNS)
        return [run for run in runs if is_of_dataset(run, mine)]


def failed_keys(status: Status, runs: Iterable[dg.DagsterRun]) -> Mapping[str, int]:
    """By asset, how many of its due keys the newest run that was to make them failed to make.

    Args:
        status: What is due.
        runs: Newest first.
    """
    left = {one.asset: set(one.keys(MISSING, STALE, DAMAGED)) for one in status.assets}
    found = dict.fromkeys(left, 0)
    for run in runs:
        if not any(left.values()):
            break
        only = run.tags.get(PARTITION_NAME_TAG, "")
        first = run.tags.get(ASSET_PARTITION_RANGE_START_TAG, only)
        last = run.tags.get(ASSET_PARTITION_RANGE_END_TAG, only)
        if not first:
            continue
        names = assets_asked_of(run) or {
            *(DAILY_ASSETS if len(first) > len("2013-02") else MONTHLY_ASSETS)
        }
        for asset in names & left.keys():
            of_run = {key for key in left[asset] if first <= key <= last}
            left[asset] -= of_run
            found[asset] += len(of_run) * (run.status == dg.DagsterRunStatus.FAILURE)
    return found


def _gauge(name: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, DUE_METRICS[name], labels=labels)
