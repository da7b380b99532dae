"""The files of monitor/ as `make monitor` needs them: written for Docker Compose, they run here.

Addresses become those of this machine, and what a text says to do becomes what fits how the parts
were started.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stock_assets.errors import LocalStackError

_EXPORTER_IN_COMPOSE = "host.docker.internal:9108"
RUNS_HERE = {
    "In monitor/ run `docker compose ps` and `docker compose logs pushgateway`. Once it is back,": (
        "Read var/monitor/pushgateway.log and start `make monitor` again. Then"
    ),
    "Run `stock-assets exporter` beside Dagster; monitor/README.md says how containers reach it.": (
        "Read var/monitor/exporter.log and start `make monitor` again."
    ),
}
"""What rules say of containers, and what fits here."""


@dataclass(frozen=True)
class MonitorAddresses:
    """Where each part listens: host:port."""

    prometheus: str
    pushgateway: str
    alertmanager: str
    exporter: str


def prometheus_configuration(
    sources: Path, folder: Path, own: MonitorAddresses, intervals: Mapping[str, str]
) -> str:
    """monitor/prometheus/prometheus.yaml with addresses of this machine: YAML, written as JSON.

    Args:
        sources: monitor/.
        folder: Where the files of `alert_rules` lie.
        own: Where each part listens.
        intervals: Of Prometheus, by name, instead of those of the file.

    Raises:
        LocalStackError: The file names an address that is not known here.
    """
    known = {
        "pushgateway:9091": own.pushgateway,
        "alertmanager:9093": own.alertmanager,
        _EXPORTER_IN_COMPOSE: own.exporter,
        "localhost:9090": own.prometheus,
    }
    file = sources / "prometheus/prometheus.yaml"
    configuration = _read(file)
    configuration["global"] |= intervals
    configuration["rule_files"] = [str(folder / rule) for rule in configuration["rule_files"]]
    for targets in (
        *configuration["alerting"]["alertmanagers"][0]["static_configs"],
        *(group for job in configuration["scrape_configs"] for group in job["static_configs"]),
    ):
        try:
            targets["targets"] = [known[target] for target in targets["targets"]]
        except KeyError as error:
            raise LocalStackError(f"{file}: no address here for {error}") from error
    return json.dumps(configuration, indent=1)


def alert_rules(sources: Path, own: MonitorAddresses) -> dict[str, str]:
    """The rule files by name, with links and texts that fit here.

    Raises:
        LocalStackError: A text about containers is not there as it is known here.
    """
    published = {"127.0.0.1:9091": own.pushgateway, "127.0.0.1:9108": own.exporter}
    left, made = set(RUNS_HERE), {}

    def fitted(text: str) -> str:
        for elsewhere in [known for known in RUNS_HERE if known in text]:
            text = text.replace(elsewhere, RUNS_HERE[elsewhere])
            left.discard(elsewhere)
        return re.sub(r"127\.0\.0\.1:\d+", lambda found: published[found[0]], text)

    for name in _read(sources / "prometheus/prometheus.yaml")["rule_files"]:
        rules = _read(sources / "prometheus" / name)
        for group in rules["groups"]:
            for rule in group["rules"]:
                said = rule["annotations"]
                rule["annotations"] = {key: fitted(text) for key, text in said.items()}
        made[name] = json.dumps(rules, indent=1)
    if left:
        raise LocalStackError(f"no rule of {sources} says {left.pop()!r} any more; mend RUNS_HERE")
    return made


def _read(file: Path) -> Any:
    import yaml

    return yaml.safe_load(file.read_text(encoding="utf-8"))
