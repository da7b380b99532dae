"""Group forecasts: a later session's close with intervals, and how past forecasts did."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any

import dagster as dg
import polars as pl

from stock_assets.asset_keys import Asset, asset_key
from stock_assets.assets.attributes import (
    FORECASTS,
    by_key,
    by_session,
    preview,
    show_each,
    show_newest,
)
from stock_assets.assets.column_lineage import FORECASTS_OF, SCORES_OF, column_lineage
from stock_assets.assets.columns import columns_of
from stock_assets.assets.forecast_checks import (
    FORECAST_CHECKS,
    check_age,
    check_intervals,
    check_tickers,
    refuse_impossible,
)
from stock_assets.assets.live_metrics import publish_scores, score_checks
from stock_assets.forecasting.evaluation import (
    SCORE_SCHEMA,
    add_rolling,
    is_scored,
    score_forecasts,
)
from stock_assets.forecasting.forecast_schema import FORECAST_SCHEMA
from stock_assets.forecasting.intervals import adaptive_history
from stock_assets.forecasting.promotion import (
    INTERVALS,
    POINT,
    RANDOM_WALK,
    ModelVersion,
    version_for,
)
from stock_assets.forecasting.record import mark_issued
from stock_assets.market.months import month_key
from stock_assets.market.plausibility import JUDGING_SESSIONS, judge_bars
from stock_assets.partitions import Partitions, session_of
from stock_assets.report.pictures import MOST_FANS, as_markdown, error_picture, fan_picture
from stock_assets.resources.io_managers import HISTORY, MAY_BE_MISSING
from stock_assets.resources.metrics import MetricsGateway
from stock_assets.resources.model_registry import ModelRegistry
from stock_assets.resources.price_history import PriceHistory
from stock_assets.settings import Settings


def forecast_assets(settings: Settings, partitions: Partitions) -> list[dg.AssetsDefinition]:
    return [
        _daily_forecast(settings, partitions),
        _forecast_rmse(settings, partitions),
    ]


def _daily_forecast(settings: Settings, partitions: Partitions) -> dg.AssetsDefinition:
    calendar, horizon = partitions.calendar, settings.horizon
    history = adaptive_history(horizon)
    lineage = column_lineage(settings.dataset_name, FORECAST_SCHEMA, FORECASTS_OF)

    @dg.asset(
        **by_session(partitions, columns_of(FORECAST_SCHEMA, lineage), column="as_of_session")
        | {"io_manager_key": FORECASTS},
        group_name="forecasts",
        kinds={"parquet", "s3", "scikitlearn"},
        ins={
            # Intervals follow each ticker's newest returns, from stored rows rather than from this
            # asset's own past: a daily run and a backfill see the same.
            "features": dg.AssetIn(metadata={HISTORY: history})
        },
        # The month's version is found in the registry; this edge orders the two and shows lineage.
        deps=[
            dg.AssetDep(Asset.REGISTERED_VERSION, partition_mapping=dg.TimeWindowPartitionMapping())
        ],
        check_specs=FORECAST_CHECKS,
    )
    def daily_forecast(
        context: dg.AssetExecutionContext,
        model_registry: dg.ResourceParam[ModelRegistry],
        price_history: dg.ResourceParam[PriceHistory],
        features: pl.DataFrame,
    ) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult]:
        """Per ticker: a coming close with 50, 80 and 95 % intervals, and who forecast it.

        The target is the next session, or as many sessions ahead as the setting `horizon` says.
        The newest version trained before the session whose point is approved makes the point, the
        newest one whose intervals are approved the intervals, so a backfill uses what a live run
        would have used. Without one the random walk forecasts, or the interval is the normal law's,
        and the row says so. A live source's forecast made before its target opens is issued, and
        never replaced; what is made of its session later is stored beside it.
        """
        from stock_assets.forecasting.forecast import Serving, forecast_sessions

        sessions = [session_of(key) for key in context.partition_keys]
        versions = model_registry.versions()
        # Without a version that is stored the random walk would forecast in its place.
        model_registry.refuse_lost(through=month_key(sessions[-1]))
        serving: dict[tuple[ModelVersion | None, ...], list[date]] = {}
        for session in sessions:
            by_part = tuple(version_for(versions, session, part) for part in (POINT, INTERVALS))
            serving.setdefault(by_part, []).append(session)
        # One part's version changes while the other's stays: each is loaded once, and a long range
        # does not hold all of them.
        load = lru_cache(maxsize=4)(model_registry.load)
        value = pl.concat(
            forecast_sessions(
                _with_history(features, served_sessions, history),
                {session: calendar.offset(session, horizon) for session in served_sessions},
                Serving(*(load(version) if version else None for version in by_part)),
                calendar,
                horizon,
            )
            for by_part, served_sessions in serving.items()
        )
        served = sorted({v.version for by_part in serving for v in by_part if v})
        context.log.info(
            f"{value.height} forecasts, versions {served},"
            f" {(value['model'] == RANDOM_WALK).sum()} by the random walk"
        )
        newest = value.filter(pl.col("as_of_session") == sessions[-1]).sort("ticker")
        show_newest(
            context,
            **_fan(features, newest),
            report=dg.MetadataValue.asset(asset_key(settings.dataset_name, Asset.FORECAST_REPORT)),
        )
        show_each(context, _by_session(value, context.partition_keys))
        yield check_intervals(value)
        refuse_impossible(value)  # before it is stored, and after the check has said so
        bars = price_history.bars(sessions[-1:], "ticker", "quarantine_reason")
        yield dg.MaterializeResult(
            value=mark_issued(value, calendar, datetime.now(UTC), is_live=partitions.is_live),
            check_results=[
                check_tickers(value, bars, sessions[-1]),
                check_age(value, sessions[-1]),
            ],
        )

    return daily_forecast


def _fan(features: pl.DataFrame, newest: pl.DataFrame) -> dict[str, dg.MarkdownMetadataValue]:
    """A picture of a session's forecasts (FORECAST_SCHEMA, by ticker); none of none."""
    if newest.is_empty():
        return {}
    of_these = pl.col("ticker").is_in(newest["ticker"].head(MOST_FANS).to_list())
    past = features.filter(of_these & (pl.col("session") <= newest["as_of_session"][0]))
    picture = as_markdown("closes and coming intervals", fan_picture(past, newest))
    return {"fan": dg.MetadataValue.md(picture)}


