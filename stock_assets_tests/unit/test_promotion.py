from datetime import date

import pytest

from stock_assets.forecasting.promotion import ModelVersion, decide, version_for


def version(number: int, through: date, *, approved: bool = True) -> ModelVersion:
    return ModelVersion(through, number, approved, "random_forest")


@pytest.mark.parametrize(
    ("skill", "approved"),
    [(0.02, True), (0.0, True), (-0.01, True), (-0.0101, False), (float("nan"), False)],
)
def test_the_gate_forgives_its_margin_and_no_more(skill: float, approved: bool):
    decision = decide(skill, margin=0.01)
    assert decision.approved is approved
    assert decision.reason.startswith("approved" if approved else "rejected")


def test_a_session_is_forecast_by_the_newest_version_trained_before_it():
    versions = [
        version(1, date(2012, 8, 31)),
        version(4, date(2012, 9, 28)),
        version(2, date(2012, 10, 31)),
    ]
    assert version_for(versions, date(2012, 10, 1)) == versions[1]
    assert version_for(versions, date(2012, 10, 31)) == versions[1]
    assert version_for(versions, date(2012, 11, 1)) == versions[2]


def test_a_version_never_forecasts_from_a_session_that_it_has_seen():
    # A retrain on the evening of 15 October was not there when the 15th was forecast from.
    versions = [version(1, date(2012, 9, 28)), version(2, date(2012, 10, 15))]
    assert version_for(versions, date(2012, 10, 15)) == versions[0]
    assert version_for(versions, date(2012, 10, 16)) == versions[1]


def test_a_rejected_version_is_passed_over():
    versions = [version(1, date(2012, 8, 31)), version(2, date(2012, 9, 28), approved=False)]
    assert version_for(versions, date(2012, 10, 1)) == versions[0]
    assert version_for(versions[1:], date(2012, 10, 1)) is None


def test_of_two_trained_through_the_same_session_the_later_registered_serves():
    versions = [version(7, date(2012, 9, 28)), version(9, date(2012, 9, 28))]
    assert version_for(versions, date(2012, 10, 1)) == versions[1]
