from datetime import datetime

import pytest

from stock_assets.market.sessions import ExchangeCalendar
from stock_assets.monitoring.absence import (
    AbsenceState,
    Due,
    due_session,
    notice,
    sessions_after,
)

# Thursday, Friday, Monday, Tuesday.
KEYS = ["2013-02-28", "2013-03-01", "2013-03-04", "2013-03-05"]


@pytest.mark.parametrize(
    ("what", "now", "due"),
    [
        ("a session's own day", "2013-03-04 18:00", "2013-03-01"),
        ("the night after", "2013-03-05 06:31", "2013-03-01"),
        ("the hour", "2013-03-05 09:00", "2013-03-04"),
        ("a session's forecasts are due on Saturday", "2013-03-02 09:00", "2013-03-01"),
        ("nothing new on Sunday", "2013-03-03 12:00", "2013-03-01"),
        ("before any", "2013-02-28 12:00", None),
    ],
)
def test_a_session_is_due_the_morning_after(what: str, now: str, due: str | None):
    keys = [key for key in KEYS if key < now]
    assert due_session(keys, datetime.fromisoformat(now), due_hour=9) == due, what


@pytest.mark.parametrize(
    ("what", "looks", "events"),
    [
        ("all there", [(0, True), (0, True)], ".."),
        ("no forecast, told once", [(0, False), (0, False), (1, False)], "M.."),
        ("a few unscored are allowed", [(1, True), (2, True)], ".."),
        ("too many are told once", [(2, True), (3, True), (4, False)], ".M."),
        ("over when all is there", [(0, False), (0, True)], "MA"),
        (
            "not over while an RMSE is missing",
            [(3, False), (2, True), (1, True), (0, True)],
            "M..A",
        ),
        ("a second gap is news", [(0, False), (0, True), (0, False)], "MAM"),
    ],
)
def test_silence_is_told_once_and_its_end_once(
    what: str, looks: list[tuple[int, bool]], events: str
):
    state, told = AbsenceState(), ""
    for unscored, there in looks:
        state, event, reasons = notice(state, Due("2013-03-01", unscored, there), 2)
        told += event.value[0].upper() if event else "."
        assert bool(reasons) == (unscored > 2 or not there)
    assert told == events, what


def test_sessions_between_are_counted_by_the_calendar(xnys: ExchangeCalendar):
    assert sessions_after(xnys, "2013-02-15", "2013-02-20") == 2  # Monday was Presidents' Day
    assert sessions_after(xnys, "2013-02-20", "2013-02-20") == 0
    assert sessions_after(xnys, "2013-02-21", "2013-02-20") == 0
