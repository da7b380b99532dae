"""In which fifth of the session's returns a ticker's lies, as M6 asked, and the score of that.

Makridakis et al. (2024), "The M6 forecasting competition: Bridging the gap between forecasting and
investment decisions". A forecast is five probabilities a ticker, from the lowest fifth to the
highest. Where tickers tie, each has an equal share of the places that they fill together.
"""

import numpy as np

from stock_assets.forecasting.intervals import GRID

FIFTHS = 5
MOST_TICKERS = 100
"""As many as M6 had: beyond, what a law says about ranks takes seconds a session."""
EVEN = np.full(FIFTHS, 1 / FIFTHS)
"""What who knows nothing says: the benchmark of M6, and the random walk's here."""


def _fifth_of_place(n: int) -> np.ndarray:
    """Which fifth each of n places is in, from the lowest: shape (n, 5), ones and zeros."""
    fifths = (np.arange(n) * FIFTHS) // n
    return np.asarray(np.eye(FIFTHS)[fifths])


def realised_fifths(returns: np.ndarray) -> np.ndarray:
    """In which fifth each of a session's returns was: (n,) gives (n, 5), rows that add up to 1.

    Of fewer than five tickers some fifths are empty.
    """
    _, group = np.unique(returns, return_inverse=True)
    places = np.zeros((group.max(initial=-1) + 1, FIFTHS))
    np.add.at(places, np.sort(group), _fifth_of_place(len(returns)))
    return np.asarray(places[group] / np.bincount(group)[group][:, None])


def ranked_probability_scores(probabilities: np.ndarray, realised: np.ndarray) -> np.ndarray:
    """Mean squared difference of the cumulated probabilities: (n, 5) twice give (n,).

    M6 divides by the five categories, others by four.
    """
    difference = np.cumsum(probabilities, axis=1) - np.cumsum(realised, axis=1)
    return np.asarray((difference**2).mean(axis=1))


def fifths_of_laws(quantiles: np.ndarray) -> np.ndarray:
    """Chance of each fifth that a session's laws imply, as if tickers were independent: (n, 5).

    Shares move together, which laws of single tickers don't say; what they have in common moves no
    rank. Each ticker's return is taken at each of its quantiles; how many of the others are below
    then has a Poisson binomial distribution.

    Args:
        quantiles: At GRID, shape (n, 50), ascending; n at most MOST_TICKERS.
    """
    n = len(quantiles)
    places = _fifth_of_place(n)
    levels = np.asarray(GRID)
    below = np.stack(
        [
            np.interp(quantiles, law, levels, left=levels[0] / 2, right=1 - levels[0] / 2)
            for law in quantiles
        ]
    )  # (whose law, of whom, at which quantile)
    found = np.empty((n, FIFTHS))
    for ticker in range(n):
        counts = np.zeros((len(GRID), n))
        counts[:, 0] = 1
        for other in range(n):
            if other != ticker:
                chance = below[other, ticker][:, None]
                counts[:, 1:] = counts[:, 1:] * (1 - chance) + counts[:, :-1] * chance
                counts[:, 0] *= 1 - chance[:, 0]
        found[ticker] = counts.mean(axis=0) @ places
    return found