def _errors_picture(
    scored: pl.DataFrame, limit: float | None
) -> dict[str, dg.MarkdownMetadataValue]:
    """A picture of what the run scored, and of the window before it; none of nothing."""
    pooled = (
        scored.filter(is_scored())
        .group_by("session")
        .agg(
            own=_root_mean_square("error_return"),
            walk=_root_mean_square("error_return_random_walk"),
        )
        .sort("session")
        .tail(_SHOWN_SESSIONS)
    )
    if pooled.is_empty():
        return {}
    sessions, own, walk = (pooled[name].to_list() for name in ("session", "own", "walk"))
    picture = as_markdown("RMSE by session", error_picture(sessions, own, walk, limit))
    return {"errors": dg.MetadataValue.md(picture)}


def _root_mean_square(column: str) -> pl.Expr:
    return (pl.col(column) ** 2).mean().sqrt()


_SHOWN_SESSIONS = 250
_SHOWN_FORECAST = (
    "ticker",
    "target_session",
    "close_usd",
    "forecast_close_usd",
    "lower_95_usd",
    "upper_95_usd",
    "model",
    "model_version",
    "intervals_version",
)
_SHOWN_SCORE = (
    "ticker",
    "realised_return",
    "error_return",
    "error_usd",
    "covered_95",
    "rolling_rmse_return",
    "rolling_rmse_return_random_walk",
)


