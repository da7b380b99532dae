"""A source that fails for three sessions, a machine that is off for two more, and the next morning.

Dagster's daemon, the schedule `daily`, the sensor, the code server and its runs are real processes;
their clock is moved from morning to morning, and the sample is a source that goes on.
"""

import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from stock_assets.asset_keys import asset_key
from stock_assets.backfill.execution import bring_up_to_date
from stock_assets.backfill.progress import Progress
from stock_assets.backfill.project import open_project
from stock_assets.planning.lineage import SESSION_ASSETS
from stock_assets.settings import Settings
from stock_assets_tests.conftest import CHECKOUT, QUICK, make_home
from stock_assets_tests.loopback import Inbox, inbox
from stock_assets_tests.services import moved_clock
from stock_assets_tests.services.daemon import binary, start_daemon

FIRST, BEFORE = date(2012, 9, 4), date(2013, 2, 13)
FAILED = ["2013-02-14", "2013-02-15", "2013-02-19"]  # Monday 18th was a holiday
OFF = ["2013-02-20", "2013-02-21"]
PATIENCE_SECONDS = 90.0
# No month can be trained: random walks and the normal distribution are all it takes.
FEW = {**QUICK, "min_train_sessions": 1000, "rmse_threshold": 9, "rmse_threshold_ratio": 9}


@dataclass
class World:
    home: Path
    told_at: Inbox
    seen: dict[str, list[str]] = field(default_factory=dict)

    def at(self, moment: str) -> None:
        """Moves the clock of all processes to a moment in New York."""
        there = datetime.fromisoformat(moment).replace(tzinfo=ZoneInfo("America/New_York"))
        moved_clock.move(self.home / "clock" / "now", there)

    def instance(self) -> dg.DagsterInstance:
        os.chdir(self.home)
        return dg.DagsterInstance.from_config(str(self.home))

    def runs(self, *statuses: str) -> list[dg.DagsterRun]:
        wanted = [dg.DagsterRunStatus[status] for status in statuses]
        with self.instance() as instance:
            return [
                run
                for run in instance.get_runs(dg.RunsFilter(statuses=wanted))
                if run.job_name == "daily_job" and "stock_assets/tick" in run.tags
            ]

    def ranges(self, *statuses: str) -> list[tuple[str, str]]:
        """First and last session of the schedule's runs, oldest first."""
        return [
            (
                run.tags["dagster/asset_partition_range_start"],
                run.tags["dagster/asset_partition_range_end"],
            )
            for run in reversed(self.runs(*statuses))
        ]

    @property
    def told(self) -> list[str]:
        return [
            one["message"].rpartition("Reference: ")[2].strip() for one in self.told_at.messages
        ]

    def skips(self) -> list[str]:
        """What the schedule's ticks said that asked for nothing, newest first."""
        with self.instance() as instance:
            (state,) = [
                one for one in instance.all_instigator_state() if one.instigator_name == "daily"
            ]
            ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id)
        return [tick.skip_reason for tick in ticks if tick.skip_reason]

    def has_judged(self, session: str) -> bool:
        with self.instance() as instance:
            for state in instance.all_instigator_state():
                if state.instigator_name == "rmse_above_threshold" and state.instigator_data:
                    cursor = str(state.instigator_data.cursor or "")
                    return f'"newest_session":"{session}"' in cursor.replace(" ", "")
        return False


