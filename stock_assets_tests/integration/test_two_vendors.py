"""Yahoo's stand-in beside a vendor of JSON: outages of either, disagreements, what is stored."""

import dataclasses
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from urllib.parse import quote

import dagster as dg
import polars as pl
import pytest

from stock_assets.asset_keys import Asset, asset_key
from stock_assets.automation.jobs import REFETCH_JOB
from stock_assets.backfill.project import Project, open_project, run_partitions
from stock_assets.definitions import build_definitions
from stock_assets.environment import load_settings
from stock_assets.errors import SourceUnreachableError, UnknownTickerError, UnsettledSessionError
from stock_assets.market.bars import BAR_SCHEMA
from stock_assets.market.sessions import load_calendar
from stock_assets.market.sources.asking import RetryPolicy
from stock_assets.market.sources.files import FilesSource
from stock_assets.market.sources.http_source import HttpSource, HttpVendor
from stock_assets.market.sources.sample import sample_bars
from stock_assets.market.sources.yahoo import YahooSource
from stock_assets.market.vendors import VALUES
from stock_assets.resources.prices import Prices, open_prices
from stock_assets.settings import Settings
from stock_assets_tests.conftest import QUICK, make_home
from stock_assets_tests.filled import fill
from stock_assets_tests.http_stand_in import KEY, HttpStandIn
from stock_assets_tests.stored_rows import rows_at
from stock_assets_tests.yahoo_stand_in import Bar, Fault, Listing, YahooStandIn, forget_yahoo

XNYS = load_calendar("XNYS")
DAYS = XNYS.between(date(2020, 8, 24), date(2020, 9, 1))
TUESDAY = DAYS[-1]
EVENING = datetime(2020, 9, 1, 22, 0, tzinfo=UTC)
TICKERS = ("AAPL", "IBM")
AT_ONCE = RetryPolicy(attempts=2, first_wait=0.001, longest_wait=0.002, timeout=0.4)
COLUMNS = {"dividend": "divCash", "split_ratio": "splitFactor"}
YAHOO, HTTP = dict.fromkeys(VALUES, "yahoo"), dict.fromkeys(VALUES, "http")
BARS = pl.DataFrame(
    [
        (ticker, day, close, close + 1, close - 1, close + at % 3 / 10, 1e6, 0.0, 1.0)
        for ticker, close in zip(TICKERS, (50.0, 120.0), strict=True)
        for at, day in enumerate(DAYS)
    ],
    schema=BAR_SCHEMA,
    orient="row",
)


def listing(ticker: str) -> Listing:
    own = BARS.filter(pl.col("ticker") == ticker).select("session", "open", "high", "low", "close")
    return Listing([Bar(*row) for row in own.iter_rows()])


@pytest.fixture
def yahoo() -> Iterator[YahooStandIn]:
    with YahooStandIn({ticker: listing(ticker) for ticker in TICKERS}, TUESDAY) as stand_in:
        forget_yahoo()
        yield stand_in
        forget_yahoo()


@pytest.fixture
def http() -> Iterator[HttpStandIn]:
    # Half a thousandth off, as another vendor is.
    with HttpStandIn(BARS.with_columns(pl.col("close") * 1.0005)) as stand_in:
        yield stand_in


@pytest.fixture
def prices(yahoo: YahooStandIn, http: HttpStandIn) -> Prices:
    first = YahooSource(yahoo.session(), now=lambda: EVENING, retries=AT_ONCE)
    vendor = HttpVendor(http.url, COLUMNS, key=KEY)
    second = HttpSource(vendor, now=lambda: EVENING, retries=AT_ONCE)
    return Prices(first, TICKERS, XNYS, second=second)


def fail(stand_in: YahooStandIn | HttpStandIn, how: str) -> None:
    if how == "refused":
        stand_in.stop()
        forget_yahoo()
    elif isinstance(stand_in, HttpStandIn):
        stand_in.always = 500 if how == "500" else "slow"
    else:
        fault = Fault.SERVER_ERROR if how == "500" else Fault.SLOW
        for ticker in TICKERS:
            stand_in.script(ticker, *[fault] * 8)


