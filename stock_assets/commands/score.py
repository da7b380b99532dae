"""`stock-assets score`: anybody's forecasts beside ours and the random walk's. Stores nothing."""

import textwrap
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
from rich.table import Table

from stock_assets.commands.tables import between
from stock_assets.errors import SettingsError
from stock_assets.forecasting.evaluation import HINDSIGHT
from stock_assets.forecasting.forecast_schema import FORECAST_SCHEMA
from stock_assets.forecasting.intervals import COVERAGES
from stock_assets.read import open_dataset
from stock_assets.report.numbers import counted, number, percent
from stock_assets.scoring.comparison import compare, in_words
from stock_assets.scoring.forecast_files import read_forecasts
from stock_assets.scoring.hub import scores_table
from stock_assets.scoring.measures import OURS, RANDOM_WALK, RPS, SQUARED, WIS
from stock_assets.scoring.submission import (
    check_tickers,
    submitted_models,
    unit_of,
    with_sessions,
)
from stock_assets.settings import Settings

_LOSSES = {SQUARED: "squared error", WIS: "WIS", RPS: "RPS"}
_LISTED = 9


def score_file(
    settings: Settings,
    file: Path,
    unit: str | None,
    tickers: tuple[str, ...],
    span: tuple[date | None, date | None],
    output: Path | None,
) -> dict[str, Any]:
    """What the forecasts of a file are worth; the scores of each go to `output` if it is given.

    Args:
        settings: Name the dataset.
        file: See `read_forecasts`.
        unit: Of its values; None: as it says itself, see `unit_of`.
        tickers: Some of its tickers; none are all.
        span: First and last target session of interest.
        output: A .csv or .parquet file.

    Raises:
        InvalidFileError: The file can't be read.
        InvalidForecastsError: Its forecasts can't be judged.
        MissingPartitionsError: The dataset has no forecast or no outcome of these sessions.
        SettingsError: `output` can't be written.
    """
    rows = read_forecasts(file)
    with open_dataset(settings) as dataset:
        rows = with_sessions(rows, dataset.calendar, settings.horizon)
        first, last = span
        for of_interest in (
            pl.col("ticker").is_in(tickers) if tickers else None,
            pl.col("target_session") >= first if first else None,
            pl.col("target_session") <= last if last else None,
        ):
            rows = rows if of_interest is None else rows.filter(of_interest)
        if rows.is_empty():
            raise SettingsError(f"{file} has no forecast of these sessions and tickers")
        first, last = rows.select(a=pl.min("target_session"), b=pl.max("target_session")).row(0)
        ours = dataset.forecasts(first, last, tickers, FORECAST_SCHEMA)
        outcomes = dataset.scores(first, last, tickers)
        check_tickers(rows, ours["ticker"].unique().to_list(), settings.dataset_name)
        unit = unit_of(rows, unit)
        closes = ours.select("ticker", "target_session", "close_usd")
        models = submitted_models(rows, closes, unit, dataset.calendar)
    compared = compare(models, ours, outcomes, settings.horizon)
    if output:
        write_table(scores_table(compared.scores, settings.horizon), output)
    return {"file": str(file), "unit": unit, **compared.found}


def write_table(rows: pl.DataFrame, file: Path) -> None:
    """As CSV with NA for what there is none of, as R and hubs have it; or as Parquet.

    Raises:
        SettingsError: The file can't be written, or its name says neither format.
    """
    if file.suffix not in (".csv", ".parquet"):
        raise SettingsError(f"{file} is neither .csv nor .parquet; choose another name")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == ".csv":
            rows.write_csv(file, null_value="NA")
        else:
            rows.write_parquet(file)
    except OSError as error:
        raise SettingsError(
            f"can't write {file}: {error.strerror or error}; choose another file"
        ) from error


def _intervals(found: dict[str, Any]) -> list[str]:
    """Coverages of the two widest intervals that a person is shown: ours, where they are there."""
    every = list(found["models"][RANDOM_WALK]["coverage"])
    of_ours = [coverage for coverage in every if coverage in map(str, COVERAGES)]
    return (of_ours or every)[-2:]


