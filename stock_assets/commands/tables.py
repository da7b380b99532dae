"""How forecasts and scores look to a person."""

from typing import Any

import polars as pl
from rich.console import Console
from rich.table import Table


def print_table(table: Table) -> None:
    console = Console()
    # Where the output is no terminal (CI, a pipe), 80 columns would cut numbers.
    Console(width=None if console.is_terminal else 110).print(table)


def forecast_table(forecasts: pl.DataFrame) -> Table:
    """One row per ticker: the close, the forecast of the next, its intervals, who made it."""
    first = forecasts.row(0, named=True) if forecasts.height else {}
    table = Table(
        title=f"Forecasts of {first.get('target_session', '-')}"
        f" from the close of {first.get('as_of_session', '-')}",
        title_justify="left",
    )
    for name in ("ticker", "close", "forecast", "80 % interval", "95 % interval", "made by"):
        table.add_column(name, justify="left" if name in ("ticker", "made by") else "right")

    def span(row: dict[str, Any], coverage: int) -> str:
        lower, upper = row[f"lower_{coverage}_usd"], row[f"upper_{coverage}_usd"]
        return "-" if lower is None else f"{lower:.2f} .. {upper:.2f}"

    for row in forecasts.sort("ticker").iter_rows(named=True):
        version = "" if row["is_fallback"] else f" version {row['model_version']}"
        table.add_row(
            row["ticker"],
            f"{row['close_usd']:.2f}",
            f"{row['forecast_close_usd']:.2f}",
            span(row, 80),
            span(row, 95),
            f"{row['model'].replace('_', ' ')}{version}",
        )
    return table


def score_table(of: str, scores: dict[str, dict[str, Any]]) -> Table:
    """One row of scores per ticker or month."""
    table = Table(title=f"By {of}", title_justify="left")
    for name in (of, "forecasts", "RMSE", "random walk", "skill", "DM t", "in 95 %"):
        table.add_column(name, justify="left" if name == of else "right")
    for key, s in scores.items():
        table.add_row(
            key,
            str(s["forecasts"]),
            percent(s["rmse_return"]),
            percent(s["rmse_return_random_walk"]),
            percent(s["skill"], sign=True),
            number(s["dm_t"]),
            percent(s["coverage"]["95"], digits=1),
        )
    return table


def percent(value: float | None, *, digits: int = 3, sign: bool = False) -> str:
    return "-" if value is None else f"{value:{'+' if sign else ''}.{digits}%}"


def number(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def score_lines(summary: dict[str, Any]) -> list[str]:
    """The scores of a range in words, the random walk beside each error."""
    if not summary["forecasts"]:
        return ["", f"{summary['from']} .. {summary['to']}: no forecast was scored."]
    coverage = ", ".join(
        f"{percent(share, digits=1)} in the {level} % interval"
        for level, share in summary["coverage"].items()
    )
    versions = summary["versions"]
    return [
        "",
        f"{summary['from']} .. {summary['to']}: {summary['forecasts']} forecasts of"
        f" {summary['tickers']} tickers, {summary['sessions']} sessions",
        f"  RMSE of the log return     {percent(summary['rmse_return'])}"
        f"   random walk {percent(summary['rmse_return_random_walk'])}"
        f"   skill {percent(summary['skill'], sign=True)} (DM t {number(summary['dm_t'])})",
        f"  RMSE in dollars, pooled    {number(summary['rmse_usd'])}"
        f"   random walk {number(summary['rmse_usd_random_walk'])}",
        f"  Coverage                   {coverage}",
        *_baseline_lines(summary.get("interval_baselines", {})),
        f"  Made by                    {len(versions)} version(s)"
        f"{f' ({versions[0]}..{versions[-1]})' if versions else ''},"
        f" {percent(summary['random_walk_share'], digits=1)} forecast what the random walk does,"
        f" {percent(summary['fallback_share'], digits=1)} had no version",
    ]


def _baseline_lines(baselines: dict[str, Any]) -> list[str]:
    return [
        f"  Beside {name.replace('_', ' '):<19} CRPS {_share(found, 'crps')}, 95 % interval score"
        f" {_share(found, 'interval_score_95')} times that law's, whose 95 % interval held"
        f" {percent(found['coverage_95'], digits=1)}"
        for name, found in baselines.items()
    ]


def _share(found: dict[str, Any], score: str) -> str:
    return f"{found[f'{score}_forecast'] / found[score]:.3f}"


def forecast_rows(forecasts: pl.DataFrame) -> list[dict[str, Any]]:
    """Forecasts as plain values for JSON, without the grid of quantiles."""
    return forecasts.drop("quantile_returns").sort("ticker").to_dicts()
