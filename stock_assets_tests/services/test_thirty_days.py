"""Thirty trading days of the documented production site, in which something is killed all the time.

Dagster's daemon asks, workers of Celery do it, PostgreSQL and Redis keep it: each is killed at
moments that a seed chooses, and started again as a supervisor would. At the end there is what an
undisturbed machine makes in one go on SQLite.
"""

import os
import random
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from stock_assets.automation.under_way import UNFINISHED
from stock_assets.backfill.execution import bring_up_to_date
from stock_assets.backfill.progress import Progress
from stock_assets.backfill.project import open_project
from stock_assets.commands.verify import verify_record
from stock_assets.environment import load_settings
from stock_assets.market.sessions import ExchangeCalendar
from stock_assets.read import open_dataset
from stock_assets.resources.object_store import open_store
from stock_assets.resources.partition_objects import object_path
from stock_assets.settings import Settings
from stock_assets_tests.conftest import make_home
from stock_assets_tests.services.production_site import Site, production_site
from stock_assets_tests.services.test_executors import SHORT
from stock_assets_tests.waiting import until

SEED = int(os.environ.get("THIRTY_DAYS_SEED", "20130301"))
TICKERS = ["AAPL", "IBM"]
BEFORE, FIRST, LAST = date(2013, 1, 11), date(2013, 1, 14), date(2013, 2, 26)  # 30 sessions
BAD = date(2013, 1, 16)
# What is killed, each morning another one.
KILLED = ["worker-0", "redis", "daemon", "postgres", "code"]
# Sessions that each morning finds, from the first on. Where there are several, the whole site was
# off for days: their forecasts are hindsight, but for the newest. A month begins after the 13th.
MORNINGS = [1, 1, 1, 10, 1, 16]
if "THIRTY_MORNINGS" in os.environ:  # half an hour: no day is hindsight
    MORNINGS = [1] * 30
DAILY = ("forecast_rmse", "daily_forecast")
KEPT_APART = {"store_uri", "home", "postgres_url", "executor", "celery_broker_url"}


@dataclass
class Story:
    site: Site
    settings: Settings
    folder: Path
    killed: list[str] = field(default_factory=list)
    seconds: list[tuple[str, float]] = field(default_factory=list)

    def has(self, key: str, *assets: str) -> bool:
        with open_store(self.settings) as store:
            return all(object_path(asset, key) in store.keys(asset) for asset in assets)

    def failures(self) -> list[dg.DagsterRun]:
        return self.site.runs(statuses=[dg.DagsterRunStatus.FAILURE])

    def told(self) -> list[str]:
        return [
            message["message"].rpartition("Reference: sample/")[2].strip()
            for message in self.site.told_at.messages
        ]

    def is_quiet(self) -> bool:
        return not self.site.runs(statuses=UNFINISHED)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, xnys: ExchangeCalendar) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("thirty")
    given = SHORT | {
        "rmse_threshold": 9, "rmse_threshold_ratio": 9, "forecast_due_hour": 9,
        "daily_schedule": "*/10 6-9 * * *", "monthly_schedule": "*/10 8-9 * * *",
    }  # fmt: skip
    with (
        production_site(folder, 2, store_uri=f"file://{folder}/objects", **given) as site,
        site.settled(),
    ):
        site.at("2013-01-14T06:40")
        past = load_settings(last_session=BEFORE)
        with open_project(past) as project:
            bring_up_to_date(project, project.range_of(BEFORE, BEFORE).wanted(), Progress())
        story = Story(site, load_settings(), folder)
        site.turn_on(schedule=["daily", "monthly"], sensor=["rmse_above_threshold"])
        for part in ("worker-0", "worker-1", "daemon"):
            site.start(part)
        live_through(story, xnys)
        yield story


def live_through(story: Story, xnys: ExchangeCalendar) -> None:
    dice = random.Random(SEED)
    parts = (KILLED * 6)[: len(MORNINGS) - 1]
    dice.shuffle(parts)
    sessions = iter(xnys.between(FIRST, LAST))
    for number in MORNINGS:
        newest = [next(sessions) for _ in range(number)][-1]
        began = time.monotonic()
        if newest == BAD:
            spend_a_bad_day(story, newest)
        else:
            spend_a_morning(story, newest, parts.pop(), dice)
        story.seconds.append((str(newest), time.monotonic() - began))
    assert next(sessions, None) is None


def ticks(story: Story, day: date, hour: int, minute: int) -> Iterator[None]:
    """The clock goes from tick to tick of a schedule, until the market opens."""
    for at in range(hour * 60 + minute, 9 * 60 + 30, 10):
        story.site.at(f"{day}T{at // 60:02}:{at % 60:02}:01")
        yield


