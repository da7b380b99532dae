"""What each tick of a schedule asks for, of stores in which some things are missing.

The stores hold stamps alone, and ticks are literal: of the sample as if it went on.
"""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._core.definitions.schedule_definition import ScheduleExecutionData
from dagster._utils.schedules import schedule_execution_time_iterator
from obstore.store import MemoryStore

from stock_assets.asset_keys import asset_key, asset_name
from stock_assets.automation import due_now
from stock_assets.definitions import build_definitions
from stock_assets.deployment import lineage_of, load_partitions
from stock_assets.market.sources.sample import TICKERS, SampleSource
from stock_assets.planning.extent import plan_range
from stock_assets.planning.lineage import IN_ORDER, MONTH_ASSETS
from stock_assets.resources.model_registry import ModelRegistry
from stock_assets.resources.object_store import ObjectStore
from stock_assets.resources.partition_objects import object_path
from stock_assets.resources.s3_connection import S3Connection
from stock_assets.settings import Settings
from stock_assets_tests.dagster_runs import leave_run
from stock_assets_tests.stamped_store import store_stamps

NEW_YORK = ZoneInfo("America/New_York")
# Sessions: Thursday 14th, Friday 15th; Monday 18th was a holiday; Tuesday 19th to Friday 22nd.
FEW = {"train_months": 3, "min_train_sessions": 30}
SESSION_ASSETS = ["raw_prices", "features", "forecast_rmse", "daily_forecast"]
Asked = list[tuple[set[str], str, str]]


@dataclass
class Live:
    """The sample as a source that goes on, with everything stored up to 2013-02-21."""

    settings: Settings
    store: ObjectStore
    instance: dg.DagsterInstance

    def tick(self, schedule: str, at: str) -> ScheduleExecutionData:
        definitions = self.definitions
        context = dg.build_schedule_context(
            instance=self.instance,
            scheduled_execution_time=datetime.fromisoformat(at).replace(tzinfo=NEW_YORK),
            repository_def=definitions.get_repository_def(),
        )
        return definitions.resolve_schedule_def(schedule).evaluate_tick(context)

    @property
    def definitions(self) -> dg.Definitions:
        return defined(self.settings.model_dump_json(), SampleSource().last_session())

    def asked(self, schedule: str, at: str) -> Asked:
        """Assets, first and last partition of each run."""
        found = self.tick(schedule, at)
        assert found.run_requests or found.skip_message
        return [
            (
                {asset_name(key) for key in request.asset_selection or []},
                request.tags["dagster/asset_partition_range_start"],
                request.tags["dagster/asset_partition_range_end"],
            )
            for request in found.run_requests or []
        ]

    def skips(self, schedule: str, at: str) -> str:
        found = self.tick(schedule, at)
        assert not found.run_requests
        return found.skip_message or ""

    def lose(self, keys: Sequence[str], *assets: str) -> None:
        paths = {object_path(asset, key) for asset in assets or IN_ORDER for key in keys}
        self.store.delete(sorted(paths & set(self.store.keys(""))))

    def lose_everything(self) -> None:
        self.store.delete(self.store.keys(""))

    def damage(self, asset: str, key: str) -> None:
        self.store.put_many({object_path(asset, key): b"garbage"})

    def run(self, job: str, status: str = "STARTED", **tags: str) -> str:
        return leave_run(self.instance, self.settings, job, status, **tags)[:8]


