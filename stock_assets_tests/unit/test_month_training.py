"""Which parameters a month is trained with, and what its stored value is."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest

from stock_assets.errors import NotEnoughHistoryError, RegistryError
from stock_assets.forecasting.month_training import MonthTraining, prepare_training
from stock_assets.forecasting.study import MonthStudy, SkippedMonth, Study, month_study
from stock_assets.resources.model_settings import settings_of_studies
from stock_assets.settings import Settings

SETTINGS = settings_of_studies(Settings())
SKIPPED = SkippedMonth("2013-01", "10 labelled rows", SETTINGS)
STUDY = Study(
    month="2013-01",
    model_family="ridge",
    family="random_walk",
    horizon=1,
    train_first=date(2012, 7, 2),
    train_last=date(2012, 12, 14),
    test_first=date(2012, 12, 17),
    test_last=date(2012, 12, 28),
    trained_through=date(2012, 12, 31),
    train_rows=500,
    test_rows=50,
    tickers=["AAPL", "IBM"],
    params={"alpha": 10.0},
    params_from="2013-01",
    slope=0.0,
    slope_estimate=0.25,
    slope_standard_error=0.5,
    scores={"test_skill": None, "test_crps": 0.125},
    test_pit_counts=[5] * 10,
    test_losses={"session": ["2012-12-17"], "candidate": [1.5], "random_walk": [1.25]},
    test_interval_losses={"session": ["2012-12-17"], "crps": [0.5]},
    settings={"model_family": "ridge"},
    data_hash="d",
    code_hash="c",
    fingerprint="f",
    mlflow_run_id="run",
    mlflow_model_id="model",
)


def prepared(
    month: str, lender: str, through: date, stored: Mapping[str, MonthStudy]
) -> MonthTraining:
    rows = [{"session": through - timedelta(1), "label_session": through, "label": 0.0}]
    return prepare_training(
        month, pl.DataFrame(rows), pl.DataFrame(rows), SETTINGS, lender, stored.__getitem__
    )


def chosen(order: MonthTraining) -> tuple[Any, str]:
    return order.params, order.params_from


def test_a_lender_searches_and_the_others_take_what_it_found():
    stored = {"2013-01": STUDY}
    assert chosen(prepared("2013-01", "2013-01", date(2012, 12, 31), {})) == (None, "2013-01")
    lent = prepared("2013-02", "2013-01", date(2013, 1, 31), stored)
    assert chosen(lent) == ({"alpha": 10.0}, "2013-01")


def test_a_month_whose_lender_could_not_be_trained_searches_itself():
    order = prepared("2013-02", "2013-01", date(2013, 1, 31), {"2013-01": SKIPPED})
    assert chosen(order) == (None, "2013-02")


def test_training_again_within_the_month_never_searches():
    before = replace(STUDY, params={"alpha": 2.0})
    of_lender = prepared("2013-01", "2013-01", date(2013, 1, 9), {"2013-01": before})
    assert chosen(of_lender) == ({"alpha": 2.0}, "2013-01")
    stored = {"2013-01": STUDY, "2013-02": replace(before, month="2013-02")}
    assert chosen(prepared("2013-02", "2013-01", date(2013, 2, 11), stored)) == (
        {"alpha": 10.0},
        "2013-01",
    )
    stored["2013-01"] = SKIPPED
    assert chosen(prepared("2013-02", "2013-01", date(2013, 2, 11), stored)) == (
        {"alpha": 2.0},
        "2013-02",
    )
    with pytest.raises(NotEnoughHistoryError, match="train again with: 10 labelled rows"):
        prepared("2013-01", "2013-01", date(2013, 1, 9), {"2013-01": SKIPPED})


def test_other_parameters_are_another_training():
    through, others = date(2013, 1, 31), {"2013-01": replace(STUDY, params={"alpha": 11.0})}
    one, same, other = (
        prepared("2013-02", "2013-01", through, stored).identity["fingerprint"]
        for stored in ({"2013-01": STUDY}, {"2013-01": STUDY}, others)
    )
    assert one == same != other


def test_a_study_is_stored_as_plain_values():
    values = STUDY.as_values()
    assert values["status"] == "trained"
    assert (values["train_first"], values["trained_through"]) == ("2012-07-02", "2012-12-31")
    assert (values["test_skill"], values["test_crps"]) == (None, 0.125)
    assert "scores" not in values
    assert month_study(values | {"later": "field"}) == STUDY
    assert "mlflow_run_id" not in replace(STUDY, mlflow_run_id="").as_values()
    skipped = SKIPPED.as_values()
    assert (skipped["status"], skipped["month"]) == ("not_enough_history", "2013-01")
    assert month_study(skipped) == SKIPPED


def test_a_study_of_an_older_release_is_named():
    values = STUDY.as_values()
    del values["test_interval_losses"]
    with pytest.raises(RegistryError) as refused:
        month_study(values)
    assert str(refused.value) == (
        "tuned_model of 2013-01 holds no test_interval_losses: an older release made it;"
        " materialise it again"
    )


def test_a_study_knows_whether_it_has_seen_its_own_month():
    assert not STUDY.is_retrain
    assert replace(STUDY, trained_through=date(2013, 1, 2)).is_retrain
