"""`stock-assets monitor`: Prometheus, Pushgateway, Alertmanager and the exporter without Docker.

The programs are Debian's; the configuration is monitor/'s, with addresses of this machine.
"""

import shutil
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from subprocess import Popen

import click

from stock_assets.commands.monitor_files import (
    MonitorAddresses,
    alert_rules,
    prometheus_configuration,
)
from stock_assets.commands.pages import terminated_like_interrupted
from stock_assets.errors import LocalStackError
from stock_assets.local.own_folder import own_folder, writable_state
from stock_assets.local.processes import HOST, free_port, running
from stock_assets.settings import Settings

PROGRAMS = ("prometheus", "prometheus-pushgateway", "prometheus-alertmanager")
_PREFERRED = {"prometheus": 9090, "pushgateway": 9091, "alertmanager": 9093}
_START_SECONDS = 60


def monitor_folder(settings: Settings) -> Path:
    """Data, logs and numbers of the processes."""
    return settings.state_folder / "monitor"


def serve_monitor(settings: Settings) -> None:
    """Starts everything and waits; nothing that it started survives it.

    Raises:
        LocalStackError: A program is missing or does not come up; says what to do.
    """
    with terminated_like_interrupted(), monitor_stack(settings) as (addresses, processes):
        for name, address in pages(addresses).items():
            click.echo(f"{name:<13} {address}")
        click.echo("`stock-assets alerts` lists what fires and what to do.")
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
        configuration.write_text(prometheus_configuration(sources, folder, own, intervals or {}))
        for name, rules in alert_rules(sources, own).items():
            (folder / name).write_text(rules)
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


def pages(own: MonitorAddresses) -> dict[str, str]:
    """An address of each part that answers in a browser, by name.

    Debian builds both without their pages: Prometheus has an older one elsewhere, Alertmanager
    what programs read.
    """
    prometheus, alertmanager = f"http://{own.prometheus}", f"http://{own.alertmanager}"
    alerts = next(
        (path for path in ("/alerts", "/classic/alerts") if _answer(prometheus + path)),
        "/api/v1/alerts",
    )
    has_page = b"does not include a web" not in (_answer(f"{alertmanager}/") or b"")
    return {
        "Prometheus": f"{prometheus}{alerts}",
        "Alertmanager": alertmanager
        if has_page
        else f"{alertmanager}/api/v2/alerts (this build has no page; to silence an alert: amtool"
        f" --alertmanager.url={alertmanager} silence add NAME)",
        "Pushgateway": f"http://{own.pushgateway}",
        "Exporter": f"http://{own.exporter}",
    }


def _free_addresses(preferred: Mapping[str, int]) -> MonitorAddresses:
    """Each part's own port or the next free one, which may be another part's own."""
    ports: dict[str, int] = {}
    for name, own in preferred.items():
        port = free_port(own)
        while port in ports.values():
            port = free_port(port + 1)
        ports[name] = port
    return MonitorAddresses(**{name: f"{HOST}:{port}" for name, port in ports.items()})


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
        waiting = {name: url for name, url in waiting.items() if _answer(url) is None}
        if waiting and time.monotonic() > deadline:
            raise LocalStackError(
                f"{', '.join(waiting)} did not come up within {_START_SECONDS} s; logs: {folder}"
            )
        time.sleep(0.1)


def _answer(url: str) -> bytes | None:
    """What is there; None where nothing is, or not yet."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  # our own, on loopback
            return bytes(answer.read()) if answer.status == 200 else None
    except OSError:
        return None


def _check_alive(processes: Mapping[str, "Popen[bytes]"], folder: Path) -> None:
    for name, process in processes.items():
        if process.poll() is not None:
            log = folder / f"{name}.log"
            tail = log.read_text(errors="replace").strip().splitlines()[-1:]
            raise LocalStackError(
                f"{name} ended with code {process.returncode}: {' '.join(tail)}; log: {log}"
            )
