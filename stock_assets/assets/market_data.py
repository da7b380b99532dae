"""Group market_data: bars as traded, one object per session."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import polars as pl
from pydantic import Field

from stock_assets.asset_keys import Asset
from stock_assets.assets.attributes import by_key, by_session, preview, show_each
from stock_assets.assets.bar_checks import PRICE_CHECKS, check_prices
from stock_assets.assets.columns import columns_of
from stock_assets.market.bars import BAR_SCHEMA
from stock_assets.market.revisions import STORED_SCHEMA, but_for_the_absent, merge_bars, stored_form
from stock_assets.partitions import Partitions, session_of
from stock_assets.planning.lineage import ASKED
from stock_assets.resources.io_managers import EMPTY_IS_MISSING
from stock_assets.resources.price_history import PriceHistory
from stock_assets.resources.prices import Prices
from stock_assets.resources.stamper import Stamper
from stock_assets.settings import Settings

REMOTE = ("yahoo", "http")
"""Sources that ask somebody else's server."""


class PriceFetch(dg.Config):
    """What to fetch of the run's sessions, and whether to believe it."""

    tickers: list[str] | None = Field(
        None, description="Fetch these only; the others' stored bars stay. Left out: all wanted."
    )
    force: bool = Field(
        False, description="Take the answer as it is, also where it is worse than what is stored."
    )


def pool_of(settings: Settings) -> str | None:
    """The pool of who fetches: of a vendor that limits how often it is asked; None for files."""
    remote = [one for one in (settings.source, settings.second_source) if one in REMOTE]
    return remote[0] if remote else None


def market_data_assets(settings: Settings, partitions: Partitions) -> list[dg.AssetsDefinition]:
    arguments = by_session(partitions, columns_of(STORED_SCHEMA))
    # A live source's session without any bar is due, not empty: it is not stored as if it were.
    arguments["metadata"] |= {EMPTY_IS_MISSING: partitions.is_live}

    @dg.asset(
        **arguments,
        group_name="market_data",
        pool=pool_of(settings),
        kinds={"parquet", "s3", "polars"},
        check_specs=[
            dg.AssetCheckSpec(
                name,
                asset=Asset.RAW_PRICES,
                description=claim,
                blocking=name == "sessions_are_complete",
            )
            for name, claim in PRICE_CHECKS.items()
        ],
    )
    def raw_prices(
        context: dg.AssetExecutionContext,
        config: PriceFetch,
        prices: dg.ResourceParam[Prices],
        price_history: dg.ResourceParam[PriceHistory],
        stamper: dg.ResourceParam[Stamper],
    ) -> dg.MaterializeResult:
        """Bars as traded: OHLCV, dividend and split ratio of each ticker, vendor and fetch time.

        No later split or dividend has been applied. A bar that can't be right stays here with its
        `quarantine_reason` and never enters features. What a new fetch changed stands in the bar's
        `revisions`; tickers that it did not bring keep their bars.
        """
        sessions = [session_of(key) for key in context.partition_keys]
        stored = price_history.look_up(sessions)
        asked: Sequence[str] = config.tickers or prices.tickers
        if stored.damaged:
            context.log.warning(
                f"stored bars of {', '.join(stored.damaged)} are damaged and set aside; all tickers"
                " are fetched again"
            )
            asked = tuple(dict.fromkeys([*prices.tickers, *asked]))
        accepted = None
        if prices.second:
            before = prices.context(sessions)
            accepted = price_history.bars(before, "ticker", "session", "close") if before else None
        answer = prices.fetch(asked, sessions, accepted)
        for vendor, failure in answer.failures.items():
            context.log.warning(f"{vendor} could not give all: {failure}")
        if answer.off_session.height:
            days = answer.off_session["session"].unique().sort()
            context.log.warning(
                f"{answer.off_session.height} bars left out, on {len(days)} days without a session"
                f" of {prices.calendar.exchange}: {', '.join(map(str, days.head(3)))}"
                f"{', …' if len(days) > 3 else ''}"
            )
        fetched = stored_form(answer.bars, prices.source.name, datetime.now(UTC))
        merged = merge_bars(
            stored.bars,
            fetched
            if config.force
            else but_for_the_absent(stored.bars, fetched, answer.unanswered),
            force=config.force,
            answered=() if answer.failure or answer.failures else asked,
        )
        answered = fetched["ticker"].unique() if answer.failure else asked
        for key, mark in price_history.note_asked(sessions, answered).items():
            stamper.mark(Asset.RAW_PRICES, key, **{ASKED: mark})
        context.log.info(
            f"{fetched.height} bars of {fetched['ticker'].n_unique()} tickers fetched,"
            f" {merged.revised.height} values revised"
        )
        show_each(context, _own_bars(merged.bars, fetched, context.partition_keys))
        return dg.MaterializeResult(
            value=merged.bars,
            check_results=check_prices(
                merged,
                answer,
                prices,
                stored,
                sessions,
                partitions.newest,
            ),
        )

    return [raw_prices]


def _own_bars(
    bars: pl.DataFrame, fetched: pl.DataFrame, keys: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Each session's bars, and how many of them the source gave just now."""
    given = dict(fetched.group_by(pl.col("session").cast(pl.String)).len().iter_rows())
    return {
        key: {
            "bars_fetched": given.get(key, 0),
            "bars_kept": own.height - given.get(key, 0),
            "quarantined": own["quarantine_reason"].count(),
            "bars": preview(own.select(*BAR_SCHEMA)),
        }
        for key, own in by_key(bars, "session", keys).items()
    }
