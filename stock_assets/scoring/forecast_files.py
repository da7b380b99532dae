"""Files of forecasts, in the long format of hubverse or the wide one of Nixtla's libraries.

What is read is not believed yet: whether it can be a forecast, `submission` says. The formats are
described in docs/score.md.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from stock_assets.errors import InvalidFileError
from stock_assets.forecasting.intervals import bound_levels
from stock_assets.market.names import fault_of
from stock_assets.market.sources.tables import FORMATS, Table

POINT, QUANTILE, RANK = "point", "quantile", "rank"
READ_SCHEMA: dict[str, pl.DataType] = {
    "model": pl.String(),
    "ticker": pl.String(),
    "as_of_session": pl.Date(),
    "target_session": pl.Date(),
    "kind": pl.String(),
    "level": pl.Float64(),
    "value": pl.Float64(),
    "base": pl.Float64(),
    "issued_at": pl.Datetime("us", "UTC"),
    "target": pl.String(),
    "horizon": pl.Float64(),
}
"""One number of one forecast. `kind` POINT: `level` is null; QUANTILE: the level; RANK: the fifth
of the returns, 1 (lowest) to 5, and `value` its probability. One of the two sessions may be null
throughout. `base`: the close that `value` starts from, where the file says so."""

MODEL_OUTPUT = "model-output"
"""Folder of a hub, beside which outcomes lie."""
RETURN_TARGET, RANK_TARGET = "log return", "fifth of the returns"
"""What we call the targets of a hub; `target` of a file in the long format."""

_NAMES = {
    "ticker": ("location", "ticker", "unique_id"),
    "as_of_session": ("reference_date", "origin_date", "forecast_date", "as_of_session", "cutoff"),
    "target_session": ("target_end_date", "target_date", "target_session", "ds"),
    "model": ("model_id",),
    "base": ("base",),
    "issued_at": ("issued_at",),
    "target": ("target",),
    "horizon": ("horizon",),
}
"""By column of READ_SCHEMA how files call it, the first that is there."""
_LONG = ("output_type", "output_type_id", "value")
_PASSED_OVER = frozenset({"", "y", "index"})
"""Of a wide file: what pandas and cross-validations write beside forecasts."""
_BOUND = re.compile(r"(.+)-(lo|hi)-(\d+(?:\.\d+)?)")
_MEDIAN = "-median"
_RANK = re.compile(r"(?i)(?:rank)?([1-5])")


class Meaning(NamedTuple):
    """What a column of a wide file holds."""

    model: str
    kind: str
    level: float | None


def exact_level(level: float) -> float:
    """The level that is meant: (1 - 0.8) / 2 is a bit less than 0.1."""
    return round(level, 10)


def bound_level(side: str, coverage: float) -> float:
    """Level of a side (lo, hi) of a central interval of so many per cent."""
    return exact_level(bound_levels(coverage)[side == "hi"])


def forecast_files(path: Path) -> list[Path]:
    """The file, or all files of a folder at every depth; of a hub those of model output.

    Raises:
        InvalidFileError: There is none.
    """
    if path.is_dir():
        hub = path / MODEL_OUTPUT
        files = (hub if hub.is_dir() else path).rglob("*")
        found = sorted(file for file in files if file.suffix in FORMATS)
    else:
        found = [path] if path.is_file() and path.suffix in FORMATS else []
    if not found:
        raise InvalidFileError(f"{path} is no .csv or .parquet file, nor a folder with any")
    return found


def read_forecasts(path: Path) -> pl.DataFrame:
    """All numbers of a file or folder, READ_SCHEMA, in the order of files and rows.

    A file without a column `model_id` is its model's: named after the file, in a folder after the
    folder that it lies in, as hubs have it.

    Raises:
        InvalidFileError: A file is of neither format, lacks a column, or holds what can't be read
            or can't be a name.
    """
    whole = path.is_dir()
    try:
        rows = pl.concat(
            _read(file, file.parent.name if whole else file.stem) for file in forecast_files(path)
        )
    except pl.exceptions.PolarsError as error:
        raise InvalidFileError(f"{path} can't be read: {str(error).strip()}") from error
    for what in ("model", "ticker"):
        for name in rows[what].unique().drop_nulls().sort():
            if fault := fault_of(name):
                raise InvalidFileError(f"{path}: {name!r} can't be a {what}: {fault}; rename it")
    return rows


def _read(file: Path, model: str) -> pl.DataFrame:
    given = Table(str(file), {}, ()).open().collect_schema()
    if "output_type" in given:
        return _read_long(file, given, model)
    if {"unique_id", "ds"} <= set(given):
        return _read_wide(file, given)
    raise InvalidFileError(
        f"{file} has neither the columns {', '.join(_LONG)} (long) nor unique_id, ds (wide);"
        f" it has {', '.join(given)}"
    )


def _given_names(file: Path, given: Iterable[str]) -> dict[str, str]:
    """By column of READ_SCHEMA its name in the file, of those that are there."""
    there = set(given)
    found = {
        ours: next(name for name in names if name in there)
        for ours, names in _NAMES.items()
        if there & set(names)
    }
    if "ticker" not in found:
        raise InvalidFileError(f"{file}: no column {' or '.join(_NAMES['ticker'])}")
    if not {"as_of_session", "target_session"} & set(found):
        names = [name for ours in ("target_session", "as_of_session") for name in _NAMES[ours]]
        raise InvalidFileError(f"{file}: no column of a session: {', '.join(names)}")
    return found


def _frame(
    file: Path,
    names: Mapping[str, str],
    numbers: Mapping[str, pl.DataType],
    required: Sequence[str],
) -> pl.DataFrame:
    """The named columns by our names, and `numbers` by their own; no value of `required` is null.

    Raises:
        InvalidFileError: A value is missing or can't be read.
    """
    wanted = {name: READ_SCHEMA[ours] for ours, name in names.items()} | dict(numbers)
    keys = [names[o] for o in ("ticker", "as_of_session", "target_session") if o in names]
    table = Table(str(file), wanted, [*keys, *required])
    table.refuse_missing()
    return table.scan().collect().rename({name: ours for ours, name in names.items()})


def _completed(rows: pl.DataFrame, model: str) -> pl.DataFrame:
    """READ_SCHEMA of rows that lack some of its columns."""
    added = {name: None for name in READ_SCHEMA if name not in rows.columns} | (
        {} if "model" in rows.columns else {"model": pl.lit(model)}
    )
    return rows.with_columns(**added).select(
        pl.col(name).cast(dtype) for name, dtype in READ_SCHEMA.items()
    )


def _read_wide(file: Path, given: pl.Schema) -> pl.DataFrame:
    """`unique_id, ds, [cutoff], Model, Model-lo-80, Model-hi-80, ...`, a row per forecast."""
    names = _given_names(file, given)
    names.pop("model", None)  # here a column is a model
    columns = [c for c in given if c not in names.values() and c not in _PASSED_OVER]
    if not columns:
        raise InvalidFileError(f"{file} has no column of forecasts beside {', '.join(given)}")
    rows = _frame(file, names, dict.fromkeys(columns, pl.Float64()), columns)
    return pl.concat(
        _completed(
            rows.select(
                *names,
                model=pl.lit(meaning.model),
                kind=pl.lit(meaning.kind),
                level=pl.lit(meaning.level),
                value=column,
            ),
            meaning.model,
        )
        for column in columns
        for meaning in (_meaning(file, column),)
    )


def _meaning(file: Path, column: str) -> Meaning:
    if column.endswith(_MEDIAN):
        return Meaning(column.removesuffix(_MEDIAN), QUANTILE, 0.5)
    bound = _BOUND.fullmatch(column)
    if not bound:
        return Meaning(column, POINT, None)
    model, side, coverage = bound.groups()
    if not 0 < float(coverage) < 100:
        raise InvalidFileError(f"{file}: column {column}: no interval holds {coverage} per cent")
    return Meaning(model, QUANTILE, bound_level(side, float(coverage)))


def _read_long(file: Path, given: pl.Schema, model: str) -> pl.DataFrame:
    """A row per number: `output_type, output_type_id, value` beside the ticker and sessions."""
    names = _given_names(file, given)
    # Of a mean there is no id, which R writes as NA; of a rank it may be a word.
    ids = pl.Float64() if given.get("output_type_id", pl.String()).is_numeric() else pl.String()
    numbers = {"output_type": pl.String(), "output_type_id": ids, "value": pl.Float64()}
    rows = _frame(file, names, numbers, ["output_type", "value"])
    pairs = rows.select("output_type", pl.col("output_type_id").cast(pl.String)).unique(
        maintain_order=True
    )
    meant = [_meant(file, *pair) for pair in pairs.iter_rows()]
    return _completed(
        rows.with_columns(pl.col("output_type_id").cast(pl.String)).join(
            pairs.with_columns(
                pl.Series("kind", [kind for kind, _ in meant], dtype=pl.String),
                pl.Series("level", [level for _, level in meant], dtype=pl.Float64),
            ),
            on=["output_type", "output_type_id"],
            nulls_equal=True,
            maintain_order="left",
        ),
        model,
    )


def _meant(file: Path, kind: str, number: str | None) -> tuple[str, float | None]:
    """Kind and level of an output type and its id.

    Raises:
        InvalidFileError: There is no such type, or it has no such id.
    """
    if kind in {"mean", "point"}:
        return POINT, None
    if kind == "median":
        return QUANTILE, 0.5
    if kind == "pmf" and (rank := _RANK.fullmatch((number or "").removesuffix(".0"))):
        return RANK, float(rank[1])
    if kind in {"quantile", "lower", "upper"}:
        most = 1 if kind == "quantile" else 100
        try:
            level = float(number or "")
        except ValueError:
            level = 0.0
        if 0 < level < most:
            if kind == "quantile":
                return QUANTILE, exact_level(level)
            return QUANTILE, bound_level({"lower": "lo", "upper": "hi"}[kind], level)
    ids = {
        "quantile": "a level between 0 and 1",
        "lower": "a coverage in per cent",
        "upper": "a coverage in per cent",
        "pmf": "rank1 (lowest) to rank5",
    }
    if kind in ids:
        raise InvalidFileError(
            f"{file}: output_type_id {number!r} of output_type {kind}; it is {ids[kind]}"
        )
    raise InvalidFileError(
        f"{file}: output_type {kind!r}; there are point, mean, median, {', '.join(ids)}"
    )
