"""The project's columns as somebody who knows pandas would make them, for benchmark and test.

A ticker's windows by `groupby`, the market by `groupby` of the session, and the same days of past
quarters in tables of a column per ticker. The mean of the last 63 values is an endless exponential
mean less what is older, which is the fastest way that pandas has.

It takes for granted what the simulated bars keep: sorted, none quarantined, and no ticker misses a
session between its first and its last.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

WINDOW = 63
MOMENTUM, EMA, VARIANCE, STIR = (5, 10, 20, 60), (5, 10, 20), (2, 5, 22), (3, 10, 40)
LEAST_VOLATILITY, LEAST_STIR = 1e-4, 0.05
QUARTERS = [pd.Timedelta(weeks=13 * n) for n in (1, 2, 3, 4)]

Series = pd.Series
Windows = Callable[[Any, Callable[[Any], Series]], Series]


def of_groups(grouped: Any, window: Callable[[Any], Series]) -> Series:
    """Windows as pandas' guide makes them: `groupby(…).rolling(…)` and `groupby(…).ewm(…)`."""
    return window(grouped).reset_index(level=0, drop=True)


def of_each(grouped: Any, window: Callable[[Any], Series]) -> Series:
    """The same by a function of each ticker's values: no second index is made of the keys."""
    return grouped.transform(window)


