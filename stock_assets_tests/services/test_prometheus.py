"""monitor/ against running daemons: Debian's Prometheus, Pushgateway and Alertmanager on loopback.

The same files as in production; substituted are addresses, intervals and the receiver's address.
What the files alone promise is in unit/test_monitor.py. Grafana can't be installed from Debian: its
queries are run against Prometheus instead.
"""

import json
import logging
import shutil
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from stock_assets.resources.metrics import MetricsGateway
from stock_assets.settings import load_settings

logger = logging.getLogger(__name__)

MONITOR = Path(__file__).parents[2] / "monitor"
DEBIAN_PACKAGES = {
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "prometheus-pushgateway": "prometheus-pushgateway",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
}
ALERTS = {
    rule["alert"]: rule["expr"]
    for group in yaml.safe_load((MONITOR / "prometheus/rules.yaml").read_text())["groups"]
    for rule in group["rules"]
}
DASHBOARD = json.loads((MONITOR / "grafana/dashboards/forecasts.json").read_text())
PANEL_QUERIES = [
    pytest.param(target["expr"], id=f"{panel['title']} {target['refId']}")
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
]
HEALTHY = {
    "stock_assets_rmse_return": 0.018,
    "stock_assets_rmse_return_random_walk": 0.02,
    "stock_assets_rmse_usd": 1.25,
    "stock_assets_rmse_threshold": 0.04,
    "stock_assets_session_timestamp_seconds": 1_362_096_000.0,  # 2013-03-01
}
PATIENCE_SECONDS = 30.0


# --- files, by the daemons' own tools


def test_promtool_accepts_the_configuration_and_its_rules() -> None:
    said = _tool("promtool", "check", "config", "prometheus.yaml", cwd=MONITOR / "prometheus")
    assert "1 rule files found" in said
    said = _tool("promtool", "check", "rules", "rules.yaml", cwd=MONITOR / "prometheus")
    assert "5 rules found" in said


def test_alerts_fire_when_they_should_and_only_then() -> None:
    said = _tool("promtool", "test", "rules", "rules_test.yaml", cwd=MONITOR / "prometheus")
    assert "SUCCESS" in said


def test_amtool_accepts_the_configuration() -> None:
    said = _tool("amtool", "check-config", "alertmanager.yaml", cwd=MONITOR / "alertmanager")
    assert "1 receivers" in said


def test_amtool_accepts_the_slack_example_once_uncommented(tmp_path: Path) -> None:
    text = (MONITOR / "alertmanager/alertmanager.yaml").read_text()
    before, marker, example = text.partition("    # slack_configs:\n")
    uncommented = before + (marker + example).replace("    # ", "    ")
    (tmp_path / "alertmanager.yaml").write_text(uncommented)
    [receiver] = yaml.safe_load(uncommented)["receivers"]
    assert set(receiver["slack_configs"][0]) >= {"api_url_file", "channel", "send_resolved"}
    _tool("amtool", "check-config", "alertmanager.yaml", cwd=tmp_path)


# --- the daemons


@pytest.mark.parametrize("alert", ALERTS)
def test_every_rule_is_evaluated_without_error(stack: "Stack", alert: str) -> None:
    def healthy() -> bool:
        groups = stack.prometheus("rules")["groups"]
        rules = {rule["name"]: rule for group in groups for rule in group["rules"]}
        assert set(rules) == set(ALERTS)
        assert rules[alert].get("lastError", "") == ""
        return bool(rules[alert]["health"] == "ok")

    _wait_until(healthy, f"{alert} was not evaluated")
    stack.query(ALERTS[alert])


@pytest.mark.parametrize("query", PANEL_QUERIES)
def test_every_panel_shows_data(stack: "Stack", query: str) -> None:
    # Grafana puts `.+` there for "All".
    assert "$ticker" in query
    result = stack.query(query.replace("$ticker", ".+"))
    assert result
    for sample in result:
        assert sample["value"][1] not in ("NaN", "+Inf", "-Inf")


def test_a_panel_shows_one_ticker_where_one_is_picked(stack: "Stack") -> None:
    query = 'stock_assets_rmse_usd{job="stock_assets", ticker=~"AAPL"}'
    [sample] = stack.query(query)
    assert sample["value"][1] == "1.25"
    # No exported_job, no instance of the Pushgateway: the labels are those that were pushed.
    assert sample["metric"] == {
        "__name__": "stock_assets_rmse_usd",
        "job": "stock_assets",
        "ticker": "AAPL",
    }


