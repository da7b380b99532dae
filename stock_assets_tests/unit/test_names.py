"""A name is a name wherever it goes: into pages, tables, messages, labels, addresses, CSV files."""

import html
import json
import re
from dataclasses import replace
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from prometheus_client.parser import text_string_to_metric_families

from stock_assets.assets.attributes import preview
from stock_assets.environment import load_settings
from stock_assets.errors import InvalidFileError, SettingsError
from stock_assets.forecasting.card import model_card
from stock_assets.forecasting.gate import GateDecision
from stock_assets.market.names import MOST_LETTERS, fault_of
from stock_assets.monitoring.live_scores import LiveScore, TickerScore
from stock_assets.monitoring.messages import breach_message
from stock_assets.resources.alert_settings import thresholds_of
from stock_assets.resources.metrics import MetricsGateway
from stock_assets.resources.object_store import ObjectStore
from stock_assets.resources.partition_objects import stored_partitions
from stock_assets.resources.prices import open_prices
from stock_assets.scoring.forecast_files import read_forecasts
from stock_assets.settings import Settings
from stock_assets_tests.loopback import inbox
from stock_assets_tests.unit.test_month_training import STUDY

GOOD = (
    "AAPL", "BRK-B", "BRK.B", "BRK/B", "^GSPC", "EURUSD=X", "GC=F", "M&M.NS", "7203", "0700.HK",
    "BTC-USD", "$SPX", "NSE:INFY", "RDS A", "Ö1", "日経", "random_walk", "AutoARIMA (log)",
    "ARIMA(1,0,1)", "it's fine"[:2],
)  # fmt: skip
BAD = (
    "", " ", " A", "A ", "A\nB", "A\r", "A\tB", "A\x00", "A\x1b[31m", "A\u202eB", "A\u200bB",
    "A\u2028B", "=cmd|' /C calc'!A0", "=1+1", "+1", "-1", "@SUM(A1)", "../../etc/passwd", "..",
    "a/../b", "<script>alert(1)</script>", "A<b", "A>b", "A|B", "A`B", 'A"B', "A'B", "A\\B",
    "[x](javascript:alert(1))", "A{B}", "A" * (MOST_LETTERS + 1),
)  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_usual_names_are_taken(name: str):
    assert fault_of(name) is None


@pytest.mark.parametrize("name", BAD)
def test_what_means_something_elsewhere_is_no_name(name: str):
    assert fault_of(name)


@given(st.text(max_size=MOST_LETTERS + 4))
@hypothesis_settings(max_examples=300, deadline=None)
def test_a_name_that_is_taken_is_one_plain_word_everywhere(name: str):
    if fault_of(name):
        return
    assert html.escape(name) == name.replace("&", "&amp;")
    assert name.splitlines() == [name]
    assert name[0] not in "=+-@\t\r"
    assert ".." not in Path(name).parts
    # The only field of its row, and the same again.
    frame = pl.DataFrame({"ticker": [name]})
    text = frame.write_csv()
    assert text.count("\n") == 2
    assert pl.read_csv(text.encode(), schema={"ticker": pl.String}).equals(frame)


PLAIN = TickerScore(0.09, 0.01)


@given(st.text(min_size=1, max_size=20).filter(lambda name: not fault_of(name)))
@example("https://x.y/<b>"[:12])
@example("(a) *b* _c_ #d")
@hypothesis_settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_name_adds_no_line_and_no_markup_to_a_message_or_card(name: str):
    thresholds = thresholds_of(Settings())
    said = breach_message(LiveScore("mine", "2013-03-01", {name: PLAIN}, PLAIN), thresholds, "-")
    usual = breach_message(LiveScore("mine", "2013-03-01", {"A": PLAIN}, PLAIN), thresholds, "-")
    assert len(said.body.splitlines()) == len(usual.body.splitlines())
    assert f"{name}: rolling RMSE 0.0900" in said.body
    decision = GateDecision(True, "-")
    card = model_card(replace(STUDY, tickers=[name]), decision, decision)
    assert len(card.splitlines()) == len(model_card(STUDY, decision, decision).splitlines())
    tags = re.findall(r"<(\w+)", MarkdownIt("commonmark", {"html": True}).render(card))
    assert set(tags) <= {"h1", "h2", "p", "ul", "li", "code", "em", "strong"}


