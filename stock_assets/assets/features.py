"""Group features: what models see, computed once per session and never again."""

import dagster as dg
import polars as pl

from stock_assets.assets.attributes import by_session, preview
from stock_assets.forecasting.features import FEATURES, HISTORY_SESSIONS, build_features
from stock_assets.partitions import Partitions, session_of
from stock_assets.resources.io_managers import HISTORY


def feature_assets(partitions: Partitions) -> list[dg.AssetsDefinition]:
    @dg.asset(
        **by_session(partitions),
        group_name="features",
        kinds={"parquet", "s3", "polars"},
        ins={"raw_prices": dg.AssetIn(metadata={HISTORY: HISTORY_SESSIONS})},
    )
    def features(
        context: dg.AssetExecutionContext, raw_prices: pl.DataFrame
    ) -> dg.MaterializeResult:
        """Scale-free features known at a session's close, and the return that it realised.

        Training and serving read these same rows. They do not depend on the day from which prices
        are adjusted, nor on the range of the run that computed them.
        """
        sessions = [session_of(key) for key in context.partition_keys]
        value = build_features(raw_prices, partitions.calendar).filter(
            pl.col("session").is_in(sessions)
        )
        incomplete = value["volatility_1d"].null_count()
        context.log.info(f"{value.height} rows, {incomplete} with too little history")
        return dg.MaterializeResult(
            value=value,
            metadata={
                "features": len(FEATURES),
                "rows_with_too_little_history": incomplete,
                "newest_rows": preview(value.select("ticker", "session", *FEATURES[:8])),
            },
        )

    return [features]
