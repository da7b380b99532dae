"""How forecasts and scores look to a person."""

from typing import Any

import polars as pl
from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table

from stock_assets.report.numbers import number, percent, price

AS_OF_SHARES = (
    "Prices are in the shares of that close: a split or dividend on the way to the target is not in"
    " them."
)


_PIPED_WIDTH = 110
"""Where the output is no terminal (CI, a pipe), 80 columns would cut numbers."""


def terminal_width() -> int | None:
    """Columns of the terminal on standard output; None where it is none."""
    console = Console()
    return console.width if console.is_terminal else None


def print_table(wide: RenderableType, narrow: RenderableType | None = None) -> None:
    """Prints a table, or its narrow form at a terminal that is too narrow for it."""
    width = terminal_width()
    console = Console(width=width or _PIPED_WIDTH)
    fits = width is None or _natural_width(console, wide) <= width
    console.print(wide if narrow is None or fits else narrow)


def _natural_width(console: Console, shown: RenderableType) -> int:
    """Of a table, whatever room there is; prose around it can be wrapped."""
    table = shown.renderables[0] if isinstance(shown, Group) else shown
    return Measurement.get(console, console.options.update(max_width=1000), table).maximum


def forecast_table(forecasts: pl.DataFrame) -> Group:
    """One row per ticker: the close, the forecast of a later one, its intervals, who made it.

    The forecast, close x exp(mean of the log return), is the geometric mean of the coming close:
    neither its mean nor exactly its median.
    """
    table = Table(title=_forecasts_of(forecasts), title_justify="left")
    for name in ("ticker", "close", "forecast", "80 % interval", "95 % interval", "made by"):
        table.add_column(name, justify="left" if name in ("ticker", "made by") else "right")

    for row in forecasts.sort("ticker").iter_rows(named=True):
        table.add_row(
            row["ticker"],
            price(row["close_usd"]),
            price(row["forecast_close_usd"]),
            _span(row, 80),
            _span(row, 95),
            _made_by(row),
        )
    return Group(table, AS_OF_SHARES)