@pytest.fixture(scope="module")
def whole() -> dict[str, bytes]:
    """Everything from the scores of 2013-01-31 on, and the months' models, by object."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SampleSource, "last_session", lambda _: None)
        store = in_memory()
        fill(store, date(2013, 2, 21))
        keys = store.keys("")
        return dict(zip(keys, store.get_many(keys), strict=True))


@cache
def defined(settings: str, last: date | None) -> dg.Definitions:
    assert SampleSource().last_session() == last  # as long as it is so, they are the same
    return build_definitions(Settings.model_validate_json(settings))


def in_memory() -> ObjectStore:
    store = ObjectStore("s3://memory/sample", S3Connection("", "", "", ""))
    store._store = MemoryStore()
    return store


def fill(store: ObjectStore, last: date) -> None:
    settings = Settings(**FEW)
    with dg.partition_loading_context(datetime(2013, 3, 1, 8, tzinfo=NEW_YORK)):
        partitions = load_partitions(settings)
        lineage = lineage_of(settings, partitions)
        wanted = plan_range(settings, partitions, lineage, date(2013, 1, 31), last)
        store_stamps(store, lineage, wanted.wanted(), TICKERS)


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster"))) as opened:
        yield opened


@pytest.fixture
def live(
    whole: dict[str, bytes], instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Live]:
    store = in_memory()
    store.put_many(whole)
    monkeypatch.setattr(due_now, "open_store", lambda _: nullcontext(store))
    monkeypatch.setattr(SampleSource, "last_session", lambda _: None)
    monkeypatch.setattr(ModelRegistry, "versions", lambda _: [])
    # A tick would open the instance anew.
    monkeypatch.setattr(dg.DagsterInstance, "from_ref", lambda _: instance)
    yield Live(Settings(**FEW), store, instance)
    for run in instance.get_runs():
        instance.delete_run(run.run_id)


def test_the_morning_after_a_session_asks_for_it_once_and_others_for_nothing(live: Live):
    # Friday morning: Thursday is there.
    assert live.skips("daily", "2013-02-22T06:30") == "nothing is due"
    for tick in ("2013-02-23T06:30", "2013-02-24T12:00", "2013-02-25T06:30"):
        assert live.asked("daily", tick) == [(set(SESSION_ASSETS), "2013-02-22", "2013-02-22")]


def test_three_sessions_that_an_outage_left_out_are_one_run_with_the_new_one(live: Live):
    live.lose(["2013-02-19", "2013-02-20", "2013-02-21"])
    (run,) = live.tick("daily", "2013-02-23T06:30").run_requests or []
    assert run.tags["dagster/asset_partition_range_start"] == "2013-02-19"
    assert run.tags["dagster/asset_partition_range_end"] == "2013-02-22"
    assert run.tags["stock_assets/why"] == "missing"
    assert run.tags["stock_assets/tick"] == "sample 2013-02-23T06:30-0500"
    assert run.run_key == "2013-02-23T06:30-0500 0"
    (later,) = live.tick("daily", "2013-02-23T07:00").run_requests or []
    assert later.run_key == "2013-02-23T07:00-0500 0"


def test_a_long_outage_is_cut_into_runs_that_follow_each_other(live: Live):
    live.settings = live.settings.model_copy(update={"sessions_per_run": 2})
    live.lose(["2013-02-20", "2013-02-21"])
    assert [(first, last) for _, first, last in live.asked("daily", "2013-02-23T06:30")] == [
        ("2013-02-20", "2013-02-21"),
        ("2013-02-22", "2013-02-22"),
    ]
    found = live.tick("daily", "2013-02-23T06:30").run_requests or []
    assert len({run.tags["stock_assets/tick"] for run in found}) == 1  # made in order
    assert len({run.run_key for run in found}) == 2


def test_a_session_without_data_is_tried_again_alone_while_the_others_go_on(live: Live):
    # What a morning leaves on which Thursday's bars are not there yet.
    live.lose(["2013-02-20", "2013-02-21"], "features", "daily_forecast", "forecast_rmse")
    live.lose(["2013-02-21"], "raw_prices")
    assert live.asked("daily", "2013-02-22T07:00") == [
        (set(SESSION_ASSETS), "2013-02-21", "2013-02-21"),
        ({"features", "daily_forecast", "forecast_rmse"}, "2013-02-20", "2013-02-20"),
    ]


def test_a_damaged_object_is_made_again_and_what_is_made_of_it_after_that(live: Live):
    live.damage("features", "2013-02-20")
    (run,) = live.tick("daily", "2013-02-22T07:00").run_requests or []
    assert run.asset_selection == [asset_key("sample", "features")]
    assert run.tags["dagster/asset_partition_range_start"] == "2013-02-20"
    assert run.tags["stock_assets/why"].startswith("damaged: ")


def test_a_ticker_that_is_added_is_fetched_alone_along_with_the_next_session(live: Live):
    live.settings = live.settings.model_copy(update={"tickers": (*TICKERS, "XXX")})
    assert live.skips("daily", "2013-02-22T07:00") == (
        "nothing is due but tickers never fetched: asked for with the next session"
    )
    found = live.tick("daily", "2013-02-23T06:30").run_requests or []
    alone = {"ops": {"raw_prices": {"config": {"tickers": ["XXX"]}}}}
    assert [run.run_config for run in found if run.run_config["ops"]] == [alone] * (len(found) - 1)
    assert found[-1].tags["dagster/asset_partition_range_start"] == "2013-02-22"


@pytest.mark.parametrize(
    ("job", "status"),
    [("daily_job", "QUEUED"), ("daily_job", "STARTED"), ("refetch_job", "NOT_STARTED")],
)
def test_while_a_run_is_at_it_nothing_is_asked_for(live: Live, job: str, status: str):
    run = live.run(job, status)
    assert live.skips("daily", "2013-02-23T06:30") == (
        f"something is due (missing) and run {run} of {job} is at it"
    )


def test_a_run_of_a_command_is_waited_for_whatever_it_makes(live: Live):
    run = live.run("monthly_job", **{"stock_assets/command": "1"})
    assert live.skips("daily", "2013-02-23T06:30").endswith(f"run {run} of a command is at it")


def test_runs_that_are_over_or_of_another_dataset_or_of_months_are_not_waited_for(live: Live):
    for status in ("SUCCESS", "FAILURE", "CANCELED"):
        live.run("daily_job", status)
    live.run("daily_job", **{"stock_assets/dataset": "another"})
    live.run("monthly_job")
    live.run("report_job")
    assert len(live.asked("daily", "2013-02-23T06:30")) == 1


def test_a_run_whose_machine_died_is_waited_for_three_hours(
    live: Live, monkeypatch: pytest.MonkeyPatch
):
    live.run("daily_job")
    monkeypatch.setattr(
        "stock_assets.automation.under_way.LONGEST_SILENCE", timedelta(microseconds=1)
    )
    assert len(live.asked("daily", "2013-02-23T06:30")) == 1


def test_of_an_empty_store_the_newest_session_is_asked_for_with_its_history(live: Live):
    live.lose_everything()
    found = live.asked("daily", "2013-02-22T06:30")
    assert set(found[-1][0]) == set(SESSION_ASSETS)
    assert found[-1][2] == "2013-02-21"
    assert len(found) <= 6
    assert found == sorted(found, key=lambda run: run[1])


def test_before_the_first_session_there_is_nothing(live: Live):
    live.settings = live.settings.model_copy(update={"first_session": date(2013, 2, 22)})
    for schedule in ("daily", "monthly", "refetch"):
        assert live.skips(schedule, "2013-02-22T08:00") == "there is no session yet"


def test_a_source_that_has_ended_is_asked_for_what_is_due_up_to_what_is_stored(
    live: Live, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(SampleSource, "last_session", lambda _: date(2013, 3, 1))
    assert live.skips("daily", "2026-11-24T06:30") == "nothing is due"
    assert live.skips("monthly", "2026-11-24T08:00") == "nothing is due"
    live.lose(["2013-02-20"])
    assert live.asked("daily", "2026-11-24T06:30") == [
        (set(SESSION_ASSETS), "2013-02-20", "2013-02-20")
    ]
    live.lose_everything()
    assert live.skips("daily", "2026-11-24T06:30").startswith("nothing is stored yet")


def test_the_month_that_has_begun_is_trained_once_its_sessions_are_there(live: Live):
    assert live.skips("monthly", "2013-02-22T08:00") == "nothing is due"
    # Friday 2013-03-01: the sessions from the 22nd on are missing, and the month learns from them.
    waiting = live.skips("monthly", "2013-03-01T08:00")
    assert waiting.startswith("1 months can't be made yet: 2013-03 is missing; waits for ")
    assert waiting.endswith(" 2013-02-22")
    fill(live.store, date(2013, 2, 28))
    assert live.asked("monthly", "2013-03-01T08:30") == [(set(MONTH_ASSETS), "2013-03", "2013-03")]
    live.lose(["2013-02"], "tuned_model", "registered_version")
    found = live.asked("monthly", "2013-03-01T08:30")
    assert ({"tuned_model", "registered_version"}, "2013-02", "2013-02") in found


def test_the_monthly_schedule_waits_for_the_daily_run(live: Live):
    live.lose(["2013-02"], *MONTH_ASSETS)
    run = live.run("daily_job", "QUEUED")
    assert live.skips("monthly", "2013-02-22T08:00").endswith(f"run {run} of daily_job is at it")


@pytest.mark.parametrize(
    ("morning", "first", "last"),
    [
        ("2013-02-22", "2013-02-14", "2013-02-21"),
        ("2013-02-19", "2013-02-11", "2013-02-15"),  # Monday was no session
    ],
)
def test_refetch_asks_for_the_prices_of_the_last_five_sessions_in_one_run(
    live: Live, morning: str, first: str, last: str
):
    assert live.asked("refetch", f"{morning}T07:30") == [(set(), first, last)]
    job = live.definitions.resolve_job_def("refetch_job")
    assert job.asset_layer.selected_asset_keys == {asset_key("sample", "raw_prices")}


def test_schedules_are_in_exchange_time_and_off_until_turned_on(live: Live):
    ticks = {
        "daily": "06:30 07:00 07:30 08:00 08:30 09:00 09:30 10:00 10:30 11:00 11:30 12:00",
        "monthly": "08:00 08:30 09:00 09:30 10:00 10:30 11:00 11:30 12:00",
        "refetch": "07:30",
    }
    for name, times in ticks.items():
        schedule = live.definitions.resolve_schedule_def(name)
        assert schedule.execution_timezone == "America/New_York"
        assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
        midnight = datetime(2013, 2, 22, tzinfo=NEW_YORK)
        coming = schedule_execution_time_iterator(
            midnight.timestamp(), schedule.cron_schedule, schedule.execution_timezone
        )
        today = itertools.islice(coming, len(times.split()))
        assert [f"{at.astimezone(NEW_YORK):%H:%M}" for at in today] == times.split()


@pytest.mark.parametrize("day", ["2013-03-10", "2013-11-03"])
def test_each_tick_of_a_morning_comes_once_when_clocks_change(live: Live, day: str):
    schedule = live.definitions.resolve_schedule_def("daily")
    midnight = datetime.fromisoformat(day).replace(tzinfo=NEW_YORK)
    coming = schedule_execution_time_iterator(
        midnight.timestamp(), schedule.cron_schedule, schedule.execution_timezone
    )
    until_noon = itertools.takewhile(lambda at: f"{at.astimezone(NEW_YORK):%F}" == day, coming)
    assert [f"{at.astimezone(NEW_YORK):%H:%M}" for at in until_noon] == [
        "06:30", "07:00", "07:30", "08:00", "08:30", "09:00", "09:30", "10:00", "10:30", "11:00",
        "11:30", "12:00",
    ]  # fmt: skip
