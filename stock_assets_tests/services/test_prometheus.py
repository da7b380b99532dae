"""monitor/ against the daemons' own tools, and `stock-assets monitor` against a real Pushgateway.

How an alert gets to people, and that every panel and rule finds data: test_alerts.py.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from stock_assets.commands.monitor import PROGRAMS, monitor_stack, pages
from stock_assets.commands.monitor_files import MonitorAddresses
from stock_assets.errors import LocalStackError
from stock_assets.local.processes import lives
from stock_assets.monitoring.live_scores import LiveScore, TickerScore
from stock_assets.resources.metrics import MetricsGateway
from stock_assets.settings import Settings
from stock_assets_tests.conftest import CHECKOUT, make_home
from stock_assets_tests.listeners import listening
from stock_assets_tests.services.queries import MONITOR, RULES

DEBIAN_PACKAGES = {
    "promtool": "prometheus",
    "amtool": "prometheus-alertmanager",
}


def test_promtool_accepts_the_configuration_and_its_rules() -> None:
    said = _tool("promtool", "check", "config", "prometheus.yaml", cwd=MONITOR / "prometheus")
    assert "1 rule files found" in said
    said = _tool("promtool", "check", "rules", "rules.yaml", cwd=MONITOR / "prometheus")
    assert f"{len(RULES)} rules found" in said


def test_alerts_fire_when_they_should_and_only_then() -> None:
    said = _tool("promtool", "test", "rules", "rules_test.yaml", cwd=MONITOR / "prometheus")
    assert "SUCCESS" in said


def test_amtool_accepts_the_configuration_before_anybody_has_set_slack_up() -> None:
    assert not (MONITOR / "alertmanager/slack_url").exists()
    said = _tool("amtool", "check-config", "alertmanager.yaml", cwd=MONITOR / "alertmanager")
    assert "1 receivers" in said


def test_amtool_accepts_the_webhook_once_uncommented(tmp_path: Path) -> None:
    text = (MONITOR / "alertmanager/alertmanager.yaml").read_text()
    before, marker, example = text.partition("    # webhook_configs:\n")
    assert marker
    uncommented = before + (marker + example).replace("    # ", "    ").replace("_file", "")
    uncommented = uncommented.replace("url: webhook_url", "url: http://127.0.0.1/")
    (tmp_path / "alertmanager.yaml").write_text(uncommented)
    _tool("amtool", "check-config", "alertmanager.yaml", cwd=tmp_path)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = make_home(tmp_path_factory.mktemp("monitor"))
    shutil.copytree(MONITOR, home / "monitor")
    return home


@pytest.fixture(scope="module")
def stack(home: Path) -> Iterator[MonitorAddresses]:
    with (
        pytest.MonkeyPatch.context() as patch,
        monitor_stack(_settings(home, patch)) as (addresses, _),
    ):
        yield addresses


def test_nothing_listens_beyond_this_machine(stack: MonitorAddresses) -> None:
    assert stack
    assert listening() == ["127.0.0.1"]


def _settings(home: Path, patch: pytest.MonkeyPatch) -> Settings:
    patch.setenv("PYTHONPATH", str(CHECKOUT))
    return Settings(home=home)


def _tickers(stack: MonitorAddresses) -> set[str]:
    with urllib.request.urlopen(f"http://{stack.pushgateway}/api/v1/metrics", timeout=5) as answer:
        return {group["labels"]["ticker"] for group in json.load(answer)["data"]}


def test_a_retired_tickers_group_is_deleted_by_the_next_push(stack: MonitorAddresses) -> None:
    metrics = MetricsGateway(Settings(pushgateway_url=f"http://{stack.pushgateway}"))
    one = TickerScore(0.01, 0.02, 1.0, {"95": 0.95}, 1)
    for tickers in ({"AAPL": one, "^GSPC": one, "A/B": one}, {"AAPL": one}):
        assert metrics.push(LiveScore("sample", "2013-03-01", tickers, one)) is None
        assert _tickers(stack) == {*tickers, "POOLED"}


def test_every_page_that_is_named_answers(stack: MonitorAddresses) -> None:
    named = pages(stack)
    assert list(named) == ["Prometheus", "Alertmanager", "Pushgateway", "Exporter"]
    for address in named.values():
        with urllib.request.urlopen(address.split()[0], timeout=30) as answer:
            assert answer.status == 200
            assert b"does not include a web" not in answer.read()


def test_everything_listens_on_loopback_alone(stack: MonitorAddresses) -> None:
    # Local address and port in hexadecimal, as the kernel lists them; 0A: listening.
    listening = {
        fields[1]
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        if (fields := line.split())[3] == "0A"
    }
    for address in vars(stack).values():
        port = f"{int(address.rpartition(':')[2]):04X}"
        assert [found for found in listening if found.endswith(f":{port}")] == [f"0100007F:{port}"]


def test_interrupting_the_command_leaves_nothing_running(home: Path) -> None:
    log = home / "monitor.log"
    with log.open("wb") as output:
        command = subprocess.Popen(
            [sys.executable, "-m", "stock_assets.cli", "monitor"],
            cwd=home,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT), "STOCK_ASSETS_HOME": str(home)},
        )
    deadline = time.monotonic() + 60
    while "Ctrl-C ends all" not in log.read_text():
        assert command.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)
    started = psutil.Process(command.pid).children()
    assert len(started) == 4
    command.send_signal(signal.SIGINT)
    assert command.wait(timeout=60) == 0, log.read_text()
    assert [process for process in started if lives(process)] == []


def test_a_missing_program_says_how_to_install_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(home))
    with (
        pytest.raises(LocalStackError, match="sudo apt-get install") as refused,
        monitor_stack(Settings(home=home)),
    ):
        pass
    assert all(program in str(refused.value) for program in PROGRAMS)


def _tool(name: str, *arguments: str, cwd: Path) -> str:
    """What the tool says; it must succeed."""
    path = shutil.which(name)
    if path is None:
        pytest.fail(f"{name} is missing: apt-get install {DEBIAN_PACKAGES[name]}")
    done = subprocess.run([path, *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said
