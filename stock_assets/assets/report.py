"""Group report: one page about the newest forecasts and how the past ones did."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

import dagster as dg
from pydantic import Field

from stock_assets.asset_keys import Asset
from stock_assets.assets.attributes import HTML, OWNERS, PAGE
from stock_assets.assets.upkeep import NOTHING_IS_DUE, due_check
from stock_assets.partitions import Partitions
from stock_assets.resources.model_registry import ModelRegistry
from stock_assets.resources.object_store import ObjectStore
from stock_assets.resources.prices import Prices
from stock_assets.settings import Settings
from stock_assets.standing import standing_of


class ReportConfig(dg.Config):
    """What the page is to be of."""

    first: str = Field("", description="First target session, YYYY-MM-DD; default: six months.")
    last: str = Field("", description="Last target session; default: the newest.")
    tickers: list[str] = Field([], description="Default: all with a forecast.")


def report_assets(settings: Settings, partitions: Partitions) -> list[dg.AssetsDefinition]:
    @dg.asset(
        group_name="report",
        kinds={"html", "s3"},
        owners=OWNERS,
        io_manager_key=PAGE,
        check_specs=[NOTHING_IS_DUE],
        dagster_type=HTML,  # with a check Dagster would take it for an asset without a value
        # Whatever of them is stored is read, as the config says: none of it is one partition's.
        deps=[
            Asset.RAW_PRICES,
            Asset.FEATURES,
            Asset.TUNED_MODEL,
            Asset.REGISTERED_VERSION,
            Asset.DAILY_FORECAST,
            Asset.FORECAST_RMSE,
        ],
    )
    def forecast_report(
        context: dg.AssetExecutionContext,
        config: ReportConfig,
        object_store: dg.ResourceParam[ObjectStore],
        model_registry: dg.ResourceParam[ModelRegistry],
        prices: dg.ResourceParam[Prices],
    ) -> dg.MaterializeResult:
        """One HTML page: verdict, next session, fans, scores, models, data. Opens without a net."""
        from stock_assets.report.page import render
        from stock_assets.report.verdict import verdict
        from stock_assets.resources.report_rows import Asked, Sessions, read_report

        asked = Asked(_day(config.first), _day(config.last), tuple(config.tickers))
        sessions = Sessions(partitions.calendar, partitions.newest, partitions.is_live)
        rows = read_report(settings, object_store, model_registry, sessions, asked)
        said = verdict(rows)
        context.log.info(" ".join(said))
        today = datetime.now(ZoneInfo(partitions.calendar.time_zone)).date()
        found = standing_of(settings, partitions, object_store, prices.tickers, today)
        return dg.MaterializeResult(
            value=render(rows),
            metadata={
                "verdict": dg.MetadataValue.md("\n".join(f"- {one}" for one in said)),
                "as_of_session": str(rows.newest["as_of_session"][0]),
                "open": "the object in a browser, or `stock-assets report`",
            },
            check_results=[due_check(found.status)],
        )

    return [forecast_report]


def _day(text: str) -> date | None:
    return date.fromisoformat(text) if text else None
