"""The charts in Dagster's metadata: files that stand alone and show what was forecast."""

import base64
import re
from datetime import date, timedelta
from xml.etree import ElementTree as ET

import polars as pl

from stock_assets.forecasting.forecast_schema import FORECAST_SCHEMA
from stock_assets.report.pictures import as_markdown, error_picture, fan_picture

DAYS = [date(2013, 1, 1) + timedelta(days=n) for n in range(70)]


def features(ticker: str, closes: list[float], returns: list[float | None]) -> pl.DataFrame:
    days = DAYS[-len(closes) :]
    values = {"session": days, "close_usd": closes, "return_1d": returns}
    return pl.DataFrame(values).with_columns(ticker=pl.lit(ticker))


def forecast(ticker: str, **more: float | None) -> dict[str, object]:
    bounds = {"lower_95_usd": 90.0, "lower_80_usd": 95.0, "upper_80_usd": 105.0}
    row = {"ticker": ticker, "target_session": date(2013, 3, 12), "forecast_close_usd": 100.0}
    return {**row, **bounds, "upper_95_usd": 110.0, **more}


def elements(picture: str, name: str) -> list[ET.Element]:
    root = ET.fromstring(picture)  # noqa: S314  # ours
    return root.findall(f".//{{http://www.w3.org/2000/svg}}{name}")


def test_a_split_is_no_crash_and_the_intervals_are_drawn():
    """The share was split 2 for 1 on the last day, and its returns say that nothing happened."""
    past = features("IBM", [200.0, 200.0, 100.0], [None, 0.0, 0.0])
    picture = fan_picture(past, pl.DataFrame([forecast("IBM")], schema=FORECAST_SCHEMA))
    (line,) = [e for e in elements(picture, "path") if e.get("class") == "line"]
    heights = {point.split()[1] for point in re.findall(r"[\d.]+ [\d.]+", str(line.get("d")))}
    assert len(heights) == 1
    bars = {e.get("class"): float(str(e.get("height"))) for e in elements(picture, "rect")}
    assert bars["band-95"] == 2 * bars["band-80"]
    assert "IBM" in picture


def test_six_tickers_fit_and_one_without_an_interval_has_none():
    tickers = [f"T{n}" for n in range(9)]
    past = pl.concat(features(t, [100.0] * 70, [0.0] * 70) for t in tickers)
    nothing = dict.fromkeys(("lower_95_usd", "lower_80_usd", "upper_80_usd", "upper_95_usd"))
    rows = [forecast(t, **(nothing if t == "T0" else {})) for t in tickers]
    picture = fan_picture(past, pl.DataFrame(rows, schema=FORECAST_SCHEMA))
    named = [e.text for e in elements(picture, "text") if e.get("class") == "name"]
    assert named == tickers[:6]
    assert len(elements(picture, "rect")) == 5 * 2
    assert len(picture) < 30_000


def test_errors_beside_the_random_walks_and_the_threshold():
    picture = error_picture(DAYS[:3], [0.01, None, 0.02], [0.011, 0.02, 0.02], 0.03)
    paths = [e.get("class") for e in elements(picture, "path")]
    assert paths == ["line model", "line walk"]
    assert [e.get("class") for e in elements(picture, "line") if "limit" in str(e.get("class"))]
    assert "threshold" not in error_picture(DAYS[:3], [0.01] * 3, [0.01] * 3, None)


def test_markdown_holds_the_whole_picture():
    picture = error_picture(DAYS[:1], [0.01], [0.01], None)
    found = re.fullmatch(
        r"!\[errors\]\(data:image/svg\+xml;base64,(.*)\)", as_markdown("errors", picture)
    )
    assert found
    assert base64.b64decode(found[1]).decode() == picture
