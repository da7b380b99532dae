"""Where what steps print is kept, by the settings: `compute_logs:` in dagster.yaml.

Machines that share Dagster's instance see each other's runs, whose output lies beside the objects
then: a page could show none that another machine keeps in its files.
"""

from collections.abc import Mapping
from typing import Any

from dagster import StringSource

from stock_assets.environment import load_settings
from stock_assets.local.dagster_private.runs import ConfigurableClassData, UserConfigSchema
from stock_assets.local.dagster_private.storage import ComputeLogManager, LocalComputeLogManager
from stock_assets.resources.s3_account import connected
from stock_assets.resources.s3_connection import configured_connection
from stock_assets.settings import Settings


class ComputeLogs(ComputeLogManager[Any]):
    """Opens Dagster's own: on S3, or in `base_dir`."""

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        return {"base_dir": StringSource}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> ComputeLogManager[Any]:
        settings, folder = load_settings(), config_value["base_dir"]
        is_shared = bool(settings.dagster_url or settings.postgres_url)
        if is_shared and (settings.store_uri or "").startswith("s3://"):
            return _on_s3(settings, folder, inst_data)
        return LocalComputeLogManager(folder, inst_data=inst_data)


def _on_s3(
    settings: Settings, folder: str, inst_data: ConfigurableClassData | None
) -> ComputeLogManager[Any]:
    from dagster_aws.s3 import S3ComputeLogManager

    bucket, _, prefix = str(settings.store_uri).removeprefix("s3://").partition("/")
    connection = configured_connection(settings)
    logs = S3ComputeLogManager(
        bucket,
        local_dir=folder,
        inst_data=inst_data,
        prefix=f"{prefix}/compute_logs",
        endpoint_url=connection.endpoint_url,
        region=connection.region,
        upload_extra_args=connection.put_arguments() or None,
    )
    # It takes credentials from AWS's usual chain alone, and settings may name others.
    logs._s3_session = connected(connection)
    return logs  # type: ignore[no-any-return]