@pytest.mark.parametrize("how", ["500", "slow", "refused"])
@pytest.mark.parametrize("which", ["yahoo", "http"])
def test_an_outage_of_either_vendor_loses_no_bar(
    yahoo: YahooStandIn, http: HttpStandIn, prices: Prices, which: str, how: str
):
    fail(yahoo if which == "yahoo" else http, how)
    answer = prices.fetch(TICKERS, DAYS[-3:])
    assert answer.bars.select("ticker", "session").rows() == [
        (ticker, day) for ticker in TICKERS for day in DAYS[-3:]
    ]
    assert answer.bars["vendor"].to_list() == [HTTP if which == "yahoo" else YAHOO] * 6
    assert answer.failure is None
    assert list(answer.failures) == [which]
    assert isinstance(answer.failures[which], SourceUnreachableError)
    assert KEY not in str(answer.failures[which])


def test_where_both_are_out_the_first_ones_error_is_raised(
    yahoo: YahooStandIn, http: HttpStandIn, prices: Prices
):
    fail(yahoo, "refused")
    fail(http, "refused")
    with pytest.raises(SourceUnreachableError, match="Yahoo can't be reached"):
        prices.fetch(TICKERS, DAYS[-1:])


def test_a_ticker_that_one_lacks_comes_from_the_other(
    yahoo: YahooStandIn, http: HttpStandIn, prices: Prices
):
    del yahoo.listings["IBM"]
    http.script = {"AAPL": [404]}
    answer = prices.fetch(TICKERS, DAYS[-1:])
    assert dict(answer.bars.select("ticker", "vendor").iter_rows()) == {"AAPL": YAHOO, "IBM": HTTP}
    assert answer.failure is None
    assert {type(error) for error in answer.failures.values()} == {UnknownTickerError}
    del yahoo.listings["AAPL"]
    forget_yahoo()
    http.script = {"AAPL": [404]}
    none = prices.fetch(TICKERS, DAYS[-1:])
    assert isinstance(none.failure, UnknownTickerError)
    assert none.bars["ticker"].to_list() == ["IBM"]


def test_a_session_that_is_not_over_is_taken_from_nobody(yahoo: YahooStandIn, http: HttpStandIn):
    noon = datetime(2020, 9, 1, 16, 0, tzinfo=UTC)
    first = YahooSource(yahoo.session(), now=lambda: noon, retries=AT_ONCE)
    second = HttpSource(HttpVendor(http.url, COLUMNS), now=lambda: noon, retries=AT_ONCE)
    both = Prices(first, TICKERS, XNYS, second=second)
    with pytest.raises(UnsettledSessionError, match="bars of 2020-09-01 are not settled before"):
        both.fetch(TICKERS, [TUESDAY])
    assert both.fetch(TICKERS, DAYS[-2:]).bars["session"].unique().to_list() == [DAYS[-2]]


def test_files_that_lack_a_ticker_give_the_others(tmp_path: Path):
    own = sample_bars().filter(pl.col("session") >= date(2013, 2, 1))
    days = XNYS.between(date(2013, 2, 20), date(2013, 3, 1))
    for name, tickers in (("one", ["AAPL", "IBM"]), ("two", ["IBM", "MSFT"])):
        own.filter(pl.col("ticker").is_in(tickers)).write_parquet(tmp_path / f"{name}.parquet")
    one, two = (FilesSource(str(tmp_path / f"{name}.parquet")) for name in ("one", "two"))
    two.name = "mine"
    answer = Prices(one, ("AAPL",), XNYS, second=two).fetch(["AAPL", "IBM", "MSFT"], days)
    assert answer.bars.group_by("ticker", maintain_order=True).len().rows() == [
        (ticker, len(days)) for ticker in ("AAPL", "IBM", "MSFT")
    ]
    assert list(answer.failures) == ["files", "mine"]
    assert answer.failure is None
    assert answer.compared
    assert answer.compared.n_both == len(days) + 5  # IBM's, with the five sessions before


