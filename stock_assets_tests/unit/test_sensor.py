"""The sensor on a temporary instance: sessions scored, ticks, what people were told."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from stock_assets.alerting.memory import read_memory
from stock_assets.alerting.sensor import rmse_sensor
from stock_assets.asset_keys import asset_key
from stock_assets.definitions import build_definitions
from stock_assets.deployment import load_partitions
from stock_assets.monitoring.live_scores import LiveScore, TickerScore
from stock_assets.monitoring.messages import breach_message
from stock_assets.partitions import Partitions
from stock_assets.resources.alert_settings import thresholds_of
from stock_assets.resources.metrics import MetricsGateway
from stock_assets.settings import Settings
from stock_assets_tests.unit.test_delivery import Stand, Stands

SETTINGS = Settings(rmse_threshold=0.02, rmse_recovery_sessions=2)
RMSE, FORECAST = asset_key("sample", "forecast_rmse"), asset_key("sample", "daily_forecast")
# The sample's last sessions.
DAYS = ["2013-02-22", "2013-02-25", "2013-02-26", "2013-02-27", "2013-02-28", "2013-03-01"]


class Desk:
    """A sensor with its cursor, an instance, and one channel."""

    def __init__(
        self,
        instance: dg.DagsterInstance,
        settings: Settings = SETTINGS,
        partitions: Partitions | None = None,
    ) -> None:
        self.instance = instance
        self.settings = settings
        self.partitions = partitions or load_partitions(settings)
        self.channel = Stand("JSON 1")
        self.metrics = MetricsGateway(settings)
        self.cursor: str | None = None
        self.requests: list[dg.RunRequest] = []
        self.now = datetime(2013, 3, 2, 6, tzinfo=ZoneInfo("America/New_York"))

    def scored(
        self, session: str, rmse: float | None, dataset: str = "sample", **more: Any
    ) -> None:
        score = LiveScore(
            dataset,
            session,
            {"AAPL": TickerScore(rmse, 0.02)} if rmse is not None else {},
            TickerScore(rmse, 0.02),
            **more,
        )
        told = {"live_score": dg.MetadataValue.json(score.as_json())}
        self.happened(asset_key(dataset, "forecast_rmse"), session, told)

    def happened(
        self, asset: dg.AssetKey, session: str, metadata: dict[str, Any] | None = None
    ) -> None:
        self.instance.report_runless_asset_event(
            dg.AssetMaterialization(asset, partition=session, metadata=metadata or {})
        )

    def tick(self, keep_cursor: bool = True) -> dg.SensorResult:
        sensor = rmse_sensor(self.settings, self.partitions, clock=lambda: self.now)
        context = dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursor,
            definitions=build_definitions(self.settings),
            resources={"notifier": Stands([self.channel]), "metrics": self.metrics},
        )
        result = sensor(context)
        assert isinstance(result, dg.SensorResult)
        if keep_cursor:
            self.cursor = result.cursor
            self.requests += result.run_requests or []
        return result

    @property
    def told(self) -> list[str]:
        return [title.removeprefix("stock_assets: ") for title in self.channel.taken]


@pytest.fixture
def desk() -> Iterator[Desk]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Desk(instance)


BREACH = "RMSE above its threshold (sample, {})"
RECOVERY = "RMSE is back below its threshold (sample, {})"


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (1.0, "Scored: forecasts as they were issued."),
        (0.85, "Scored: 85% of these forecasts as they were issued, the rest is hindsight."),
        (None, "Scored: hindsight, none of these forecasts was issued before its session opened."),
    ],
)
def test_a_message_says_whether_it_speaks_of_issued_forecasts(share: float | None, said: str):
    score = LiveScore("sample", DAYS[0], {}, TickerScore(0.03, 0.02, issued_share=share))
    message = breach_message(score, thresholds_of(SETTINGS), "A retrain is asked for.")
    assert said in message.body.splitlines()
    assert "What it means and what to do: docs/alerts.md#breach" in message.body.splitlines()


def test_a_breach_is_told_once_and_asks_for_one_retrain(desk: Desk):
    desk.scored("2013-03-01", 0.031)
    first = desk.tick()
    (request,) = first.run_requests or []
    assert request.run_key == "retrain-sample-2013-03-01"
    assert request.partition_key == "2013-03"
    through = {"config": {"train_through": "2013-03-01"}}
    assert request.run_config == {"ops": {"train_set": through, "test_set": through}}
    job = build_definitions(SETTINGS).resolve_job_def("monthly_job")
    assert dg.validate_run_config(job, request.run_config)
    assert desk.told == []  # stored first, sent by the next tick
    desk.tick()
    desk.scored("2013-03-01", 0.031)  # the session is run again
    desk.tick()
    desk.tick()
    assert desk.told == [BREACH.format("2013-03-01")]
    assert len(desk.requests) == 1


def test_every_new_session_is_judged_once_and_in_order_however_many_arrive(desk: Desk):
    desk.scored(DAYS[0], 0.001)
    desk.tick()
    # Five between two ticks, the newest first: breach on the second, calm on the last two.
    for day, rmse in [(5, 0.001), (4, 0.001), (3, 0.031), (2, 0.031), (1, 0.001)]:
        desk.scored(DAYS[day], rmse)
    desk.tick()
    desk.tick()
    assert desk.told == [BREACH.format(DAYS[2]), RECOVERY.format(DAYS[5])]
    assert desk.requests == []  # over before it could be asked for


def test_at_first_start_the_newest_session_is_judged_and_history_is_not(desk: Desk):
    for day in DAYS[:-1]:
        desk.scored(day, 9.0)
    desk.scored(DAYS[-1], 0.001)
    desk.tick()
    desk.tick()
    assert (desk.told, desk.requests) == ([], [])


@pytest.mark.parametrize("known", [[], [(DAYS[-1], 0.001)]])
def test_a_backfill_of_200_old_sessions_tells_nobody(desk: Desk, known: list[tuple[str, float]]):
    for session, rmse in known:
        desk.scored(session, rmse)
    desk.tick()
    sessions = desk.partitions.sessions.get_partition_keys()
    for session in sessions[-220:-20]:
        desk.scored(session, 9.0)
    desk.tick()
    desk.tick()
    assert (desk.told, desk.requests) == ([], [])
    memory, _ = read_memory(desk.cursor, "sample")
    assert memory.after == 200 + len(known)


def test_more_events_than_a_page_holds_are_all_seen(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("stock_assets.alerting.watch._PAGE", 2)
    desk.scored(DAYS[0], 0.001)
    desk.tick()
    for day in DAYS[1:]:
        desk.scored(day, 0.001)
    desk.scored(DAYS[-1], 0.05)
    desk.tick()
    assert len(desk.requests) == 1


def test_a_tick_that_is_killed_changes_no_count(desk: Desk):
    desk.scored(DAYS[-1], 0.031)
    killed = desk.tick(keep_cursor=False)
    desk.tick()
    assert [r.run_key for r in killed.run_requests or []] == [r.run_key for r in desk.requests]
    desk.tick(keep_cursor=False)  # sends, and is killed before its cursor is stored
    desk.tick()
    assert desk.told == [BREACH.format(DAYS[-1])]


def test_a_cursor_that_can_not_be_read_tells_nobody_twice(desk: Desk):
    desk.scored(DAYS[-1], 0.031)
    desk.tick()
    desk.tick()
    for broken in ("nonsense", '{"after": 3, "state": {"in_breach": true}}', "{}"):
        desk.cursor = broken
        desk.tick()
        desk.tick()
    assert desk.told == [BREACH.format(DAYS[-1])]
    assert {request.run_key for request in desk.requests} == {f"retrain-sample-{DAYS[-1]}"}


def test_another_dataset_in_the_same_instance_is_none_of_ours(desk: Desk):
    desk.scored(DAYS[-1], 9.0, dataset="files-0")
    desk.tick()
    desk.tick()
    assert (desk.told, desk.requests) == ([], [])


def test_a_new_dataset_starts_anew_and_old_messages_still_arrive(desk: Desk):
    desk.scored(DAYS[-1], 9.0)
    desk.tick()
    desk.settings = Settings(rmse_threshold=0.02, dataset="other")
    desk.scored(DAYS[-2], 9.0, dataset="other")  # older than what the other dataset knew
    desk.tick()
    desk.tick()
    assert desk.told == [
        BREACH.format(DAYS[-1]),
        BREACH.format(DAYS[-2]).replace("sample", "other"),
    ]


@pytest.mark.parametrize(
    ("what", "cooldown", "asked_for"),
    [("cooled down", 1, [DAYS[0], DAYS[3]]), ("still warm", 9, [DAYS[0]])],
)
def test_a_retrain_waits_for_its_cooldown(
    desk: Desk, what: str, cooldown: int, asked_for: list[str]
):
    desk.settings = SETTINGS.model_copy(update={"retrain_cooldown_sessions": cooldown})
    for day, rmse in zip(DAYS, [0.03, 0.001, 0.001, 0.03, 0.03], strict=False):
        desk.scored(day, rmse)
        desk.tick()
    assert [r.tags["train_through"] for r in desk.requests] == asked_for, what
    assert desk.told.count(BREACH.format(DAYS[3])) == 1


def test_one_retrain_is_in_flight_at_most_and_the_waiting_one_follows(desk: Desk):
    job = build_definitions(SETTINGS).resolve_job_def("monthly_job")
    run = desk.instance.create_run_for_job(
        job, tags={"reason": "rmse_breach"}, status=dg.DagsterRunStatus.STARTED
    )
    desk.scored(DAYS[-2], 0.03)
    desk.tick()
    desk.tick()
    assert desk.requests == []
    desk.scored(DAYS[-1], 0.03)
    desk.instance.report_run_canceled(run)
    desk.tick()
    desk.tick()
    assert [r.tags["train_through"] for r in desk.requests] == [DAYS[-1]]
    assert desk.told == [BREACH.format(DAYS[-2])]


def test_a_retrain_that_died_with_its_machine_blocks_others_for_a_day_only(desk: Desk):
    job = build_definitions(SETTINGS).resolve_job_def("monthly_job")
    desk.instance.create_run_for_job(
        job, tags={"reason": "rmse_breach"}, status=dg.DagsterRunStatus.STARTED
    )
    desk.now = datetime.now(ZoneInfo("America/New_York"))
    desk.scored(DAYS[-1], 0.03)
    desk.tick()
    assert desk.requests == []
    desk.now += timedelta(days=1, minutes=1)
    desk.tick()
    assert len(desk.requests) == 1


def live_desk(instance: dg.DagsterInstance, **given: Any) -> Desk:
    settings = SETTINGS.model_copy(update=given)
    sample = load_partitions(settings)
    return Desk(instance, settings, Partitions(sample.calendar, sample.first, None, is_live=True))


def test_a_forecast_that_is_due_and_not_there_is_told_once_and_so_is_its_arrival():
    with dg.DagsterInstance.ephemeral() as instance:
        desk = live_desk(instance)
        newest = desk.partitions.sessions.get_last_partition_key() or ""
        before = desk.partitions.sessions.get_partition_keys()[-2]
        session_day = datetime.fromisoformat(f"{newest}T00:00").replace(
            tzinfo=ZoneInfo("America/New_York")
        )
        desk.scored(newest, 0.001)
        desk.happened(FORECAST, before)
        desk.now = datetime.fromtimestamp(session_day.timestamp() + 25 * 3600, session_day.tzinfo)
        desk.tick()
        desk.tick()
        assert desk.told == []  # not due yet
        desk.now = datetime.fromtimestamp(desk.now.timestamp() + 10 * 3600, desk.now.tzinfo)
        for _ in range(3):
            desk.tick()
        desk.happened(FORECAST, newest)
        for _ in range(3):
            desk.tick()
        assert desk.told == [
            f"Forecasts or their errors are missing (sample, {newest})",
            f"Forecasts and their errors are there again (sample, {newest})",
        ]


def test_a_source_that_has_ended_is_missing_nothing(desk: Desk):
    desk.scored(DAYS[-1], 0.001)
    desk.now = datetime(2020, 1, 1, tzinfo=ZoneInfo("America/New_York"))
    desk.tick()
    desk.tick()
    assert desk.told == []


def test_nothing_was_ever_scored_is_no_absence():
    with dg.DagsterInstance.ephemeral() as instance:
        desk = live_desk(instance)
        desk.tick()
        desk.tick()
        assert desk.told == []


class Gateway:
    """In place of the real one: down, then up."""

    url = "http://127.0.0.1:9"

    def __init__(self) -> None:
        self.down = True
        self.pushed: list[str] = []

    def push(self, score: LiveScore) -> str | None:
        if self.down:
            return "connection refused"
        self.pushed.append(score.session)
        return None


def test_metrics_that_a_gateway_did_not_take_are_pushed_later(desk: Desk):
    gateway = Gateway()
    desk.metrics = gateway  # type: ignore[assignment]
    desk.scored(DAYS[-1], 0.001, pushed=False)
    assert "connection refused" in str(desk.tick().skip_reason)
    gateway.down = False
    desk.tick()
    assert gateway.pushed == []  # waits before it tries again
    desk.now = datetime.fromtimestamp(desk.now.timestamp() + 61, desk.now.tzinfo)
    desk.tick()
    desk.tick()
    assert gateway.pushed == [DAYS[-1]]
    key = dg.AssetCheckKey(RMSE, "metrics_were_pushed")
    stored = desk.instance.event_log_storage.get_asset_check_execution_history(key, limit=5)
    assert [str(record.status.value) for record in stored] == ["SUCCEEDED"]
