import math
from datetime import date, timedelta

import polars as pl
import pytest

from stock_assets.errors import NotEnoughHistoryError
from stock_assets.forecasting.features import build_features
from stock_assets.forecasting.splits import (
    Fold,
    labelled_rows,
    rows_between,
    split_sessions,
    ticker_weights,
    walk_forward_folds,
)
from stock_assets.market.sessions import ExchangeCalendar
from stock_assets.market.sources.sample import sample_bars


def test_october_2012_is_split_at_these_sessions(xnys: ExchangeCalendar):
    split = split_sessions(xnys, date(2012, 9, 28), date(2009, 10, 1), test_sessions=30)
    # The last test label is realised on the last session of September; 30 sessions are tested.
    assert split.trained_through == date(2012, 9, 28)
    assert (split.test_first, split.test_last) == (date(2012, 8, 16), date(2012, 9, 27))
    assert len(xnys.between(split.test_first, split.test_last)) == 30
    # The label of 14 August is realised on the 15th, before the first test session.
    assert split.train_last == date(2012, 8, 14)


def test_a_split_without_train_sessions_is_refused(xnys: ExchangeCalendar):
    with pytest.raises(NotEnoughHistoryError, match="no train session left"):
        split_sessions(xnys, date(2012, 9, 28), date(2012, 8, 15), test_sessions=30)


def test_a_label_is_the_next_sessions_return_in_units_of_volatility(xnys: ExchangeCalendar):
    features = build_features(sample_bars(), xnys)
    rows = labelled_rows(features, xnys)
    friday = rows.row(
        by_predicate=(pl.col("ticker") == "AAPL") & (pl.col("session") == date(2012, 10, 26)),
        named=True,
    )
    # Hurricane Sandy: the next session was Wednesday. AAPL closed 604.00, then 595.32.
    assert friday["label_session"] == date(2012, 10, 31)
    assert friday["return_next"] == pytest.approx(-0.014475, abs=1e-6)
    assert friday["label"] == friday["return_next"] / friday["volatility_1d"]


def test_a_row_before_a_missed_session_has_no_label(xnys: ExchangeCalendar):
    features = build_features(sample_bars().filter(pl.col("ticker") == "IBM"), xnys)
    holed = features.filter(pl.col("session") != date(2012, 3, 1))
    sessions = labelled_rows(holed, xnys)["session"]
    assert date(2012, 2, 29) not in sessions
    assert date(2012, 3, 2) in sessions


def test_no_train_label_reaches_into_the_test_set(xnys: ExchangeCalendar):
    rows = labelled_rows(build_features(sample_bars(), xnys), xnys)
    split = split_sessions(xnys, date(2012, 9, 28), date(2009, 10, 1), test_sessions=30)
    train = rows_between(rows, split.train_first, split.train_last)
    test = rows_between(rows, split.test_first, split.test_last)
    assert train["label_session"].max() == date(2012, 8, 15)
    assert test["session"].min() == date(2012, 8, 16)
    assert test["label_session"].max() == date(2012, 9, 28)


def test_a_label_of_three_sessions_is_the_return_over_all_of_them(xnys: ExchangeCalendar):
    features = build_features(sample_bars().filter(pl.col("ticker") == "AAPL"), xnys)
    next_three = features.filter(
        pl.col("session").is_between(date(2012, 10, 31), date(2012, 11, 2))
    )
    friday = labelled_rows(features, xnys, horizon=3).row(
        by_predicate=pl.col("session") == date(2012, 10, 26), named=True
    )
    # AAPL closed 604.00 before the storm, and 576.80 on the third session after.
    assert friday["label_session"] == date(2012, 11, 2)
    assert friday["return_next"] == pytest.approx(math.log(576.80 / 604.00), abs=1e-9)
    assert friday["label"] == friday["return_next"] / friday["volatility_1d"]
    assert friday["range_variance_next"] == pytest.approx(next_three["range_variance_1d"].mean())


def test_a_row_before_a_hole_in_its_horizon_has_no_label(xnys: ExchangeCalendar):
    features = build_features(sample_bars().filter(pl.col("ticker") == "IBM"), xnys)
    holed = features.filter(pl.col("session") != date(2012, 3, 1))
    found = labelled_rows(holed, xnys, horizon=3)["session"]
    assert not set(found) & set(xnys.between(date(2012, 2, 27), date(2012, 3, 1)))
    assert {date(2012, 2, 24), date(2012, 3, 2)} <= set(found)


@pytest.mark.parametrize("horizon", [1, 2, 3, 4, 5])
def test_no_label_of_any_horizon_reaches_over_a_boundary(xnys: ExchangeCalendar, horizon: int):
    rows = labelled_rows(build_features(sample_bars(), xnys), xnys, horizon)
    split = split_sessions(xnys, date(2012, 9, 28), date(2009, 10, 1), 30, horizon)
    train = rows_between(rows, split.train_first, split.train_last)
    test = rows_between(rows, split.test_first, split.test_last)
    assert test["session"].n_unique() == 30
    assert test["label_session"].max() == split.trained_through
    # One session later the label would be one of the test set's first session.
    assert xnys.next_session(train["label_session"].max()) == test["session"].min()
    for fold in walk_forward_folds(train["session"].unique().sort().to_list(), 4, horizon):
        fitted = train.filter(pl.col("session") <= fold.train_last)
        assert xnys.next_session(fitted["label_session"].max()) == fold.validate_first


def test_folds_walk_forward_and_purge_the_last_label():
    days = [date(2020, 1, 1) + timedelta(days=n) for n in range(32)]
    assert walk_forward_folds(days, 3) == [
        Fold(date(2020, 1, 7), date(2020, 1, 9), date(2020, 1, 16)),
        Fold(date(2020, 1, 15), date(2020, 1, 17), date(2020, 1, 24)),
        Fold(date(2020, 1, 23), date(2020, 1, 25), date(2020, 2, 1)),
    ]


def test_too_few_sessions_for_the_folds_are_refused():
    days = [date(2020, 1, 1) + timedelta(days=n) for n in range(19)]
    with pytest.raises(NotEnoughHistoryError, match="19 train sessions are too few for 3 folds"):
        walk_forward_folds(days, 3)


def test_a_label_is_bounded(xnys: ExchangeCalendar):
    """A price that stood still for a while would give labels of hundreds."""
    features = build_features(sample_bars(), xnys).with_columns(
        volatility_1d=pl.when(pl.col("ticker") == "MSFT").then(1e-4).otherwise("volatility_1d")
    )
    rows = labelled_rows(features, xnys)
    assert rows["label"].abs().max() == 6.0
    assert rows["return_next"].abs().max() > 0.1
    assert labelled_rows(features, xnys, 4)["label"].abs().max() == 12.0


def test_no_ticker_outweighs_the_others():
    """The random walk's loss of each ticker is the same, whatever its labels are."""
    rows = pl.DataFrame({"ticker": ["A"] * 4 + ["B"] * 4, "label": [1.0, -1, 1, -1, 6.0, -6, 6, 6]})
    weighed = rows.with_columns(loss=ticker_weights(rows) * pl.col("label") ** 2)
    assert weighed.group_by("ticker").agg(pl.col("loss").mean())["loss"].to_list() == [1.0, 1.0]
    # One that never moves would otherwise be infinitely important.
    still = pl.DataFrame({"ticker": ["A"] * 2, "label": [0.0, 0.01]})
    assert ticker_weights(still).to_list() == [4.0, 4.0]
