"""Which keys there ought to be: of a range, and of a dataset as it stands."""

from collections.abc import Mapping, Sequence
from datetime import date

import pytest

from stock_assets.deployment import lineage_of
from stock_assets.errors import SettingsError
from stock_assets.market.sessions import load_calendar
from stock_assets.partitions import Partitions
from stock_assets.planning.extent import Range, extent, plan_range
from stock_assets.settings import Settings

SETTINGS = Settings(train_months=3, min_train_sessions=30, test_sessions=10, retune_months=2)
ENDED = Partitions(load_calendar("XNYS"), date(2010, 1, 4), date(2013, 3, 1))
LIVE = Partitions(load_calendar("XNYS"), date(2010, 1, 4), date(2013, 3, 1), is_live=True)


def of_dataset(stored: Mapping[str, Sequence[str]], partitions: Partitions = ENDED) -> Range | None:
    return extent(SETTINGS, partitions, lineage_of(SETTINGS, partitions), stored)


def test_a_range_needs_the_history_before_it():
    lineage = lineage_of(SETTINGS, ENDED)
    found = plan_range(SETTINGS, ENDED, lineage, date(2013, 2, 2), date(2013, 2, 6))
    assert found.targets == (date(2013, 2, 4), date(2013, 2, 5), date(2013, 2, 6))
    # The first target was forecast the session before, the last is forecast from.
    assert found.forecasts == (date(2013, 2, 1), *found.targets)
    # January lends to February: blocks of two, counted from year 0.
    assert found.months == ("2013-01", "2013-02")
    # Intervals follow 250 sessions before the first forecast, models begin in October 2012.
    assert (found.features[0], found.features[-1]) == (date(2012, 2, 2), date(2013, 2, 6))
    assert len(found.features) == 250 + 4
    assert len(found.prices) - len(found.features) == 387
    wanted = found.wanted()
    assert wanted.of("tuned_model") == ["2013-01", "2013-02"]
    assert wanted.of("forecast_rmse") == ["2013-02-04", "2013-02-05", "2013-02-06"]


def test_a_range_without_a_session_is_refused():
    lineage = lineage_of(SETTINGS, ENDED)
    with pytest.raises(SettingsError, match="no session to run in 2013-03-02"):
        plan_range(SETTINGS, ENDED, lineage, date(2013, 3, 2), date(2013, 3, 8))


def test_a_dataset_that_ended_reaches_from_its_first_forecast_to_its_last():
    found = of_dataset(
        {"daily_forecast": ["2013-02-06", "2013-02-01"], "forecast_rmse": ["2013-02-08"]}
    )
    assert found
    # The hole in between is part of it.
    assert (found.forecasts[0], found.forecasts[-1]) == (date(2013, 2, 1), date(2013, 2, 8))
    assert len(found.forecasts) == 6
    assert found.targets == found.forecasts[1:]
    assert of_dataset({"raw_prices": ["2013-02-06"]}) is None


def test_a_dataset_that_goes_on_reaches_up_to_its_newest_session():
    found = of_dataset({"daily_forecast": ["2013-02-26"]}, LIVE)
    assert found
    assert found.targets == (date(2013, 2, 27), date(2013, 2, 28), date(2013, 3, 1))
    only_newest = of_dataset({}, LIVE)
    assert only_newest
    assert only_newest.targets == (date(2013, 3, 1),)


def test_earlier_months_that_are_stored_are_wanted_as_they_may_judge():
    stored = {
        "daily_forecast": ["2013-02-26"],
        # Of before there were prices, and of after the last forecast, nothing can judge.
        "registered_version": ["2009-12", "2012-06", "2012-10", "2013-04"],
    }
    found = of_dataset(stored)
    assert found
    assert found.months == ("2012-05", "2012-06", "2012-09", "2012-10", "2013-01", "2013-02")
    assert str(found.features[0]) == "2012-02-01"
    # Some session is always scored.
    assert found.forecasts == (date(2013, 2, 25), date(2013, 2, 26))
