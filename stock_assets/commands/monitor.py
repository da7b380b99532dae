"""`stock-assets monitor`: Prometheus, Pushgateway, Alertmanager and the exporter without Docker.

The programs are Debian's; the configuration is monitor/'s, with addresses of this machine.
"""

import json
import shutil
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

import click

from stock_assets.commands.pages import terminated_like_interrupted
from stock_assets.errors import LocalStackError
from stock_assets.local.own_folder import own_folder, writable_state
from stock_assets.local.processes import HOST, free_port, running
from stock_assets.settings import Settings

PROGRAMS = ("prometheus", "prometheus-pushgateway", "prometheus-alertmanager")
_PREFERRED = {"prometheus": 9090, "pushgateway": 9091, "alertmanager": 9093}
_START_SECONDS = 60
_EXPORTER_IN_COMPOSE = "host.docker.internal:9108"


@dataclass(frozen=True)
class MonitorAddresses:
    """Where each part listens: host:port."""

    prometheus: str
    pushgateway: str
    alertmanager: str
    exporter: str


def monitor_folder(settings: Settings) -> Path:
    """Data, logs and numbers of the processes."""
    return settings.state_folder / "monitor"


def serve_monitor(settings: Settings) -> None:
    """Starts everything and waits; nothing that it started survives it.

    Raises:
        LocalStackError: A program is missing or does not come up; says what to do.
    """
    with terminated_like_interrupted(), monitor_stack(settings) as (addresses, processes):
        click.echo(f"Prometheus    http://{addresses.prometheus}/alerts")
        click.echo(f"Alertmanager  http://{addresses.alertmanager}")
        click.echo(f"Pushgateway   http://{addresses.pushgateway}")
        click.echo(f"Exporter      http://{addresses.exporter}/metrics")
        url = f"http://{addresses.pushgateway}"
        if settings.pushgateway_url != url:
            click.echo(f"Metrics go there with STOCK_ASSETS_PUSHGATEWAY_URL={url} in .env")
        if not (settings.home / "monitor/alertmanager/slack_url").is_file():
            click.echo(
                "No alert is sent yet: monitor/alertmanager/slack_url is not there"
                " (docs/monitoring.md)."
            )
        click.echo("Ctrl-C ends all.")
        try:
            while True:
                time.sleep(1)
                _check_alive(processes, monitor_folder(settings))
        except KeyboardInterrupt as why:
            click.echo(f"{why or 'Ctrl-C'}: stopping …", err=True)


@contextmanager
def monitor_stack(
    settings: Settings, intervals: Mapping[str, str] | None = None
) -> Iterator[tuple[MonitorAddresses, dict[str, "Popen[bytes]"]]]:
    """The four processes, ready, for as long as the block runs.

    Args:
        settings: Whose state folder and checkout.
        intervals: Of Prometheus, by name, instead of those of its configuration file.

    Raises:
        LocalStackError: A program is missing or does not come up.
    """
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        raise LocalStackError(
            f"{', '.join(missing)} not found. On Debian or Ubuntu: sudo apt-get install"
            f" --no-install-recommends {' '.join(missing)} && sudo systemctl disable --now"
            f" {' '.join(missing)} (or they listen to the whole network). Elsewhere: docker"
            " compose, see monitor/README.md"
        )
    folder, sources = monitor_folder(settings), settings.home / "monitor"
    if not sources.is_dir():
        raise LocalStackError(f"no {sources}; run in the checkout, or set STOCK_ASSETS_HOME to it")
    own = _free_addresses(_PREFERRED | {"exporter": settings.exporter_port})
    configuration = folder / "prometheus.yaml"
    with writable_state(own_folder(folder)):
        configuration.write_text(prometheus_configuration(sources, own, intervals or {}))
    commands = {
        "exporter": [
            *(sys.executable, "-m", "stock_assets.cli", "exporter"),
            *("--port", own.exporter.rpartition(":")[2]),
        ],
        "pushgateway": [
            "prometheus-pushgateway",
            f"--web.listen-address={own.pushgateway}",
            "--persistence.interval=10s",
            f"--persistence.file={folder / 'pushed'}",
        ],
        "alertmanager": [
            "prometheus-alertmanager",
            f"--config.file={sources / 'alertmanager/alertmanager.yaml'}",
            f"--web.listen-address={own.alertmanager}",
            f"--web.external-url=http://{own.alertmanager}",
            "--cluster.listen-address=",
            # What it said already is on disk that often; what a kill loses of it is said twice.
            "--data.maintenance-interval=10s",
            f"--storage.path={folder / 'alertmanager'}",
        ],
        "prometheus": [
            "prometheus",
            f"--config.file={configuration}",
            f"--storage.tsdb.path={folder / 'prometheus'}",
            "--storage.tsdb.retention.time=400d",
            "--rules.alert.for-outage-tolerance=3d",
            f"--web.listen-address={own.prometheus}",
            f"--web.external-url=http://{own.prometheus}",
        ],
    }
    with ExitStack() as stack:
        processes: dict[str, Popen[bytes]] = {}
        for name, command in commands.items():
            home = {"STOCK_ASSETS_HOME": str(settings.home)}
            # Alertmanager finds the file with Slack's address from where it is started.
            where = sources / "alertmanager" if name == "alertmanager" else settings.home
            started = running(name, command, folder, home, where)
            processes[name] = stack.enter_context(started)
        _await(own, processes, folder)
        yield own, processes


