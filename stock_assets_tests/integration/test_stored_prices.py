"""Fetching again, in part, for more tickers, elsewhere: what is stored, and what is said of it.

Through the real graph: the files source over files that change, Yahoo's stand-in where it fails.
"""

import dataclasses
import io
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from stock_assets.asset_keys import Asset, asset_key
from stock_assets.automation.jobs import DAILY_JOB, REFETCH_JOB
from stock_assets.backfill.execution import bring_up_to_date
from stock_assets.backfill.progress import Progress
from stock_assets.backfill.project import Project, open_project, run_partitions
from stock_assets.definitions import build_definitions
from stock_assets.errors import (
    BlockingCheckError,
    RateLimitedError,
    SourceUnreachableError,
    UnknownTickerError,
)
from stock_assets.market.sessions import load_calendar
from stock_assets.market.sources.asking import RetryPolicy
from stock_assets.market.sources.sample import sample_bars
from stock_assets.market.sources.yahoo import YahooSource
from stock_assets.resources.prices import Prices
from stock_assets.settings import Settings
from stock_assets_tests.conftest import QUICK, make_home
from stock_assets_tests.dagster_runs import unrecorded_project
from stock_assets_tests.filled import fill
from stock_assets_tests.stored_rows import rows_at
from stock_assets_tests.yahoo_stand_in import Bar, Fault, Listing, YahooStandIn, forget_yahoo

# Every partition costs Dagster events: no more history than a test needs.
FIRST, LAST = date(2012, 12, 17), date(2013, 1, 31)
DAY = date(2013, 1, 17)


def sample_file(tickers: list[str]) -> pl.DataFrame:
    return sample_bars().filter(
        pl.col("session").is_between(FIRST, LAST), pl.col("ticker").is_in(tickers)
    )


def files_settings(folder: Path, **options: Any) -> Settings:
    return Settings(
        home=make_home(folder / "home"),
        store_uri=f"file://{folder / 'objects'}",
        source="files",
        files_uri=str(folder / "prices.parquet"),
        **(QUICK | options),
    )


def materialise(
    project: Project,
    assets: list[str],
    first: date,
    last: date,
    job: str = DAILY_JOB,
    **config: Any,
) -> None:
    keys = project.partitions.sessions.get_partition_keys()
    wanted = [key for key in keys if str(first) <= key <= str(last)]
    given = {"raw_prices": config} if config else None
    run_partitions(project, job, assets, wanted, keys, 1000, given)


def stored(project: Project, first: date, last: date, asset: str = "raw_prices") -> pl.DataFrame:
    paths = [
        k for k in project.store.keys(asset) if str(first) <= k.split("=")[1][:10] <= str(last)
    ]
    return rows_at(project.store, paths)


def check(project: Project, asset: str, name: str) -> dg.AssetCheckEvaluation:
    """The newest evaluation of a check."""
    key = dg.AssetCheckKey(asset_key(project.settings.dataset_name, asset), name)
    records = project.instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
    event = records[0].event.dagster_event
    assert event
    return event.event_specific_data


def text(evaluation: dg.AssetCheckEvaluation, name: str) -> str:
    return str(evaluation.metadata[name].value)


# --- revisions and quarantine ---------------------------------------------------------------------


def test_a_revision_is_recorded_shown_and_reaches_the_features(tmp_path: Path):
    bars = sample_file(["AAPL", "IBM"])
    bars.write_parquet(tmp_path / "prices.parquet")
    with open_project(files_settings(tmp_path)) as project:
        materialise(project, ["raw_prices"], FIRST, LAST)
        materialise(project, ["features"], date(2013, 1, 25), LAST)
        before = stored(project, LAST, LAST, "features")
        assert check(project, "raw_prices", "no_stored_bar_was_revised").passed
        is_it = (pl.col("ticker") == "IBM") & (pl.col("session") == date(2013, 1, 30))
        bars.with_columns(close=pl.when(is_it).then(203.5).otherwise("close")).write_parquet(
            tmp_path / "prices.parquet"
        )
        materialise(project, ["raw_prices"], date(2013, 1, 25), LAST, REFETCH_JOB)
        materialise(project, ["features"], date(2013, 1, 25), LAST)
        (row,) = stored(project, FIRST, LAST).filter(pl.col("revisions").list.len() > 0).to_dicts()
        assert (row["ticker"], row["session"], row["close"]) == ("IBM", date(2013, 1, 30), 203.5)
        (revision,) = row["revisions"]
        assert (revision["column"], revision["from"], revision["to"]) == ("close", 203.52, 203.5)
        assert revision["revised_at"] == row["fetched_at"]
        shown = check(project, "raw_prices", "no_stored_bar_was_revised")
        assert not shown.passed
        assert shown.severity is dg.AssetCheckSeverity.WARN
        assert "| IBM | 2013-01-30 | close | 203.52 | 203.5 |" in text(shown, "revisions")
        after = stored(project, LAST, LAST, "features")
        assert after.filter(pl.col("ticker") == "AAPL").equals(
            before.filter(pl.col("ticker") == "AAPL")
        )
        assert after.filter(pl.col("ticker") == "IBM")["return_1d"].item() != (
            before.filter(pl.col("ticker") == "IBM")["return_1d"].item()
        )


