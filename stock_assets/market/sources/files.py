"""The user's own bars: Parquet or CSV; one file, a folder of them, or an s3:// prefix.

Long format, as traded: `ticker, session, open, high, low, close, volume, dividend, split_ratio`.
Other columns are ignored.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import polars as pl

from stock_assets.errors import EmptyAnswerError, InvalidFileError, UnknownTickerError
from stock_assets.market.bars import BAR_SCHEMA, by_ticker

_FORMATS = (".parquet", ".csv")


class FilesSource:
    """`PriceSource` over files in the format above.

    Args:
        uri: A path (or file:// URI) of a file or folder, or an s3:// URI that ends in a file's name
            or in a prefix. Folders and prefixes are searched at every depth.
        storage_options: What polars needs to reach an s3:// URI.
    """

    name = "files"

    def __init__(self, uri: str, storage_options: Mapping[str, str] | None = None) -> None:
        self.uri = uri
        self._storage_options = dict(storage_options or {})
        self._remote = uri.startswith("s3://")
        self._path = uri if self._remote else str(Path(uri.removeprefix("file://")).expanduser())

    def _scan(self) -> pl.LazyFrame:
        """All files as one lazy frame in BAR_SCHEMA's order and types."""
        parts = [self._scan_format(suffix) for suffix in _FORMATS]
        found = [part for part in parts if part is not None]
        if not found:
            raise InvalidFileError(
                f"no .parquet or .csv file at {self.uri}; set STOCK_ASSETS_FILES_URI to a file, a"
                " folder or an s3:// prefix"
            )
        return pl.concat(found)

    def _scan_format(self, suffix: str) -> pl.LazyFrame | None:
        if self._path.endswith(suffix):
            pattern: str = self._path
        elif self._path.endswith(_FORMATS):
            return None
        else:
            pattern = f"{self._path.rstrip('/')}/**/*{suffix}"
        if not self._remote:
            path = Path(pattern)
            anchor = Path(self._path)
            files = [path] if path.is_file() else sorted(anchor.glob(f"**/*{suffix}"))
            if not files:
                return None
            return pl.concat([self._typed(self._open(str(f), suffix), str(f)) for f in files])
        try:
            frame = self._open(pattern, suffix)
            frame.collect_schema()
        except (pl.exceptions.ComputeError, FileNotFoundError):
            return None  # a prefix may hold files of the other format only; none at all is an error
        return self._typed(frame, pattern)

    def _open(self, path: str, suffix: str) -> pl.LazyFrame:
        options = self._storage_options if self._remote else None
        if suffix == ".csv":
            # As text: a value that can't be read must be named, not turned into a null or a type.
            return pl.scan_csv(path, infer_schema=False, storage_options=options)
        return pl.scan_parquet(path, hive_partitioning=False, storage_options=options)

    def _typed(self, frame: pl.LazyFrame, path: str) -> pl.LazyFrame:
        schema = frame.collect_schema()
        missing = [name for name in BAR_SCHEMA if name not in schema]
        if missing:
            raise InvalidFileError(
                f"{path}: no column {', '.join(missing)}; needed: {', '.join(BAR_SCHEMA)}"
            )
        casts = []
        for name, dtype in BAR_SCHEMA.items():
            column = pl.col(name)
            if schema[name] == pl.String and dtype == pl.Date():
                casts.append(column.str.to_date("%Y-%m-%d", strict=False))
            else:
                casts.append(column.cast(dtype, strict=False))
        if path.endswith(".csv"):
            self._check_readable(frame, casts, path)
        return frame.select(casts)

    @staticmethod
    def _check_readable(frame: pl.LazyFrame, casts: list[pl.Expr], path: str) -> None:
        """Names the first value of a CSV file that is there and can't be read."""
        bad = [
            (cast.is_null() & pl.col(name).is_not_null()).arg_true().first().alias(name)
            for name, cast in zip(BAR_SCHEMA, casts, strict=True)
        ]
        rows = frame.select(bad).collect(engine="streaming").row(0, named=True)
        for name, row in rows.items():
            if row is not None:
                value = frame.select(name).slice(row, 1).collect().item()
                raise InvalidFileError(
                    f"{path}: row {row + 2}, column {name}: {value!r} can't be read as"
                    f" {BAR_SCHEMA[name]}"
                )

    def default_tickers(self) -> tuple[str, ...]:
        tickers = self._scan().select(pl.col("ticker").unique().sort()).collect()["ticker"]
        return tuple(tickers.drop_nulls())

    def _bound(self, which: pl.Expr) -> date:
        bound: date | None = self._scan().select(which).collect().item()
        if bound is None:
            raise EmptyAnswerError(f"{self.uri} has no rows")
        return bound

    def first_session(self) -> date:
        return self._bound(pl.col("session").min())

    def last_session(self) -> date | None:
        return self._bound(pl.col("session").max())

    def fetch_bars(self, tickers: Sequence[str], first: date, last: date) -> pl.DataFrame:
        wanted = (pl.col("ticker").is_in(tickers), pl.col("session").is_between(first, last))
        bars = by_ticker(self._scan().filter(*wanted).collect())
        # Neighbours, as the rows are sorted: a struct per row took longer than reading the file.
        same = (pl.col(name) == pl.col(name).shift(1) for name in ("ticker", "session"))
        repeated = bars.filter(pl.all_horizontal(same))
        if repeated.height:
            ticker, session = repeated.row(0)[:2]
            raise InvalidFileError(
                f"{self.uri}: {repeated.height} rows and an earlier one share ticker and session,"
                f" first {ticker} {session}; keep one row per pair"
            )
        absent = sorted(set(tickers) - set(bars["ticker"].unique()))
        if absent:
            unknown = sorted(set(absent) - set(self.default_tickers()))
            if unknown:
                raise UnknownTickerError(f"{self.uri} has no {', '.join(unknown)}")
        return bars
