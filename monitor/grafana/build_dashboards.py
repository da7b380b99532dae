"""Dashboards as code: builds the JSON files that Grafana is provisioned with.

`python monitor/grafana/build_dashboards.py` writes dashboards/*.json; a test holds the committed
files against what this builds. What Grafana needs besides, data source and folder, is in
provisioning/.

The SDK calls the dashboard's first schema deprecated; it is the one that Grafana reads from files
in every version.
"""

from pathlib import Path

from forecasts import forecasts
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from operations import operations

FOLDER = Path(__file__).parent / "dashboards"


def build_dashboards() -> dict[str, str]:
    """File name -> JSON, keys sorted: the same on every machine."""
    boards = {"forecasts.json": forecasts(), "operations.json": operations()}
    encoder = JSONEncoder(sort_keys=True, indent=2)
    return {name: encoder.encode(board) + "\n" for name, board in boards.items()}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in build_dashboards().items():
        (FOLDER / name).write_text(text)
