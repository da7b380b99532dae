"""kill -9 while prices are fetched by another process: between partitions, between tickers."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from stock_assets.asset_keys import Asset
from stock_assets.backfill.project import Project, open_project
from stock_assets.market.sessions import load_calendar
from stock_assets.settings import Settings
from stock_assets_tests.conftest import QUICK, make_home
from stock_assets_tests.filled import fill
from stock_assets_tests.yahoo_stand_in import Bar, Fault, Listing, YahooStandIn, forget_yahoo

SESSIONS = load_calendar("XNYS").between(date(2012, 12, 3), date(2012, 12, 31))
FETCH = """
import sys
from datetime import date
from stock_assets.backfill.project import open_project
from stock_assets.asset_keys import Asset
from stock_assets.settings import Settings
from stock_assets_tests.filled import fill
{before}
with open_project(Settings.model_validate_json(sys.argv[1])) as project:
    {patch}
    sessions = project.partitions.calendar.between(*map(date.fromisoformat, sys.argv[2:4]))
    fill(project, sessions, Asset.RAW_PRICES)
"""


def settings_in(folder: Path, **options: Any) -> Settings:
    return Settings(
        home=make_home(folder / "home"),
        store_uri=f"file://{folder / 'objects'}",
        **options,
        **QUICK,
    )


def kill_when(
    reached: Callable[[], bool], settings: Settings, first: date, last: date, **parts: str
) -> None:
    """Fetches in another process and kills it as soon as something is reached."""
    code = FETCH.format(**({"before": "", "patch": "pass"} | parts))
    child = subprocess.Popen(
        [sys.executable, "-c", code, settings.model_dump_json(), str(first), str(last)],
        cwd=settings.home,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": "/usr/bin:/bin"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not reached():
        assert child.poll() is None, child.stderr and child.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    child.kill()
    child.communicate()
    assert child.returncode == -9


def objects(folder: Path) -> dict[str, bytes]:
    return {
        path.parent.name.removeprefix("session="): path.read_bytes()
        for path in (folder / "objects").glob("*/raw_prices/*/part.parquet")
    }


def test_a_fetch_killed_between_two_partitions_is_completed_by_the_next(tmp_path: Path):
    settings = settings_in(tmp_path, sessions_per_run=3)
    kill_when(lambda: len(objects(tmp_path)) >= 7, settings, SESSIONS[0], SESSIONS[-1])
    before = objects(tmp_path)
    assert 7 <= len(before) < len(SESSIONS)
    with open_project(settings) as project:
        fetched = fill(project, SESSIONS, Asset.RAW_PRICES)
        assert [str(session) for session in SESSIONS if str(session) not in before] == [
            str(session) for session in fetched
        ]
        assert fill(project, SESSIONS, Asset.RAW_PRICES) == []
    after = objects(tmp_path)
    assert len(after) == len(SESSIONS)
    # Byte for byte, fetch times included: what was stored was not fetched again.
    assert {key: after[key] for key in before} == before


DAYS = (date(2020, 8, 27), date(2020, 8, 28), date(2020, 8, 31), date(2020, 9, 1))
BEFORE = """
import dataclasses, dagster as dg
from datetime import UTC, datetime
from stock_assets.definitions import build_definitions
from stock_assets.market.sources.yahoo import YahooSource
from stock_assets_tests.yahoo_stand_in import StandInSession
def on_stand_in(project):
    now = datetime(2020, 9, 1, 22, tzinfo=UTC)
    source = YahooSource(StandInSession({origin!r}), now=lambda: now)
    prices = dataclasses.replace(project.prices, source=source)
    overrides = {{"prices": dg.ResourceDefinition.hardcoded_resource(prices)}}
    definitions = build_definitions(project.settings, overrides)
    return dataclasses.replace(project, definitions=definitions, prices=prices)
"""


@pytest.fixture
def yahoo() -> Iterator[YahooStandIn]:
    flat = Listing([Bar(day, 50.0, 50.5, 49.5, 50.0) for day in DAYS])
    with YahooStandIn({"AAPL": flat, "IBM": flat, "MSFT": flat}, DAYS[-1]) as stand_in:
        forget_yahoo()
        yield stand_in
        forget_yahoo()


def on_stand_in(project: Project, yahoo: YahooStandIn) -> Project:
    names: dict[str, Any] = {}
    exec(BEFORE.format(origin=yahoo.origin), names)  # noqa: S102  # the same wiring as the child's
    opened: Project = names["on_stand_in"](project)
    return opened


def test_a_fetch_killed_between_two_tickers_loses_its_batch_and_nothing_stored(
    yahoo: YahooStandIn, tmp_path: Path
):
    settings = settings_in(
        tmp_path,
        source="yahoo",
        tickers="AAPL,IBM,MSFT",
        first_session=DAYS[0],
        last_session=DAYS[-1],
        sessions_per_run=2,
    )
    yahoo.script("IBM", None, Fault.SLOW)  # in the second batch, after AAPL has answered
    kill_when(
        lambda: yahoo.asked("chart", "IBM") == 2,
        settings,
        DAYS[0],
        DAYS[-1],
        before=BEFORE.format(origin=yahoo.origin),
        patch="project = on_stand_in(project)",
    )
    before = objects(tmp_path)
    assert sorted(before) == ["2020-08-27", "2020-08-28"]
    yahoo.script("IBM")
    with open_project(settings) as project:
        assert fill(on_stand_in(project, yahoo), DAYS, Asset.RAW_PRICES) == list(DAYS[2:])
    after = objects(tmp_path)
    assert sorted(after) == [str(day) for day in DAYS]
    assert {key: after[key] for key in before} == before
