"""What is due of a store, and why in words: stamps of what is stored against what is wanted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

import pytest

from stock_assets.asset_keys import Asset
from stock_assets.forecasting.fingerprint import source_hash
from stock_assets.forecasting.promotion import ModelVersion, Promotion
from stock_assets.forecasting.training_months import TrainingMonths
from stock_assets.market.sessions import load_calendar
from stock_assets.planning.lineage import IN_ORDER, MONTH_ASSETS, Lineage, Rules, Window
from stock_assets.planning.plan import Due, Plan, Stored, Wanted, make_plan
from stock_assets.planning.stamp import Stamp

XNYS = load_calendar("XNYS")
SESSIONS = [str(s) for s in XNYS.between(date(2011, 12, 1), date(2012, 8, 10))]
MONTHS = ["2012-05", "2012-06", "2012-07", "2012-08"]
"""May lends to June, July to August: blocks of two, counted from year 0."""
RULES = Rules(
    windows={
        Asset.FEATURES: [Window(Asset.RAW_PRICES, 3)],
        Asset.DAILY_FORECAST: [Window(Asset.FEATURES, 2)],
        Asset.FORECAST_RMSE: [Window(Asset.DAILY_FORECAST, 2, 1), Window(Asset.RAW_PRICES, 4)],
    },
    settings={Asset.TUNED_MODEL: {"trees": 200}, Asset.FORECAST_RMSE: {"rmse_window": 2}},
    months=TrainingMonths(XNYS, date(2011, 12, 1), 3, 5, 10, 1, 2),
)
TICKERS = ("AAPL", "IBM")
WANTED = Wanted(
    {
        Asset.RAW_PRICES: SESSIONS,
        Asset.FEATURES: SESSIONS,
        **dict.fromkeys(MONTH_ASSETS, MONTHS),
        Asset.DAILY_FORECAST: SESSIONS[-30:],
        Asset.FORECAST_RMSE: SESSIONS[-29:],
    }
)
VERSIONS = [
    ModelVersion(date(2012, 4, 30), 1, True, "ridge", (), True, "of May"),
    ModelVersion(date(2012, 5, 31), 2, True, "ridge", (), False, "of June"),
    ModelVersion(date(2012, 6, 29), 3, False, "ridge", (), True, "of July"),
    ModelVersion(date(2012, 7, 31), 4, True, "ridge", (), True, "of August"),
]


@dataclass
class Shelf:
    """What is stored, stamp by stamp, with the lineage by which it is made."""

    lineage: Lineage = field(default_factory=lambda: Lineage(RULES, SESSIONS))
    stamps: dict[str, dict[str, Stamp]] = field(default_factory=lambda: {a: {} for a in IN_ORDER})
    versions: Sequence[ModelVersion] = tuple(VERSIONS)
    retrained: Mapping[str, Sequence[date]] = field(default_factory=dict)
    minutes: int = 0

    def make(self, asset: str, keys: Sequence[str], value: str = "v") -> None:
        """Stores objects as they would be made now; equal words are equal values."""
        self.minutes += 1
        made = self.lineage.made_of(asset, keys, self.stamps, self.versions, self.retrained)
        marks = {"params": "p"} if asset == Asset.TUNED_MODEL else {}
        for key, stamp in made.items():
            self.stamps[asset][key] = replace(
                stamp, value=value, marks=marks, made_at=f"2012-08-11T00:{self.minutes:02d}"
            )

    def make_all(self, value: str = "v") -> "Shelf":
        for asset in IN_ORDER:
            # A month's search is there before the next month takes it over.
            for keys in map(list, WANTED.of(asset)) if asset == Asset.TUNED_MODEL else []:
                self.make(asset, ["".join(keys)], value)
            if asset != Asset.TUNED_MODEL:
                self.make(asset, list(WANTED.of(asset)), value)
        return self

    def stored(self, **more: object) -> Stored:
        asked = dict.fromkeys(self.stamps[Asset.RAW_PRICES], frozenset(TICKERS))
        return Stored(self.stamps, **{"asked": asked, "retrained": self.retrained} | more)  # type: ignore[arg-type]

    def plan(self, tickers: Sequence[str] = TICKERS, **more: object) -> Plan:
        return make_plan(self.lineage, self.stored(**more), WANTED, self.versions, tickers)

    def with_rules(self, **changed: object) -> None:
        self.lineage = Lineage(replace(RULES, **changed), SESSIONS)  # type: ignore[arg-type]


@pytest.fixture
def shelf() -> Shelf:
    return Shelf().make_all()


def reasons(plan: Plan) -> dict[str, dict[str, str]]:
    return {a: {k: d.reason for k, d in due.items()} for a, due in plan.due.items() if due}


def test_nothing_is_due_of_what_was_just_made(shelf: Shelf):
    assert not shelf.plan()
    assert reasons(shelf.plan()) == {}


def test_of_nothing_all_is_missing_and_waits_for_what_it_is_made_of():
    plan = Shelf().plan()
    assert {asset: plan.count(asset, "missing") for asset in IN_ORDER} == {
        "raw_prices": 175, "features": 175, "train_set": 4, "test_set": 4, "tuned_model": 4,
        "registered_version": 4, "daily_forecast": 30, "forecast_rmse": 29,
    }  # fmt: skip
    assert list(plan.ready("raw_prices")) == SESSIONS
    assert [plan.ready(asset) for asset in IN_ORDER[1:]] == [{}] * 7
    last = {asset: due[WANTED.of(asset)[-1]] for asset, due in plan.due.items()}
    assert all(due.state == "missing" and due.certain for due in last.values())
    assert {asset: due.reason for asset, due in last.items()} == {
        "raw_prices": "missing",
        "features": "missing; waits for prices of 2012-08-08",
        "train_set": "missing; waits for features of 2012-05-01",
        "test_set": "missing; waits for features of 2012-07-24",
        "tuned_model": "missing; waits for the train set of 2012-08",
        "registered_version": "missing; waits for the model of 2012-08",
        "daily_forecast": "missing; waits for features of 2012-08-09",
        "forecast_rmse": "missing; waits for the forecast of 2012-08-08",
    }


def test_a_session_that_is_gone_holds_up_what_its_windows_reach(shelf: Shelf):
    del shelf.stamps["raw_prices"]["2012-08-07"]
    del shelf.stamps["features"]["2012-08-07"]
    plan = shelf.plan()
    assert plan.due["raw_prices"] == {"2012-08-07": Due("missing", "missing", certain=True)}
    assert reasons(plan)["features"] == {
        "2012-08-07": "missing; waits for prices of 2012-08-07",
        "2012-08-08": "waits for prices of 2012-08-07",
        "2012-08-09": "waits for prices of 2012-08-07",
    }
    assert list(plan.due["daily_forecast"]) == [
        "2012-08-07", "2012-08-08", "2012-08-09", "2012-08-10",
    ]  # fmt: skip
    assert plan.due["daily_forecast"]["2012-08-10"] == Due(
        "stale", "waits for features of 2012-08-09", waits=True
    )


def test_a_revision_makes_its_windows_stale_and_names_its_session(shelf: Shelf):
    shelf.make("raw_prices", ["2012-08-07"], "revised")
    plan = shelf.plan()
    assert reasons(plan)["features"] == dict.fromkeys(
        ["2012-08-07", "2012-08-08", "2012-08-09"],
        "prices of 2012-08-07 were fetched later or revised",
    )
    assert all(due == {} for asset, due in plan.due.items() if asset in MONTH_ASSETS)
    assert plan.due["forecast_rmse"]["2012-08-10"].reason == (
        "prices of 2012-08-07 were fetched later or revised; waits for the forecast of 2012-08-08"
    )
    shelf.make("raw_prices", SESSIONS[-6:], "revised")
    assert shelf.plan().due["features"]["2012-08-10"].reason == (
        "prices of 2012-08-08, 2012-08-09, 2012-08-10 were fetched later or revised"
    )


def test_what_is_made_again_with_equal_values_makes_nothing_else_stale(shelf: Shelf):
    shelf.make("raw_prices", ["2012-08-07"], "revised")
    shelf.make("features", ["2012-08-07", "2012-08-08", "2012-08-09"])
    assert reasons(shelf.plan()) == {
        "forecast_rmse": dict.fromkeys(
            ["2012-08-07", "2012-08-08", "2012-08-09", "2012-08-10"],
            "prices of 2012-08-07 were fetched later or revised",
        )
    }
    shelf.make("features", ["2012-08-08"], "other")
    # Those that were made since are named: which of them changed, nobody noted.
    assert reasons(shelf.plan())["daily_forecast"] == {
        "2012-08-08": "features of 2012-08-07, 2012-08-08 changed",
        "2012-08-09": "features of 2012-08-08, 2012-08-09 changed",
    }
    shelf.make("raw_prices", ["2012-08-07"])  # the revision is taken back
    shelf.make("features", ["2012-08-07", "2012-08-08", "2012-08-09"])
    assert not shelf.plan()


def test_a_month_learns_from_its_own_sessions_alone(shelf: Shelf):
    shelf.make("features", ["2012-06-29"], "other")  # the last before July
    plan = shelf.plan()
    assert reasons(plan)["test_set"] == {"2012-07": "features of 2012-06-29 changed"}
    assert reasons(plan)["train_set"] == {
        # Trained rows need the outcome of their next session; the digest takes in the test set's.
        "2012-07": "features of 2012-06-29 changed",
        "2012-08": "features of 2012-06-29 changed",
    }
    assert reasons(plan)["tuned_model"] == {
        "2012-07": "waits for the train set of 2012-07",
        "2012-08": "waits for the train set of 2012-08",
    }
    shelf.make("train_set", ["2012-07", "2012-08"])
    shelf.make("test_set", ["2012-07"], "other")
    plan = shelf.plan()
    assert reasons(plan)["tuned_model"] == {
        "2012-07": "the test set went into it that are others now",
        "2012-08": "waits for the search of 2012-07",
    }


SETTINGS = {
    "one that matters to an asset": (
        {"settings": {**RULES.settings, Asset.TUNED_MODEL: {"trees": 300}}},
        {"tuned_model": "made with trees 200, now 300"},
    ),
    "one that is new": (
        {"settings": {**RULES.settings, Asset.REGISTERED_VERSION: {"gate_margin": 0.02}}},
        {"registered_version": "made with gate_margin nothing, now 0.02"},
    ),
}


@pytest.mark.parametrize("which", SETTINGS)
def test_settings_make_stale_what_they_matter_to(shelf: Shelf, which: str):
    changed, expected = SETTINGS[which]
    shelf.with_rules(**changed)
    plan = shelf.plan()
    for asset, reason in expected.items():
        first = plan.due[asset]["2012-05"]
        assert (first.reason, first.waits, first.certain) == (reason, False, True)
        assert len(plan.due[asset]) == 4
    assert not any(plan.due[asset] for asset in ("features", "train_set", "test_set"))
    shelf.with_rules()
    assert not shelf.plan()


def test_another_span_of_data_is_told(shelf: Shelf):
    shelf.with_rules(months=replace(RULES.months, train_months=2))
    assert shelf.plan().due["train_set"]["2012-08"].reason == (
        "made with data 2012-05-01..2012-07-20, now 2012-06-01..2012-07-20;"
        " features went into it that are others now"
    )
    shelf.with_rules(months=replace(RULES.months, min_train_sessions=500))
    assert shelf.plan().due["test_set"]["2012-08"].reason == (
        "made with data 2012-07-24..2012-07-31, now too little history;"
        " features went into it that are others now"
    )


def test_other_code_makes_its_own_asset_stale(shelf: Shelf, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        "stock_assets.planning.lineage.source_hash",
        lambda module: "changed" if module.endswith(".evaluation") else source_hash(module),
    )
    plan = shelf.plan()
    assert reasons(plan) == {"forecast_rmse": dict.fromkeys(SESSIONS[-29:], "made by other code")}
    assert plan.due["forecast_rmse"][SESSIONS[-1]].certain


def test_an_older_release_is_told(shelf: Shelf):
    shelf.stamps["features"]["2012-08-10"] = Stamp()
    assert reasons(shelf.plan())["features"] == {
        "2012-08-10": "an older release made it, which did not say of what"
    }


def test_what_is_damaged_says_how(shelf: Shelf):
    del shelf.stamps["features"]["2012-08-10"]
    plan = shelf.plan(damaged={"features": {"2012-08-10": "its checksum is another's"}})
    assert plan.due["features"] == {
        "2012-08-10": Due("damaged", "damaged: its checksum is another's", certain=True)
    }
    assert plan.damaged == {("features", "2012-08-10"): "its checksum is another's"}


def test_more_tickers_are_fetched_alone_and_hold_up_nothing(shelf: Shelf):
    asked = {**shelf.stored().asked, "2012-08-10": frozenset({"AAPL"})}
    plan = shelf.plan(asked=asked)
    assert plan.due["raw_prices"] == {
        "2012-08-10": Due("stale", "IBM never fetched", tickers=("IBM",))
    }
    assert reasons(plan) == {"raw_prices": {"2012-08-10": "IBM never fetched"}}
    more = shelf.plan(("AAPL", "GE", "GM", "IBM", "KO", "T"))
    assert more.due["raw_prices"]["2012-08-10"].reason == "GE, GM, KO and 1 more never fetched"
    # One that is not wanted any more is due nowhere.
    assert not shelf.plan(("AAPL",))


def test_issued_forecasts_are_never_due(shelf: Shelf):
    for session in SESSIONS[-2:]:
        del shelf.stamps["daily_forecast"][session]
    assert list(shelf.plan(issued=frozenset({SESSIONS[-1]})).due["daily_forecast"]) == [
        SESSIONS[-2]
    ]


def test_anew_is_what_was_made_before_someone_asked(shelf: Shelf):
    anew = {"features": {"2012-08-09": "2012-08-11T00:59", "2012-08-10": "2012-08-10T00:00"}}
    plan = shelf.plan(anew=anew)
    assert plan.due["features"] == {
        "2012-08-09": Due("stale", "asked for anew on 2012-08-11", certain=True)
    }


def test_who_serves_is_told(shelf: Shelf):
    # Of the two parts: the point of June serves in July, the intervals of July.
    promoted = replace(VERSIONS[0], promotions=(Promotion(date(2012, 8, 8), "2012-08-09"),))
    shelf.versions = [promoted, *VERSIONS[1:]]
    assert reasons(shelf.plan()) == {
        "daily_forecast": dict.fromkeys(SESSIONS[-2:], "another version serves it now"),
        "forecast_rmse": {SESSIONS[-1]: "waits for the forecast of 2012-08-09"},
    }


def test_who_judges_a_month_is_told(shelf: Shelf):
    shelf.versions = [*VERSIONS[:2], replace(VERSIONS[2], approved=True), VERSIONS[3]]
    plan = shelf.plan()
    assert reasons(plan)["registered_version"] == {
        "2012-08": "the champion of its day is another now"
    }
    # What judges by the same training under another number judges the same.
    renumbered = [replace(one, version=one.version + 10) for one in VERSIONS]
    shelf.versions = renumbered
    assert "registered_version" not in reasons(shelf.plan())
    assert "daily_forecast" in reasons(shelf.plan())


def test_whose_search_is_used_is_told(shelf: Shelf):
    july = shelf.stamps["tuned_model"]["2012-07"]
    shelf.stamps["tuned_model"]["2012-07"] = replace(july, marks={"params": "others"})
    plan = shelf.plan()
    assert plan.due["tuned_model"] == {
        "2012-08": Due("stale", "the search of 2012-07 found other parameters")
    }


RETRAINED = {"2012-07": (date(2012, 7, 12), date(2012, 7, 20))}


def retrain(shelf: Shelf) -> None:
    shelf.retrained = RETRAINED
    shelf.versions = [
        *VERSIONS[:3],
        ModelVersion(date(2012, 7, 12), 5, True, "ridge", (), True, "of July, again"),
        ModelVersion(date(2012, 7, 20), 6, True, "ridge", (), True, "of July, once more"),
        VERSIONS[3],
    ]


def test_a_month_that_was_trained_again_is_made_of_its_own_sessions_too(shelf: Shelf):
    retrain(shelf)
    plan = shelf.plan()
    assert plan.retrained == RETRAINED
    assert plan.due["train_set"]["2012-07"].reason == (
        "made with data 2012-04-01..2012-06-20, now 2012-04-01..2012-07-11;"
        " features went into it that are others now"
    )
    for asset in MONTH_ASSETS:
        shelf.make(asset, ["2012-07"], "again")
    assert shelf.stamps["registered_version"]["2012-07"].inputs["champions"] == (
        "of June/of May & of June/of July & of July, again/of July, again"
    )
    for asset in ("registered_version", "daily_forecast", "forecast_rmse"):
        shelf.make(asset, [key for key in WANTED.of(asset) if key != "2012-07"])
    assert not shelf.plan()
    shelf.make("features", ["2012-07-19"], "other")
    assert shelf.plan().due["test_set"]["2012-07"].reason == "features of 2012-07-19 changed"


def test_a_judge_of_its_first_version_makes_a_retrained_month_stale(shelf: Shelf):
    retrain(shelf)
    for asset in IN_ORDER[2:]:
        shelf.make(asset, WANTED.of(asset))
    shelf.versions = [VERSIONS[0], replace(VERSIONS[1], approved=False), *shelf.versions[2:]]
    assert shelf.plan().due["registered_version"] == {
        "2012-07": Due("stale", "the champion of its day is another now"),
    }


def test_wanted_with_other_keys():
    wanted = Wanted({"features": ["2012-08-09"]}).with_keys({("features", "2012-08-08")})
    assert wanted.of("features") == ["2012-08-08", "2012-08-09"]
    assert wanted.of("raw_prices") == []
