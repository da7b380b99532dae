"""The project as Dagster loads it, of the sample as if it went on, and failed for some days."""

import os
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import polars as pl

from stock_assets.alerting.sensor import rmse_sensor
from stock_assets.assets import forecasts
from stock_assets.automation.schedules import all_schedules
from stock_assets.definitions import build_definitions
from stock_assets.environment import load_settings
from stock_assets.errors import SourceUnreachableError
from stock_assets.market.sources.sample import SampleSource
from stock_assets_tests.services import moved_clock

HANGS = "hangs"
"""What is in the file that says that the source is down, where it answers nothing instead."""
_fetch = SampleSource.fetch_bars


class MovedDatetime(datetime):
    @classmethod
    def now(cls, tz: object = UTC) -> datetime:  # type: ignore[override]
        assert tz is UTC
        return moved_clock.now()


def fetch_bars(
    source: SampleSource, tickers: Sequence[str], first: date, last: date
) -> pl.DataFrame:
    switch = Path(os.environ["SOURCE_IS_DOWN"])
    while switch.exists() and switch.read_text() == HANGS:
        time.sleep(0.1)
    if switch.exists():
        raise SourceUnreachableError("the sample does not answer; try again later")
    return _fetch(source, tickers, first, last)


@dg.definitions
def defs() -> dg.Definitions:
    SampleSource.last_session = lambda _: None  # type: ignore[method-assign]
    SampleSource.fetch_bars = fetch_bars  # type: ignore[method-assign]
    forecasts.datetime = MovedDatetime  # type: ignore[misc]
    rmse_sensor.__defaults__ = (moved_clock.now,)
    all_schedules.__defaults__ = (moved_clock.now,)
    return build_definitions(load_settings())
