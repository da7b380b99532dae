"""What a month's model may see: labels, train and test set, and the folds inside the train set.

The label of session t is the return up to session t+horizon. It is therefore not known before that
session's close, and every boundary here counts from the session in which a label was *realised*.
"""

import math
from dataclasses import dataclass
from datetime import date

import polars as pl

from stock_assets.errors import NotEnoughHistoryError
from stock_assets.forecasting.features import FEATURES, MARKET_VARIANCES, complete_rows
from stock_assets.forecasting.outlook import OUTLOOK
from stock_assets.market.bars import by_ticker
from stock_assets.market.sessions import ExchangeCalendar

LABELLED_SCHEMA: dict[str, pl.DataType] = {
    "ticker": pl.String(),
    "session": pl.Date(),
    "label_session": pl.Date(),
    "volatility_1d": pl.Float64(),
    "close_usd": pl.Float64(),
    "return_next": pl.Float64(),
    "label": pl.Float64(),
    "range_variance_next": pl.Float64(),
    **{name: pl.Float64() for name in FEATURES},
    **{name: pl.Float64() for name in MARKET_VARIANCES},
    **OUTLOOK,
}

LABEL_BOUND = 6.0
"""Of a label, times the root of the horizon: earnings move a share by as much, few days by more. A
label of hundreds, as after a price that did not move, would outweigh all others of its month."""

_LEAST_SQUARE = 0.25  # of labels, in squared units of volatility


@dataclass(frozen=True)
class SplitSessions:
    """The boundaries of one training: all are sessions, both ends of each range inclusive.

    `train_first..train_last` and `test_first..test_last` are sessions of features; the label of a
    row is realised `horizon` sessions later. `trained_through` is the last session looked at.
    """

    train_first: date
    train_last: date
    test_first: date
    test_last: date
    trained_through: date


def split_sessions(
    calendar: ExchangeCalendar,
    trained_through: date,
    first: date,
    test_sessions: int,
    horizon: int = 1,
) -> SplitSessions:
    """Where train and test lie for a model that sees data through the close of `trained_through`.

    The last test label is realised on `trained_through`; the last train label before the first
    test session, so tuning and fitting know nothing of the test set.

    Raises:
        NotEnoughHistoryError: Nothing would be left to train on after `first`.
    """
    test_last = calendar.offset(trained_through, -horizon)
    test_first = calendar.offset(test_last, 1 - test_sessions)
    train_last = calendar.offset(test_first, -1 - horizon)
    if train_last < first:
        raise NotEnoughHistoryError(
            f"a model trained through {trained_through} with {test_sessions} test sessions has no"
            f" train session left: the first there could be is {first}, the last {train_last};"
            " choose a later month or an earlier STOCK_ASSETS_FIRST_SESSION"
        )
    return SplitSessions(first, train_last, test_first, test_last, trained_through)


def labelled_rows(
    features: pl.DataFrame, calendar: ExchangeCalendar, horizon: int = 1
) -> pl.DataFrame:
    """Complete feature rows with the return over the next `horizon` sessions as label.

    Args:
        features: FEATURE_SCHEMA, any order.
        calendar: Tells which sessions come next.
        horizon: Sessions from a row's close to its label's.

    Returns:
        LABELLED_SCHEMA sorted by session and ticker. `return_next` is the log return from the
        row's close to that of `label_session`, `label` the same in units of `volatility_1d`,
        no farther from zero than LABEL_BOUND times the root of the horizon,
        `range_variance_next` the mean range variance of the sessions in between, the last one
        included. A row whose ticker has no bar in one of them is dropped: there is nothing to learn
        from it.
    """
    # The calendar's first session keeps the mapping from being empty where there is no row.
    ordinals = calendar.ordinals([calendar.first, *features["session"].unique().to_list()])
    ordered = by_ticker(features).with_columns(
        ordinal=pl.col("session").replace_strict(ordinals, return_dtype=pl.Int64)
    )
    # Sorted and without repeats: the h-th row after is h sessions after only if none is missing.
    follows = (pl.col("ticker").shift(-horizon) == pl.col("ticker")) & (
        pl.col("ordinal").shift(-horizon) == pl.col("ordinal") + horizon
    )

    def over_the_horizon(name: str) -> pl.Expr:
        return sum((pl.col(name).shift(-n) for n in range(2, horizon + 1)), pl.col(name).shift(-1))

    labelled = ordered.with_columns(
        label_session=pl.when(follows).then(pl.col("session").shift(-horizon)),
        return_next=pl.when(follows).then(over_the_horizon("return_1d")),
        range_variance_next=pl.when(follows).then(over_the_horizon("range_variance_1d") / horizon),
    )
    return (
        complete_rows(labelled)
        .drop_nulls("return_next")
        .with_columns(
            label=(pl.col("return_next") / pl.col("volatility_1d")).clip(
                -LABEL_BOUND * math.sqrt(horizon), LABEL_BOUND * math.sqrt(horizon)
            )
        )
        .select(*LABELLED_SCHEMA)
        .sort("session", "ticker")
    )


def ticker_weights(rows: pl.DataFrame) -> pl.Series:
    """What a row's squared error counts for: one over the mean square label of its ticker.

    So the random walk's mean loss is the same for every ticker, and none outweighs the others
    because its volatility is misjudged, labels at their bound included. Labels of an honest
    volatility have a mean square of about one; below _LEAST_SQUARE they do not count for more.

    Args:
        rows: `ticker, label`, shape (n_rows, …).
    """
    square = (pl.col("label") ** 2).mean().over("ticker")
    return rows.select((1 / square.clip(lower_bound=_LEAST_SQUARE)).alias("weight")).to_series()


def rows_between(rows: pl.DataFrame, first: date, last: date) -> pl.DataFrame:
    return rows.filter(pl.col("session").is_between(first, last))


@dataclass(frozen=True)
class Fold:
    """Train on sessions up to `train_last`, validate on `validate_first..validate_last`."""

    train_last: date
    validate_first: date
    validate_last: date


def walk_forward_folds(sessions: list[date], n_folds: int, horizon: int = 1) -> list[Fold]:
    """Expanding folds, in order: each validates on the block after its train rows.

    Args:
        sessions: The train set's sessions, ascending, without repeats, shape (n_sessions,).
        n_folds: Folds; the sessions are cut into n_folds + 1 blocks, the first is only trained on.
        horizon: Sessions that a label spans.

    Returns:
        Folds whose last train label is realised before the first validated session: the `horizon`
        sessions before it are purged.

    Raises:
        NotEnoughHistoryError: A block would have fewer than five sessions, or nothing is left of
            the first after the purge.
    """
    size = len(sessions) // (n_folds + 1)
    if size < max(5, horizon + 1):
        raise NotEnoughHistoryError(
            f"{len(sessions)} train sessions are too few for {n_folds} folds"
            f" ({max(5, horizon + 1)} a block at least); choose a later month, fewer"
            " STOCK_ASSETS_TUNING_FOLDS or more history"
        )
    # Blocks are counted from the end, so that the newest rows are always validated on.
    starts = [len(sessions) - size * (n_folds - n) for n in range(n_folds)]
    return [
        Fold(
            train_last=sessions[start - 1 - horizon],
            validate_first=sessions[start],
            validate_last=sessions[start + size - 1],
        )
        for start in starts
    ]
