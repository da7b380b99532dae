"""News of a ticker, told by its range and volume, and whether they come again every quarter.

Companies report in the same week of each quarter, mostly on the same weekday: what stood out 91
days (13 weeks) before the coming session, and 182, 273 and 364, says how likely it is to bring
news. Nobody has to tell the dates. The idea that trading volume and range tell of announcements is
Beaver's (1968), "The Information Content of Annual Earnings Announcements".

A score is how far log range variance and volume exceed what is usual for the ticker, less the same
of the others in that session; 0 for an ordinary session, about 4 for a large surprise.
"""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from stock_assets.market.sessions import ExchangeCalendar
from stock_assets.market.windows import Values, in_blocks, together

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]

QUARTER_DAYS, QUARTERS = 91, 4
_AROUND = 10  # sessions to either side in which a quarter's news are looked for
SEASON_SESSIONS = 52 * 5 + _AROUND
"""Sessions before a row that its seasons may look back on: a year without a holiday, and more."""
NEWS_COLUMNS: tuple[str, ...] = (
    "season_0",
    "season_1",
    "season_3",
    "season_peak",
    "season_hits_0",
    "season_hits_1",
    "season_hit_0",
    "season_hit_1",
    "news_3",
    "news_10",
    "news_25",
)
"""`season_N`: mean over the past quarters of the largest score within N sessions of the same place;
`season_peak`: within ten. `season_hits_N`: in how many quarters the peak lay within N sessions,
`season_hit_N`: its mean height there, 0 for none. `news_N`: the largest score of the last N
sessions."""
_IS_NEWS = 0.8  # a lower peak is none
_MOST_VARIANCE, _MOST_VOLUME = 5.0, 3.0  # of a log
_UNKNOWN = -1.0
_TICKERS = 16
"""Worked on at once: their sessions fit a core's cache."""


def news_scores(variance: Values, volume: Values) -> Values:
    """Scores of rows, shape (n_rows,); NaN where one of the two is.

    Args:
        variance: Log range variance over the usual one, less the others' mean.
        volume: Log volume over the usual one, less the others' mean.
    """
    return np.asarray(np.clip(variance, 0, _MOST_VARIANCE) / 2 + np.clip(volume, 0, _MOST_VOLUME))


def season_rows(first: int, last: int, calendar: ExchangeCalendar) -> Integers:
    """Where in the past quarters the session after each one lies, shape (QUARTERS, last - first).

    Args:
        first: Ordinal of the first session.
        last: The one after the last.
        calendar: Whose sessions the ordinals count.

    Returns:
        Sessions since `first`: the first one that is not before the date a number of weeks before;
        -1 where it is before `first`.
    """
    days = calendar.days
    targets = days[np.minimum(np.arange(first, last) + 1, len(days) - 1)]
    back = QUARTER_DAYS * np.arange(1, QUARTERS + 1)
    dates = targets - back[:, None]
    found = np.searchsorted(days, dates) - first
    return np.where((found < 0) | (dates < days[0]), -1, found).astype(np.int64)


def news_columns(
    scores: Values | Floats, sessions: Integers, starts: Integers, quarters: Integers
) -> Mapping[str, Floats]:
    """NEWS_COLUMNS of rows, each of shape (n_rows,).

    Args:
        scores: See `news_scores`; NaN where not known.
        sessions: Of the rows, counted from the first one, increasing within a ticker.
        starts: Each ticker's first row, and the number of rows at the end.
        quarters: See `season_rows`.

    Returns:
        Season columns are NaN where no past quarter is known; the others count what is not known as
        no news.
    """
    found = {name: np.empty(len(scores), np.float32) for name in NEWS_COLUMNS}

    def block(first: int, last: int) -> None:
        grid = np.full((quarters.shape[1], last - first), _UNKNOWN, np.float32)
        places = []
        for n, (start, end) in enumerate(pairwise(starts[first : last + 1])):
            own, at = slice(start, end), together(sessions[start:end])
            places.append((own, (at, n)))
            grid[at, n] = np.where(np.isnan(scores[own]), _UNKNOWN, scores[own])
        for name, values in (_recent(grid) | _seasons(grid, quarters)).items():
            for own, place in places:
                found[name][own] = values[place]

    in_blocks(block, 0, len(starts) - 1, _TICKERS)
    return found


def _widened(grid: Floats, *by: int) -> Floats:
    """The larger of here and so many sessions before, again and again; beyond the edge is none."""
    for shift in by:
        before = grid[:-shift]
        grid = grid.copy()
        np.maximum(grid[shift:], before, out=grid[shift:])
    return grid


def _around(grid: Floats, by: int) -> Floats:
    """The largest of three: so many sessions before, here, and as many after."""
    largest = _widened(grid, by)
    np.maximum(largest[:-by], grid[by:], out=largest[:-by])
    return largest


def _recent(grid: Floats) -> dict[str, Floats]:
    """The largest score of the last 3, 10 and 25 sessions, each window made of the one before."""
    last_3 = _widened(grid, 1, 1)
    last_10 = _widened(last_3, 3, 4)
    last_25 = _widened(last_10, 10, 5)
    return {
        "news_3": np.maximum(last_3, 0),
        "news_10": np.maximum(last_10, 0),
        "news_25": np.maximum(last_25, 0),
    }


def _seasons(grid: Floats, quarters: Integers) -> dict[str, Floats]:
    """The season columns of every session and ticker of a grid of scores."""
    within_1 = _around(grid, 1)
    within_3 = _around(within_1, 2)
    within_10 = _around(within_3, 7)
    is_news = within_10 > _IS_NEWS
    known = within_10 >= 0
    hits = [(scores >= within_10) & is_news for scores in (grid, within_1)]
    # Side by side, so that a session's past quarters are found together.
    parts = np.zeros((len(grid) + 1, 9, grid.shape[1]), np.float32)
    for n, scores in enumerate((grid, within_1, within_3, within_10)):
        np.maximum(scores, 0, out=parts[:-1, n])
    for n, hit in enumerate(hits):
        parts[:-1, 4 + n] = hit
        parts[:-1, 6 + n] = np.where(hit, within_10, 0)
    parts[:-1, 8] = known
    sums = parts[quarters[0]]  # -1 is the row of zeros at the end
    for quarter in quarters[1:]:
        sums += parts[quarter]
    none = sums[:, 8] == 0
    per_quarter = 1 / np.maximum(sums[:, 8], 1)
    found = {name: sums[:, n] * per_quarter for n, name in enumerate(NEWS_COLUMNS[:4])}
    for n in (0, 1):
        found[f"season_hits_{n}"] = sums[:, 4 + n]
        found[f"season_hit_{n}"] = sums[:, 6 + n] / np.maximum(sums[:, 4 + n], 1)
    for values in found.values():
        values[none] = np.nan
    return found