# --- through the graph ----------------------------------------------------------------------------


@pytest.fixture
def live(prices: Prices, tmp_path: Path) -> Iterator[Project]:
    settings = Settings(
        home=make_home(tmp_path / "home"),
        store_uri=f"file://{tmp_path / 'objects'}",
        source="yahoo",
        tickers=",".join(TICKERS),
        first_session=DAYS[0],
        last_session=TUESDAY,
        **QUICK,
    )
    overrides = {"prices": dg.ResourceDefinition.hardcoded_resource(prices)}
    with open_project(settings) as project:
        definitions = build_definitions(settings, overrides)
        yield dataclasses.replace(project, definitions=definitions, prices=prices)


def stored(project: Project) -> pl.DataFrame:
    return rows_at(project.store, project.store.keys("raw_prices")).sort("ticker", "session")


def check(project: Project, name: str) -> dg.AssetCheckEvaluation:
    key = dg.AssetCheckKey(asset_key(project.settings.dataset_name, Asset.RAW_PRICES), name)
    records = project.instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
    event = records[0].event.dagster_event
    assert event
    return event.event_specific_data


def refetch(project: Project, *days: date) -> None:
    keys = project.partitions.sessions.get_partition_keys()
    run_partitions(project, REFETCH_JOB, ["raw_prices"], list(map(str, days)), keys, 1000, None)


def test_disagreements_are_named_and_each_value_has_its_vendor(
    yahoo: YahooStandIn, http: HttpStandIn, live: Project
):
    friday, monday = DAYS[-3], DAYS[-2]
    names = ("open", "high", "low", "close")
    bars = [
        dataclasses.replace(bar, **{name: getattr(bar, name) * 100 for name in names})
        if bar.session == monday
        else bar
        for bar in listing("AAPL").bars
    ]
    yahoo.listings["AAPL"] = dataclasses.replace(listing("AAPL"), bars=bars)
    is_it = (pl.col("ticker") == "IBM") & (pl.col("session") == friday)
    http.bars = http.bars.with_columns(dividend=pl.when(is_it).then(1.63).otherwise("dividend"))
    assert fill(live, DAYS, Asset.RAW_PRICES) == list(DAYS)
    rows = {(row["ticker"], row["session"]): row for row in stored(live).to_dicts()}
    assert len(rows) == 2 * len(DAYS)
    assert rows["AAPL", monday]["source"] == "http"
    assert rows["AAPL", monday]["vendor"] == "dividend=yahoo,split_ratio=yahoo"
    assert rows["AAPL", monday]["close"] < 51
    assert rows["IBM", friday]["vendor"] == "dividend=http"
    assert rows["IBM", friday]["dividend"] == 1.63
    assert (rows["IBM", monday]["source"], rows["IBM", monday]["vendor"]) == ("yahoo", None)
    found = check(live, "vendors_agree")
    assert not found.passed
    assert found.severity is dg.AssetCheckSeverity.WARN
    assert found.metadata["bars_of_both"].value == len(rows)
    table = str(found.metadata["values"].value)
    assert "| AAPL | 2020-08-31 | decimal error | yahoo | http | close | 50" in table
    assert "| IBM | 2020-08-28 | lost dividend | yahoo | http | dividend | 0 | 1.63 |" in table
    assert table.count("\n") == 3
    assert check(live, "every_ticker_was_fetched").passed


