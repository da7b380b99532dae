"""Long tables in files, read in the types that are wanted of them or refused by name.

A value that can't be read is never a null, a row that is gone, or a guess: whoever reads it would
compute with something that the file does not say. What the columns mean is not known here.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, time
from typing import NoReturn

import polars as pl

from stock_assets.errors import InvalidFileError

FORMATS = (".parquet", ".csv")

_TEXT = (pl.String, pl.Categorical, pl.Enum)
_MIDNIGHT = time()
_LONGEST_VALUE = 60
_FILE = "__file__"


class Table:
    """One CSV or Parquet file, or all of one format that a remote pattern finds.

    Args:
        path: Ends in .csv or .parquet. With storage options it may hold a `*`.
        schema: Columns that are wanted, each a String, a Float64, a Date or a moment in UTC.
        required: Those of them in which no value may be missing.
        time_zone: An exchange's: a time stamp at its midnight is that date. None: only a midnight
            of the column's own zone is a date.
        storage_options: What polars needs to reach a remote file; None for a local one.
    """

    def __init__(
        self,
        path: str,
        schema: Mapping[str, pl.DataType],
        required: Collection[str],
        *,
        time_zone: str | None = None,
        storage_options: Mapping[str, str] | None = None,
    ) -> None:
        self._path = path
        self._schema = schema
        self._required = required
        self._time_zone = time_zone
        self._options = None if storage_options is None else dict(storage_options)
        self._is_text = path.endswith(".csv")

    def open(self, *, named: bool = False) -> pl.LazyFrame:
        """The columns as they are in the file; with `named`, each row's file as well."""
        remote, name = self._options is not None, _FILE if named else None
        if self._is_text:
            # As text: a value that can't be read must be named, not turned into a null or a type.
            return pl.scan_csv(
                self._path,
                infer_schema=False,
                storage_options=self._options,
                glob=remote,
                include_file_paths=name,
            )
        return pl.scan_parquet(
            self._path,
            hive_partitioning=False,
            storage_options=self._options,
            glob=remote,
            include_file_paths=name,
        )

    def scan(self) -> pl.LazyFrame:
        """The wanted columns in their types and order.

        Text and time stamps are read once to be checked; so are all columns of a CSV file. The
        others can't hold a value of another kind: there, a required value may still be missing
        (`is_missing`), for `refuse_missing` to name.

        Raises:
            InvalidFileError: A column is absent or of a type that can't be meant, or a value can't
                be read; names file, row, column and value.
        """
        given = self.open().collect_schema()
        absent = [name for name in self._schema if name not in given]
        if absent:
            raise InvalidFileError(
                f"{self._path}: no column {', '.join(absent)}; needed: {', '.join(self._schema)}"
            )
        readings = {
            name: self._readings(name, given[name], dtype) for name, dtype in self._schema.items()
        }
        for name, options in readings.items():
            if not options:
                self._refuse_type(name, given[name], self._schema[name])
        chosen = {name: options[0] for name, options in readings.items()}
        doubtful = {
            name: options
            for name, options in readings.items()
            if self._is_doubtful(given[name], self._schema[name])
        }
        return self.open().select(**(chosen | self._checked(doubtful, given)))

    def _is_doubtful(self, given: pl.DataType, wanted: pl.DataType) -> bool:
        """Whether the column's type allows values that can't be read as what is wanted."""
        return self._is_text or (isinstance(given, (*_TEXT, pl.Datetime)) and wanted != pl.String())

    def _readings(self, name: str, given: pl.DataType, wanted: pl.DataType) -> list[pl.Expr]:
        """What a column may mean, the likeliest first: null where a value can't be read so.

        None where the type is of another kind: an integer is no date, a yes is no price.
        """
        column, is_text = pl.col(name), isinstance(given, _TEXT)
        as_it_is = given in (wanted, pl.Null())
        if as_it_is or (wanted == pl.String() and (is_text or given.is_integer())):
            return [column.cast(wanted)]
        if isinstance(wanted, pl.Datetime):
            return _moments(column, given)
        if wanted == pl.Float64() and (is_text or given.is_numeric()):
            return [(column.cast(pl.String) if is_text else column).cast(wanted, strict=False)]
        if wanted == pl.Date() and is_text:
            return [column.cast(pl.String).str.to_date("%Y-%m-%d", strict=False)]
        if wanted == pl.Date() and isinstance(given, pl.Datetime):
            stamps = [column]
            if given.time_zone and self._time_zone:
                stamps.append(column.dt.convert_time_zone(self._time_zone))
            return [pl.when(s.dt.time() == _MIDNIGHT).then(s.dt.date()) for s in stamps]
        return []

    def _checked(
        self, doubtful: Mapping[str, list[pl.Expr]], given: Mapping[str, pl.DataType]
    ) -> dict[str, pl.Expr]:
        """The reading of each column under which every value can be read."""
        if not doubtful:
            return {}
        first_bad = {
            f"{name} {n}": self._is_bad(name, reading, given[name]).arg_true().first()
            for name, readings in doubtful.items()
            for n, reading in enumerate(readings)
        }
        rows = self.open().select(**first_bad).collect(engine="streaming").row(0, named=True)
        chosen = {}
        for name, readings in doubtful.items():
            found = [rows[f"{name} {n}"] for n in range(len(readings))]
            if None not in found:
                # Named is the value at which the reading ends that went furthest.
                self._refuse(name, max(found))
            chosen[name] = readings[found.index(None)]
        return chosen

    def _is_bad(self, name: str, reading: pl.Expr, given: pl.DataType) -> pl.Expr:
        if name in self._required:
            return reading.is_null()
        # An empty text is a missing value, as it is in a CSV file.
        there = pl.col(name).is_not_null()
        if isinstance(given, _TEXT):
            there &= pl.col(name).cast(pl.String) != ""
        return reading.is_null() & there

    def refuse_missing(self) -> None:
        """Refuses the first row that lacks a required value, if there is one."""
        frame = self.scan()
        for name in self._required:
            row = frame.select(is_missing(name).arg_true().first()).collect().item()
            if row is not None:
                self._refuse(name, row)

    def _refuse(self, name: str, row: int) -> NoReturn:
        value = self.open().select(name).slice(row, 1).collect().row(0)[0]
        wanted = self._schema[name]
        if value in (None, ""):
            self.refuse(name, row, "is missing; complete or leave out the row")
        shown = repr(value) if isinstance(value, str) else str(value)
        if isinstance(value, datetime):
            zones = " nor ".join(filter(None, ("its own time zone", self._time_zone)))
            self.refuse(
                name,
                row,
                f"{shown} is not midnight in {zones}, so it names no date for certain; write"
                " dates without a time",
            )
        self.refuse(name, row, f"{shown} can't be read as {wanted}")

    def _refuse_type(self, name: str, given: pl.DataType, wanted: pl.DataType) -> NoReturn:
        there = pl.col(name).is_not_null()
        row = self.open().select(there.arg_true().first()).collect().item()
        what = f"of type {_short(given)} can't be read as {wanted}; write the column as that type"
        if row is None:
            raise InvalidFileError(f"{self._path}: column {name} {what}")
        value = self.open().select(name).slice(row, 1).collect().row(0)[0]
        self.refuse(name, row, f"{_short(value)} {what}")

    def refuse(self, name: str, row: int, why: str) -> NoReturn:
        """Raises InvalidFileError for a row, counted from 0, by its number in its own file."""
        path = self._path
        if "*" in path:
            files = self.open(named=True).select(_FILE).head(row + 1).collect()[_FILE]
            path = files[-1]
            row -= (files != path).sum()
        number = f"row {row + 2}" if self._is_text else f"row {row + 1} (the first is 1)"
        raise InvalidFileError(f"{path}: {number}, column {name}: {why}")


def is_missing(column: str) -> pl.Expr:
    """Whether a String or Date is null or empty."""
    return pl.col(column).is_null() | (pl.col(column).cast(pl.String) == "")


def _moments(column: pl.Expr, given: pl.DataType) -> list[pl.Expr]:
    """Moments in UTC; without a zone or an offset a time of day names none."""
    if isinstance(given, _TEXT):
        return [column.cast(pl.String).str.to_datetime("%+", time_unit="us", strict=False)]
    if isinstance(given, pl.Datetime) and given.time_zone:
        return [column.dt.convert_time_zone("UTC").dt.cast_time_unit("us")]
    return []


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