def comparison_table(found: dict[str, Any]) -> Table:
    """One row per model, in 80 columns."""
    wanted = _intervals(found)
    ranked = any(one["rps"] is not None for one in found["models"].values())
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True, max_width=16)
    table.add_column("RMSE", justify="right")
    table.add_column("skill", justify="right")
    table.add_column("DM t", justify="right")
    table.add_column("WIS", justify="right")
    table.add_column("/ ours", justify="right")
    table.add_column("DM t", justify="right")
    for coverage in wanted:
        table.add_column(f"in {coverage} %", justify="right")
    if ranked:
        table.add_column("RPS", justify="right")
    for name, one in found["models"].items():
        beside = one["beside"][OURS].get(WIS, {})
        table.add_row(
            name.replace("_", " ") if name == RANDOM_WALK else name,
            percent(one["rmse_return"]),
            percent(one["skill"], sign=True),
            number(one["dm_t"]),
            percent(one["wis"]),
            number(beside.get("ratio"), digits=3),
            number(beside.get("dm_t")),
            *(percent(one["coverage"].get(coverage), digits=1) for coverage in wanted),
            *([number(one["rps"], digits=4)] if ranked else []),
        )
    return table


def heading(found: dict[str, Any]) -> list[str]:
    """What the table is of, in lines of 80 columns."""
    return _wrapped(
        f"{found['from']} .. {found['to']}: {counted(found['forecasts'], 'forecast')},"
        f" {counted(found['tickers'], 'ticker')}, {counted(found['sessions'], 'session')};"
        f" {percent(found['share_of_ours'], digits=1)} of ours"
    )


def lines(found: dict[str, Any]) -> list[str]:
    """What stands below the table, in lines of 80 columns."""
    return [
        *_wrapped("RMSE of the log return; its skill and DM t are beside the random walk."),
        *_wrapped(_levels(found["levels"])),
        *(
            line
            for name, own in found["submitted"].items()
            for said in _of_model(own, found["models"][name], _intervals(found))
            for line in _wrapped(f"{name}: {said}")
        ),
    ]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 80, subsequent_indent="  ")


def _levels(levels: list[float]) -> str:
    if not levels:
        return "There is no quantile that all have, so no WIS."
    if len(levels) > _LISTED:
        return f"WIS over {len(levels)} quantiles, {levels[0]:g} .. {levels[-1]:g}."
    return f"WIS over the quantiles {', '.join(f'{level:g}' for level in levels)}."


def _of_model(own: dict[str, Any], one: dict[str, Any], intervals: list[str]) -> list[str]:
    """What the table has no room for: error bars, and what is not compared."""
    said = []
    beside = [
        f"{words} {number(found['ratio'], digits=3)} ({_span(found['confidence'])})"
        for loss, words in _LOSSES.items()
        if (found := one["beside"][OURS].get(loss))
    ]
    if beside:
        said.append(f"relative to ours, with 95 % confidence: {', '.join(beside)}.")
    inside = [
        f"{coverage} %: {between(bounds)}"
        for coverage in intervals
        if (bounds := one["coverage_confidence"].get(coverage))
    ]
    if inside:
        said.append(f"coverage with 95 % confidence: {'; '.join(inside)}.")
    if own["forecasts"] > own["compared"]:
        said.append(
            f"{own['compared']:,} of {own['forecasts']:,} forecasts are compared"
            f" ({percent(own['compared'] / own['forecasts'], digits=1)}):"
            f" {in_words(own)}."
        )
    if own[HINDSIGHT]:
        said.append(
            f"{counted(own[HINDSIGHT], 'forecast')} not known to be issued before the target"
            " opened, so they count as hindsight."
        )
    return said


def _span(bounds: list[float] | None) -> str:
    return " .. ".join(number(b, digits=3) for b in bounds) if bounds else "not known"
