"""The queries of monitor/: what panels draw and what rules look at."""

import json
import re
from pathlib import Path

import pytest
import yaml

MONITOR = Path(__file__).parents[2] / "monitor"
RULES: dict[str, str] = {
    rule["alert"]: rule["expr"]
    for group in yaml.safe_load((MONITOR / "prometheus/rules.yaml").read_text())["groups"]
    for rule in group["rules"]
}
DASHBOARDS = {
    file.stem: json.loads(file.read_text())
    for file in sorted((MONITOR / "grafana/dashboards").glob("*.json"))
}
PANEL_QUERIES = [
    pytest.param(target["expr"], id=f"{board} {panel['title']} {target['refId']}")
    for board, dashboard in DASHBOARDS.items()
    for panel in dashboard["panels"]
    for target in panel["targets"]
] + [
    pytest.param(annotation["expr"], id=f"{board} annotation {annotation['name']}")
    for board, dashboard in DASHBOARDS.items()
    for annotation in dashboard["annotations"].get("list", [])
    if "expr" in annotation
]


def selectors_of(expression: str) -> list[str]:
    """The metrics of an expression with their labels: each must find something.

    An absent one has no labels of its own to find; its metric is there all the same.
    """
    return re.findall(r"(?:stock_assets_\w+|\bup)(?:{[^}]*})?", expression)
