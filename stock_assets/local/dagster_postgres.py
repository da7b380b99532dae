"""Dagster's PostgreSQL storage, for `storage: custom:` in dagster.yaml; see docs/deploy.md.

With `storage: postgres:` a plain `postgresql://` asks for a driver that is not installed, and two
machines that start at once on an empty database run the same migrations into each other.
"""

from collections.abc import Mapping
from typing import Any

from dagster import StringSource
from dagster_postgres import DagsterPostgresStorage

from stock_assets.local.dagster_private.runs import ConfigurableClassData, UserConfigSchema
from stock_assets.local.postgres import one_client_at_a_time, with_driver


class PostgresStorage(DagsterPostgresStorage):
    """Opens Dagster's own storage."""

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        return {"postgres_url": StringSource}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "PostgresStorage":
        url = with_driver(config_value["postgres_url"])
        with one_client_at_a_time(url):
            return cls(url, inst_data=inst_data)