def test_a_worse_answer_is_refused_unless_forced(tmp_path: Path):
    bars = sample_file(["AAPL", "IBM"])
    bars.write_parquet(tmp_path / "prices.parquet")
    with open_project(files_settings(tmp_path)) as project:
        materialise(project, ["raw_prices"], FIRST, LAST)
        before = stored(project, DAY, DAY)
        day = pl.col("session") == DAY
        bars.filter(~(day & (pl.col("ticker") == "AAPL"))).with_columns(
            close=pl.when(day).then(None).otherwise("close")
        ).write_parquet(tmp_path / "prices.parquet")
        materialise(project, ["raw_prices"], DAY, DAY)
        assert stored(project, DAY, DAY).equals(before)
        refused = check(project, "raw_prices", "no_answer_was_worse")
        assert not refused.passed
        assert "| IBM | 2013-01-17 | the new answer lacks values" in text(refused, "kept_bars")
        materialise(project, ["raw_prices"], DAY, DAY, force=True)
        assert stored(project, DAY, DAY).select("ticker", "close").rows() == [("IBM", None)]


def test_a_quarantined_bar_is_stored_with_its_reason_and_the_others_go_on(tmp_path: Path):
    split = pl.when((pl.col("ticker") == "AAPL") & (pl.col("session") >= DAY))
    bad_high = pl.when((pl.col("ticker") == "IBM") & (pl.col("session") == DAY))
    sample_file(["AAPL", "IBM", "MSFT"]).with_columns(
        *(split.then(pl.col(c) / 3).otherwise(c).alias(c) for c in ("open", "low", "close")),
        high=split.then(pl.col("high") / 3).otherwise(bad_high.then(1.0).otherwise("high")),
    ).write_parquet(tmp_path / "prices.parquet")
    with open_project(files_settings(tmp_path)) as project:
        materialise(project, ["raw_prices"], FIRST, LAST)
        bars = stored(project, DAY, DAY)
        assert dict(bars.select("ticker", "quarantine_reason").iter_rows()) == {
            "AAPL": None,
            "IBM": "high is below open or close",
            "MSFT": None,
        }
        coherent = check(project, "raw_prices", "every_bar_is_coherent")
        assert not coherent.passed
        assert "| IBM | 2013-01-17 |" in text(coherent, "quarantine")
        materialise(project, ["features"], DAY, LAST)
        jump = check(project, "features", "no_unexplained_jump")
        assert not jump.passed
        assert "| AAPL | 2013-01-17 | 167.56 | 0 | 1 | -0.668" in text(jump, "quarantine")
        features = stored(project, DAY, LAST, "features")
        assert features.filter(pl.col("session") == DAY)["ticker"].to_list() == ["MSFT"]
        assert features["return_1d"].abs().max() < 0.14  # Apple fell by 12 % on 2013-01-24