def _free_addresses(preferred: Mapping[str, int]) -> MonitorAddresses:
    """Each part's own port or the next free one, which may be another part's own."""
    ports: dict[str, int] = {}
    for name, own in preferred.items():
        port = free_port(own)
        while port in ports.values():
            port = free_port(port + 1)
        ports[name] = port
    return MonitorAddresses(**{name: f"{HOST}:{port}" for name, port in ports.items()})


def prometheus_configuration(
    sources: Path, own: MonitorAddresses, intervals: Mapping[str, str]
) -> str:
    """monitor/prometheus/prometheus.yaml with addresses of this machine: YAML, written as JSON.

    Raises:
        LocalStackError: The file names an address that is not known here.
    """
    import yaml

    known = {
        "pushgateway:9091": own.pushgateway,
        "alertmanager:9093": own.alertmanager,
        _EXPORTER_IN_COMPOSE: own.exporter,
        "localhost:9090": own.prometheus,
    }
    file = sources / "prometheus/prometheus.yaml"
    configuration = yaml.safe_load(file.read_text(encoding="utf-8"))
    configuration["global"] |= intervals
    configuration["rule_files"] = [str(file.parent / rule) for rule in configuration["rule_files"]]
    for targets in (
        *configuration["alerting"]["alertmanagers"][0]["static_configs"],
        *(group for job in configuration["scrape_configs"] for group in job["static_configs"]),
    ):
        try:
            targets["targets"] = [known[target] for target in targets["targets"]]
        except KeyError as error:
            raise LocalStackError(f"{file}: no address here for {error}") from error
    return json.dumps(configuration, indent=1)


def _await(own: MonitorAddresses, processes: Mapping[str, "Popen[bytes]"], folder: Path) -> None:
    waiting = {
        "prometheus": f"http://{own.prometheus}/-/ready",
        "pushgateway": f"http://{own.pushgateway}/-/ready",
        "alertmanager": f"http://{own.alertmanager}/-/ready",
        "exporter": f"http://{own.exporter}/metrics",
    }
    deadline = time.monotonic() + _START_SECONDS
    while waiting:
        _check_alive(processes, folder)
        waiting = {name: url for name, url in waiting.items() if not _answers(url)}
        if waiting and time.monotonic() > deadline:
            raise LocalStackError(
                f"{', '.join(waiting)} did not come up within {_START_SECONDS} s; logs: {folder}"
            )
        time.sleep(0.1)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  # our own, on loopback
            return bool(answer.status == 200)
    except OSError:
        return False


def _check_alive(processes: Mapping[str, "Popen[bytes]"], folder: Path) -> None:
    for name, process in processes.items():
        if process.poll() is not None:
            log = folder / f"{name}.log"
            tail = log.read_text(errors="replace").strip().splitlines()[-1:]
            raise LocalStackError(
                f"{name} ended with code {process.returncode}: {' '.join(tail)}; log: {log}"
            )