def narrow_forecast_table(forecasts: pl.DataFrame) -> Group:
    """The same in 60 columns: intervals above each other, who made the forecasts below."""
    table = Table(
        title=_forecasts_of(forecasts),
        title_justify="left",
        box=None,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for name in ("ticker", "close", "forecast", "", "interval"):
        table.add_column(name, justify="left" if name == "ticker" else "right", no_wrap=True)
    made: dict[str, list[str]] = {}
    for row in forecasts.sort("ticker").iter_rows(named=True):
        made.setdefault(_made_by(row), []).append(row["ticker"])
        table.add_row(
            row["ticker"],
            price(row["close_usd"]),
            price(row["forecast_close_usd"]),
            "80 %\n95 %",
            f"{_span(row, 80)}\n{_span(row, 95)}",
        )
    by = [f"Made by {who}" for who in made]
    if len(made) > 1:
        by = [f"Made by {who}: {', '.join(tickers)}" for who, tickers in made.items()]
    return Group(table, *by, AS_OF_SHARES)


def _forecasts_of(forecasts: pl.DataFrame) -> str:
    first = forecasts.row(0, named=True) if forecasts.height else {}
    return (
        f"Forecasts of {first.get('target_session', '-')}"
        f" from the close of {first.get('as_of_session', '-')}"
    )


def _span(row: dict[str, Any], coverage: int) -> str:
    lower, upper = row[f"lower_{coverage}_usd"], row[f"upper_{coverage}_usd"]
    return "-" if lower is None else f"{price(lower)} .. {price(upper)}"


def _made_by(row: dict[str, Any]) -> str:
    """Who made the point, and whose intervals they are where that is another."""
    version = None if row["is_fallback"] else row["model_version"]
    intervals = row.get("intervals_version")
    of_point = "" if version is None else f" version {version}"
    of_intervals = "" if intervals in {None, version} else f", intervals version {intervals}"
    return f"{row['model'].replace('_', ' ')}{of_point}{of_intervals}"


_HYPHENED = {"forecasts": "fore-\ncasts", "unscored": "un-\nscored", "random walk": "random\nwalk"}


def score_table(of: str, scores: dict[str, dict[str, Any]], *, narrow: bool = False) -> Table:
    """One row of scores per ticker or month; those that are not scored are shown if any are.

    `narrow`: in 60 columns, without lines between columns.
    """
    table = Table(title=f"By {of}", title_justify="left")
    if narrow:
        table.box, table.pad_edge, table.padding = None, False, (0, 1, 0, 0)
    some_unscored = any(s["unscored"] for s in scores.values())
    counts = ("forecasts", "unscored") if some_unscored else ("forecasts",)
    for name in (of, *counts, "RMSE", "random walk", "skill", "DM t", "in 95 %"):
        title = _HYPHENED.get(name, name) if narrow else name
        table.add_column(title, justify="left" if name == of else "right")
    for key, s in scores.items():
        table.add_row(
            key,
            *(str(s[count]) for count in counts),
            percent(s["rmse_return"]),
            percent(s["rmse_return_random_walk"]),
            percent(s["skill"], sign=True),
            number(s["dm_t"]),
            percent(s["coverage"]["95"], digits=1),
        )
    return table


def between(bounds: list[float] | None, digits: int = 1) -> str:
    """A confidence interval of shares."""
    return " .. ".join(percent(b, digits=digits) for b in bounds) if bounds else "not known"


def score_lines(summary: dict[str, Any]) -> list[str]:
    """The scores of a range in words, the random walk beside each error."""
    span = f"{summary['from']} .. {summary['to']}"
    if not summary["forecasts"]:
        return ["", f"{span}: no forecast was scored.", *_unscored_lines(summary)]
    coverage = ", ".join(
        f"{percent(share, digits=1)} in the {level} % interval"
        for level, share in summary["coverage"].items()
    )
    confidence = "; ".join(
        f"{level}: {between(bounds)}" for level, bounds in summary["coverage_confidence"].items()
    )
    versions = summary["versions"]
    return [
        "",
        f"{span}: {summary['forecasts']} forecasts of"
        f" {summary['tickers']} tickers, {summary['sessions']} sessions",
        *_unscored_lines(summary),
        *_issued_lines(summary),
        f"  RMSE of the log return     {percent(summary['rmse_return'])}"
        f"   random walk {percent(summary['rmse_return_random_walk'])}"
        f"   skill {percent(summary['skill'], sign=True)} (DM t {number(summary['dm_t'])},"
        f" 95 % confidence {between(summary['skill_confidence'], digits=3)})",
        f"  RMSE in dollars, pooled    {price(summary['rmse_usd'])}"
        f"   random walk {price(summary['rmse_usd_random_walk'])}",
        f"  Coverage                   {coverage}",
        f"    with 95 % confidence     {confidence}",
        *_range_lines(summary),
        *_baseline_lines(summary.get("interval_baselines", {})),
        *_basket_lines(summary.get("basket")),
        f"  Made by                    {len(versions)} version(s)"
        f"{f' ({versions[0]}..{versions[-1]})' if versions else ''},"
        f" {percent(summary['random_walk_share'], digits=1)} forecast what the random walk does,"
        f" {percent(summary['fallback_share'], digits=1)} had no version for it",
    ]


def _unscored_lines(summary: dict[str, Any]) -> list[str]:
    if not summary["unscored"]:
        return []
    reasons = "; ".join(f"{n} {reason}" for reason, n in summary["unscored_reasons"].items())
    within = percent(summary["coverage_with_unscored"]["95"], digits=1)
    return [
        f"  Not scored                 {summary['unscored']}: {reasons}",
        f"    by recorded closes       {within} in the 95 % interval with them",
    ]


def _issued_lines(summary: dict[str, Any]) -> list[str]:
    """Which forecasts are scored; no line where none was issued, as of a source that has ended."""
    scored = summary.get("scored", {})
    if not scored.get("issued"):
        return []
    return [f"  Scored as issued           {scored['issued']}; in hindsight {scored['hindsight']}"]


def _range_lines(summary: dict[str, Any]) -> list[str]:
    """What the range says beyond its means; a line for each part that is known."""
    lines = []
    tested = summary.get("christoffersen", {}).get("95", {})
    if tested.get("tickers"):
        lines.append(
            f"  Tests of 95 % coverage     Kupiec's rejects {summary['kupiec']['95']['rejected']},"
            f" Christoffersen's {tested['rejected']} of {tested['tickers']} tickers;"
            f" {tested['expected_by_chance']:.1f} by chance"
        )
    regimes = summary.get("coverage_by_regime")
    if regimes:
        shares = ", ".join(
            f"{name} {percent(found['coverage']['95'], digits=1)}"
            for name, found in regimes.items()
        )
        lines.append(f"  95 % interval when         {shares}")
    joint = summary.get("joint", {}).get("95", {})
    if joint.get("sd_daily_coverage") is not None:
        lines.append(
            "  Coverage by session       "
            f" standard deviation {percent(joint['sd_daily_coverage'], digits=1)};"
            f" {percent(joint['sd_if_independent'], digits=1)} if misses were independent"
        )
    if summary.get("rank_ic") is not None:
        lines.append(
            f"  Rank correlation           {number(summary['rank_ic'], digits=3)}"
            f" (t {number(summary['rank_ic_t'])}, {summary['rank_ic_sessions']} sessions)"
        )
    return lines


def _baseline_lines(baselines: dict[str, Any]) -> list[str]:
    return [
        f"  Beside {name.replace('_', ' '):<19} {_shares(found)} relative to the baseline,"
        f" whose 95 % interval covered {percent(found['coverage_95'], digits=1)}"
        for name, found in baselines.items()
    ]


def _shares(found: dict[str, Any]) -> str:
    """Our mean scores over the baseline's; without CRPS for one that has bounds alone."""
    scores = {"CRPS": "crps", "95 % interval score": "interval_score_95"}
    return ", ".join(
        f"{words} {found[f'{score}_forecast'] / found[score]:.3f}"
        for words, score in scores.items()
        if found[score]
    )


def _basket_lines(basket: dict[str, Any] | None) -> list[str]:
    if not basket or not basket["next"]:
        return []
    newest = basket["next"]
    held = f"95 % interval covered {percent(basket['coverage']['95'], digits=1)}"
    return [
        f"  Basket, equal weights      {held} of {basket['sessions']} sessions; after"
        f" {newest['as_of_session']}: {percent(newest['lower_95'], digits=2, sign=True)} .."
        f" {percent(newest['upper_95'], digits=2, sign=True)}"
    ]


def forecast_rows(forecasts: pl.DataFrame) -> list[dict[str, Any]]:
    """Forecasts as plain values for JSON, without the grid of quantiles."""
    return forecasts.drop("quantile_returns").sort("ticker").to_dicts()
