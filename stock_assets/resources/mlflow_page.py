"""Addresses of runs and versions on MLflow's page: that of a tracking server, or of `make ui`."""

from urllib.parse import quote

from stock_assets.local.processes import HOST
from stock_assets.resources.mlflow_database import is_tracking_server, tracking_uri
from stock_assets.settings import Settings


def run_address(settings: Settings, run_id: str) -> str:
    """Of a run."""
    return f"{_page(settings)}/#/runs/{quote(run_id, safe='')}"


def version_address(settings: Settings, name: str, version: int) -> str:
    """Of a registered version of a model."""
    return f"{_page(settings)}/#/models/{quote(name, safe='')}/versions/{version}"


def _page(settings: Settings) -> str:
    uri = tracking_uri(settings)
    if not is_tracking_server(uri) or not uri.startswith("http"):
        return f"http://{HOST}:{settings.mlflow_port}"
    return uri.rstrip("/")
