"""A deployment whose first session is still to come: each command says so, in one line."""

from collections.abc import Callable
from datetime import date

import pytest

from stock_assets.commands.doctor import diagnose
from stock_assets.commands.promotion import promote_version, roll_back
from stock_assets.commands.report import write_report
from stock_assets.commands.stage import run_stage
from stock_assets.errors import MissingPartitionsError
from stock_assets.resources.report_rows import Asked
from stock_assets.settings import Settings

SAID = "there is no session yet: the first is 2029-06-01; set an earlier STOCK_ASSETS_FIRST_SESSION"


@pytest.fixture
def too_early(settings: Settings) -> Settings:
    of_a_source_that_goes_on = {"source": "yahoo", "tickers": ("AAPL",)}
    return settings.model_copy(
        update=of_a_source_that_goes_on | {"first_session": date(2029, 6, 1)}
    )


@pytest.mark.parametrize(
    "command",
    [
        lambda settings: promote_version(settings, 1),
        roll_back,
        lambda settings: write_report(settings, Asked(), None),
        lambda settings: run_stage(settings, "prepare"),
    ],
    ids=["promote", "rollback", "report", "stage"],
)
def test_a_command_says_so(command: Callable[[Settings], object], too_early: Settings):
    with pytest.raises(MissingPartitionsError) as raised:
        command(too_early)
    assert str(raised.value) == SAID


def test_the_doctor_says_so_and_goes_on(too_early: Settings):
    found = {finding.part: finding for finding in diagnose(too_early)}
    assert (found["source"].ok, found["source"].detail) == (False, SAID)
    assert found["store"].ok
