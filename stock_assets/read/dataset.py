"""A dataset, open to be read: one method for each kind of thing that it holds."""

import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import date
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import polars as pl

from stock_assets.asset_keys import Asset
from stock_assets.errors import (
    MissingPartitionsError,
    NotASessionError,
    ObjectStoreError,
    UnknownColumnError,
)
from stock_assets.forecasting.evaluation import SCORE_SCHEMA
from stock_assets.forecasting.features import FEATURE_SCHEMA
from stock_assets.forecasting.forecast_schema import FORECAST_SCHEMA
from stock_assets.market.plausibility import JUDGING_SESSIONS
from stock_assets.market.sessions import load_calendar
from stock_assets.read.adjusted import adjusted_prices
from stock_assets.read.asked import Day, Names, day, names, no_ticker, nothing_stored, of_tickers
from stock_assets.read.version import RegisteredVersion, load_version, table_of
from stock_assets.resources.object_store import ObjectStore, open_store
from stock_assets.resources.partition_objects import stored_partitions
from stock_assets.resources.price_history import PriceHistory
from stock_assets.resources.read_cache import read_rows
from stock_assets.settings import Settings

if TYPE_CHECKING:
    from stock_assets.resources.model_registry import ModelRegistry

_GRID = "quantile_returns"


class Dataset:
    """What one dataset holds, to read. `open_dataset` makes it.

    Sessions may be dates or text (2013-03-01). Ranges include both ends; neither needs to be a
    session, and one that is left out is the oldest or newest that is stored. Tickers that are left
    out are all. Rows come sorted by ticker within a session, sessions ascending.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.calendar = load_calendar(settings.calendar)
        stack = ExitStack()
        self._opened = stack.enter_context(open_store(settings))
        # Also at the end of a notebook's kernel, where nobody calls `close`.
        self._closing = weakref.finalize(self, stack.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Dataset {self.settings.dataset_name}{'' if self._closing.alive else ', closed'}>"

    def close(self) -> None:
        """Lets go of the store: the local one stops if nobody else needs it. Twice is no error."""
        self._closing()

    @property
    def _store(self) -> ObjectStore:
        if not self._closing.alive:
            raise ObjectStoreError(f"{self!r}: open it again with `read.open_dataset()`")
        return self._opened

    def forecasts(
        self,
        first: Day | None = None,
        last: Day | None = None,
        tickers: Names = (),
        columns: Names = (),
    ) -> pl.DataFrame:
        """Stored forecasts by their target session.

        Args:
            first: First target session.
            last: Last target session; the newest stored one lies after the newest close.
            tickers: Some.
            columns: Some of FORECAST_SCHEMA. Left out: all but `quantile_returns`, whose 50 numbers
                a row are seldom wanted.

        Returns:
            One row per ticker and target session. Prices in the ticker's currency, in the shares of
            `as_of_session`; returns are log returns to the target. `model_version` is null where
            the random walk forecast (`fallback_reason` says why), bounds are null where a ticker's
            history was too short, `issued_at` is null for a forecast made in hindsight. No NaN.

        Raises:
            MissingPartitionsError: None is stored for the range, or none of the tickers.
            UnknownColumnError: A column is none of a forecast's.

        Example:
            >>> dataset.forecasts("2013-02-01", tickers="IBM").select(
            ...     "target_session", "forecast_close_usd", "lower_95_usd", "upper_95_usd"
            ... )
        """
        wanted = [name for name in FORECAST_SCHEMA if name != _GRID]
        return self._rows(
            Asset.DAILY_FORECAST,
            self._target_of,
            FORECAST_SCHEMA,
            (first, last),
            tickers,
            names(columns) or wanted,
        )

    def scores(
        self,
        first: Day | None = None,
        last: Day | None = None,
        tickers: Names = (),
        columns: Names = (),
    ) -> pl.DataFrame:
        """Errors of the forecasts whose target sessions are over, the random walk's beside them.

        Args:
            first: First target session.
            last: Last target session.
            tickers: Some.
            columns: Some of SCORE_SCHEMA; left out: all.

        Returns:
            One row per ticker and target session (`session`). Errors are realised minus forecast,
            in log return (`error_return`) and in dollars per share (`error_usd`). Where nobody
            knows the outcome, errors are null and `unscored_reason` says why. No NaN.

        Raises:
            MissingPartitionsError: None is stored for the range, or none of the tickers.
            UnknownColumnError: A column is none of a score's.

        Example:
            >>> scores = dataset.scores(columns="ticker, session, error_return")
            >>> scores.group_by("ticker").agg((pl.col("error_return") ** 2).mean().sqrt())
        """
        return self._rows(
            Asset.FORECAST_RMSE, str, SCORE_SCHEMA, (first, last), tickers, names(columns)
        )

    def features(
        self,
        first: Day | None = None,
        last: Day | None = None,
        tickers: Names = (),
        columns: Names = (),
    ) -> pl.DataFrame:
        """Features as training and serving read them.

        Args:
            first: First session.
            last: Last session.
            tickers: Some.
            columns: Some of FEATURE_SCHEMA; left out: all. `read.FEATURES` are those that a model
                sees, in its order.

        Returns:
            One row per ticker and session with a bar that nothing speaks against. A row knows its
            session's close and nothing later; `return_1d` is the log return up to that close. All
            of FEATURES are null together where the history is too short. No NaN.

        Raises:
            MissingPartitionsError: None is stored for the range, or none of the tickers.
            UnknownColumnError: A column is none of the features'.

        Example:
            >>> rows = dataset.features(first="2013-02-01")
            >>> X, y = rows.select(read.FEATURES).to_pandas(), rows["return_1d"]
        """
        return self._rows(
            Asset.FEATURES, str, FEATURE_SCHEMA, (first, last), tickers, names(columns)
        )

    def prices(
        self, as_of: Day | None = None, first: Day | None = None, tickers: Names = ()
    ) -> pl.DataFrame:
        """Prices up to a session, adjusted for the splits and dividends known at its close.

        Args:
            as_of: The last session; left out: the newest stored one. No later bar, split or
                dividend has a part in any number.
            first: First session of the rows.
            tickers: Some.

        Returns:
            PRICE_SCHEMA, sorted by ticker and session. `adjusted_*` in the shares of each ticker's
            last row, where they equal the prices as traded; their ratios are returns with dividends
            reinvested. `close`, `volume`, `dividend`, `split_ratio` as traded. Adjusted prices are
            null before a row whose dividend can't be read. `quarantine_reason` is what speaks
            against a bar, null where nothing does; bars that can't be read, and those in which
            nothing traded, are left out and their events are in the ticker's next row. No NaN.

        Raises:
            NotASessionError: The exchange does not trade on `as_of`.
            MissingPartitionsError: No price of it is stored, or none of the tickers.

        Example:
            >>> before = dataset.prices(as_of="2005-02-25", tickers="AAPL")
            >>> after = dataset.prices(as_of="2005-02-28", tickers="AAPL")  # a 2-for-1 split
        """
        stored = stored_partitions(self._store, Asset.RAW_PRICES)
        end = self._stored_end(stored, as_of)
        every = self.calendar.between(date.fromisoformat(min(stored)), end)
        start = day("first", first) or every[0]
        before = [session for session in every if session < start][-JUDGING_SESSIONS:]
        shown = [session for session in every if session >= start]
        if not shown:
            raise MissingPartitionsError(f"first={start} is after as_of={end}; give an earlier one")
        bars = of_tickers(tickers, PriceHistory(self._store).bars([*before, *shown]))
        if bars.is_empty():
            raise no_ticker(self.settings.dataset_name, Asset.RAW_PRICES, tickers)
        return adjusted_prices(bars, self.calendar, end, start)

    def versions(self) -> pl.DataFrame:
        """Every version that was made with these settings, by number.

        Returns:
            VERSION_SCHEMA. `approved` and `reason` are the gate's on point forecasts,
            `intervals_*` on intervals; `promoted_after` is the session after which a person let it
            serve last, null where nobody did; `serves_*`: it is the one that serves whatever
            session comes next. Empty where none was registered.

        Example:
            >>> dataset.versions().filter("approved")
        """
        return table_of(self._registry().versions(), self._facts())

    def version(self, number: int | None = None) -> RegisteredVersion:
        """A registered version: its model and intervals, loaded, and the facts about it.

        Args:
            number: Which; left out: the one whose point forecasts serve whatever session comes
                next.

        Raises:
            RegistryError: There is no such version of these settings, or none serves.
            DamagedStudyError: Its files are gone, or not what was stored.

        Models are read with skops and our own list of trusted types, never as pickles.

        Example:
            >>> version = dataset.version()
            >>> version.number, version.trained_through, version.reason
        """
        return load_version(self._registry(), number, self._facts())

    def _registry(self) -> "ModelRegistry":
        from stock_assets.resources.model_registry import ModelRegistry

        return ModelRegistry(self.settings, self._store)

    def _facts(self) -> dict[int, Mapping[str, Any]]:
        """What months say of their versions, by number."""
        from stock_assets.resources.stored_versions import stored_versions

        return {version.number: version.value for version in stored_versions(self._store)}

    def _target_of(self, as_of: str) -> str:
        return str(self.calendar.offset(date.fromisoformat(as_of), self.settings.horizon))

    def _stored_end(self, stored: Mapping[str, Any], as_of: Day | None) -> date:
        """The last session of `prices`, which must be stored."""
        given = day("as_of", as_of)
        if given and not self.calendar.is_session(given):
            raise NotASessionError(
                f"as_of={given} is not a session of {self.calendar.exchange}; the one before it is"
                f" {self.calendar.last_before(given)}"
            )
        key = str(given or max(stored, default=""))
        if key not in stored:
            raise nothing_stored(
                self.settings.dataset_name, Asset.RAW_PRICES, list(stored), f"of {key}"
            )
        return date.fromisoformat(key)

    def _rows(
        self,
        asset: str,
        day_of: Callable[[str], str],
        schema: Mapping[str, pl.DataType],
        ends: tuple[Day | None, Day | None],
        tickers: Names,
        columns: Sequence[str],
    ) -> pl.DataFrame:
        """Stored rows of the partitions whose day, made of their key, lies in a range."""
        if unknown := [name for name in columns if name not in schema]:
            raise UnknownColumnError(
                f"{asset} has no column {', '.join(unknown)}; it has {', '.join(schema)}"
            )
        first, last = day("first", ends[0]), day("last", ends[1])
        stored = {day_of(key): one for key, one in stored_partitions(self._store, asset).items()}
        wanted = [
            one
            for day, one in stored.items()
            if (not first or day >= str(first)) and (not last or day <= str(last))
        ]
        if not wanted:
            raise nothing_stored(
                self.settings.dataset_name, asset, list(stored), f"for {first or ''}..{last or ''}"
            )
        read = dict.fromkeys(["ticker", *(columns or schema)])
        rows = of_tickers(tickers, read_rows(self._store, wanted, *read))
        if rows.is_empty():
            raise no_ticker(self.settings.dataset_name, asset, tickers)
        return rows.select(columns or list(schema))
