"""Group features: what models see, computed once per session and never again."""

import dagster as dg
import polars as pl

from stock_assets.asset_keys import Asset
from stock_assets.assets.attributes import by_session, preview, show_each, show_newest
from stock_assets.assets.bar_checks import FEATURE_CHECKS, check_plausibility
from stock_assets.assets.column_lineage import FEATURES_OF, column_lineage
from stock_assets.assets.columns import columns_of
from stock_assets.forecasting.features import (
    BAR_SESSIONS,
    FEATURE_SCHEMA,
    FEATURES,
    build_features,
)
from stock_assets.market.plausibility import judge_bars
from stock_assets.partitions import Partitions, session_of
from stock_assets.resources.io_managers import HISTORY
from stock_assets.resources.prices import load_membership
from stock_assets.settings import Settings


def feature_assets(settings: Settings, partitions: Partitions) -> list[dg.AssetsDefinition]:
    lineage = column_lineage(settings.dataset_name, FEATURE_SCHEMA, FEATURES_OF)

    @dg.asset(
        **by_session(partitions, columns_of(FEATURE_SCHEMA, lineage)),
        group_name="features",
        kinds={"parquet", "s3", "polars"},
        ins={"raw_prices": dg.AssetIn(metadata={HISTORY: BAR_SESSIONS})},
        check_specs=[
            dg.AssetCheckSpec(name, asset=Asset.FEATURES, description=claim)
            for name, claim in FEATURE_CHECKS.items()
        ],
    )
    def features(
        context: dg.AssetExecutionContext, raw_prices: pl.DataFrame
    ) -> dg.MaterializeResult:
        """Scale-free features known at a session's close, and the return that it realised.

        Training and serving read these same rows. They do not depend on the day from which prices
        are adjusted, nor on the range of the run that computed them. A bar whose return can't be
        true has no row, nor has one of a ticker that was no member in that session.
        """
        sessions = [session_of(key) for key in context.partition_keys]
        judged = judge_bars(raw_prices, partitions.calendar)
        wanted = pl.col("session").is_in(sessions)
        membership = load_membership(settings)
        value = build_features(judged, partitions.calendar, membership).filter(wanted)
        incomplete = value["volatility_1d"].null_count()
        context.log.info(f"{value.height} rows, {incomplete} with too little history")
        bad = judged.filter(wanted & pl.col("quarantine_reason").is_not_null())
        quarantined = dict(bad.group_by(pl.col("session").cast(pl.String)).len().iter_rows())
        short = value.group_by(pl.col("session").cast(pl.String)).agg(
            pl.col("volatility_1d").null_count()
        )
        too_little = dict(short.filter(pl.col("volatility_1d") > 0).iter_rows())
        show_each(
            context,
            {
                key: {
                    "quarantined": quarantined.get(key),
                    "rows_with_too_little_history": too_little.get(key),
                }
                for key in context.partition_keys
            },
        )
        newest = value.filter(pl.col("session") == sessions[-1])
        show_newest(context, newest_rows=preview(newest.select("ticker", "session", *FEATURES[:8])))
        return dg.MaterializeResult(
            value=value,
            check_results=check_plausibility(judged.filter(wanted)),
        )

    return [features]
