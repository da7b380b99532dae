"""The sensor over `forecast_rmse`: people are told once per problem, and one retrain is asked for.

A tick first delivers what earlier ticks stored, then looks at what is new and stores what is to be
told. What counts as a problem is in `episodes` and `absence`, how a tick looks in `watch`, what
reaches people in `delivery`.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from stock_assets.alerting.delivery import deliver
from stock_assets.alerting.memory import Memory, read_memory, write_memory
from stock_assets.alerting.watch import Watch
from stock_assets.automation.jobs import MONTHLY_JOB
from stock_assets.automation.report_sensor import sensor_status
from stock_assets.partitions import Partitions
from stock_assets.resources.metrics import MetricsGateway
from stock_assets.resources.notifier import Notifier
from stock_assets.settings import Settings

SENSOR = "rmse_above_threshold"


def _now() -> datetime:
    return datetime.now(UTC)


def rmse_sensor(
    settings: Settings, partitions: Partitions, clock: Callable[[], datetime] = _now
) -> dg.SensorDefinition:
    notifier_key, metrics_key = settings.named("notifier"), settings.named("metrics")

    @dg.sensor(
        name=settings.named(SENSOR),
        job_name=settings.named(MONTHLY_JOB),
        required_resource_keys={notifier_key, metrics_key},
        default_status=sensor_status(settings),
        minimum_interval_seconds=settings.sensor_interval_seconds,
        description="Tells people once when the rolling RMSE of a new session is above a threshold,"
        " asks for one retrain, and tells them when it is back; the same when forecasts or errors"
        " are missing.",
    )
    def rmse_above_threshold(
        context: dg.SensorEvaluationContext, **_resources: Any
    ) -> dg.SensorResult:
        # Called as a function it is handed them too, by their keys.
        notifier: Notifier = getattr(context.resources, notifier_key)
        metrics: MetricsGateway = getattr(context.resources, metrics_key)
        memory, complaint = read_memory(context.cursor, settings.dataset_name)
        problems = [complaint] if complaint else []
        now = clock()
        delivery = deliver(context.instance, notifier, memory.outbox, now.timestamp())
        problems += delivery.problems
        memory = replace(memory, outbox=delivery.left)
        watch = Watch(settings, partitions, context.instance, now)
        memory, scores = watch.new_scores(memory)
        for score in scores:
            memory = watch.judge(memory, score)
        memory, retrain = watch.retrain(memory)
        if partitions.is_live:
            memory = watch.notice_absence(memory)
        memory, failure = watch.push_late(memory, metrics, scores)
        problems += [failure] if failure else []
        for problem in problems:
            context.log.warning(problem)
        return dg.SensorResult(
            run_requests=[retrain] if retrain else [],
            cursor=write_memory(memory),
            skip_reason=None if retrain else _explain(memory, len(scores), delivery.sent, problems),
        )

    return rmse_above_threshold


def _explain(memory: Memory, judged: int, sent: int, problems: list[str]) -> str:
    standing = f"in breach since {memory.episode.opened}" if memory.episode.opened else "no breach"
    parts = [
        f"{judged} new sessions; newest judged {memory.episode.newest_session or '-'}: {standing}",
        f"{sent} messages delivered" if sent else "",
        f"{len(memory.outbox)} waiting" if memory.outbox else "",
        *problems,
    ]
    return "; ".join(part for part in parts if part)
