"""Wiring only: one dataset's assets, jobs, schedules, sensors, and the resources they lean on.

Nothing here is of the whole code location: a project may have several datasets, and much else.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import Any

import dagster as dg

from stock_assets.alerting.sensor import rmse_sensor
from stock_assets.assets import all_assets
from stock_assets.automation.jobs import all_jobs
from stock_assets.automation.report_sensor import report_sensor
from stock_assets.automation.schedules import all_schedules
from stock_assets.deployment import lineage_of, load_partitions
from stock_assets.errors import spelled_for
from stock_assets.partitions import Partitions
from stock_assets.resources.configuration import Configuration
from stock_assets.resources.forecast_io_manager import ForecastIOManager
from stock_assets.resources.io_managers import JsonIOManager, ParquetIOManager
from stock_assets.resources.metrics import MetricsGateway
from stock_assets.resources.model_registry import ModelRegistry
from stock_assets.resources.notifier import Notifier
from stock_assets.resources.object_store import ObjectStore, open_store
from stock_assets.resources.page_io_manager import PageIOManager
from stock_assets.resources.price_history import PriceHistory
from stock_assets.resources.prices import open_prices
from stock_assets.resources.stamper import Stamper
from stock_assets.settings import Settings


def build_graph(
    settings: Settings, resource_overrides: Mapping[str, Any] | None = None
) -> dg.Definitions:
    """The whole graph for one set of settings.

    Args:
        settings: What a deployment chose. They also tell what everything is called.
        resource_overrides: Other resources by role, for tests.
    """
    partitions = load_partitions(settings)
    jobs = all_jobs(settings, partitions)
    resources = {**_build_resources(settings, partitions), **(resource_overrides or {})}
    return dg.Definitions(
        assets=all_assets(settings, partitions),
        jobs=jobs,
        schedules=all_schedules(jobs, settings, partitions),
        sensors=[rmse_sensor(settings, partitions), report_sensor(settings, jobs)],
        resources={settings.named(role): resource for role, resource in resources.items()},
    )


def _build_resources(settings: Settings, partitions: Partitions) -> dict[str, Any]:
    """Resources by role; the object store is up for as long as a run needs it."""
    named = settings.named

    def made(
        what: str, make: Callable[..., Any], *needs: str, kind: Callable[..., Any] = dg.resource
    ) -> dg.ResourceDefinition:
        """What `make` makes of the resources that it needs, by role; a context is entered."""

        def resource(context: dg.InitResourceContext) -> Iterator[Any]:
            given = (getattr(context.resources, named(role)) for role in needs)
            with spelled_for(settings.spelled), ExitStack() as opened:
                value = make(*given)
                is_context = isinstance(value, AbstractContextManager)
                yield opened.enter_context(value) if is_context else value

        keys = {named(role) for role in needs}
        return kind(required_resource_keys=keys, description=what)(resource)  # type: ignore[no-any-return]

    stored = partial(made, kind=dg.io_manager)

    @dg.resource(
        required_resource_keys={named("object_store"), named("model_registry")},
        description="The right to write, and what the run's objects are made of, for their stamps.",
    )
    def stamper(context: dg.InitResourceContext) -> Iterator[Stamper]:
        store: ObjectStore = getattr(context.resources, named("object_store"))
        registry: ModelRegistry = getattr(context.resources, named("model_registry"))
        log = context.log or logging.getLogger(__name__)
        stamps = Stamper(store, lineage_of(settings, partitions), registry.versions, log.info)
        with stamps.writing():
            yield stamps

    forecasts = partial(ForecastIOManager, is_live=partitions.is_live)
    stores = ("object_store", "stamper")
    return {
        "configuration": Configuration.of(settings),
        "object_store": made("Objects by key: S3 or a folder.", partial(open_store, settings)),
        "prices": made(
            "The source of bars and the tickers wanted of it.", partial(open_prices, settings)
        ),
        "price_history": made("What is stored of prices.", PriceHistory, "object_store"),
        "model_registry": made(
            "Versions in MLflow.", partial(ModelRegistry, settings), "object_store"
        ),
        "stamper": stamper,
        "metrics": MetricsGateway(settings),
        "notifier": Notifier(settings),
        "parquet_io_manager": stored("Frames as Parquet.", ParquetIOManager, *stores),
        "forecast_io_manager": stored("Forecasts; issued ones stay.", forecasts, *stores),
        "json_io_manager": stored("Values as JSON.", JsonIOManager, *stores),
        "page_io_manager": stored("A page as HTML.", PageIOManager, "object_store"),
    }
