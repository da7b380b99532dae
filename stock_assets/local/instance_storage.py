"""Where Dagster's instance lies, by the settings: `storage: custom:` in dagster.yaml.

One dagster.yaml serves both. The password stands in the settings alone: what Dagster shows of its
instance, and hands to the processes that it starts, is that file's content.
"""

from collections.abc import Mapping
from typing import Any

from dagster import StringSource

from stock_assets.environment import load_settings
from stock_assets.local.dagster_private.runs import ConfigurableClassData, UserConfigSchema
from stock_assets.local.dagster_private.storage import DagsterStorage
from stock_assets.local.dagster_storage import BatchingSqliteStorage
from stock_assets.local.postgres import database_of, one_client_at_a_time


class InstanceStorage(DagsterStorage):
    """Opens PostgreSQL where a setting names it, else Dagster's SQLite files in `base_dir`."""

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        return {"base_dir": StringSource}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> DagsterStorage:
        settings = load_settings()
        url = database_of("dagster", settings.dagster_url, settings.postgres_url)
        if url is None:
            return BatchingSqliteStorage.from_config_value(inst_data, config_value)
        return _postgres(url, inst_data)


def _postgres(url: str, inst_data: ConfigurableClassData | None) -> DagsterStorage:
    # Two machines that start at once on an empty database run the same migrations into each other.
    with one_client_at_a_time(url):
        # Not installed where nobody has PostgreSQL.
        from stock_assets.local.dagster_postgres import BatchingPostgresStorage

        return BatchingPostgresStorage(url, inst_data=inst_data)
