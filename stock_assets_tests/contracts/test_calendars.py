"""The packaged session tables against exchange_calendars, which they were made from."""

import json
import os
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import exchange_calendars
import pytest

from stock_assets.market.sessions import load_calendar
from stock_assets_tests.conftest import CHECKOUT


@pytest.mark.parametrize("exchange", ["XNYS", "XLON", "XTKS"])
def test_the_packaged_sessions_are_those_of_exchange_calendars(exchange: str):
    ours = load_calendar(exchange)
    theirs = exchange_calendars.get_calendar(
        exchange, start=ours.first.isoformat(), end=ours.last.isoformat()
    )
    assert [session.date() for session in theirs.sessions] == list(ours.sessions)
    assert str(theirs.tz) == ours.time_zone
    assert theirs.open_times[-1][1].strftime("%H:%M") == ours.open
    assert theirs.close_times[-1][1].strftime("%H:%M") == ours.close


@pytest.mark.parametrize("exchange", ["XNYS", "XLON", "XTKS"])
def test_the_tables_reach_at_least_two_years_ahead(exchange: str):
    assert load_calendar(exchange).last.year >= date.today().year + 2  # noqa: DTZ011


def test_another_exchange_is_added_by_the_documented_command(tmp_path: Path):
    """In a copy of the package: the command writes beside itself."""
    shutil.copytree(CHECKOUT / "stock_assets", tmp_path / "stock_assets")
    subprocess.run(
        [sys.executable, "-m", "stock_assets.market.calendars", "XPAR"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        check=True,
    )
    table = json.loads((tmp_path / "stock_assets/market/calendars/XPAR.json").read_text())
    assert (table["time_zone"], table["open"], table["close"]) == ("Europe/Paris", "09:00", "17:30")
    assert "2013-05-01" in table["weekday_holidays"]
    assert "2013-07-14" not in table["weekday_holidays"]  # Bastille Day is a day of trading
    assert not (CHECKOUT / "stock_assets/market/calendars/XPAR.json").exists()