def wait_until(condition: Callable[[], object], complaint: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{complaint} within {PATIENCE_SECONDS:.0f} s"
        time.sleep(0.3)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The finished story."""
    home = make_home(tmp_path_factory.mktemp("outage"))
    (home / "clock").mkdir()
    (home / "clock" / "sitecustomize.py").write_text(moved_clock.SITECUSTOMIZE)
    (home / "workspace.yaml").write_text(
        "load_from:\n  - python_module:\n"
        "      module_name: stock_assets_tests.services.outage_location\n"
        "      location_name: stock_assets\n"
    )
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        world = World(home, stack.enter_context(inbox()))
        settings = Settings(
            home=home, store_uri=f"file://{home / 'objects'}", first_session=FIRST, **FEW
        )
        with open_project(settings.model_copy(update={"last_session": BEFORE})) as project:
            bring_up_to_date(project, project.range_of(BEFORE, BEFORE).wanted(), Progress())
        given = FEW | {
            "home": home,
            "store_uri": settings.store_uri,
            "first_session": FIRST,
            "sensor_interval_seconds": 1,
            "notify_urls": world.told_at.url.replace("http://", "json://"),
        }
        for name, value in given.items():
            patch.setenv(f"STOCK_ASSETS_{name.upper()}", str(value))
        patch.setenv("DAGSTER_HOME", str(home))
        patch.setenv("PYTHONPATH", f"{home / 'clock'}:{CHECKOUT}")
        patch.setenv(moved_clock.VARIABLE, str(home / "clock" / "now"))
        patch.setenv("SOURCE_IS_DOWN", str(home / "down"))
        # Beats would be as old as the clock is moved.
        patch.setenv("DAGSTER_DAEMON_HEARTBEAT_TOLERANCE", "100000000")
        tell_the_story(world, stack)
        yield world


def tell_the_story(world: World, stack: ExitStack) -> None:
    world.at("2013-02-14T06:40")
    for kind, name in (("schedule", "daily"), ("sensor", "rmse_above_threshold")):
        subprocess.run(
            [binary("dagster"), kind, "start", name, "-w", "workspace.yaml"],
            cwd=world.home,
            check=True,
            capture_output=True,
            timeout=120,
        )
    (world.home / "down").touch()
    daemon = start_daemon(world.home, stack)
    wait_until(lambda: world.has_judged(str(BEFORE)), "the sensor did not judge")
    ticks = ("2013-02-15T06:30:01", "2013-02-15T07:00:01", "2013-02-16T06:30:01")
    for number, moment in enumerate((*ticks, "2013-02-20T06:30:01"), 1):
        world.at(moment)
        wait_until(
            lambda number=number: len(world.runs("FAILURE")) == number, f"no run of {moment} failed"
        )
    os.killpg(daemon.pid, signal.SIGKILL)
    daemon.wait()
    (world.home / "down").unlink()
    world.seen["before"] = list(world.told)
    world.at("2013-02-22T06:40")
    start_daemon(world.home, stack)
    wait_until(lambda: world.runs("SUCCESS"), "no run succeeded")
    wait_until(lambda: len(world.told) == 2, "nobody was told that it is over")
    world.at("2013-02-22T09:30:01")
    wait_until(lambda: "nothing is due" in world.skips(), "no tick found all done")
    time.sleep(6)  # two looks of the sensor: room for what must not come


@pytest.mark.timeout(400)
def test_each_morning_asks_once_for_all_that_is_missing_by_then(world: World):
    assert world.ranges("FAILURE") == [
        ("2013-02-14", "2013-02-14"),
        ("2013-02-14", "2013-02-14"),
        ("2013-02-14", "2013-02-15"),
        ("2013-02-14", "2013-02-19"),
    ]


def test_the_next_good_tick_makes_all_sessions_in_one_run(world: World):
    assert world.ranges("SUCCESS") == [(FAILED[0], OFF[-1])]
    assert world.ranges("QUEUED", "STARTED", "STARTING", "NOT_STARTED") == []


def test_each_session_is_made_once(world: World):
    with world.instance() as instance:
        for asset in SESSION_ASSETS:
            records = instance.fetch_materializations(
                asset_key("sample", asset), limit=1000
            ).records
            made = Counter(record.partition_key for record in records)
            assert {key: made[key] for key in FAILED + OFF} == dict.fromkeys(FAILED + OFF, 1)
            assert set(made.values()) == {1}


def test_people_are_told_once_that_it_broke_and_once_that_it_is_over(world: World):
    assert world.seen["before"] == ["sample/missing/2013-02-14"]
    assert world.told == ["sample/missing/2013-02-14", "sample/arrived/2013-02-20"]
