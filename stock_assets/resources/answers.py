"""What one or two vendors answered, and whose failure left what out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

import polars as pl

from stock_assets.errors import SourceError
from stock_assets.market.off_session import OFF_SESSION_SCHEMA
from stock_assets.market.sources import PriceSource
from stock_assets.market.vendors import Compared, compare_bars


@dataclass(frozen=True)
class Answer:
    """Bars (BAR_SCHEMA; of two vendors with `vendor` too), and why some tickers' are missing.

    `failure`: None where none are. `off_session`: OFF_SESSION_SCHEMA, what there was on days
    without a session. `failures`: of each vendor that could not give all, also where the other
    could. `unanswered`: `source, ticker`, of these vendors the tickers that they gave no bar of.
    `compared`: how two vendors' bars compare; None where one alone answered.
    """

    bars: pl.DataFrame
    failure: SourceError | None
    off_session: pl.DataFrame = field(
        default_factory=lambda: pl.DataFrame(schema=OFF_SESSION_SCHEMA)
    )
    failures: Mapping[str, SourceError] = field(default_factory=dict)
    unanswered: pl.DataFrame = field(
        default_factory=lambda: pl.DataFrame(schema={"source": pl.String(), "ticker": pl.String()})
    )
    compared: Compared | None = None

    def about(self, sessions: Sequence[date], first_day: date) -> "Answer":
        """The part of it that is about some sessions, and about other days from a first one on."""
        compared = self.compared
        wanted = pl.col("session").is_in(list(sessions))
        off_session = self.off_session.filter(pl.col("session") >= first_day)
        if compared:
            compared = replace(
                compared,
                bars=compared.bars.filter(wanted),
                disagreements=compared.disagreements.filter(wanted),
                missing=compared.missing.filter(wanted),
            )
        return replace(
            self, bars=self.bars.filter(wanted), off_session=off_session, compared=compared
        )


def joined(
    answers: Sequence[Answer],
    vendors: Sequence[PriceSource],
    tickers: Sequence[str],
    accepted: pl.DataFrame | None,
) -> Answer:
    """One answer of two, by the policy of `market.vendors`.

    Args:
        answers: Of the first vendor and of the second.
        vendors: These.
        tickers: That were asked for.
        accepted: As of `compare_bars`.
    """
    first, second = answers
    names = (vendors[0].name, vendors[1].name)
    compared = compare_bars(first.bars, second.bars, names, accepted)
    failures = {
        name: answer.failure
        for name, answer in zip(names, answers, strict=True)
        if answer.failure is not None
    }
    unanswered = [
        (name, ticker)
        for name, answer in zip(names, answers, strict=True)
        if answer.failure is not None
        for ticker in sorted(set(tickers) - set(answer.bars["ticker"]))
    ]
    # What one vendor answered in full is known; else a ticker is that has a bar.
    is_whole = len(failures) < len(answers) or set(tickers) <= set(compared.bars["ticker"])
    return Answer(
        compared.bars,
        None if is_whole else next(iter(failures.values())),
        pl.concat([first.off_session, second.off_session]),
        failures,
        pl.DataFrame(unanswered, {"source": pl.String(), "ticker": pl.String()}, orient="row"),
        compared,
    )
