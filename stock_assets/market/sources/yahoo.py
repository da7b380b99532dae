"""Yahoo Finance through yfinance, turned back into bars as traded.

Yahoo's prices, volumes and dividends are in today's shares: every split since has been applied. As
traded = price * product of the later split ratios, so the events are asked for up to today,
whichever sessions are wanted.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from stock_assets.errors import (
    EmptyAnswerError,
    RateLimitedError,
    SourceError,
    SourceUnreachableError,
    UnknownTickerError,
)
from stock_assets.market.bars import BAR_SCHEMA, PRICES, empty_bars

if TYPE_CHECKING:
    import pandas as pd

TICKERS = ("AAPL", "GOOGL", "MSFT", "NVDA", "AMZN", "META")
FIRST_SESSION = date(2015, 1, 2)


def as_traded(history: pl.DataFrame) -> pl.DataFrame:
    """Undoes the split adjustment of one ticker's Yahoo history.

    Args:
        history: `session, open, high, low, close, volume, dividend, split_ratio`, ascending, up to
            the newest session there is; split ratio 0 or 1 where there was none.

    Returns:
        The same columns as traded. Null prices stay null.
    """
    ratio = pl.when(pl.col("split_ratio") > 0).then(pl.col("split_ratio")).otherwise(1.0)
    later = ratio.shift(-1, fill_value=1.0).cum_prod(reverse=True)
    return history.with_columns(
        pl.col(*PRICES, "dividend") * later, pl.col("volume") / later, split_ratio=ratio
    )


class YahooSource:
    """`PriceSource` over Yahoo's chart API.

    Args:
        session: An HTTP session for yfinance; None lets it make its own.
    """

    name = "yahoo"

    def __init__(self, session: Any = None) -> None:
        self._session = session

    def default_tickers(self) -> tuple[str, ...]:
        return TICKERS

    def first_session(self) -> date:
        return FIRST_SESSION

    def last_session(self) -> date | None:
        return None

    def fetch_bars(self, tickers: Sequence[str], first: date, last: date) -> pl.DataFrame:
        frames = [self._fetch_ticker(ticker, first, last) for ticker in tickers]
        return pl.concat([empty_bars(), *frames]).sort("ticker", "session")

    def _fetch_ticker(self, ticker: str, first: date, last: date) -> pl.DataFrame:
        history = self._history(ticker, first)
        if history.empty:
            raise EmptyAnswerError(
                f"Yahoo answered for {ticker} without a bar since {first}; check the ticker and the"
                " first session"
            )
        rows = pl.DataFrame(
            {
                "session": [stamp.date() for stamp in history.index],
                **{name: history[name.title()].to_numpy(dtype=float) for name in PRICES},
                "volume": history["Volume"].to_numpy(dtype=float),
                "dividend": history["Dividends"].to_numpy(dtype=float),
                "split_ratio": history["Stock Splits"].to_numpy(dtype=float),
            }
        ).with_columns(pl.col(pl.Float64).fill_nan(None))
        return (
            as_traded(rows)
            .filter(pl.col("session").is_between(first, last))
            .with_columns(ticker=pl.lit(ticker))
            .select(pl.col(name).cast(dtype) for name, dtype in BAR_SCHEMA.items())
        )

    def _history(self, ticker: str, first: date) -> "pd.DataFrame":
        import yfinance
        from yfinance.data import YfData
        from yfinance.exceptions import (
            YFPricesMissingError,
            YFRateLimitError,
            YFTickerMissingError,
        )

        # Otherwise an HTTP 500 becomes an empty frame that is "possibly delisted"; and the cache
        # would answer a second try with the first one's failure.
        yfinance.config.debug.hide_exceptions = False
        YfData().cache_get.cache_clear()
        tomorrow = datetime.now(UTC).date() + timedelta(days=1)
        try:
            return yfinance.Ticker(ticker, session=self._session).history(
                start=first.isoformat(),
                end=tomorrow.isoformat(),
                interval="1d",
                auto_adjust=False,
                back_adjust=False,
                actions=True,
                repair=False,
                keepna=True,
            )
        except YFRateLimitError as error:
            raise RateLimitedError(
                f"Yahoo limits the rate of requests (at {ticker}); wait some minutes and try again"
            ) from error
        except (YFPricesMissingError, YFTickerMissingError) as error:
            raise UnknownTickerError(f"Yahoo has no prices for {ticker}: {error}") from error
        except OSError as error:  # curl_cffi's and requests' network errors are OSErrors
            raise SourceUnreachableError(
                f"Yahoo can't be reached (at {ticker}): {error}; try again, or use"
                " STOCK_ASSETS_SOURCE=sample"
            ) from error
        except Exception as error:
            raise SourceError(f"Yahoo's answer for {ticker} can't be read: {error}") from error
