"""Which tickers ought to have a bar in which session.

Without a table of members there is no list of listing dates: a ticker is expected from its first
bar on (FB has none before 2012-05-18), and never before. With one, its spells say when.
"""

from collections.abc import Collection, Sequence
from datetime import date

import polars as pl

from stock_assets.market.membership import Membership, members_on

_KEY = ("ticker", "session")


def expected_bars(
    bars: pl.DataFrame,
    sessions: Sequence[date],
    tickers: Sequence[str],
    known_before: Collection[str] = (),
    membership: Membership | None = None,
) -> pl.DataFrame:
    """`ticker, session` of every bar that ought to be there.

    Args:
        bars: At least `ticker, session`, of these sessions.
        sessions: Ascending.
        tickers: The universe; other tickers' bars say nothing.
        known_before: Tickers that had a bar in the sessions just before these.
        membership: Where there is a table, a ticker is expected within its spells, whether it ever
            had a bar or not, and at no other time.
    """
    days = pl.DataFrame({"session": list(sessions)}, schema={"session": pl.Date})
    if membership is not None:
        everyone = pl.DataFrame({"ticker": list(tickers)}, schema={"ticker": pl.String})
        return members_on(everyone.join(days, how="cross"), membership).sort(*_KEY)
    first = pl.DataFrame(
        {
            "ticker": list(tickers),
            "before": [sessions[0] if ticker in known_before else None for ticker in tickers],
        },
        schema={"ticker": pl.String, "before": pl.Date},
    ).join(bars.group_by("ticker").agg(listed=pl.col("session").min()), on="ticker", how="left")
    since = first.select("ticker", since=pl.coalesce("before", "listed")).drop_nulls("since")
    return (
        since.join(days, how="cross")
        .filter(pl.col("session") >= pl.col("since"))
        .select(*_KEY)
        .sort(*_KEY)
    )


def missing_bars(expected: pl.DataFrame, bars: pl.DataFrame) -> pl.DataFrame:
    """The expected bars that are not there, sorted by ticker and session."""
    return expected.join(bars, on=_KEY, how="anti").sort(*_KEY)


def empty_sessions(expected: pl.DataFrame, bars: pl.DataFrame) -> list[date]:
    """Sessions in which some ticker was expected and none at all has a bar."""
    held = expected.select("session").unique().join(bars, on="session", how="anti")
    return held["session"].sort().to_list()
