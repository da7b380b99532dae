"""What a plan asks Dagster for: which assets and keys are made in one run, in which order."""

from datetime import date

from stock_assets.planning.plan import Due, Plan
from stock_assets.planning.work import (
    Work,
    months_due,
    neighbouring_ranges,
    runs_of_sessions,
    sessions_due,
)

MISSING = Due("missing", "missing", certain=True)
LATER = Due("missing", "missing; waits for prices of 2013-02-27", waits=True, certain=True)
MAYBE = Due("stale", "waits for features of 2013-02-27", waits=True)
SETS = ("train_set", "test_set")
MONTHLY = (*SETS, "tuned_model", "registered_version")


def sets(month: str, due: Due = MISSING) -> dict[str, dict[str, Due]]:
    return {key: {month: due} for key in SETS}


def test_sessions_with_the_same_tickers_are_made_together():
    lacks = Due("stale", "IBM never fetched", tickers=("IBM",))
    plan = Plan({"raw_prices": {"2013-02-26": MISSING, "2013-02-27": lacks, "2013-02-28": lacks}})
    assert list(sessions_due(plan, "raw_prices")) == [
        Work(("raw_prices",), ["2013-02-26"], "missing"),
        Work(
            ("raw_prices",),
            ["2013-02-27", "2013-02-28"],
            "IBM never fetched",
            {"raw_prices": {"tickers": ["IBM"]}},
        ),
    ]
    assert list(sessions_due(Plan({"features": {"2013-02-27": LATER}}), "features")) == []


def test_a_month_is_made_at_once_of_what_is_due_for_certain():
    plan = Plan(
        {
            **{key: {"2013-01": MISSING, "2013-02": MISSING} for key in SETS},
            "tuned_model": {"2013-01": LATER, "2013-02": LATER},
            "registered_version": {"2013-01": LATER, "2013-02": LATER, "2013-03": MAYBE},
        }
    )
    assert list(months_due(plan)) == [Work(MONTHLY, ["2013-01", "2013-02"], "missing")]


def test_months_come_in_order_whatever_they_lack():
    changed = Due("stale", "the champion of its day is another now")
    plan = Plan(
        {
            "tuned_model": {"2013-01": MISSING, "2013-02": MAYBE, "2013-04": MISSING},
            "registered_version": {"2013-02": changed, "2013-03": changed},
        }
    )
    assert [(work.assets, work.keys) for work in months_due(plan)] == [
        (("tuned_model",), ["2013-01"]),
        (("registered_version",), ["2013-02", "2013-03"]),
        (("tuned_model",), ["2013-04"]),
    ]


def test_a_month_whose_sessions_are_due_waits_as_a_whole():
    plan = Plan({**sets("2013-02", LATER), "tuned_model": {"2013-02": MISSING}})
    assert list(months_due(plan)) == []


def test_a_month_that_was_trained_again_is_made_in_the_order_of_its_trainings():
    retrained = {"2013-02": (date(2013, 2, 8), date(2013, 2, 15))}
    changed = Due("stale", "the champion of its day is another now")
    plan = Plan(
        {"registered_version": dict.fromkeys(["2013-01", "2013-02", "2013-03"], changed)},
        retrained,
    )
    found = [(work.assets, work.keys, work.config) for work in months_due(plan)]
    assert found == [
        (("registered_version",), ["2013-01"], {}),
        (MONTHLY, ["2013-02"], {}),
        (MONTHLY, ["2013-02"], {key: {"train_through": "2013-02-08"} for key in SETS}),
        (MONTHLY, ["2013-02"], {key: {"train_through": "2013-02-15"} for key in SETS}),
        (("registered_version",), ["2013-03"], {}),
    ]
    # Sets alone are those of the last training.
    (work,) = months_due(Plan({"test_set": {"2013-02": MISSING}}, retrained))
    assert (work.assets, work.config) == (
        ("test_set",),
        {"test_set": {"train_through": "2013-02-15"}},
    )


EVERY = ["2013-02-25", "2013-02-26", "2013-02-27", "2013-02-28", "2013-03-01"]


def test_an_outage_is_made_good_in_few_runs():
    gone = EVERY[1:4]
    plan = Plan(
        {
            "raw_prices": dict.fromkeys(gone, MISSING),
            "features": {**dict.fromkeys(gone, LATER), EVERY[4]: MAYBE},
            "daily_forecast": {**dict.fromkeys(gone, LATER), EVERY[4]: MAYBE},
        }
    )
    assets = ("raw_prices", "features", "daily_forecast")
    works = list(runs_of_sessions(plan, EVERY, 2))
    assert [(work.assets, work.keys) for work in works] == [
        (assets, ["2013-02-26", "2013-02-27"]),
        (assets, ["2013-02-28"]),
    ]


def test_neighbours_are_those_of_the_calendar():
    assert neighbouring_ranges([EVERY[0], EVERY[1], EVERY[3], EVERY[4]], EVERY, 10) == [
        ("2013-02-25", "2013-02-26"),
        ("2013-02-28", "2013-03-01"),
    ]
    assert neighbouring_ranges(EVERY, EVERY, 2) == [
        ("2013-02-25", "2013-02-26"),
        ("2013-02-27", "2013-02-28"),
        ("2013-03-01", "2013-03-01"),
    ]
    assert neighbouring_ranges([], EVERY, 2) == []