def test_the_ratio_is_the_forecasts_rmse_over_the_random_walks(stack: "Stack") -> None:
    [panel] = [p for p in DASHBOARD["panels"] if p["title"].startswith("RMSE as a multiple")]
    [target] = panel["targets"]
    [sample] = stack.query(target["expr"].replace("$ticker", "MSFT"))
    assert float(sample["value"][1]) == pytest.approx(0.9)  # 0.018 / 0.02


def test_the_variable_offers_the_tickers(stack: "Stack") -> None:
    [variable] = DASHBOARD["templating"]["list"]
    selector, _, label = variable["query"].removesuffix(")").rpartition(", ")
    selector = selector.removeprefix("label_values(")
    offered = stack.prometheus(f"label/{label}/values", {"match[]": selector})
    assert {"AAPL", "MSFT"} <= set(offered)


def test_a_breach_reaches_the_webhook_and_so_does_the_recovery(stack: "Stack") -> None:
    started = time.monotonic()
    stack.push("IBM", {**HEALTHY, "stock_assets_rmse_return": 0.05})
    fired = _wait_until(
        lambda: stack.notification("firing", "RmseAboveThreshold", "IBM"), "no alert arrived"
    )
    logger.info("breach pushed, at the webhook after %.1f s", time.monotonic() - started)
    assert fired["annotations"]["description"] == (
        "Log return: RMSE 0.0500, threshold 0.0400, random walk 0.0200."
    )
    # 0.05 is also 2.5 times the random walk's: that alert waits for days first.
    [rule] = [
        rule
        for group in stack.prometheus("rules")["groups"]
        for rule in group["rules"]
        if rule["name"] == "RmseWorseThanRandomWalk"
    ]
    assert rule["state"] == "pending"

    started = time.monotonic()
    stack.push("IBM", HEALTHY)
    _wait_until(
        lambda: stack.notification("resolved", "RmseAboveThreshold", "IBM"), "no recovery arrived"
    )
    logger.info("recovery pushed, at the webhook after %.1f s", time.monotonic() - started)
    # Nobody was woken for a ticker or an alert that was well.
    assert {
        (alert["labels"]["alertname"], alert["labels"].get("ticker"))
        for message in stack.messages
        for alert in message["alerts"]
    } == {("RmseAboveThreshold", "IBM")}


def test_a_retired_ticker_is_forgotten_by_the_command_that_its_alert_gives(stack: "Stack") -> None:
    rules = yaml.safe_load((MONITOR / "prometheus/rules.yaml").read_text())["groups"][0]["rules"]
    [stale] = [rule for rule in rules if rule["alert"] == "MetricsStale"]
    command = "`curl -X DELETE http://127.0.0.1:9091"
    path = stale["annotations"]["what_to_do"].partition(command)[2].rstrip("`.")
    path = path.replace("{{ $labels.ticker }}", "GONE")
    assert path == "/metrics/job/stock_assets/ticker/GONE"

    stack.push("GONE", HEALTHY)
    _wait_until(lambda: "GONE" in stack.tickers(), "GONE never arrived")
    request = urllib.request.Request(stack.pushgateway_url + path, method="DELETE")
    with urllib.request.urlopen(request, timeout=5) as answer:
        assert answer.status == 202
    _wait_until(lambda: not stack.query('{ticker="GONE"}'), "GONE is still there")


# --- what it takes