def test_bars_off_session_are_counted_said_and_leave_their_events(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    bars = sample_file(["AAPL", "IBM"])
    saturday, monday = date(2013, 1, 5), date(2013, 1, 7)
    is_friday = pl.col("session") == date(2013, 1, 4)
    # AAPL's bar of Monday is missing, and so is every later one: nothing can take its dividend.
    bars = bars.filter((pl.col("ticker") == "IBM") | (pl.col("session") < monday))
    odd = bars.filter(is_friday).with_columns(session=pl.lit(saturday), dividend=pl.lit(0.85))
    pl.concat([bars, odd]).write_parquet(tmp_path / "prices.parquet")
    with open_project(files_settings(tmp_path)) as project:
        materialise(project, ["raw_prices"], FIRST, monday)
        assert stored(project, monday, monday).select("ticker", "dividend").rows() == [
            ("IBM", 0.85)
        ]
        assert "2 bars left out, on 1 days without a session of XNYS: 2013-01-05" in (
            capsys.readouterr().err
        )
        found = check(project, "raw_prices", "every_bar_lies_on_a_session")
        assert not found.passed
        assert found.severity is dg.AssetCheckSeverity.WARN
        counts = ("left_out", "events_carried", "events_lost")
        assert [found.metadata[name].value for name in counts] == [2, 1, 1]
        assert "| IBM | 2013-01-05 |" in text(found, "off_session")
        assert "| AAPL | 2013-01-05 |" in text(found, "lost_events")
        assert "IBM" not in text(found, "lost_events")
        materialise(project, ["raw_prices"], date(2013, 1, 8), LAST)
        assert check(project, "raw_prices", "every_bar_lies_on_a_session").passed


def test_bars_stored_before_revisions_were_recorded_are_read_and_merged(tmp_path: Path):
    bars = sample_file(["AAPL", "IBM"])
    bars.write_parquet(tmp_path / "prices.parquet")
    with open_project(files_settings(tmp_path)) as project:
        materialise(project, ["raw_prices"], FIRST, LAST)
        for path in project.store.keys("raw_prices")[:10]:
            old = rows_at(project.store, [path]).drop("revisions", "vendor")
            buffer = io.BytesIO()
            old.write_parquet(buffer)
            project.store.put_many({path: buffer.getvalue()})
        bars.with_columns(pl.col("volume") * 2).write_parquet(tmp_path / "prices.parquet")
        first, last = date(2012, 12, 26), date(2013, 1, 3)  # some old, some new
        materialise(project, ["raw_prices"], first, last)
        again = stored(project, first, last)
        assert again["revisions"].list.len().unique().to_list() == [1]
        materialise(project, ["features"], LAST, LAST)
        assert stored(project, LAST, LAST, "features").height == 2


# --- universe -------------------------------------------------------------------------------------


def test_adding_a_ticker_fetches_it_alone_and_removing_one_keeps_its_history(tmp_path: Path):
    sample_file(["AAPL", "IBM", "MSFT"]).write_parquet(tmp_path / "prices.parquet")
    first, last = date(2013, 1, 2), LAST
    sessions = load_calendar("XNYS").between(first, last)
    with open_project(files_settings(tmp_path, tickers="AAPL,IBM")) as project:
        assert fill(project, sessions, Asset.RAW_PRICES) == list(sessions)
        before = stored(project, first, last)
    with open_project(files_settings(tmp_path, tickers="AAPL,MSFT")) as project:
        assert fill(project, sessions, Asset.RAW_PRICES) == list(sessions)
        after = stored(project, first, last)
        # Fetch times included: the others were not asked for again.
        assert after.filter(pl.col("ticker") != "MSFT").equals(before)
        assert after.filter(pl.col("ticker") == "MSFT").height == len(sessions)
        assert fill(project, sessions, Asset.RAW_PRICES) == []
        # Told nothing of IBM any more, a new fetch leaves it where it was.
        materialise(project, ["raw_prices"], LAST, LAST)
        assert stored(project, LAST, LAST)["ticker"].to_list() == ["AAPL", "IBM", "MSFT"]
        assert check(project, "raw_prices", "every_expected_ticker_has_a_bar").passed


def test_a_ticker_that_drops_out_is_missed(tmp_path: Path):
    sample_file(["AAPL", "IBM"]).filter(
        (pl.col("ticker") == "AAPL") | (pl.col("session") < DAY)
    ).write_parquet(tmp_path / "prices.parquet")
    with open_project(files_settings(tmp_path)) as project:
        materialise(project, ["raw_prices"], FIRST, date(2013, 1, 16))
        assert check(project, "raw_prices", "every_expected_ticker_has_a_bar").passed
        materialise(project, ["raw_prices"], DAY, DAY)
        missed = check(project, "raw_prices", "every_expected_ticker_has_a_bar")
        assert not missed.passed
        assert "| IBM | 1 | 2013-01-17 | 2013-01-17 |" in text(missed, "missing_bars")
        assert check(project, "raw_prices", "sessions_are_complete").passed


def test_members_are_missed_within_their_spells_alone_and_all_bars_are_stored(tmp_path: Path):
    sample_file(["AAPL", "IBM"]).filter(
        (pl.col("ticker") == "AAPL") | (pl.col("session") < DAY)
    ).write_parquet(tmp_path / "prices.parquet")
    members = tmp_path / "members.csv"
    settings = files_settings(tmp_path, members_uri=str(members))
    for spell, missing in (("IBM,2000-01-03,2013-01-16", 0), ("IBM,2000-01-03,2013-01-18", 2)):
        members.write_text(f"ticker,first,last\nAAPL,2013-01-22,\n{spell}\n")
        with open_project(settings) as project:
            materialise(project, ["raw_prices"], DAY, LAST)
            expected = check(project, "raw_prices", "every_expected_ticker_has_a_bar")
            assert expected.metadata["missing"].value == missing
            assert expected.passed is not bool(missing)
            assert stored(project, DAY, DAY)["ticker"].to_list() == ["AAPL"]


def test_london_is_one_setting(tmp_path: Path):
    """Made-up London bars: the sessions are London's, and the whole job runs on them."""
    sessions = load_calendar("XLON").between(date(2012, 6, 1), date(2013, 1, 31))
    # The Queen's jubilee closed London on 4 and 5 June; on Independence Day it traded.
    assert date(2012, 6, 5) not in sessions
    assert date(2012, 7, 4) in sessions
    closes = [500 * 1.001 ** ((n * 7919) % 41 - 20) for n in range(len(sessions))]
    pl.DataFrame({"session": sessions, "close": closes}).join(
        pl.DataFrame({"ticker": ["VOD.L", "BP.L"]}), how="cross"
    ).with_columns(
        open=pl.col("close"),
        high=pl.col("close") * 1.01,
        low=pl.col("close") * 0.99,
        volume=pl.lit(1e6),
        dividend=pl.lit(0.0),
        split_ratio=pl.lit(1.0),
    ).write_parquet(tmp_path / "prices.parquet")
    settings = files_settings(tmp_path, calendar="XLON", train_months=4)
    with unrecorded_project(settings) as project:
        assert project.partitions.sessions.timezone == "Europe/London"
        wanted = project.range_of(date(2013, 1, 31), date(2013, 1, 31))
        bring_up_to_date(project, wanted.wanted(), Progress())
        keys = [key.split("=")[1][:10] for key in project.store.keys("raw_prices")]
        assert "2012-07-04" in keys
        assert "2012-06-05" not in keys
        scores = stored(project, date(2013, 1, 31), date(2013, 1, 31), "forecast_rmse")
        assert scores["ticker"].to_list() == ["BP.L", "VOD.L"]
        assert scores["as_of_session"].unique().to_list() == [date(2013, 1, 30)]


# --- a live source with faults --------------------------------------------------------------------

THURSDAY, FRIDAY = date(2020, 8, 27), date(2020, 8, 28)
MONDAY, TUESDAY = date(2020, 8, 31), date(2020, 9, 1)
DAYS = (THURSDAY, FRIDAY, MONDAY, TUESDAY)
EVENING = datetime(2020, 9, 1, 22, 0, tzinfo=UTC)


def flat(*days: date) -> Listing:
    return Listing([Bar(day, 50.0, 50.5, 49.5, 50.0) for day in days])


@pytest.fixture
def yahoo() -> Iterator[YahooStandIn]:
    names = ("AAPL", "BRK-B", "^GSPC")
    with YahooStandIn({name: flat(*DAYS) for name in names}, TUESDAY) as stand_in:
        forget_yahoo()
        yield stand_in
        forget_yahoo()


@pytest.fixture
def live(yahoo: YahooStandIn, tmp_path: Path) -> Iterator[Project]:
    settings = Settings(
        home=make_home(tmp_path / "home"),
        store_uri=f"file://{tmp_path / 'objects'}",
        source="yahoo",
        tickers="AAPL,BRK-B,^GSPC",
        first_session=THURSDAY,
        last_session=TUESDAY,
        **QUICK,
    )
    retries = RetryPolicy(attempts=2, first_wait=0.001, longest_wait=0.002, timeout=0.4)
    source = YahooSource(yahoo.session(), now=lambda: EVENING, retries=retries)
    prices = Prices(source, settings.tickers, load_calendar("XNYS"))
    overrides = {"prices": dg.ResourceDefinition.hardcoded_resource(prices)}
    with open_project(settings) as project:
        definitions = build_definitions(settings, overrides)
        yield dataclasses.replace(project, definitions=definitions, prices=prices)


def test_the_good_tickers_of_a_partial_answer_are_stored_and_the_rest_is_fetched_next(
    yahoo: YahooStandIn, live: Project
):
    yahoo.script("BRK-B", *[Fault.SERVER_ERROR] * 4)
    fill(live, DAYS, Asset.RAW_PRICES)
    bars = stored(live, THURSDAY, TUESDAY)
    assert sorted(bars["ticker"].unique()) == ["AAPL", "^GSPC"]
    failed = check(live, "raw_prices", "every_ticker_was_fetched")
    assert not failed.passed
    assert "1 not: BRK-B" in text(failed, "failure")
    asked = yahoo.asked("chart", "AAPL")
    assert fill(live, DAYS, Asset.RAW_PRICES) == list(DAYS)
    assert yahoo.asked("chart", "AAPL") == asked
    whole = stored(live, THURSDAY, TUESDAY)
    assert whole.height == 12
    assert whole.filter(pl.col("ticker") != "BRK-B").equals(bars)
    assert fill(live, DAYS, Asset.RAW_PRICES) == []


@pytest.mark.parametrize(
    ("fault", "error"),
    [(Fault.RATE_LIMIT, RateLimitedError), (Fault.BAD_GATEWAY, SourceUnreachableError)],
)
def test_nothing_fetched_is_an_error_and_stores_nothing(
    yahoo: YahooStandIn, live: Project, fault: Fault, error: type[Exception]
):
    for ticker in ("AAPL", "BRK-B", "^GSPC"):
        yahoo.script(ticker, *[fault] * 8)
    with pytest.raises(error):
        fill(live, DAYS, Asset.RAW_PRICES)
    assert live.store.keys("raw_prices") == []


def test_a_ticker_that_yahoo_does_not_know_is_named_when_it_is_added(live: Project):
    fill(live, DAYS, Asset.RAW_PRICES)
    prices = dataclasses.replace(live.prices, tickers=("AAPL", "GONE"))
    with pytest.raises(UnknownTickerError, match="GONE"):
        fill(dataclasses.replace(live, prices=prices), DAYS, Asset.RAW_PRICES)


def test_a_gap_in_stored_bars_does_not_need_the_network(yahoo: YahooStandIn, live: Project):
    yahoo.listings["BRK-B"] = flat(THURSDAY, FRIDAY, TUESDAY)
    fill(live, DAYS, Asset.RAW_PRICES)
    yahoo.stop()
    forget_yahoo()
    assert fill(live, DAYS, Asset.RAW_PRICES) == []
    added = dataclasses.replace(live.prices, tickers=("AAPL", "IBM"))
    with pytest.raises(SourceUnreachableError):
        fill(dataclasses.replace(live, prices=added), DAYS, Asset.RAW_PRICES)


def test_a_session_that_is_due_and_has_no_bar_stops_the_run_and_is_not_stored(
    yahoo: YahooStandIn, live: Project
):
    yahoo.listings = {name: flat(THURSDAY, FRIDAY, MONDAY) for name in ("AAPL", "BRK-B", "^GSPC")}
    with pytest.raises(
        BlockingCheckError, match=r"raw_prices of 2020-08-27\.\.2020-09-01: 1 blocking"
    ):
        fill(live, DAYS, Asset.RAW_PRICES)
    complete = check(live, "raw_prices", "sessions_are_complete")
    assert not complete.passed
    assert complete.severity is dg.AssetCheckSeverity.ERROR
    assert complete.metadata["sessions_without_bars"].value == ["2020-09-01"]
    assert not check(live, "raw_prices", "data_are_fresh").passed
    assert stored(live, THURSDAY, TUESDAY)["session"].unique().sort().to_list() == [*DAYS[:3]]
    yahoo.listings = {name: flat(*DAYS) for name in ("AAPL", "BRK-B", "^GSPC")}
    forget_yahoo()
    assert fill(live, DAYS, Asset.RAW_PRICES) == [TUESDAY]
    assert check(live, "raw_prices", "data_are_fresh").passed
