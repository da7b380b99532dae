"""The user's own bars: Parquet or CSV; one file, a folder of them, or an s3:// prefix.

Long format, as traded: `ticker, session, open, high, low, close, volume, dividend, split_ratio`.
Other columns are ignored.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import NoReturn

import polars as pl

from stock_assets.errors import EmptyAnswerError, InvalidFileError, UnknownTickerError
from stock_assets.market.bars import BAR_SCHEMA, by_ticker
from stock_assets.market.sources.tables import FORMATS, Table, is_missing

_REQUIRED = ("ticker", "session")


class FilesSource:
    """`PriceSource` over files in the format above.

    Args:
        uri: A path (or file:// URI) of a file or folder, or an s3:// URI that ends in a file's name
            or in a prefix. Folders and prefixes are searched at every depth.
        storage_options: What polars needs to reach an s3:// URI.
        time_zone: The exchange's. Time stamps that are its midnights are dates, as are midnights of
            a column's own zone; any other is refused.
    """

    name = "files"

    def __init__(
        self,
        uri: str,
        storage_options: Mapping[str, str] | None = None,
        *,
        time_zone: str | None = None,
    ) -> None:
        self.uri = uri
        self._time_zone = time_zone
        self._storage_options = dict(storage_options or {})
        self._remote = uri.startswith("s3://")
        self._path = uri if self._remote else str(Path(uri.removeprefix("file://")).expanduser())

    def _tables(self) -> list[Table]:
        """Every file; the remote ones of a format are one."""
        found = [table for suffix in FORMATS for table in self._of_format(suffix)]
        if not found:
            raise InvalidFileError(
                f"no .parquet or .csv file at {self.uri}; set STOCK_ASSETS_FILES_URI to a file, a"
                " folder or an s3:// prefix"
            )
        return found

    def _of_format(self, suffix: str) -> list[Table]:
        if self._path.endswith(suffix):
            pattern: str = self._path
        elif self._path.endswith(FORMATS):
            return []
        else:
            pattern = f"{self._path.rstrip('/')}/**/*{suffix}"
        if not self._remote:
            path = Path(pattern)
            files = [path] if path.is_file() else sorted(Path(self._path).glob(f"**/*{suffix}"))
            return [self._table(str(file)) for file in files]
        table = self._table(pattern)
        try:
            table.open().collect_schema()
        except (pl.exceptions.ComputeError, FileNotFoundError):
            return []  # a prefix may hold files of the other format only; none at all is an error
        return [table]

    def _table(self, path: str) -> Table:
        return Table(
            path,
            BAR_SCHEMA,
            _REQUIRED,
            time_zone=self._time_zone,
            storage_options=self._storage_options if self._remote else None,
        )

    def _read(self, what: Callable[[pl.LazyFrame], pl.LazyFrame]) -> pl.DataFrame:
        """What is asked of all files as one lazy frame in BAR_SCHEMA's order and types."""
        try:
            return what(pl.concat([table.scan() for table in self._tables()])).collect()
        except pl.exceptions.PolarsError as error:
            # Damaged, cut off, or of columns that differ from file to file.
            raise InvalidFileError(f"{self.uri} can't be read: {str(error).strip()}") from error

    def _refuse_missing(self) -> NoReturn:
        for table in self._tables():
            table.refuse_missing()
        raise InvalidFileError(f"{self.uri} changed while it was read; try again")

    def default_tickers(self) -> tuple[str, ...]:
        tickers = self._read(lambda rows: rows.select(pl.col("ticker").unique().sort()))
        if tickers.select(is_missing("ticker").any()).item():
            self._refuse_missing()
        return tuple(tickers["ticker"])

    def _bound(self, which: pl.Expr) -> date:
        missing = pl.col("session").null_count().alias("missing")
        bound, n_missing = self._read(lambda rows: rows.select(which, missing)).row(0)
        if n_missing:
            self._refuse_missing()
        if bound is None:
            raise EmptyAnswerError(f"{self.uri} has no rows")
        found: date = bound
        return found

    def first_session(self) -> date:
        return self._bound(pl.col("session").min())

    def last_session(self) -> date | None:
        return self._bound(pl.col("session").max())

    def fetch_bars(self, tickers: Sequence[str], first: date, last: date) -> pl.DataFrame:
        wanted = pl.col("ticker").is_in(tickers) & pl.col("session").is_between(first, last)
        # Rows that name no ticker or session come along: found in the same scan, they are refused.
        missing = pl.any_horizontal(is_missing("ticker"), pl.col("session").is_null())
        bars = self._read(lambda rows: rows.filter(wanted | missing))
        if bars.select(missing.any()).item():
            self._refuse_missing()
        bars = by_ticker(bars)
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
