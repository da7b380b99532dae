"""Dagster's own health as Prometheus metrics: runs, queue, daemons, ticks, waiting alerts.

Read from the instance at each scrape, at most every few seconds. Dagster's own package for
Prometheus only pushes what a run hands it; nothing of this comes from there.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import dagster as dg
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from stock_assets.alerting.last_runs import JOBS
from stock_assets.alerting.memory import Memory, read_memory
from stock_assets.alerting.sensor import SENSOR
from stock_assets.local.dagster_private.ticks import (
    InstigatorState,
    SensorInstigatorData,
    TickStatus,
)

HEALTH_METRICS = {
    "stock_assets_dagster_runs": "Runs that are queued or under way.",
    "stock_assets_dagster_oldest_queued_timestamp_seconds": "Since when the queue's head waits.",
    "stock_assets_dagster_failed_runs": "Runs that failed, of those the instance still knows.",
    "stock_assets_dagster_job_last_success_timestamp_seconds": "End of a job's last success.",
    "stock_assets_dagster_job_last_failure_timestamp_seconds": "End of a job's last failure.",
    "stock_assets_dagster_daemon_heartbeat_timestamp_seconds": "A daemon's last sign of life.",
    "stock_assets_dagster_instigators_on": "Schedules and sensors that are turned on.",
    "stock_assets_dagster_tick_timestamp_seconds": "Last tick of what is turned on.",
    "stock_assets_dagster_tick_failed": "1 where the last finished tick failed, else 0.",
    "stock_assets_alert_episode_open": "1 while the RMSE is in breach, as the sensor sees it.",
    "stock_assets_alerts_waiting": "Messages that did not reach every channel yet.",
    "stock_assets_alert_attempts": "Failed attempts of the message that waits longest.",
}
_KEPT_SECONDS = 5.0
_UNDER_WAY = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]


class DagsterHealth(Collector):
    """What a scrape gets.

    Args:
        instance: Stays open for as long as this is used.
        dataset: Whose sensor state is shown.
        clock: Seconds, growing.
    """

    def __init__(
        self,
        instance: dg.DagsterInstance,
        dataset: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._instance = instance
        self._dataset = dataset
        self._clock = clock
        self._kept: list[GaugeMetricFamily] = []
        self._read_at = -_KEPT_SECONDS

    def collect(self) -> Iterable[GaugeMetricFamily]:
        if self._clock() - self._read_at >= _KEPT_SECONDS:
            self._kept = list(self._read())
            self._read_at = self._clock()
        return self._kept

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Nothing is read when the exporter starts."""
        return []

    def _read(self) -> Iterator[GaugeMetricFamily]:
        yield from self._runs()
        yield from self._jobs()
        heartbeats = _gauge("stock_assets_dagster_daemon_heartbeat_timestamp_seconds", "daemon")
        for daemon, heartbeat in self._instance.get_daemon_heartbeats().items():
            heartbeats.add_metric([daemon], heartbeat.timestamp)
        yield heartbeats
        yield from self._instigators()

    def _runs(self) -> Iterator[GaugeMetricFamily]:
        def count(statuses: list[dg.DagsterRunStatus]) -> int:
            return self._instance.get_runs_count(dg.RunsFilter(statuses=statuses))

        queued = [dg.DagsterRunStatus.QUEUED]
        runs = _gauge("stock_assets_dagster_runs", "status")
        runs.add_metric(["queued"], count(queued))
        runs.add_metric(["under way"], count(_UNDER_WAY))
        yield runs
        failed = _gauge("stock_assets_dagster_failed_runs")
        failed.add_metric([], count([dg.DagsterRunStatus.FAILURE]))
        yield failed
        head = self._instance.get_run_records(
            dg.RunsFilter(statuses=queued), limit=1, ascending=True
        )
        waiting = _gauge("stock_assets_dagster_oldest_queued_timestamp_seconds")
        for record in head:
            waiting.add_metric([], record.create_timestamp.timestamp())
        yield waiting

    def _jobs(self) -> Iterator[GaugeMetricFamily]:
        for name, status in (
            ("success", dg.DagsterRunStatus.SUCCESS),
            ("failure", dg.DagsterRunStatus.FAILURE),
        ):
            family = _gauge(f"stock_assets_dagster_job_last_{name}_timestamp_seconds", "job_name")
            for job in JOBS:
                found = self._instance.get_run_records(
                    dg.RunsFilter(job_name=job, statuses=[status]), limit=1
                )
                for record in found:
                    ended = record.end_time or record.update_timestamp.timestamp()
                    family.add_metric([job], ended)
            yield family

    def _instigators(self) -> Iterator[GaugeMetricFamily]:
        on = [state for state in self._instance.all_instigator_state() if state.is_running]
        count = _gauge("stock_assets_dagster_instigators_on")
        count.add_metric([], len(on))
        yield count
        ticked = _gauge("stock_assets_dagster_tick_timestamp_seconds", "name", "kind")
        failed = _gauge("stock_assets_dagster_tick_failed", "name", "kind")
        for state in on:
            labels = [state.instigator_name, state.instigator_type.value.lower()]
            ticks = self._instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=2)
            # A tick that is under way has not failed yet.
            over = [tick for tick in ticks if tick.status != TickStatus.STARTED]
            for tick in ticks[:1]:
                ticked.add_metric(labels, tick.timestamp)
            for tick in over[:1]:
                failed.add_metric(labels, float(tick.status == TickStatus.FAILURE))
        yield ticked
        yield failed
        yield from self._alerts(on)

    def _alerts(self, on: list[InstigatorState]) -> Iterator[GaugeMetricFamily]:
        memories = memories_of(on, self._dataset)
        shown: dict[str, Callable[[Memory], Any]] = {
            "stock_assets_alert_episode_open": lambda memory: bool(memory.episode.opened),
            "stock_assets_alerts_waiting": lambda memory: len(memory.outbox),
            "stock_assets_alert_attempts": lambda memory: max(
                (message.attempts for message in memory.outbox), default=0
            ),
        }
        for name, value in shown.items():
            family = _gauge(name, "dataset")
            for memory in memories:
                family.add_metric([self._dataset], float(value(memory)))
            yield family


def memories_of(states: Iterable[InstigatorState], dataset: str) -> list[Memory]:
    """What the sensor remembers, of each of its states that are given."""
    cursors = [
        data.cursor if isinstance(data := state.instigator_data, SensorInstigatorData) else None
        for state in states
        if state.instigator_name == SENSOR
    ]
    return [read_memory(cursor, dataset)[0] for cursor in cursors]


def _gauge(name: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, HEALTH_METRICS[name], labels=labels)