class PandasFeatures:
    """Makes the columns of FEATURE_SCHEMA but `ticker` and `session`.

    Args:
        rows: Of each bar `ticker` (a category), `session`, prices, `volume`, `dividend` and
            `split_ratio`, sorted by ticker and session.
        days: The exchange's sessions, those after the rows' too.
        windows: `of_groups` or `of_each`.
    """

    def __init__(self, rows: pd.DataFrame, days: pd.DatetimeIndex, windows: Windows) -> None:
        self.rows, self.days, self.windows = rows, days, windows
        # Categories are numbers already: no grouping has to find them again.
        self.sessions = pd.Series(pd.Categorical(rows["session"]))

    def made(self) -> pd.DataFrame:
        """In the order of the rows."""
        rows, bars = self.rows, self._changes()
        mean = {n: self._mean(bars["variance"], n) for n in (*VARIANCE, 32)}
        volatility = np.sqrt(mean[32]).clip(lower=LEAST_VOLATILITY)
        known = volatility.notna()
        log_variance = {n: np.log(mean[n].clip(lower=LEAST_VOLATILITY**2)) for n in VARIANCE}
        found = {
            "close_usd": rows["close"],
            "return_1d": bars["growth"],
            "range_variance_1d": bars["variance"],
            "volatility_1d": volatility,
            "scaled_return_1d": bars["growth"] / volatility,
            "overnight_return": bars["overnight"] / volatility,
            "intraday_return": bars["intraday"] / volatility,
            "range_ratio": bars["log_range"] / volatility,
        }
        index = self._by_ticker(bars["growth"].fillna(0)).cumsum()
        for n in MOMENTUM:
            found[f"momentum_{n}"] = self._by_ticker(index).diff(n) / volatility / n**0.5
        for n in EMA:
            found[f"ema_gap_{n}"] = (index - self._mean(index, n)) / volatility
        high_low = rows["high"] - rows["low"]
        located = ((rows["close"] - rows["low"]) / high_low - 0.5).where(high_low > 0, 0.0)
        found["close_location"] = located.where(known)
        usual = self._rolling(bars["log_volume"], lambda of: of.rolling(20).mean())
        found["volume_surprise"] = surprise = (bars["log_volume"] - usual).where(known)
        log_volatility = np.log(volatility)
        for n in VARIANCE:
            found[f"volatility_ratio_{n}"] = 0.5 * log_variance[n] - log_volatility
            median = self._by_session(log_variance[n]).transform("median")
            apart = (log_variance[n] - median).clip(-3, 3)
            found[f"market_log_variance_{n}"] = median + self._by_session(apart).transform("mean")
        slow = mean[22].clip(lower=LEAST_VOLATILITY**2)
        for name, of in (("overnight_share_22", "overnight"), ("close_share_22", "growth")):
            found[name] = np.log((self._mean(bars[of] ** 2, 22) / slow).clip(0.01, 4))
        before = self._by_ticker(volatility).shift(1)
        by_session = self._of_sessions((bars["growth"] / before).clip(-6, 6))
        spread = by_session.take(self.sessions.cat.codes).set_index(rows.index)
        found |= {name: spread[name].where(known) for name in spread if "market" in name}
        found |= {name: spread[name] for name in spread if "days" in name}
        moved = np.log(np.maximum(bars["variance"], 0.02 * volatility**2))
        moved -= self._by_ticker(log_variance[22]).shift(1)
        scores = self._less_the_others(moved.clip(-5, 5)).clip(0, 5) / 2
        scores += self._less_the_others(surprise.clip(-3, 3)).clip(0, 3)
        for n in (3, 10, 25):
            largest = self._rolling(scores, lambda of, n=n: of.rolling(n, min_periods=1).max())
            found[f"news_{n}"] = largest.fillna(0).where(known)
        found |= {name: values.where(known) for name, values in self._seasons(scores).items()}
        return pd.DataFrame(found, copy=False)

    def _by_ticker(self, values: Series) -> Any:
        return values.groupby(self.rows["ticker"], observed=True, sort=False)

    def _by_session(self, values: Series) -> Any:
        return values.groupby(self.sessions, observed=True)

    def _rolling(self, values: Series, window: Callable[[Any], Series]) -> Series:
        return self.windows(self._by_ticker(values), window)

    def _mean(self, values: Series, span: int) -> Series:
        """Exponential mean of the last WINDOW values; NaN where the ticker has no more."""
        rest = (1 - 2 / (span + 1)) ** WINDOW
        endless = self._rolling(values.fillna(0), lambda of: of.ewm(span=span, adjust=False).mean())
        return (endless - rest * self._by_ticker(endless).shift(WINDOW)) / (1 - rest)

    def _changes(self) -> dict[str, Series]:
        """What one session changed; NaN in a ticker's first row."""
        rows = self.rows
        previous = self._by_ticker(rows["close"]).shift(1)
        overnight = np.log((rows["open"] + rows["dividend"]) * rows["split_ratio"] / previous)
        intraday = np.log(rows["close"] / rows["open"])
        log_range = np.log(rows["high"] / rows["low"])
        garman_klass = 0.5 * log_range**2 - (2 * np.log(2) - 1) * intraday**2
        return {
            "growth": np.log((rows["close"] + rows["dividend"]) * rows["split_ratio"] / previous),
            "overnight": overnight,
            "intraday": intraday,
            "log_range": log_range,
            "log_volume": np.log(rows["volume"] / self._by_ticker(rows["split_ratio"]).cumprod()),
            "variance": overnight**2 + garman_klass.clip(lower=0),
        }

    def _of_sessions(self, returns: Series) -> pd.DataFrame:
        """By session: returns beside the volatility before them, and the days to the next ones."""
        move = self._by_session(returns).mean()
        stir = self._by_session(returns.abs()).mean()
        found = {"market_move": move, "market_move_5": _mean_of_known(move, 5)}
        for n in STIR:
            found[f"market_stir_{n}"] = np.log(_mean_of_known(stir, n).clip(lower=LEAST_STIR))
        at = self.days.get_indexer(move.index)
        gaps = np.diff(self.days) // np.timedelta64(1, "D")
        return pd.DataFrame(found | {"days_to_next": gaps[at], "days_after_next": gaps[at + 1]})

    def _less_the_others(self, values: Series) -> Series:
        total = self._by_session(values).transform("sum")
        others = self._by_session(values).transform("count") - values.notna()
        return values - (total - values.fillna(0)) / others.clip(lower=1)

    def _seasons(self, scores: Series) -> dict[str, Series]:
        """How high and how near news stood on the same days of the four quarters before."""
        sessions = pd.DatetimeIndex(self.sessions.cat.categories)
        tickers = self.rows["ticker"].cat
        at = self.sessions.cat.codes.to_numpy(), tickers.codes.to_numpy()
        table = np.full((len(sessions), len(tickers.categories)), np.nan)
        table[at] = scores
        within = {0: pd.DataFrame(table)}
        for n in (1, 3, 10):
            within[n] = within[0].rolling(2 * n + 1, center=True, min_periods=1).max()
        peak = within[10]
        parts = {f"season_{n}": within[n].fillna(0) for n in (0, 1, 3)}
        parts["season_peak"] = peak.fillna(0)
        for n in (0, 1):
            hit = (within[n] >= peak) & (peak > 0.8)
            parts[f"season_hits_{n}"] = hit.astype(float)
            parts[f"season_hit_{n}"] = peak.where(hit, 0.0)
        parts["known"] = peak.notna().astype(float)
        coming = self.days[self.days.searchsorted(sessions, side="right")]
        places = [self._places(sessions, coming - quarter) for quarter in QUARTERS]
        sums = {name: _sum_of(part.to_numpy(), places) for name, part in parts.items()}
        quarters = sums.pop("known")
        counts = {f"season_hit_{n}": sums[f"season_hits_{n}"] for n in (0, 1)}
        counts |= {name: quarters for name in sums if "hit" not in name}
        for name, count in counts.items():
            sums[name] /= np.maximum(count, 1)
        is_known = (quarters > 0)[at]
        return {
            name: pd.Series(total[at], scores.index).where(is_known) for name, total in sums.items()
        }

    def _places(self, sessions: pd.DatetimeIndex, dates: pd.DatetimeIndex) -> NDArray[np.int64]:
        """The first session not before each date; the end where that is before all of them."""
        first = self.days[self.days.searchsorted(dates)]
        return np.where(first < sessions[0], len(sessions), sessions.searchsorted(first))


def _mean_of_known(values: Series, span: int) -> Series:
    """Exponential mean of those of the last WINDOW sessions that are known."""
    rest = (1 - 2 / (span + 1)) ** WINDOW
    both = pd.DataFrame({"total": values.fillna(0), "weight": values.notna().astype(float)})
    # The first sessions have no volatility before them, so both means start from zero.
    endless = both.ewm(span=span, adjust=False).mean()
    sums = endless - rest * endless.shift(WINDOW, fill_value=0)
    return sums["total"] / sums["weight"].where(sums["weight"] > 0)


def _sum_of(table: NDArray[np.float64], places: list[NDArray[np.int64]]) -> NDArray[np.float64]:
    """The sum of the rows at some places; of nothing at the end of the table."""
    padded = np.vstack([table, np.zeros(table.shape[1])])
    total = padded[places[0]]
    for at in places[1:]:
        total += padded[at]
    return total
