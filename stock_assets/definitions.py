"""Wiring only: assets, jobs, schedules, the sensor, and the resources they lean on."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

import dagster as dg

from stock_assets.alerting.sensor import rmse_sensor
from stock_assets.assets import all_assets
from stock_assets.automation.console import console_logger
from stock_assets.automation.jobs import all_jobs
from stock_assets.automation.report_sensor import report_sensor
from stock_assets.automation.schedules import all_schedules
from stock_assets.deployment import lineage_of, load_partitions
from stock_assets.environment import load_settings
from stock_assets.partitions import Partitions
from stock_assets.resources.forecast_io_manager import ForecastIOManager
from stock_assets.resources.io_managers import JsonIOManager, ParquetIOManager
from stock_assets.resources.metrics import MetricsGateway
from stock_assets.resources.model_registry import ModelRegistry
from stock_assets.resources.notifier import Notifier
from stock_assets.resources.object_store import open_store
from stock_assets.resources.page_io_manager import PageIOManager
from stock_assets.resources.price_history import PriceHistory
from stock_assets.resources.prices import open_prices
from stock_assets.resources.stamper import Stamper
from stock_assets.resources.writer_lease import writing
from stock_assets.settings import Settings


def build_definitions(
    settings: Settings, resource_overrides: Mapping[str, Any] | None = None
) -> dg.Definitions:
    """The whole project for one set of settings.

    Args:
        settings: What a deployment chose.
        resource_overrides: Other resources by key, for tests.
    """
    partitions = load_partitions(settings)
    jobs = all_jobs(settings, partitions)
    return dg.Definitions(
        assets=all_assets(settings, partitions),
        jobs=jobs,
        schedules=all_schedules(jobs, settings, partitions),
        sensors=[rmse_sensor(settings, partitions), report_sensor(settings, jobs)],
        resources={**build_resources(settings, partitions), **(resource_overrides or {})},
        loggers={"console": console_logger},
        executor=dg.in_process_executor,
    )


def build_resources(settings: Settings, partitions: Partitions) -> dict[str, Any]:
    """Resource keys name the role; the object store is up for as long as a run needs it."""

    def for_the_run(
        opened: Callable[[Settings], AbstractContextManager[Any]], what: str
    ) -> dg.ResourceDefinition:
        @dg.resource(description=what)
        def resource(_context: dg.InitResourceContext) -> Iterator[Any]:
            with opened(settings) as value:
                yield value

        return resource

    @dg.resource(required_resource_keys={"object_store"}, description="Versions in MLflow.")
    def model_registry(context: dg.InitResourceContext) -> ModelRegistry:
        return ModelRegistry(settings, context.resources.object_store)

    @dg.resource(required_resource_keys={"object_store"}, description="What is stored of prices.")
    def price_history(context: dg.InitResourceContext) -> PriceHistory:
        return PriceHistory(context.resources.object_store)

    @dg.resource(
        required_resource_keys={"object_store", "model_registry"},
        description="The right to write, and what the run's objects are made of, for their stamps.",
    )
    def stamper(context: dg.InitResourceContext) -> Iterator[Stamper]:
        resources = context.resources
        lineage = lineage_of(settings, partitions)
        log = context.log or logging.getLogger(__name__)
        with writing(resources.object_store, "a run of Dagster", log.info):
            yield Stamper(resources.object_store, lineage, resources.model_registry.versions)

    stores = {"object_store", "stamper"}

    @dg.io_manager(required_resource_keys=stores, description="Frames as Parquet.")
    def parquet(context: dg.InitResourceContext) -> ParquetIOManager:
        return ParquetIOManager(context.resources.object_store, context.resources.stamper)

    @dg.io_manager(required_resource_keys=stores, description="Forecasts; issued ones stay.")
    def forecasts(context: dg.InitResourceContext) -> ForecastIOManager:
        resources = context.resources
        return ForecastIOManager(
            resources.object_store, resources.stamper, is_live=partitions.is_live
        )

    @dg.io_manager(required_resource_keys=stores, description="Values as JSON.")
    def json(context: dg.InitResourceContext) -> JsonIOManager:
        return JsonIOManager(context.resources.object_store, context.resources.stamper)

    @dg.io_manager(required_resource_keys={"object_store"}, description="A page as HTML.")
    def page(context: dg.InitResourceContext) -> PageIOManager:
        return PageIOManager(context.resources.object_store)

    return {
        "object_store": for_the_run(open_store, "Objects by key: S3 or a folder."),
        "prices": for_the_run(open_prices, "The source of bars and the tickers wanted of it."),
        "price_history": price_history,
        "model_registry": model_registry,
        "stamper": stamper,
        "metrics": MetricsGateway(settings),
        "notifier": Notifier(settings),
        "parquet_io_manager": parquet,
        "forecast_io_manager": forecasts,
        "json_io_manager": json,
        "page_io_manager": page,
    }


@dg.definitions
def defs() -> dg.Definitions:
    """What Dagster loads: built when it asks, so that importing this module does no work."""
    return build_definitions(load_settings())
