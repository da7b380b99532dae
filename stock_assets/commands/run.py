"""`stock-assets run`: the main job over a range, then the newest forecasts and the RMSE."""

from datetime import date
from typing import Any

import polars as pl

from stock_assets.backfill.execution import bring_up_to_date, with_objects_mended
from stock_assets.backfill.progress import Progress, shown
from stock_assets.backfill.project import Project, open_project
from stock_assets.commands.report import asked_by_run, newest_report
from stock_assets.commands.tables import (
    forecast_table,
    narrow_forecast_table,
    print_table,
    score_lines,
)
from stock_assets.forecasting.baselines import beside_baselines, summarise_baselines
from stock_assets.forecasting.basket import basket_forecasts, basket_returns, summarise_basket
from stock_assets.forecasting.evaluation import OWN_COLUMNS
from stock_assets.forecasting.summary import (
    summarise,
    summarise_by_month,
    summarise_by_ticker,
    summarise_range,
)
from stock_assets.market.months import months_before
from stock_assets.planning.extent import Range
from stock_assets.resources.partition_objects import stored_partitions
from stock_assets.resources.read_cache import read_rows
from stock_assets.settings import Settings

_DEFAULT_MONTHS = 6


def read_scores(project: Project, wanted: Range) -> pl.DataFrame:
    """The stored scores of a range's targets, of the tickers wanted."""
    stored = stored_partitions(project.store, "forecast_rmse")
    # Of 5,000 tickers over 20 years the rolling columns alone would be two gigabytes.
    rows = read_rows(project.store, [stored[str(s)] for s in wanted.targets], *OWN_COLUMNS)
    return _of_tickers(rows, project)


def _of_tickers(rows: pl.DataFrame, project: Project) -> pl.DataFrame:
    """The rows of the tickers wanted; no copy where these are all."""
    own = rows["ticker"].is_in(project.prices.tickers)
    return rows if own.all() else rows.filter(own)


def summary(project: Project, wanted: Range, progress: Progress) -> dict[str, Any]:
    """The JSON of `backtest`."""
    horizon = project.settings.horizon
    past = _past_features(project, wanted)
    # Before the scores are read: its grids and theirs would be in memory together.
    basket = _basket(past, wanted) if horizon == 1 else None
    scores = read_scores(project, wanted)
    beside = beside_baselines(scores, past.drop("volatility_1d"), horizon)
    by_ticker = summarise_by_ticker(scores, horizon)
    return {
        "from": str(wanted.targets[0]),
        "to": str(wanted.targets[-1]),
        "horizon": horizon,
        **summarise(scores, horizon),
        **summarise_range(scores, by_ticker, horizon),
        "seconds": {stage: round(took, 2) for stage, took in progress.seconds.items()},
        "interval_baselines": summarise_baselines(beside),
        "basket": basket,
        "by_month": _with_baselines(
            summarise_by_month(scores, horizon),
            beside.with_columns(month=pl.col("session").dt.strftime("%Y-%m")),
            "month",
        ),
        "by_ticker": _with_baselines(by_ticker, beside, "ticker"),
    }


def _with_baselines(
    summaries: dict[str, dict[str, Any]], beside: pl.DataFrame, column: str
) -> dict[str, dict[str, Any]]:
    """Each group's summary with `interval_baselines` of its own."""
    # One group in memory at a time: all together they are a copy of the rows.
    baselines = {str(k): summarise_baselines(rows) for (k,), rows in beside.group_by(column)}
    return {
        key: {**found, "interval_baselines": baselines.get(key, {})}
        for key, found in summaries.items()
    }


def _past_features(project: Project, wanted: Range) -> pl.DataFrame:
    """Every stored return and volatility up to the newest forecast."""
    stored = stored_partitions(project.store, "features")
    known = [one for key, one in stored.items() if key <= str(wanted.forecasts[-1])]
    columns = ("ticker", "session", "return_1d", "volatility_1d")
    return _of_tickers(read_rows(project.store, known, *columns), project)


def _basket(past: pl.DataFrame, wanted: Range) -> dict[str, Any]:
    """Of the tickers wanted, all alike, over the targets and the session after the newest.

    Its forecasts span one session: for more, `summary` has none.
    """
    return summarise_basket(basket_forecasts(basket_returns(past), list(wanted.forecasts)))


def run(
    settings: Settings,
    first: date | None,
    last: date | None,
    fresh: bool = False,
    report: bool = False,
) -> dict[str, Any]:
    """Materialises the range and returns its summary with the newest forecasts.

    With `report` also the page about it, and where it lies.

    Left out, the range is the newest session's month and the five before it.
    """
    with open_project(settings) as project:
        last = last or project.partitions.newest
        first = first or max(
            months_before(last.replace(day=1), _DEFAULT_MONTHS - 1), project.partitions.first
        )
        wanted = project.range_of(first, last)
        progress = Progress()
        anew = [fresh]

        def materialised() -> dict[str, Any]:
            changed = bring_up_to_date(project, wanted.wanted(), progress, fresh=any(anew))
            anew.clear()
            if not changed:
                shown().say("nothing to do: every partition of the range is there")
            stored = stored_partitions(project.store, "daily_forecast")
            newest = read_rows(project.store, [stored[str(wanted.forecasts[-1])]])
            result = summary(project, wanted, progress) | {"newest_forecasts": newest}
            if report:
                asked = asked_by_run(settings, wanted.targets[0], wanted.targets[-1])
                result["report"] = str(newest_report(project, asked, changed))
            return result

        return with_objects_mended(project, materialised)


def show(result: dict[str, Any]) -> None:
    """Prints forecasts, errors and stage times for a person."""
    newest = result["newest_forecasts"]
    print_table(forecast_table(newest), narrow_forecast_table(newest))
    for line in score_lines(result):
        print(line)
    took = ", ".join(f"{stage} {s:.1f} s" for stage, s in result["seconds"].items() if s)
    print(f"\nStages: {took or 'nothing was missing'}")
