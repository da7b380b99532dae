"""The checkout as Dagster loads it: the graph of its settings, and how a run of it is executed."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from stock_assets.automation.console import console_logger
from stock_assets.automation.executors import executor_of
from stock_assets.environment import load_settings
from stock_assets.graph import build_graph
from stock_assets.settings import Settings


def build_definitions(
    settings: Settings, resource_overrides: Mapping[str, Any] | None = None
) -> dg.Definitions:
    """The whole project for one set of settings; for the arguments see `build_graph`."""
    return dg.Definitions.merge(
        build_graph(settings, resource_overrides),
        dg.Definitions(loggers={"console": console_logger}, executor=executor_of(settings)),
    )


@dg.definitions
def defs() -> dg.Definitions:
    """What Dagster loads: built when it asks, so that importing this module does no work."""
    return build_definitions(load_settings())