def spend_a_morning(story: Story, session: date, part: str, dice: random.Random) -> None:
    delay, down = dice.uniform(0, 9), dice.uniform(0, 2)
    morning = session + timedelta(days=1)
    for _ in ticks(story, morning, 6, 30):
        if part:
            time.sleep(delay)
            with suppress(Exception):
                story.site.kill(part)
            story.killed.append(part)
            time.sleep(down)
            if part != "code":
                story.site.start(part)
            part = ""
        if is_made(story, str(session), *DAILY):
            break
    else:
        pytest.fail(f"{session} was not made before the market opened\n{story.site.logs()}")
    until("a word that it is over", lambda: len(story.told()) % 2 == 0)
    if (month := f"{morning:%Y-%m}") != f"{session:%Y-%m}":
        for _ in ticks(story, morning, 8, 0):
            if is_made(story, month, "registered_version"):
                return
        pytest.fail(f"{month} has no version\n{story.site.logs()}")


def is_made(story: Story, key: str, *assets: str) -> bool:
    """Whether a tick's runs are over, those that Dagster started again too, and made it."""
    deadline = time.monotonic() + 120
    quiet_since = time.monotonic()
    while time.monotonic() < min(deadline, quiet_since + 25):
        time.sleep(0.5)
        with suppress(OSError):
            if not story.is_quiet():
                quiet_since = time.monotonic()
            elif story.has(key, *assets):
                return True
    return False


def spend_a_bad_day(story: Story, session: date) -> None:
    """The source does not answer until people are told."""
    down = story.site.home / "down"
    down.touch()
    before = {run.run_id for run in story.failures()}
    for number, (hour, minute) in enumerate(((6, 30), (9, 0)), 1):
        next(ticks(story, session + timedelta(days=1), hour, minute))
        until("a failure", lambda number=number: len(story.failures()) == len(before) + number)
    until("a word of it", lambda: len(story.told()) == 1)
    down.unlink()
    for _ in ticks(story, session + timedelta(days=1), 9, 10):
        if is_made(story, str(session), *DAILY):
            break
    until("a word of its end", lambda: len(story.told()) == 2)


@pytest.mark.timeout(1500)
def test_every_morning_issued_its_forecasts_once_before_the_market_opened(story: Story):
    print(story.seconds, story.killed)
    found = verify_record(story.settings)
    assert (found["ok"], found["last_session"]) == (True, str(LAST))
    assert found["issued"] == len(MORNINGS)
    with open_dataset(story.settings) as dataset:
        made = dataset.forecasts(str(FIRST + timedelta(days=1)))
    assert made.height == 30 * len(TICKERS)
    assert made.select("ticker", "as_of_session").is_unique().all()
    issued = made.drop_nulls("issued_at").group_by("record_number").len()
    assert sorted(issued.rows()) == [
        (number, len(TICKERS)) for number in range(1, len(MORNINGS) + 1)
    ]


def test_all_is_equal_to_what_one_undisturbed_machine_makes(story: Story, tmp_path: Path):
    given = story.settings.model_dump(exclude=KEPT_APART, exclude_unset=True)
    home = make_home(tmp_path / "home")
    alone = Settings(
        **given | {"home": home, "store_uri": f"file://{tmp_path}/objects", "last_session": LAST}
    )
    with open_project(alone) as project:
        bring_up_to_date(project, project.range_of(BEFORE, LAST).wanted(), Progress())
    numbers = {}
    for name, settings in (("killed", story.settings), ("alone", alone)):
        with open_dataset(settings) as dataset:
            numbers[name] = [
                table.select(pl.col("ticker"), pl.selectors.date(), pl.selectors.float())
                for table in (
                    dataset.forecasts(str(FIRST + timedelta(days=1))),
                    dataset.scores(str(FIRST), str(LAST)),
                )
            ]
    for killed, undisturbed in zip(numbers["killed"], numbers["alone"], strict=True):
        assert undisturbed.height == 30 * len(TICKERS)
        assert_frame_equal(killed, undisturbed, rel_tol=0, abs_tol=1e-9)


def test_people_were_told_of_the_bad_day_once_and_of_its_end_once(story: Story):
    told = [message.partition("/") for message in story.told()]
    assert [f"{kind}/{session}" for kind, _, session in told[:2]] == [
        f"missing/{BAD}", f"arrived/{BAD}",
    ]  # fmt: skip
    # So they were of each time that the site was off, and of nothing that was killed.
    absences = 1 + sum(number > 1 for number in MORNINGS)
    assert [kind for kind, _, _ in told] == ["missing", "arrived"] * absences


def test_no_run_is_left_open(story: Story):
    assert story.is_quiet()
    assert set(story.killed) == set(KILLED)
