"""What a vendor's CSV or JSON answer holds: rows of one ticker's history, or why there are none.

The format is told by the content, the columns by the deployment. A value that can't be read is
refused by its row, never taken for a missing one. No request is made here.
"""

import csv
import io
import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import polars as pl

from stock_assets.errors import (
    EmptyAnswerError,
    RateLimitedError,
    SourceUnreachableError,
    UnexpectedShapeError,
)
from stock_assets.market.bars import PRICES

EVENTS: Mapping[str, float] = {"dividend": 0.0, "split_ratio": 1.0}
"""What each is where there was none."""
USUAL_COLUMNS: Mapping[str, str] = {
    "session": "date",
    **{name: name for name in (*PRICES, "volume")},
}
"""What vendors call them, in whatever case. A volume may be missing."""
ANSWER_SCHEMA: dict[str, pl.DataType] = {
    "session": pl.Date(),
    **dict.fromkeys((*PRICES, "volume", *EVENTS), pl.Float64()),
}
_MIDNIGHT = re.compile(r"(?:[T ]00:00(?::00(?:\.0+)?)?)?(?:Z|[+-]00:?00)?")
_ISO_DATE = 10  # letters
_NAMED = 5

Record = Mapping[str, Any]


def history_rows(body: bytes, columns: Mapping[str, str], records: str) -> pl.DataFrame:
    """The rows of an answer.

    Args:
        body: CSV with a line of names, or JSON.
        columns: The vendor's name of each of ours, over USUAL_COLUMNS; in JSON a.b is the field b
            of a. A number stands for itself in every row.
        records: Where in JSON the list of records is, like data.prices; empty: the whole answer.

    Returns:
        ANSWER_SCHEMA, sessions ascending, each once. A price or volume that the vendor left out is
        null. So is an event of which `columns` says nothing; one that is left out in a row is none.

    Raises:
        SourceUnreachableError: It is a web page, or was cut off: not one of the vendor's answers.
        EmptyAnswerError: It has no rows.
        RateLimitedError: It is a line that says so.
        UnexpectedShapeError: It lacks a column, or a value can't be read; names row and column.
    """
    rows = _records(body, records)
    if not rows:
        raise EmptyAnswerError("has no rows")
    wanted = {**USUAL_COLUMNS, **columns}
    read = {
        name: [_number(row, name, value) for row, value in enumerate(values, 1)]
        for name, values in _columns(rows, wanted, columns).items()
        if name != "session"
    }
    sessions = [
        _day(row, value) for row, value in enumerate(_column(rows, wanted["session"]) or (), 1)
    ]
    session, count = Counter(sessions).most_common(1)[0]
    if count > 1:
        raise UnexpectedShapeError(f"has {count} rows of {session}")
    unknown = dict.fromkeys(ANSWER_SCHEMA, [None] * len(rows))
    table = pl.DataFrame(unknown | read | {"session": sessions}, schema=ANSWER_SCHEMA)
    return table.with_columns(
        pl.col(name).fill_null(none) for name, none in EVENTS.items() if name in columns
    ).sort("session")


def _records(body: bytes, path: str) -> Sequence[Record]:
    """Each row by column."""
    try:
        text = body.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise UnexpectedShapeError("is no text") from error
    if text.startswith("<"):
        raise SourceUnreachableError("is a web page, not prices")
    if text.startswith(("{", "[")):
        return _json_records(text, path)
    try:
        names, *rows = [
            row for row in csv.reader(io.StringIO(text), delimiter=_delimiter(text)) if row
        ] or [[]]
    except csv.Error as error:
        raise UnexpectedShapeError(f"is no table: {error}") from error
    for number, row in enumerate(rows, 1):
        if len(row) != len(names):
            raise SourceUnreachableError(
                f"is cut off or no table: row {number} has {len(row)} of {len(names)} columns"
            )
    return [dict(zip(names, row, strict=True)) for row in rows] or _no_rows(names)


def _delimiter(text: str) -> str:
    header = text.partition("\n")[0]
    return max(",;\t", key=header.count)


def _no_rows(names: Sequence[str]) -> Sequence[Record]:
    """None, if the line of names is one: "Exceeded the daily hits limit" is not."""
    if len(names) == 1:
        kind = RateLimitedError if "limit" in names[0].casefold() else UnexpectedShapeError
        raise kind(f"is no table, but says {names[0][:80]!r}")
    return []


def _json_records(text: str, path: str) -> Sequence[Record]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SourceUnreachableError(f"is cut off or no JSON: {error}") from error
    found = _at(found, path) if path else found
    if found is None or found == {}:
        return []
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        there = f" but an object of {_listed(found)}" if isinstance(found, dict) else ""
        raise UnexpectedShapeError(
            f"is no list of records{f' at {path}' if path else ''}{there}; say in"
            " STOCK_ASSETS_HTTP_RECORDS where in the answer they are"
        )
    return found


def _at(value: Any, path: str) -> Any:
    """What stands under a name, in whatever case, or under a path of names; None for nothing."""
    if not isinstance(value, dict):
        return None
    for name, held in value.items():
        if name.casefold() == path.casefold():
            return held
    first, dot, rest = path.partition(".")
    return _at(_at(value, first), rest) if dot else None


def _column(rows: Sequence[Record], name: str) -> list[Any] | None:
    """A value per row, None where it is missing; None for a column that no row has."""
    if (number := constant(name)) is not None:
        return [number] * len(rows)
    exact = all(name in row for row in rows)
    values = [row[name] if exact else _at(row, name) for row in rows]
    return values if exact or any(value is not None for value in values) else None


def _columns(
    rows: Sequence[Record], wanted: Mapping[str, str], given: Mapping[str, str]
) -> dict[str, list[Any]]:
    found = {ours: _column(rows, theirs) for ours, theirs in wanted.items()}
    absent = [
        wanted[ours]
        for ours, values in found.items()
        if values is None and (ours != "volume" or ours in given)
    ]
    if absent:
        raise UnexpectedShapeError(
            f"has no column {', '.join(absent)}, but {_listed(rows[0])}; say in"
            " STOCK_ASSETS_HTTP_COLUMNS what its columns are called"
        )
    return {ours: values for ours, values in found.items() if values is not None}


def constant(name: str) -> float | None:
    """The number that stands in place of a column's name; None where it is a name."""
    try:
        return float(name)
    except ValueError:
        return None


def _number(row: int, name: str, value: Any) -> float | None:
    if value is None or value == "":
        return None
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise UnexpectedShapeError(
            f"has {_short(value)} for {name} in row {row}, which is no number"
        )
    return number


def _day(row: int, value: Any) -> date:
    text = str(value)
    try:
        day = date.fromisoformat(text[:_ISO_DATE])
    except ValueError:
        day = None
    if day is None or not _MIDNIGHT.fullmatch(text[_ISO_DATE:]):
        raise UnexpectedShapeError(
            f"has {_short(value)} for session in row {row}, which is no date like 2013-01-17"
        )
    return day


def _short(value: Any) -> str:
    return repr(value)[:40]


def _listed(record: Record) -> str:
    names = [str(name)[:20] for name in record]
    return ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")