def test_days_of_an_outage_are_stored_and_revise_nothing_when_it_is_over(
    yahoo: YahooStandIn, http: HttpStandIn, live: Project
):
    before, out = DAYS[:-2], DAYS[-2:]
    fill(live, before, Asset.RAW_PRICES)
    for ticker in TICKERS:
        yahoo.script(ticker, *[Fault.SERVER_ERROR] * 8)
    assert fill(live, out, Asset.RAW_PRICES) == list(out)
    bars = stored(live)
    assert bars.height == 2 * len(DAYS)
    assert bars.filter(pl.col("session").is_in(out))["source"].to_list() == ["http"] * 4
    failed = check(live, "every_ticker_was_fetched")
    assert not failed.passed
    assert "SourceUnreachableError: Yahoo did not serve" in str(
        failed.metadata["failure_of_yahoo"].value
    )
    assert check(live, "sessions_are_complete").passed
    # Nothing is due because a vendor was out, and neither vendor's return nor the other's outage
    # changes what was stored.
    yahoo.script("AAPL")
    yahoo.script("IBM")
    forget_yahoo()
    assert fill(live, DAYS, Asset.RAW_PRICES) == []
    refetch(live, *DAYS[-4:])
    assert check(live, "no_stored_bar_was_revised").passed
    http.bars = http.bars.with_columns(pl.col("open", "high", "low", "close") * 1.01)
    fail(yahoo, "500")
    refetch(live, *before[-2:])  # nobody overrules who is not there
    assert check(live, "no_stored_bar_was_revised").passed
    yahoo.script("AAPL")
    yahoo.script("IBM")
    forget_yahoo()
    http.stop()
    refetch(live, *DAYS[-4:])
    assert check(live, "no_stored_bar_was_revised").passed
    assert not check(live, "every_ticker_was_fetched").passed
    assert stored(live).drop("fetched_at").equals(bars.drop("fetched_at"))


def test_the_key_is_in_nothing_that_is_stored_or_said(
    http: HttpStandIn, live: Project, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    http.always = 401  # the answer repeats the key
    fill(live, DAYS[-1:], Asset.RAW_PRICES)
    failed = check(live, "every_ticker_was_fetched")
    said = str(failed.metadata["failure_of_http"].value)
    assert said.startswith("AccessRefusedError: 127.0.0.1 does not let us in; check STOCK_ASSETS_")
    out, err = capfd.readouterr()
    assert "http could not give all: 127.0.0.1 does not let us in" in err
    secrets = (KEY, quote(KEY, safe=""), "s3cr3t")
    assert not [secret for secret in secrets if secret in out + err]
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert len(files) > 5
    found = [f for f in files for secret in secrets if secret.encode() in f.read_bytes()]
    assert found == []


def test_settings_alone_lead_to_both_vendors(http: HttpStandIn):
    days = XNYS.between(date(2013, 2, 20), date(2013, 3, 1))
    bars = sample_bars().filter(pl.col("session").is_between(date(2013, 2, 1), days[-1]))
    is_it = (pl.col("ticker") == "IBM") & (pl.col("session") == days[3])
    http.bars = bars.with_columns(close=pl.when(is_it).then("high").otherwise("close"))
    settings = load_settings(
        source="sample",
        second_source="http",
        tickers="AAPL,IBM",
        http_url=http.url,
        http_key=KEY,
        http_columns="dividend=divCash,split_ratio=splitFactor",
    )
    with open_prices(settings) as prices:
        answer = prices.fetch(prices.tickers, days)
    assert answer.compared
    assert answer.compared.disagreements.select("ticker", "session", "kind", "kept").rows() == [
        ("IBM", days[3], "close differs", "sample")
    ]
    wanted = bars.filter(pl.col("ticker").is_in(["AAPL", "IBM"]), pl.col("session") >= days[0])
    assert answer.bars.drop("vendor").equals(wanted)
    assert http.queries[0]["token"] == KEY


def test_one_source_alone_is_compared_with_nobody(live: Project):
    alone = dataclasses.replace(live.prices, second=None)
    overrides = {"prices": dg.ResourceDefinition.hardcoded_resource(alone)}
    project = dataclasses.replace(
        live, definitions=build_definitions(live.settings, overrides), prices=alone
    )
    fill(project, DAYS[-1:], Asset.RAW_PRICES)
    assert stored(project).select("source", "vendor").rows() == [("yahoo", None)] * 2
    passed = check(project, "vendors_agree")
    assert passed.passed
    assert {name: value.value for name, value in passed.metadata.items()} == {"vendors": "yahoo"}
