"""Checks of months that fail for a reason: a label beyond a boundary, no skill, nothing served."""

from datetime import date
from typing import Any

import polars as pl
import pytest

from stock_assets.assets.training_checks import (
    check_serving,
    check_skill,
    check_test_labels,
    check_test_sessions,
    check_train_labels,
)
from stock_assets.forecasting.splits import SplitSessions
from stock_assets.forecasting.study import SkippedMonth, Study

SPLIT = SplitSessions(
    date(2012, 1, 3), date(2012, 12, 13), date(2012, 12, 17), date(2013, 1, 30), date(2013, 1, 31)
)


def month(*labels: date, sessions: int = 1) -> dict[str, tuple[SplitSessions, pl.DataFrame]]:
    days = [date(2012, 12, 17 + n % sessions) for n in range(len(labels))]
    rows = pl.DataFrame({"session": days, "label_session": list(labels)})
    return {"2013-02": (SPLIT, rows)}


def test_a_train_label_of_the_first_test_session_is_a_leak():
    assert check_train_labels(month(date(2012, 12, 14))).passed
    leak = check_train_labels(month(date(2012, 12, 14), date(2012, 12, 17)))
    assert not leak.passed
    assert leak.description == "2013-02: a label of 2012-12-17, tested from 2012-12-17"
    assert check_train_labels({}).passed  # too little history: no rows


def test_a_test_label_may_be_of_the_last_session_looked_at_and_not_later():
    assert check_test_labels(month(date(2013, 1, 31))).passed
    late = check_test_labels(month(date(2013, 2, 1)))
    assert (late.passed, late.description) == (
        False,
        "2013-02: a label of 2013-02-01, trained through 2013-01-31",
    )


def test_a_test_set_that_lacks_sessions_is_told():
    two = month(date(2013, 1, 2), date(2013, 1, 3), sessions=2)
    assert check_test_sessions(two, 2).passed
    assert check_test_sessions(two, 3).description == "2013-02: 2 of 3 sessions"
    assert not check_test_sessions(two, 3).passed


def study(skill: float | None) -> Any:
    made = Study.__new__(Study)
    object.__setattr__(made, "month", "2013-02")
    object.__setattr__(made, "scores", {"test_skill": skill})
    return made


def test_a_skill_that_nobody_could_compute_is_told():
    skipped = SkippedMonth("2013-01", "too little history", {})
    assert check_skill([skipped, study(-0.1)]).passed
    unknown = check_skill([skipped, study(None)])
    assert (unknown.passed, unknown.description) == (False, "unknown of 2013-02")


@pytest.mark.parametrize(
    ("points", "intervals", "passed"),
    [(True, False, True), (False, True, True), (False, False, False)],
)
def test_a_month_that_serves_with_nothing_is_told(points: bool, intervals: bool, passed: bool):
    value = {
        "month": "2013-02",
        "version": 3,
        "approved": points,
        "reason": "one",
        "intervals_approved": intervals,
        "intervals_reason": "two",
    }
    without = value | {"month": "2013-03", "version": None, "approved": False}
    result = check_serving([value, without])
    assert result.passed is passed
    assert result.description == "2013-02: points one; intervals two"