def _by_session(forecasts: pl.DataFrame, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Each session's forecasts, and in how many of them no model of ours had a part."""
    return {
        key: {
            "forecasts": own.height,
            "by_random_walk": (own["model"] == RANDOM_WALK).sum(),
            "without_a_version": own["is_fallback"].sum(),
            "own_forecasts": preview(own.select(*_SHOWN_FORECAST)),
        }
        for key, own in by_key(forecasts, "as_of_session", keys).items()
    }


def _with_history(features: pl.DataFrame, sessions: list[date], history: int) -> pl.DataFrame:
    """The rows of the sessions and of those that their intervals follow."""
    before = features.filter(pl.col("session") < sessions[0])["session"].unique().sort()
    oldest = before.tail(history).min() or sessions[0]
    return features.filter(pl.col("session").is_between(oldest, sessions[-1]))


def _forecast_rmse(settings: Settings, partitions: Partitions) -> dg.AssetsDefinition:
    window, horizon = settings.rmse_window, settings.horizon
    lineage = column_lineage(settings.dataset_name, SCORE_SCHEMA, SCORES_OF)

    @dg.asset(
        **by_session(partitions, columns_of(SCORE_SCHEMA, lineage, scores=True)),
        group_name="forecasts",
        kinds={"parquet", "s3", "prometheus"},
        ins={
            # Past forecasts rather than this asset's own past: a partition that depends on its
            # predecessors can only be computed one at a time.
            "daily_forecast": dg.AssetIn(
                partition_mapping=dg.TimeWindowPartitionMapping(
                    start_offset=-horizon,
                    end_offset=-horizon,
                    allow_nonexistent_upstream_partitions=True,
                ),
                metadata={MAY_BE_MISSING: True, HISTORY: window - 1},
            ),
            "raw_prices": dg.AssetIn(metadata={HISTORY: window - 1 + horizon + JUDGING_SESSIONS}),
        },
        check_specs=[
            *score_checks(metrics_are_pushed=bool(settings.pushgateway_url)),
            dg.AssetCheckSpec("newest_session_was_forecast", asset=Asset.FORECAST_RMSE),
        ],
    )
    def forecast_rmse(
        context: dg.AssetExecutionContext,
        metrics: dg.ResourceParam[MetricsGateway],
        daily_forecast: pl.DataFrame | None,
        raw_prices: pl.DataFrame,
    ) -> dg.MaterializeResult:
        """Errors of the forecasts whose target was this session, the random walk's beside them.

        Rolling RMSE per ticker. Only the newest session's is pushed to Prometheus. A forecast
        without a sound bar in its target session has a row without errors that says why.
        """
        sessions = [session_of(key) for key in context.partition_keys]
        scored = pl.DataFrame(schema=SCORE_SCHEMA)
        # A session may have been forecast without a row: no bar of it was usable.
        if daily_forecast is not None and daily_forecast.height:
            oldest: date = daily_forecast.select(pl.col("as_of_session").min()).item()
            covered = partitions.calendar.between(oldest, sessions[-1])
            scored = add_rolling(
                score_forecasts(
                    daily_forecast, judge_bars(raw_prices, partitions.calendar), horizon
                ),
                covered,
                window,
            )
        scores = scored.filter(pl.col("session").is_in(sessions))
        newest = scores.filter(is_scored() & (pl.col("session") == sessions[-1]))
        checks = publish_scores(context, metrics, settings, partitions, scores)
        show_newest(context, **_errors_picture(scored, settings.rmse_threshold))
        show_each(context, _errors_by_session(scores))
        return dg.MaterializeResult(
            value=scores,
            check_results=[
                *checks,
                dg.AssetCheckResult(
                    check_name="newest_session_was_forecast",
                    passed=not newest.is_empty(),
                    severity=dg.AssetCheckSeverity.WARN,
                    metadata={"scored_session": str(sessions[-1])},
                ),
            ],
        )

    return forecast_rmse


def _errors_by_session(scores: pl.DataFrame) -> dict[str, dict[str, Any]]:
    """RMSE over each session's tickers, the random walk's, and the worst ticker's rolling one.

    And how many forecasts have no score, where there are any. Those have no error, which means
    pass over.
    """
    unscored = is_scored().not_().sum()
    pooled = scores.group_by(pl.col("session").cast(pl.String)).agg(
        rmse_return=_root_mean_square("error_return"),
        rmse_return_random_walk=_root_mean_square("error_return_random_walk"),
        worst_rolling_rmse_return=pl.col("rolling_rmse_return").max(),
        unscored_forecasts=pl.when(unscored > 0).then(unscored),
    )
    numbers = {row.pop("session"): row for row in pooled.iter_rows(named=True)}
    return {
        key: {**numbers[key], "own_scores": preview(own.select(*_SHOWN_SCORE))}
        for key, own in by_key(scores, "session", numbers).items()
    }
