"""A plan in words and numbers."""

import re
from datetime import UTC, datetime

import dagster as dg
import pytest

from stock_assets.assets.upkeep import due_check
from stock_assets.commands import status
from stock_assets.commands.status import as_json, lines
from stock_assets.planning.plan import Due, Plan, Stored
from stock_assets.planning.stamp import Stamp
from stock_assets.planning.status import Reason, oldest_due_seconds, status_of
from stock_assets.standing import Standing

STORED = Stored(
    stamps={
        "raw_prices": {"2013-02-26": Stamp(seconds=9.0), "2013-02-27": Stamp()},
        "features": {
            "2013-02-25": Stamp(seconds=0.5),
            "2013-02-26": Stamp(seconds=2.0),
            "2013-02-27": Stamp(seconds=60.0),
        },
    },
    damaged={"raw_prices": {"2013-02-25": "its bytes are not those of its checksum"}},
    issued=frozenset({"2013-02-26"}),
)
PLAN = Plan(
    {
        "features": {
            "2013-02-27": Due("stale", "made by other code", waits=False),
            "2013-02-25": Due(
                "stale", "made by other code; waits for prices of 2013-02-25", waits=True
            ),
            "2013-02-26": Due("stale", "waits for prices of 2013-02-25", waits=True),
            "2013-02-28": Due("missing", "missing"),
        },
        "tuned_model": {"2013-03": Due("missing", "missing")},
    }
)


def test_keys_are_grouped_by_their_own_reason_and_damage_counts_unasked():
    status = status_of(PLAN, STORED)
    by_name = {one.asset: one for one in status.assets}
    assert by_name["features"].reasons == (
        Reason("missing", "missing", ("2013-02-28",)),
        Reason("stale", "made by other code", ("2013-02-25", "2013-02-27")),
        Reason("waiting", "for prices of 2013-02-25", ("2013-02-26",)),
    )
    assert by_name["raw_prices"].reasons == (
        Reason("damaged", "damaged: its bytes are not those of its checksum", ("2013-02-25",)),
    )
    assert (by_name["raw_prices"].stored, by_name["raw_prices"].newest) == (3, "2013-02-27")
    assert status.issued == 1
    assert status


def test_a_run_takes_as_long_as_the_median_of_what_there_is():
    status = status_of(PLAN, STORED)
    by_name = {one.asset: one for one in status.assets}
    assert by_name["features"].to_make == 3
    assert by_name["features"].seconds == 6.0  # three times two seconds
    assert by_name["raw_prices"].seconds == 9.0
    assert by_name["forecast_rmse"].seconds == 0.0
    # Nothing says how long a first model takes.
    assert by_name["tuned_model"].seconds is None
    assert status.seconds is None


def test_the_oldest_due_session_ages_from_the_midnight_after_it():
    noon = datetime(2013, 3, 1, 17, tzinfo=UTC)  # in New York
    # What waits is not due by itself: 2013-02-25 is damaged, over since 2013-02-26 at midnight.
    assert oldest_due_seconds(status_of(PLAN, STORED), noon, "America/New_York") == 3.5 * 86_400
    assert oldest_due_seconds(status_of(Plan({}), Stored({})), noon, "America/New_York") == 0.0
    newest = Plan({"raw_prices": {"2013-03-01": Due("missing", "missing")}})
    assert oldest_due_seconds(status_of(newest, Stored({})), noon, "America/New_York") == 0.0


def test_people_are_told_in_lines_and_programs_in_keys():
    many = {f"{year}-01-02": Due("missing", "missing") for year in range(1800, 1950)}
    found = as_json(Standing(Plan({"features": many}), STORED), "sample")
    (missing,) = found["assets"]["features"]["reasons"]
    assert (missing["count"], len(missing["keys"])) == (150, 100)
    assert (missing["first"], missing["last"]) == ("1800-01-02", "1949-01-02")
    said = lines(found)
    assert said[0] == "sample, 1 sessions issued"
    assert said[2] == (
        "asset               stored  missing  stale  damaged  waiting  newest      next run makes"
    )
    assert said[4] == (
        "features                 3      150      -        -        -  2013-02-27"
        "  150 sessions, about 5 min"
    )
    assert "features of 1800-01-02..1949-01-02 (150): missing" in said


@pytest.mark.parametrize(("width", "columns"), [(None, 8), (95, 7), (70, 6), (60, 4)])
def test_a_narrow_terminal_gets_the_columns_that_say_something(
    monkeypatch: pytest.MonkeyPatch, width: int | None, columns: int
):
    monkeypatch.setattr(status, "terminal_width", lambda: width)
    some = {f"2012-03-{day:02d}": Due("missing", "missing") for day in range(1, 11)}
    some["2012-03-11"] = Due("stale", "made by other code", waits=False)
    table = lines(as_json(Standing(Plan({"features": some}), STORED), "sample"))[2:11]
    assert len(re.split(r" {2,}", table[0])) == columns
    assert max(map(len, table)) <= (width or 200)
    assert re.split(r" {2,}", table[2])[:4] == [
        "features",
        "3",
        *(["10", "1"] if columns > 4 else ["11", "2013-02-27"]),
    ]


def test_versions_that_the_registry_lost_come_first():
    found = as_json(Standing(Plan({}), STORED, lost=[3, 4]), "sample")
    assert found["due"]
    assert lines(found)[-1].startswith("MLflow's registry lacks the stored versions 3, 4: the next")


def test_the_page_warns_with_a_row_for_each_reason():
    found = due_check(status_of(PLAN, STORED))
    assert (found.check_name, found.passed) == ("nothing_is_due", False)
    assert found.severity == dg.AssetCheckSeverity.WARN
    assert found.description == (
        "raw_prices: 1 damaged; features: 1 missing, 2 stale, 1 waiting; tuned_model: 1 missing"
    )
    rows = found.metadata["due"].records
    assert rows[2].data == {
        "asset": "features",
        "state": "stale",
        "reason": "made by other code",
        "keys": 2,
        "first": "2013-02-25",
        "last": "2013-02-27",
    }
    whole = due_check(status_of(Plan({}), Stored({})))
    assert (whole.passed, whole.description) == (True, "nothing is due")
