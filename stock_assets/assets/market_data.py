"""Group market_data: bars as traded, one object per session."""

from datetime import UTC, datetime

import dagster as dg
import polars as pl

from stock_assets.assets.attributes import by_session, preview
from stock_assets.errors import EmptyAnswerError
from stock_assets.market.bars import quarantine_reason
from stock_assets.partitions import Partitions, session_of
from stock_assets.resources.prices import Prices


def market_data_assets(partitions: Partitions) -> list[dg.AssetsDefinition]:
    @dg.asset(
        **by_session(partitions),
        group_name="market_data",
        kinds={"parquet", "s3", "polars"},
        check_specs=[
            dg.AssetCheckSpec("no_bar_is_quarantined", asset="raw_prices"),
            dg.AssetCheckSpec("every_session_has_bars", asset="raw_prices"),
        ],
    )
    def raw_prices(
        context: dg.AssetExecutionContext, prices: dg.ResourceParam[Prices]
    ) -> dg.MaterializeResult:
        """Bars as traded: OHLCV, dividend and split ratio of each ticker, source and fetch time.

        No later split or dividend has been applied. A bar that can't be right stays here with its
        `quarantine_reason` and never enters features.
        """
        sessions = [session_of(key) for key in context.partition_keys]
        bars = prices.source.fetch_bars(prices.tickers, sessions[0], sessions[-1])
        bars = bars.filter(pl.col("session").is_in(sessions))
        if bars.is_empty():
            raise EmptyAnswerError(
                f"{prices.source.name} has no bar of {', '.join(prices.tickers[:5])} for"
                f" {sessions[0]}..{sessions[-1]}; check the tickers and the range"
            )
        value = bars.with_columns(
            quarantine_reason(),
            source=pl.lit(prices.source.name),
            fetched_at=pl.lit(datetime.now(UTC), dtype=pl.Datetime("us", "UTC")),
        )
        bad = value.filter(pl.col("quarantine_reason").is_not_null())
        empty = sorted(set(sessions) - set(value["session"].unique()))
        context.log.info(f"{value.height} bars of {value['ticker'].n_unique()} tickers")
        return dg.MaterializeResult(
            value=value,
            metadata={
                "newest_bars": preview(
                    value.select("ticker", "session", "open", "high", "low", "close", "volume")
                ),
                "quarantined": bad.height,
                **({"quarantine": preview(bad)} if bad.height else {}),
            },
            check_results=[
                dg.AssetCheckResult(
                    check_name="no_bar_is_quarantined",
                    passed=bad.is_empty(),
                    severity=dg.AssetCheckSeverity.WARN,
                    metadata={"quarantined": bad.height},
                ),
                dg.AssetCheckResult(
                    check_name="every_session_has_bars",
                    passed=not empty,
                    severity=dg.AssetCheckSeverity.WARN,
                    metadata={"sessions_without_bars": [str(session) for session in empty]},
                ),
            ],
        )

    return [raw_prices]
