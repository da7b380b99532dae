"""Any file either loads as it was meant or is refused by its name: nothing is guessed or lost."""

import tempfile
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from stock_assets.errors import SourceError
from stock_assets.market.sources.files import FilesSource

EXCHANGE = "Asia/Tokyo"
SESSIONS = [date(2012, 7, 2) + timedelta(days=n) for n in range(4)]
CLOSES = [10.0, 10.5, 11.0, 9.5]


def at_midnight(zone: str, stored: str) -> Callable[[], pl.Series]:
    """The sessions' midnights in one time zone, stored in another."""
    moments = [
        datetime.combine(day, time(), tzinfo=ZoneInfo(zone)).astimezone(UTC) for day in SESSIONS
    ]
    return lambda: pl.Series(moments, dtype=pl.Datetime("us", "UTC")).dt.convert_time_zone(stored)


DAYS: dict[str, Callable[[], pl.Series]] = {
    "dates": lambda: pl.Series(SESSIONS),
    "text": lambda: pl.Series(map(str, SESSIONS)),
    "categories": lambda: pl.Series(map(str, SESSIONS)).cast(pl.Categorical),
    "naive midnight": lambda: pl.Series(SESSIONS).cast(pl.Datetime("ns")),
    "Tokyo's midnight": at_midnight(EXCHANGE, EXCHANGE),
    "Tokyo's midnight in UTC": at_midnight(EXCHANGE, "UTC"),
    "midnight UTC": at_midnight("UTC", "UTC"),
    "New York's midnight in UTC": at_midnight("America/New_York", "UTC"),
    "a time of day": lambda: pl.Series(SESSIONS).cast(pl.Datetime) + timedelta(hours=15),
    "days since 1970": lambda: pl.Series(SESSIONS).cast(pl.Date).to_physical(),
    "numbers": lambda: pl.Series([20120702, 20120703, 20120704, 20120705]),
    "one that is none": lambda: pl.Series([*map(str, SESSIONS[:3]), "n/a"]),
    "one missing": lambda: pl.Series([*SESSIONS[:3], None]),
}
PRICES: dict[str, Callable[[], pl.Series]] = {
    "numbers": lambda: pl.Series(CLOSES),
    "single precision": lambda: pl.Series(CLOSES).cast(pl.Float32),
    "decimals": lambda: pl.Series(CLOSES).cast(pl.Decimal(10, 2)),
    "text": lambda: pl.Series(map(str, CLOSES)),
    "one that is none": lambda: pl.Series([*map(str, CLOSES[:3]), "n/a"]),
    "yes and no": lambda: pl.Series([True, False, True, True]),
    "lists": lambda: pl.Series([[c] for c in CLOSES]),
}
TICKERS: dict[str, Callable[[], pl.Series]] = {
    "text": lambda: pl.Series(["7203"] * 4),
    "categories": lambda: pl.Series(["7203"] * 4).cast(pl.Categorical),
    "numbers": lambda: pl.Series([7203] * 4),
    "broken numbers": lambda: pl.Series([7203.5] * 4),
    "one missing": lambda: pl.Series(["7203", None, "7203", "7203"]),
}


def file_of(folder: str, suffix: str, days: str, prices: str, tickers: str) -> Path:
    columns: dict[str, Any] = {"ticker": TICKERS[tickers](), "session": DAYS[days]()}
    columns |= {name: PRICES[prices]() for name in ("open", "high", "low", "close")}
    frame = pl.DataFrame(columns | {"volume": 1e6, "dividend": 0.0, "split_ratio": 1.0})
    path = Path(folder, f"bars{suffix}")
    if suffix == ".csv":
        frame.write_csv(path)
    else:
        frame.write_parquet(path)
    return path


@given(
    st.sampled_from(sorted(DAYS)),
    st.sampled_from(sorted(PRICES)),
    st.sampled_from(sorted(TICKERS)),
    st.sampled_from([".parquet", ".csv"]),
)
@hypothesis_settings(max_examples=120, deadline=None)
def test_a_file_loads_as_meant_or_is_refused_by_name(
    days: str, prices: str, tickers: str, suffix: str
):
    if suffix == ".csv" and prices == "lists":
        return  # CSV can't hold them
    with tempfile.TemporaryDirectory() as folder:
        path = file_of(folder, suffix, days, prices, tickers)
        source = FilesSource(str(path), time_zone=EXCHANGE)
        try:
            names = source.default_tickers()
            bars = source.fetch_bars(names, date(2012, 6, 1), date(2012, 8, 1))
        except SourceError as error:
            refused = str(error)
        else:
            refused = None
    if refused is not None:
        assert path.name in refused
        return
    # What was not refused is what it says, all of it.
    assert bars["ticker"].to_list() == [TICKERS[tickers]().cast(pl.String)[0]] * 4
    assert bars["session"].to_list() == SESSIONS
    assert bars["close"].to_list() == pytest.approx(CLOSES)


@pytest.mark.parametrize("days", ["dates", "text", "Tokyo's midnight", "Tokyo's midnight in UTC"])
@pytest.mark.parametrize("prices", ["numbers", "decimals", "text"])
def test_the_usual_files_load(tmp_path: Path, days: str, prices: str):
    path = file_of(str(tmp_path), ".parquet", days, prices, "numbers")
    source = FilesSource(str(path), time_zone=EXCHANGE)
    bars = source.fetch_bars(source.default_tickers(), date(2012, 6, 1), date(2012, 8, 1))
    assert bars["session"].to_list() == SESSIONS
