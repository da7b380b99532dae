"""One tick's look at Dagster's instance: what is new, what is missing, what may be retrained."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import dagster as dg

from stock_assets.alerting.late_push import push_again
from stock_assets.alerting.memory import Memory, UnpushedMetrics
from stock_assets.asset_keys import Asset, asset_key
from stock_assets.assets.live_metrics import LIVE_SCORE, recent_sessions
from stock_assets.automation.jobs import MONTHLY_JOB, config_of, is_of_dataset
from stock_assets.automation.under_way import UNFINISHED
from stock_assets.market.months import month_key
from stock_assets.monitoring.absence import Absence, Due, due_session, notice, sessions_after
from stock_assets.monitoring.episodes import Event, judge
from stock_assets.monitoring.live_scores import LiveScore
from stock_assets.monitoring.messages import (
    arrived_message,
    breach_message,
    missing_message,
    recovery_message,
)
from stock_assets.partitions import Partitions, session_of
from stock_assets.resources.alert_settings import rules_of, thresholds_of
from stock_assets.resources.metrics import MetricsGateway
from stock_assets.settings import Settings

RETRAIN_TAGS = {"reason": "rmse_breach"}
_LONGEST_RETRAIN = timedelta(days=1)
_PAGE, _PAGES_PER_TICK = 1000, 10


class Watch:
    """One tick's look at the instance."""

    def __init__(
        self,
        settings: Settings,
        partitions: Partitions,
        instance: dg.DagsterInstance,
        now: datetime,
    ) -> None:
        self._settings = settings
        self._partitions = partitions
        self._instance = instance
        self._now = now
        self._thresholds = thresholds_of(settings)
        self._rmse = asset_key(settings.dataset_name, Asset.FORECAST_RMSE)
        self._forecasts = asset_key(settings.dataset_name, Asset.DAILY_FORECAST)

    def new_scores(self, memory: Memory) -> tuple[Memory, list[LiveScore]]:
        """The scores of sessions that are news, ascending, each session once.

        Old sessions are no news, however many a backfill brings. At the first look only the newest
        session is: what lies before it was there before anybody watched.
        """
        first_look = memory.after is None
        after, pages = memory.after, 0
        found: dict[str, LiveScore] = {}
        recent = recent_sessions(self._partitions, self._now)
        while pages < _PAGES_PER_TICK:
            pages += 1
            page = self._instance.fetch_materializations(
                dg.AssetRecordsFilter(asset_key=self._rmse, after_storage_id=after),
                limit=_PAGE,
                # An asset sensor would deliver only the last of several between two ticks.
                ascending=not first_look,
            )
            for record in page.records:
                after = max(after or 0, record.storage_id)
                score = self._score_of(record.asset_materialization)
                if score is None or score.session not in recent:
                    continue
                if not (first_look and score.session in found):
                    found[score.session] = score  # of a session scored twice, the later event
            if first_look or len(page.records) < _PAGE:
                break
        # Not None once somebody has looked, or the next look would be the first again.
        memory = replace(memory, after=after or 0)
        news = [found[s] for s in sorted(found) if s > memory.episode.newest_session]
        return memory, news[-1:] if first_look or not memory.episode.newest_session else news

    def _score_of(self, event: dg.AssetMaterialization | None) -> LiveScore | None:
        if event is None or LIVE_SCORE not in event.metadata:
            return None
        score = LiveScore.of(event.metadata[LIVE_SCORE].value)  # type: ignore[arg-type]  # JSON
        is_ours = score.dataset == self._settings.dataset_name
        return score if is_ours and score.session == event.partition else None

    def judge(self, memory: Memory, score: LiveScore) -> Memory:
        before = memory.episode
        episode, event = judge(
            before, score.session, score.readings(), self._thresholds, rules_of(self._settings)
        )
        memory = replace(memory, episode=episode)
        if event is Event.BREACH:
            message = breach_message(score, self._thresholds, self._next_step(memory))
        elif event is Event.RECOVERY:
            message = recovery_message(score, before)
        else:
            return memory
        return replace(memory, outbox=(*memory.outbox, message))

    def _next_step(self, memory: Memory) -> str:
        if reason := self._why_no_retrain(memory):
            return f"A retrain waits: {reason}."
        return "One retrain with all data there is was asked for."

    def _why_no_retrain(self, memory: Memory) -> str | None:
        session = memory.episode.newest_session
        if not self._partitions.months.has_partition_key(month_key(session_of(session))):
            return f"there is no month for {session}"
        rest = self._settings.retrain_cooldown_sessions
        if memory.retrained and self._sessions_after(memory.retrained, session) < rest:
            return f"the last one was asked for {memory.retrained}, less than {rest} sessions ago"
        found = self._instance.get_runs(
            dg.RunsFilter(
                job_name=self._settings.named(MONTHLY_JOB),
                tags=RETRAIN_TAGS,
                statuses=UNFINISHED,
                # A run whose machine died stays "started" for good, and must not block all others.
                created_after=(self._now - _LONGEST_RETRAIN).astimezone(UTC),
            )
        )
        running = [run for run in found if is_of_dataset(run, self._settings.dataset_name)]
        return f"run {running[0].run_id[:8]} is not over" if running else None

    def retrain(self, memory: Memory) -> tuple[Memory, dg.RunRequest | None]:
        """One per episode, as soon as nothing speaks against it while the episode lasts."""
        if not memory.episode.retrain_due or self._why_no_retrain(memory):
            return memory, None
        session = memory.episode.newest_session
        through = {"train_through": session}
        request = dg.RunRequest(
            # Of the episode: a tick that is killed and repeated asks for the same run.
            run_key=f"retrain-{memory.dataset}-{memory.episode.opened}",
            partition_key=month_key(session_of(session)),
            run_config=config_of(
                self._settings, {Asset.TRAIN_SET: through, Asset.TEST_SET: through}
            ),
            tags={**RETRAIN_TAGS, "train_through": session},
        )
        episode = replace(memory.episode, retrain_due=False)
        return replace(memory, episode=episode, retrained=session), request

    def notice_absence(self, memory: Memory) -> Memory:
        """Of a live source, once it was seen alive: what is due and not there."""
        scored = memory.episode.newest_session
        local = self._now.astimezone(ZoneInfo(self._partitions.calendar.time_zone))
        keys = recent_sessions(self._partitions, self._now)
        session = due_session(keys, local, self._settings.forecast_due_hour)
        if not scored or session is None:
            return memory
        forecast = self._instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=self._forecasts, asset_partitions=[session]), limit=1
        )
        due = Due(session, self._sessions_after(scored, session), bool(forecast.records))
        state, event, reasons = notice(memory.absence, due, self._settings.most_unscored_sessions)
        if event is Absence.MISSING:
            message = missing_message(memory.dataset, due, reasons)
        elif event is Absence.ARRIVED:
            message = arrived_message(memory.dataset, due, memory.absence.told)
        else:
            return memory
        return replace(memory, absence=state, outbox=(*memory.outbox, message))

    def push_late(
        self, memory: Memory, metrics: MetricsGateway, scores: list[LiveScore]
    ) -> tuple[Memory, str | None]:
        """Metrics of the newest session that did not reach the gateway."""
        if not metrics.url:
            return replace(memory, unpushed=None), None
        newest = scores[-1].session if scores else ""
        if newest and newest == recent_sessions(self._partitions, self._now)[-1]:
            # `forecast_rmse` has tried a moment ago, and its event says how that went.
            unpushed = None if scores[-1].pushed else UnpushedMetrics(newest)
            memory = replace(memory, unpushed=unpushed)
        if memory.unpushed is None:
            return memory, None
        session = memory.unpushed.session
        unpushed, failure = push_again(
            self._instance,
            metrics,
            memory.unpushed,
            self._stored_score(session),
            self._now.timestamp(),
        )
        return replace(memory, unpushed=unpushed), failure

    def _stored_score(self, session: str) -> LiveScore | None:
        found = self._instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=self._rmse, asset_partitions=[session]), limit=1
        )
        return self._score_of(found.records[0].asset_materialization) if found.records else None

    def _sessions_after(self, earlier: str, later: str) -> int:
        return sessions_after(self._partitions.calendar, earlier, later)
