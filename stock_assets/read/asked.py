"""What a reader asks for: days, names, and what is said where there is nothing of it."""

from collections.abc import Iterable, Sequence
from datetime import date

import polars as pl

from stock_assets.errors import MissingPartitionsError, NotASessionError
from stock_assets.settings import distinct

Day = date | str
"""A date, or its text: 2013-03-01."""
Names = str | Iterable[str]
"""One name, several with commas between them, or a collection."""


def day(name: str, value: Day | None) -> date | None:
    if not isinstance(value, str):
        return value
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise NotASessionError(f"{name}={value!r} is no date; write it like 2013-03-01") from None


def names(given: Names) -> list[str]:
    texts = [given] if isinstance(given, str) else given
    return [name.strip() for text in texts for name in text.split(",") if name.strip()]


def of_tickers(tickers: Names, rows: pl.DataFrame) -> pl.DataFrame:
    wanted = distinct(names(tickers))
    return rows.filter(pl.col("ticker").is_in(wanted)) if wanted else rows


def nothing_stored(
    dataset: str, asset: str, stored: Sequence[str], what: str
) -> MissingPartitionsError:
    there = f"there are {min(stored)}..{max(stored)}" if stored else "there is none"
    return MissingPartitionsError(
        f"no {asset} of {dataset} is stored {what}; {there}; `stock-assets run`"
        " makes what is missing",
        asset,
    )


def no_ticker(dataset: str, asset: str, tickers: Names) -> MissingPartitionsError:
    return MissingPartitionsError(
        f"no {asset} of {', '.join(distinct(names(tickers)))} is stored in the range of"
        f" {dataset}; see which tickers there are by leaving `tickers` out",
        asset,
    )
