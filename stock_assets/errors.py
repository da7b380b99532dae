"""Every error that this project raises on purpose.

Each message names the value at fault and what to do about it, because the message is all that a
person sees: the command line prints it as one line, Dagster shows it as the step's failure.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl


class StockAssetsError(Exception):
    """Base of all: catch this to tell our refusals from bugs."""


class SettingsError(StockAssetsError):
    """A setting has a value that can't be used."""


@contextmanager
def spelled_for(spelled: Callable[[str], str]) -> Iterator[None]:
    """Our errors from within name settings as `spelled` writes them.

    Messages name the variable `STOCK_ASSETS_…`, and not everybody sets settings by variables.
    """
    try:
        yield
    except StockAssetsError as error:
        error.args = tuple(spelled(one) if isinstance(one, str) else one for one in error.args)
        raise


# --- market ---------------------------------------------------------------------------------------


class UnknownCalendarError(StockAssetsError):
    """No session table is packaged for this exchange."""


class OutsideCalendarError(StockAssetsError):
    """A date lies outside the years that the session table covers."""


class NotASessionError(StockAssetsError):
    """The exchange did not trade on that date."""


class UnsortedBarsError(StockAssetsError):
    """A ticker's sessions do not strictly increase."""


class SourceError(StockAssetsError):
    """A source could not give all of the bars that were asked for.

    Args:
        message: What failed and what to do.
        bars: The bars of the tickers that could be fetched all the same, as `fetch_bars` would have
            returned them; None where the source fetches all or nothing.
    """

    def __init__(self, message: str, bars: "pl.DataFrame | None" = None) -> None:
        super().__init__(message)
        self.bars = bars


class RateLimitedError(SourceError):
    """The source refuses more requests for now: this says nothing about the ticker.

    `retry_after`: seconds that the source asks to wait; 0 where it does not say.
    """

    retry_after: float = 0.0


class AccessRefusedError(SourceError):
    """The source does not take the key: this says nothing about the ticker."""


class SourceUnreachableError(SourceError):
    """No answer, or not one of the source's: this says nothing about the ticker."""


class UnknownTickerError(SourceError):
    """The source says that it has no such ticker."""


class EmptyAnswerError(SourceError):
    """The source answered, without a single bar of the sessions that were asked for."""


class PartialAnswerError(SourceError):
    """Some tickers were fetched and some were not: the error's `bars` hold those that were."""


class UnexpectedShapeError(SourceError):
    """The source answered with something that is not a price history as it used to write them."""


class UnsettledSessionError(SourceError):
    """The sessions asked for are not over, or ended too recently for their bars to be final."""


class InvalidFileError(SourceError):
    """A file lacks a column, or holds a value that can't be read or contradicts another."""


class OffSessionError(SourceError):
    """Too many bars lie on days on which the calendar's exchange does not trade."""


# --- storage and registry -------------------------------------------------------------------------


class ImpossibleForecastError(StockAssetsError):
    """A forecast is no number, or its interval is none."""


class ObjectStoreError(StockAssetsError):
    """The object store can't be reached or refuses."""


class LostLeaseError(StockAssetsError):
    """A writer was held up for so long that another one took the right to write over."""


class DamagedObjectError(StockAssetsError):
    """Stored objects can't be read as what was written.

    Args:
        damaged: Path of each within the dataset, and what is wrong with it.
        where: The dataset's root.
    """

    def __init__(self, damaged: "Mapping[str, str]", where: str) -> None:
        first, reason = next(iter(damaged.items()))
        others = f" and {len(damaged) - 1} more are" if len(damaged) > 1 else " is"
        self.damaged = damaged
        self.said = f"{first}{others} damaged in {where}: {reason}"
        super().__init__(
            f"{self.said}; `stock-assets mend` sets it aside and makes it again, as materializing"
            " it in the page does"
        )


class MissingPartitionsError(StockAssetsError):
    """An upstream partition that is needed was never materialised.

    Args:
        message: Which, and what makes it.
        asset: Whose partitions are missing, where it is one asset's.
        keys: Their keys.
    """

    def __init__(self, message: str, asset: str = "", keys: "Sequence[str]" = ()) -> None:
        super().__init__(message)
        self.asset, self.keys = asset, tuple(keys)


class UnknownColumnError(StockAssetsError):
    """A reader asks for a column that the asset does not have."""


class BlockingCheckError(StockAssetsError):
    """A check failed whose failure would poison everything downstream."""


class PartitionMismatchError(StockAssetsError):
    """Rows and partition keys do not belong together."""


class LocalStackError(StockAssetsError):
    """The object store of this machine can't be started or stopped."""


class DatabaseFileError(StockAssetsError):
    """A SQLite file of this machine is damaged, or another process does not let go of it."""


class DatabaseError(StockAssetsError):
    """A database server can't be reached or refuses."""


class BrokerError(StockAssetsError):
    """The broker of Celery can't be reached or refuses."""


class RegistryError(StockAssetsError):
    """MLflow's registry holds something that this code can't serve."""


class DamagedStudyError(RegistryError):
    """A study's files in MLflow are gone, or not what was stored: its month is to be trained again.

    Args:
        what: Which run and file.
        month: Of the study.
        version: That was made of it, where that was asked for.
    """

    def __init__(self, what: str, month: str, version: int | None = None) -> None:
        super().__init__(f"{what}; `stock-assets mend` trains {month} again")
        self.what, self.month, self.version = what, month, version


class NotificationError(StockAssetsError):
    """A channel did not take a message; the text holds no part of its URL."""


# --- forecasting ----------------------------------------------------------------------------------


class NotEnoughHistoryError(StockAssetsError):
    """Too few labelled rows to train on."""


class AddedFeatureError(StockAssetsError):
    """A feature of another package is not what it has to be."""


class FeatureMismatchError(StockAssetsError):
    """A model and the rows it is given disagree about the features."""


class InvalidForecastsError(StockAssetsError):
    """Somebody's forecasts contradict themselves, the calendar, or the dataset to judge them on."""


class MissingLibraryError(StockAssetsError):
    """What a setting chose needs a library that this machine can't load."""
