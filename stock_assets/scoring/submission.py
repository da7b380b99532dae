"""Whether what a file says can be forecasts, and what they are in log return.

What contradicts itself or the calendar is refused with the first case of it: nothing is sorted,
filled in or dropped in silence. What merely lacks an outcome is no fault; `comparison` counts it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from stock_assets.errors import InvalidForecastsError, NotASessionError, OutsideCalendarError
from stock_assets.forecasting.evaluation import HINDSIGHT, ISSUED
from stock_assets.market.sessions import ExchangeCalendar
from stock_assets.scoring.forecast_files import POINT, QUANTILE, RANK, RETURN_TARGET
from stock_assets.scoring.ranks import FIFTHS

PRICE, RETURN = "price", "return"
UNITS = (PRICE, RETURN)
_UNIT_OF = {RETURN_TARGET: RETURN, "close": PRICE}
KEY = ("ticker", "target_session")
_ONE = ("model", *KEY)
_FARTHEST = 0.4
"""Log ratio of a ticker's usual value to the close before it, beyond which its prices are in other
shares or another currency: no share moves so far on most days."""
_NAMED = 5


@dataclass(frozen=True)
class Model:
    """One model's forecasts of a file.

    Args:
        name: As the file calls it.
        levels: Of its quantiles, ascending; none for points alone.
        forecasts: `ticker, target_session`, `point` in log return (null where there is none),
            `quantiles` (list of log returns at `levels`), `ranks` (list of five probabilities),
            one row per forecast that has all that the model has elsewhere, sorted.
        incomplete: How many have not.
        records: How many were issued before their target opened, how many were not or don't say.
    """

    name: str
    levels: tuple[float, ...]
    has_point: bool
    has_ranks: bool
    forecasts: pl.DataFrame
    incomplete: int
    records: dict[str, int]


def unit_of(rows: pl.DataFrame, asked: str | None) -> str:
    """PRICE or RETURN: as asked for, or as the file's column `target` says, or PRICE.

    Raises:
        InvalidForecastsError: The column says neither, or contradicts.
    """
    targets = rows.filter(pl.col("kind") != RANK)["target"].drop_nulls().unique().sort().to_list()
    said = {_UNIT_OF.get(target) for target in targets}
    if asked:
        return asked
    if not said:
        return PRICE
    if len(said) > 1 or None in said:
        raise InvalidForecastsError(
            f"the column target says {', '.join(map(repr, targets[:_NAMED]))}, not one of"
            f" {', '.join(map(repr, _UNIT_OF))}; say what values are with --unit price or --unit"
            " return, one target a file"
        )
    return str(said.pop())


def with_sessions(rows: pl.DataFrame, calendar: ExchangeCalendar, horizon: int) -> pl.DataFrame:
    """READ_SCHEMA with both sessions, the one that a file leaves out made of the other.

    Raises:
        InvalidForecastsError: A date is no session, or the two are not `horizon` sessions apart.
    """
    # Hubs count horizons in units of their own: where both dates are there, these count.
    one_date = pl.any_horizontal(pl.col("as_of_session", "target_session").is_null())
    other_horizon = rows.filter(one_date & (pl.col("horizon") != horizon))
    if other_horizon.height:
        one = other_horizon.row(0, named=True)
        raise InvalidForecastsError(
            f"{one['model']}: a forecast of {one['ticker']} has the horizon {one['horizon']:g};"
            f" {_of_dataset(horizon)}"
        )
    for column, other, by in (
        ("target_session", "as_of_session", -horizon),
        ("as_of_session", "target_session", horizon),
    ):
        days = rows[column].drop_nulls().unique().sort().to_list()
        moved = {day: _moved(rows, column, day, by, calendar) for day in days}
        expected = pl.col(column).replace_strict(moved, default=None, return_dtype=pl.Date)
        apart = rows.filter(pl.col(other) != expected)
        if apart.height:
            one = apart.row(0, named=True)
            raise InvalidForecastsError(
                f"{one['model']}: the forecast of {one['ticker']} for {one['target_session']} is"
                f" from {one['as_of_session']}, which is not {_sessions(horizon)} before;"
                f" {_of_dataset(horizon)}"
            )
        rows = rows.with_columns(pl.coalesce(other, expected).alias(other))
    return rows


def _of_dataset(horizon: int) -> str:
    return (
        f"this dataset is of {_sessions(horizon)} ahead, another is made with STOCK_ASSETS_HORIZON"
    )


def _sessions(count: int) -> str:
    return "one session" if count == 1 else f"{count} sessions"


def _moved(rows: pl.DataFrame, column: str, day: date, by: int, calendar: ExchangeCalendar) -> date:
    try:
        return calendar.offset(day, by)
    except (NotASessionError, OutsideCalendarError) as error:
        one = rows.filter(pl.col(column) == day).row(0, named=True)
        raise InvalidForecastsError(
            f"{one['model']}, {one['ticker']}: {column.replace('_', ' ')} {error}"
        ) from error


def check_tickers(rows: pl.DataFrame, known: Sequence[str], dataset: str) -> None:
    """Refuses tickers that the dataset has no forecast of.

    Raises:
        InvalidForecastsError: Names some of them, and some of those that there are.
    """
    unknown = sorted(set(rows["ticker"].unique()) - set(known))
    if unknown:
        raise InvalidForecastsError(
            f"{dataset} has no forecast of {_some(unknown)} in these sessions, but of"
            f" {_some(sorted(known))}; leave their rows out, or choose others with --tickers"
        )


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def submitted_models(
    rows: pl.DataFrame, closes: pl.DataFrame, unit: str, calendar: ExchangeCalendar
) -> list[Model]:
    """Each model's forecasts in log return, by name.

    Args:
        rows: See `with_sessions`.
        closes: `ticker, target_session, close_usd`: of the forecast's own session, as traded.
        unit: Of `value`. Prices are in the shares of the close that they start from: the stored
            one, or `base`.
        calendar: Says when sessions open.

    Raises:
        InvalidForecastsError: A value is missing, not finite, there twice, no price; quantiles
            cross; probabilities do not add up to one; prices are not in the shares of the close.
    """
    _refuse_first(
        rows.filter(~pl.col("value").is_finite()), "is {value}; leave out what was not forecast"
    )
    _refuse_first(
        rows.filter(pl.struct(*_ONE, "kind", "level").is_duplicated()),
        "is there more than once; keep one",
    )
    if unit == PRICE:
        rows = _in_log_return(rows, closes)
    else:
        _refuse_far(
            rows.with_columns(ratio="value"),
            "no change, as {value:.6g}; they are to be log returns. For prices say --unit price",
        )
    returns = rows.sort(*_ONE, "level")
    _refuse_crossing(returns)
    _refuse_improper(returns)
    return [
        _model(str(name), own, calendar)
        for (name,), own in returns.group_by("model", maintain_order=True)
    ]


def _refuse_first(faulty: pl.DataFrame, why: str) -> None:
    if faulty.height:
        one = faulty.row(0, named=True)
        raise InvalidForecastsError(f"{_named(one)} {why.format(**one)}")


def _named(one: dict[str, Any]) -> str:
    kind = {
        POINT: "the point",
        QUANTILE: f"the quantile {one['level']}",
        RANK: f"the probability of rank {one['level']}",
    }[one["kind"]]
    return f"{one['model']}, {one['ticker']} {one['target_session']}: {kind}"


def _in_log_return(rows: pl.DataFrame, closes: pl.DataFrame) -> pl.DataFrame:
    is_price = pl.col("kind") != RANK
    _refuse_first(
        rows.filter(is_price & (pl.col("value") <= 0)),
        "is {value}, which is no price; are values log returns? Then say --unit return",
    )
    started = rows.join(closes, on=KEY, how="left", maintain_order="left").with_columns(
        start=pl.coalesce("base", "close_usd")
    )
    moved = started.with_columns(ratio=(pl.col("value") / pl.col("start")).log())
    _refuse_far(
        moved,
        "the close before them, as {value:.6g} from {start:.6g}; prices are to be in the shares of"
        " that close, as traded. For adjusted prices add a column `base` with the adjusted close"
        " that the forecast starts from; for log returns say --unit return",
    )
    # NaN where ours has no such forecast: there is nothing to compare it with.
    of_close = pl.col("ratio").fill_null(math.nan)
    return moved.with_columns(value=pl.when(is_price).then(of_close).otherwise("value")).select(
        rows.columns
    )


def _refuse_far(rows: pl.DataFrame, why: str) -> None:
    """`rows`: with the log `ratio` that each value says; null where it is not known."""
    usual = (
        rows.filter(pl.col("kind") != RANK)
        .drop_nulls("ratio")
        .group_by("model", "ticker", maintain_order=True)
        .agg(pl.col("ratio").median(), pl.exclude("ratio").last())
    )
    far = usual.filter(pl.col("ratio").abs() > _FARTHEST)
    if far.height:
        one = far.row(0, named=True)
        raise InvalidForecastsError(
            f"{one['model']}, {one['ticker']}: most values are far from {why.format(**one)}"
        )


def _refuse_crossing(rows: pl.DataFrame) -> None:
    """`rows`: sorted by forecast and level."""
    quantiles = rows.filter(pl.col("kind") == QUANTILE)
    before = pl.col("value", "level").shift(1).over(*_ONE).name.suffix("_before")
    crossed = quantiles.with_columns(before).filter(pl.col("value") < pl.col("value_before"))
    _refuse_first(
        crossed,
        "lies below that of {level_before}; quantiles must not cross: sort them, or leave the"
        " forecast out",
    )


def _refuse_improper(rows: pl.DataFrame) -> None:
    chances = rows.filter(pl.col("kind") == RANK)
    total = pl.col("value").sum().over(*_ONE)
    count = pl.len().over(*_ONE)
    wrong = chances.filter((pl.col("value") < 0) | ((count == FIFTHS) & ((total - 1).abs() > 1e-6)))
    _refuse_first(wrong, "is {value}: the five must be at least 0 and add up to 1")


def _model(name: str, rows: pl.DataFrame, calendar: ExchangeCalendar) -> Model:
    """Of one model's rows, sorted by ticker, target and level."""
    levels = tuple(rows.filter(pl.col("kind") == QUANTILE)["level"].unique().sort())
    own = {kind: pl.col("value").filter(pl.col("kind") == kind) for kind in (POINT, QUANTILE, RANK)}
    median = pl.col("value").filter((pl.col("kind") == QUANTILE) & (pl.col("level") == 0.5))
    each = (
        rows.group_by(*KEY, maintain_order=True)
        .agg(
            # A median is the point where the file has no other.
            point=pl.coalesce(own[POINT].first(), median.first()),
            quantiles=own[QUANTILE],
            ranks=own[RANK],
            issued_at=pl.col("issued_at").max(),
        )
        .sort("target_session", "ticker")
    )
    has_point = each["point"].null_count() < each.height
    has_ranks = bool((each["ranks"].list.len() > 0).any())
    whole = (
        (pl.col("quantiles").list.len() == len(levels))
        & (pl.col("point").is_not_null() | pl.lit(not has_point))
        & (pl.col("ranks").list.len() == (FIFTHS if has_ranks else 0))
    )
    opens = {day: calendar.opens_at(day) for day in each["target_session"].unique()}
    issued = each.select(
        pl.col("issued_at")
        < pl.col("target_session")
        .replace_strict(opens, return_dtype=pl.Datetime("us", calendar.time_zone))
        .dt.convert_time_zone("UTC")
    ).to_series()
    in_time = int(issued.fill_null(False).sum())
    complete = each.filter(whole)
    return Model(
        name,
        levels,
        has_point,
        has_ranks,
        complete.drop("issued_at"),
        each.height - complete.height,
        {ISSUED: in_time, HINDSIGHT: each.height - in_time},
    )