@pytest.mark.parametrize("name", [name for name in BAD if name.strip()])
def test_a_bad_name_stops_where_it_comes_in(tmp_path: Path, name: str):
    """In a file of prices, a list of tickers, a file of forecasts."""
    bars = {"ticker": [name], "session": [date(2013, 3, 1)], "volume": [1.0]}
    prices = {column: [1.0] for column in ("open", "high", "low", "close", "split_ratio")}
    prices["dividend"] = [0.0]
    pl.DataFrame(bars | prices).write_parquet(tmp_path / "bars.parquet")
    files = {"source": "files", "files_uri": str(tmp_path / "bars.parquet")}
    with (
        pytest.raises(SettingsError, match="can't be a ticker: it ") as error,
        open_prices(load_settings(**files)),
    ):
        pass
    assert str(error.value).isprintable()
    listed = {"tickers": [name]}
    with (
        pytest.raises(SettingsError, match="can't be a ticker: it "),
        open_prices(load_settings(**listed)),
    ):
        pass
    one = {"ds": [date(2013, 3, 1)], "unique_id": ["IBM"], "mine": [1.0]}
    for what, forecasts in {
        "ticker": one | {"unique_id": [name]},
        "model": one | {name: [1.0]},
    }.items():
        pl.DataFrame(forecasts).write_parquet(tmp_path / f"{what}.parquet")
        with pytest.raises(InvalidFileError, match=f"can't be a {what}: it "):
            read_forecasts(tmp_path / f"{what}.parquet")


@given(st.text(max_size=30))
@hypothesis_settings(max_examples=300, deadline=None)
def test_any_text_is_one_cell_of_a_table_and_no_markup(text: str):
    """Reasons and messages of others stand in tables too, and they are no names."""
    shown = str(preview(pl.DataFrame({"why": [text], "last": ["end"]})).value)
    assert len(shown.splitlines()) == 3
    page = MarkdownIt("commonmark", {"html": True}).enable("table").render(shown)
    cells = re.findall(r"<td>(.*?)</td>", page, re.DOTALL)
    assert len(cells) == 2, page
    assert cells[1] == "end"
    assert "<" not in re.sub(r"</?(?:em|strong)>", "", cells[0])


@pytest.mark.parametrize("name", ["BRK/B", "M&M.NS", "^GSPC", "RDS A", "a=b,c", "日経", "x/y?z#w"])
def test_a_label_is_the_name_and_nothing_beside_it(name: str):
    score = TickerScore(0.01, 0.01, coverage={"95": 0.9}, version=1)
    with inbox() as gateway:
        settings = load_settings(pushgateway_url=gateway.url, dataset="mine")
        assert MetricsGateway(settings).push(
            LiveScore("mine", "2013-03-01", {name: score}, score)
        ) is None  # fmt: skip
    pushed = [path for method, path, _ in gateway.requests if method == "PUT"]
    assert len(pushed) == 2
    assert all(path.startswith("/metrics/job/stock_assets/dataset/mine/ticker") for path in pushed)
    assert {path.count("/") for path in pushed} == {7}
    for _, _, body in gateway.requests[:2]:
        for family in text_string_to_metric_families(body):
            assert all(set(sample.labels) <= {"version", "interval"} for sample in family.samples)


@pytest.mark.parametrize(
    "name",
    ["../../etc", "a/b", "/etc", "..", "a\nb", "<script>", 'a"b', "a|b", "a`b", "=cmd", "{x=1}"],
)
def test_a_dataset_is_a_folder_and_nothing_beside_it(name: str):
    with pytest.raises(SettingsError, match="must be a name"):
        load_settings(dataset=name)


def test_keys_that_no_asset_has_are_passed_over(tmp_path: Path):
    """Whoever writes into the store names no file of this machine by it."""
    store = ObjectStore(f"file://{tmp_path}")
    wrong = ["=cmd", "<b>", "..%2F..%2Fx", "2013", "2013-03-01-x", "20130301"]
    store.put_many({f"features/session={key}/part.parquet": b"" for key in wrong})
    store.put_many({"features/session=2013-03-01/part.parquet": b"", "features/x/part": b""})
    assert list(stored_partitions(store, "features")) == ["2013-03-01"]
    store.put_many({"tuned_model/month=2013-03/value.json": json.dumps({}).encode()})
    assert list(stored_partitions(store, "tuned_model")) == ["2013-03"]