@dataclass
class Stack:
    """The running daemons, and what the webhook was sent."""

    prometheus_url: str
    pushgateway_url: str
    messages: list[dict[str, Any]]

    def push(self, ticker: str, values: dict[str, float]) -> None:
        settings = load_settings(pushgateway_url=self.pushgateway_url)
        assert MetricsGateway(settings).push(ticker, values)

    def prometheus(self, path: str, parameters: dict[str, str] | None = None) -> Any:
        """The data of an answer of the API; an error of a query is an error here."""
        question = urllib.parse.urlencode(parameters or {})
        with urllib.request.urlopen(
            f"{self.prometheus_url}/api/v1/{path}?{question}", timeout=5
        ) as answer:
            said = json.load(answer)
        assert said["status"] == "success", said
        return said["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        result: list[dict[str, Any]] = self.prometheus("query", {"query": expression})["result"]
        return result

    def tickers(self) -> set[str]:
        pushed = self.query("stock_assets_last_success_timestamp_seconds")
        return {sample["metric"]["ticker"] for sample in pushed}

    def notification(self, status: str, alert_name: str, ticker: str) -> dict[str, Any] | None:
        for message in self.messages:
            for alert in message["alerts"]:
                labels = alert["labels"]
                found = (alert["status"], labels["alertname"], labels.get("ticker"))
                if found == (status, alert_name, ticker):
                    return dict(alert)
        return None


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All daemons up, two healthy tickers pushed and scraped."""
    folder = tmp_path_factory.mktemp("monitor")
    prometheus, pushgateway, alertmanager = (f"127.0.0.1:{port}" for port in _free_ports(3))
    with ExitStack() as running:
        webhook_url, messages = running.enter_context(_webhook())
        running.enter_context(
            _daemon(
                "prometheus-pushgateway",
                # Debian's default is one file per machine: tickers of the last run would come back.
                f"--persistence.file={folder / 'pushed'}",
                f"--web.listen-address={pushgateway}",
                address=pushgateway,
                folder=folder,
            )
        )
        running.enter_context(
            _daemon(
                "prometheus-alertmanager",
                f"--config.file={_alertmanager_configuration(folder, webhook_url)}",
                f"--storage.path={folder / 'alertmanager'}",
                f"--web.listen-address={alertmanager}",
                "--cluster.listen-address=",
                address=alertmanager,
                folder=folder,
            )
        )
        running.enter_context(
            _daemon(
                "prometheus",
                f"--config.file={_prometheus_configuration(folder, pushgateway, alertmanager)}",
                f"--storage.tsdb.path={folder / 'prometheus'}",
                f"--web.listen-address={prometheus}",
                address=prometheus,
                folder=folder,
            )
        )
        stack = Stack(f"http://{prometheus}", f"http://{pushgateway}", messages)
        for ticker in ("AAPL", "MSFT"):
            stack.push(ticker, HEALTHY)
        _wait_until(
            lambda: stack.tickers() == {"AAPL", "MSFT"},
            "pushed metrics were not scraped",
        )
        yield stack


def _prometheus_configuration(folder: Path, pushgateway: str, alertmanager: str) -> Path:
    configuration = yaml.safe_load((MONITOR / "prometheus/prometheus.yaml").read_text())
    configuration["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    [scrape] = configuration["scrape_configs"]
    assert scrape["static_configs"] == [{"targets": ["pushgateway:9091"]}]
    scrape["static_configs"] = [{"targets": [pushgateway]}]
    alerting = configuration["alerting"]["alertmanagers"]
    assert alerting == [{"static_configs": [{"targets": ["alertmanager:9093"]}]}]
    alerting[0]["static_configs"] = [{"targets": [alertmanager]}]
    shutil.copy(MONITOR / "prometheus/rules.yaml", folder)
    return _write(folder / "prometheus.yaml", configuration)


def _alertmanager_configuration(folder: Path, webhook_url: str) -> Path:
    configuration = yaml.safe_load((MONITOR / "alertmanager/alertmanager.yaml").read_text())
    configuration["route"] |= {"group_wait": "1s", "group_interval": "1s"}
    [receiver] = configuration["receivers"]
    [webhook] = receiver["webhook_configs"]
    assert webhook["url"] == "http://replace-me.invalid/alerts"
    webhook["url"] = webhook_url
    return _write(folder / "alertmanager.yaml", configuration)


def _write(path: Path, configuration: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(configuration))
    return path


@contextmanager
def _daemon(name: str, *arguments: str, address: str, folder: Path) -> Iterator[None]:
    """Starts a daemon, waits until it is ready, stops it in the end."""
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [_binary(name), *arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
        )
        try:

            def ready() -> bool:
                # An answer alone could be somebody else's, on a port that this one failed to get.
                assert process.poll() is None, f"{name} ended:\n{log.read_text()[-2000:]}"
                try:
                    with urllib.request.urlopen(f"http://{address}/-/ready", timeout=2) as answer:
                        return bool(answer.status == 200)
                except OSError:
                    return False

            _wait_until(ready, f"{name} is not ready; its log: {log}")
            yield
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def _webhook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A receiver of alerts: its address, and what it was sent so far."""
    messages: list[dict[str, Any]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/alerts", messages
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _wait_until(condition: Callable[[], Any], complaint: str) -> Any:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.1)
    pytest.fail(f"{complaint} within {PATIENCE_SECONDS:.0f} s")


def _tool(name: str, *arguments: str, cwd: Path) -> str:
    """What the tool says; it must succeed."""
    done = subprocess.run(
        [_binary(name), *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said


def _binary(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.fail(f"{name} is missing: apt-get install {DEBIAN_PACKAGES[name]}")
    return path


def _free_ports(count: int) -> list[int]:
    """Ports of loopback that were free just now, each another."""
    with ExitStack() as open_sockets:
        sockets = [open_sockets.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
