"""monitor/ as files: what can be promised without starting anything.

Against running daemons: services/test_prometheus.py.
"""

import fnmatch
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from stock_assets.alerting.due import DUE_METRICS
from stock_assets.alerting.health import HEALTH_METRICS
from stock_assets.alerting.site import GRAFANA
from stock_assets.commands import monitor
from stock_assets.commands.monitor_files import (
    MonitorAddresses,
    alert_rules,
    prometheus_configuration,
)
from stock_assets.errors import LocalStackError
from stock_assets.monitoring.absence import Absence
from stock_assets.monitoring.episodes import Event
from stock_assets.resources.metrics import JOB, METRICS
from stock_assets.settings import Settings

MONITOR = Path(__file__).parents[2] / "monitor"
COMPOSE_FILE = MONITOR / "docker-compose.yaml"
COMPOSE = yaml.safe_load(COMPOSE_FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PROMETHEUS = yaml.safe_load((MONITOR / "prometheus/prometheus.yaml").read_text())
ALERTS = [
    rule
    for group in yaml.safe_load((MONITOR / "prometheus/rules.yaml").read_text())["groups"]
    for rule in group["rules"]
]
EXPOSED = {*METRICS, *HEALTH_METRICS, *DUE_METRICS}
RULE_TESTS = yaml.safe_load((MONITOR / "prometheus/rules_test.yaml").read_text())["tests"]
DATA_SOURCES = yaml.safe_load(
    (MONITOR / "grafana/provisioning/datasources/prometheus.yaml").read_text()
)["datasources"]
DASHBOARD_FILES = sorted((MONITOR / "grafana/dashboards").iterdir())
DASHBOARDS = {file.stem: json.loads(file.read_text()) for file in DASHBOARD_FILES}
FORECASTS, OPERATIONS = DASHBOARDS["forecasts"], DASHBOARDS["operations"]


# --- docker-compose.yaml


def test_the_compose_file_is_valid() -> None:
    checked = subprocess.run(
        [
            *(sys.executable, "-m", "check_jsonschema"),
            *("--builtin-schema", "vendor.compose-spec", str(COMPOSE_FILE)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_stack_is_prometheus_pushgateway_alertmanager_and_grafana() -> None:
    assert {name: service["image"].split(":")[0] for name, service in SERVICES.items()} == {
        "pushgateway": "prom/pushgateway",
        "prometheus": "prom/prometheus",
        "alertmanager": "prom/alertmanager",
        "grafana": "grafana/grafana",
    }


@pytest.mark.parametrize("service", SERVICES)
def test_every_published_port_is_on_loopback(service: str) -> None:
    ports = SERVICES[service]["ports"]
    assert ports
    for port in ports:
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port), port


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_shares_nothing_with_the_machine_but_its_ports(service: str) -> None:
    assert not {"network_mode", "privileged", "pid"} & SERVICES[service].keys()


@pytest.mark.parametrize("service", SERVICES)
def test_every_image_has_an_exact_version(service: str) -> None:
    assert re.fullmatch(r"[a-z/]+:v?\d+\.\d+\.\d+", SERVICES[service]["image"])


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_is_watched_and_restarted(service: str) -> None:
    inside = SERVICES[service]["ports"][0].rpartition(":")[2]
    assert f"http://127.0.0.1:{inside}/" in SERVICES[service]["healthcheck"]["test"][-1]
    assert SERVICES[service]["restart"] == "unless-stopped"


def test_every_mount_is_a_named_volume_or_a_folder_that_exists_and_is_read_only() -> None:
    mounts = [mount for service in SERVICES.values() for mount in service["volumes"]]
    assert len(mounts) == 8
    for mount in mounts:
        source, _, target = mount.partition(":")
        if source.startswith("."):
            assert (MONITOR / source).is_dir(), mount
            assert target.endswith(":ro"), mount
        else:
            assert source in COMPOSE["volumes"], mount


def test_every_configuration_file_that_a_service_names_is_mounted_there() -> None:
    named = [
        (service, argument.partition("=")[2])
        for service, definition in SERVICES.items()
        for argument in definition.get("command", [])
        if argument.startswith("--config.file=")
    ]
    named.append(
        ("grafana", SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    )
    assert len(named) == 3
    for service, path in named:
        assert _on_this_side(service, path).is_file(), path


def test_dashboards_are_read_from_the_folder_that_is_mounted() -> None:
    files = yaml.safe_load((MONITOR / "grafana/provisioning/dashboards/files.yaml").read_text())
    [provider] = files["providers"]
    assert _on_this_side("grafana", provider["options"]["path"]) == DASHBOARD_FILES[0].parent


def test_every_address_is_a_service_and_the_port_inside_it() -> None:
    [alertmanagers] = PROMETHEUS["alerting"]["alertmanagers"]
    targets = [
        target
        for group in (*alertmanagers["static_configs"], *_scrape_configs()["pushgateway"])
        for target in group["targets"]
    ]
    targets += [source["url"].removeprefix("http://") for source in DATA_SOURCES]
    assert sorted(targets) == ["alertmanager:9093", "prometheus:9090", "pushgateway:9091"]
    for target in targets:
        service, _, port = target.partition(":")
        assert SERVICES[service]["ports"][0].endswith(f":{port}"), target


def test_pushed_labels_survive_the_scrape() -> None:
    pushgateway, dagster = PROMETHEUS["scrape_configs"]
    assert (pushgateway["job_name"], pushgateway["honor_labels"]) == ("pushgateway", True)
    assert dagster["job_name"] == "dagster"


def test_the_exporter_is_reached_outside_of_the_containers() -> None:
    [group] = _scrape_configs()["dagster"]
    assert group["targets"] == [f"host.docker.internal:{Settings().exporter_port}"]
    assert SERVICES["prometheus"]["extra_hosts"] == ["host.docker.internal:host-gateway"]


def test_without_docker_every_address_is_one_of_this_machine() -> None:
    own = MonitorAddresses("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", "127.0.0.1:4")
    folder = Path("somewhere")
    rendered = json.loads(prometheus_configuration(MONITOR, folder, own, {"scrape_interval": "1s"}))
    assert rendered["global"] == {"scrape_interval": "1s", "evaluation_interval": "1m"}
    targets = re.findall(
        r"[\w.]+:\d+", json.dumps([rendered["scrape_configs"], rendered["alerting"]])
    )
    assert targets == ["127.0.0.1:2", "127.0.0.1:4", "127.0.0.1:3"]
    assert rendered["scrape_configs"][0]["honor_labels"] is True
    [rules] = rendered["rule_files"]
    assert Path(rules) == folder / "rules.yaml"
    assert list(alert_rules(MONITOR, own)) == ["rules.yaml"]


def test_without_docker_every_text_fits_how_the_parts_were_started() -> None:
    own = MonitorAddresses("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", "127.0.0.1:4")
    rendered = json.loads(alert_rules(MONITOR, own)["rules.yaml"])
    rules = [rule for group in rendered["groups"] for rule in group["rules"]]
    assert [{**rule, "annotations": 0} for rule in rules] == [
        {**rule, "annotations": 0} for rule in ALERTS
    ]
    said = {rule["alert"]: rule["annotations"] for rule in rules}
    assert not re.search("docker|container|:9091|:9108", json.dumps(said))
    assert said["PushgatewayDown"]["what_to_do"].startswith("Read var/monitor/pushgateway.log and")
    assert "http://127.0.0.1:2/metrics/job" in said["MetricsStale"]["what_to_do"]
    assert said["SessionsDue"]["runbook_url"] == "http://127.0.0.1:4/runbook#sessionsdue"


def test_a_text_about_containers_that_was_changed_is_noticed(tmp_path: Path) -> None:
    folder = tmp_path / "monitor"
    shutil.copytree(MONITOR / "prometheus", folder / "prometheus")
    rules = folder / "prometheus/rules.yaml"
    rules.write_text(rules.read_text().replace("docker compose ps", "docker ps"))
    with pytest.raises(LocalStackError, match="mend RUNS_HERE"):
        alert_rules(folder, MonitorAddresses("a", "b", "c", "d"))


# --- docs/alerts.md


def test_every_alert_has_a_section_and_every_section_an_alert() -> None:
    text = (MONITOR.parent / "docs/alerts.md").read_text()
    sections = re.findall(r"^## (.+)$", text, re.MULTILINE)
    told = {event.capitalize() for event in (Event.BREACH, Absence.MISSING)}
    assert sorted(sections) == sorted({alert["alert"] for alert in ALERTS} | told)
    for section in text.split("\n## ")[1:]:
        for part in ("**What it means.**", "**What to look at.**", "**What to do.**"):
            assert part in section, section
    anchors = {section.lower() for section in sections}
    assert set(re.findall(r"\(#([\w-]+)\)", text)) <= anchors
    for alert in ALERTS:
        url = alert["annotations"]["runbook_url"]
        assert url == f"http://127.0.0.1:9108/runbook#{alert['alert'].lower()}"


def test_two_parts_never_fall_back_to_the_same_port(monkeypatch: pytest.MonkeyPatch) -> None:
    # 9090 and 9091 are taken: both would go to 9092.
    taken = {9090, 9091}
    monkeypatch.setattr(
        monitor, "free_port", lambda first: next(p for p in range(first, 9999) if p not in taken)
    )
    own = monitor._free_addresses(
        {"prometheus": 9090, "pushgateway": 9091, "alertmanager": 9093, "exporter": 9108}
    )
    assert [address.rpartition(":")[2] for address in vars(own).values()] == [
        "9092",
        "9093",
        "9094",
        "9108",
    ]


def test_alertmanager_reads_slacks_address_from_a_file_that_git_ignores() -> None:
    text = (MONITOR / "alertmanager/alertmanager.yaml").read_text()
    [receiver] = yaml.safe_load(text)["receivers"]
    [slack] = receiver["slack_configs"]
    assert (slack["api_url_file"], slack["send_resolved"]) == ("slack_url", True)
    assert "alertmanager/slack_url" in _ignored()


def test_samples_are_too_close_together_to_go_stale() -> None:
    assert PROMETHEUS["global"] == {"scrape_interval": "1m", "evaluation_interval": "1m"}


# --- secrets and the outside


def test_grafana_lets_nobody_in_without_a_password_that_was_set() -> None:
    environment = SERVICES["grafana"]["environment"]
    assert environment["GF_SECURITY_ADMIN_PASSWORD"] == (
        "${GRAFANA_ADMIN_PASSWORD:?set it in monitor/.env}"
    )
    assert environment["GF_AUTH_ANONYMOUS_ENABLED"] == "false"
    assert environment["GF_USERS_ALLOW_SIGN_UP"] == "false"


def test_grafana_tells_nobody_that_it_runs() -> None:
    environment = SERVICES["grafana"]["environment"]
    assert environment["GF_ANALYTICS_REPORTING_ENABLED"] == "false"
    assert environment["GF_ANALYTICS_CHECK_FOR_UPDATES"] == "false"
    assert environment["GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES"] == "false"


def test_git_ignores_the_files_that_hold_secrets() -> None:
    assert {".env", "alertmanager/slack_url"} <= set(_ignored())


def test_no_secret_is_written_down() -> None:
    files = [path for path in MONITOR.rglob("*") if path.is_file() and not _is_ignored(path)]
    assert len(files) >= 11
    assert [(path.name, found) for path in files for found in _secrets(path.read_text())] == []


@pytest.mark.parametrize(
    "text",
    [
        "GF_SECURITY_ADMIN_PASSWORD: hunter2",
        'GF_SECURITY_ADMIN_PASSWORD: "hunter2"',
        "      GF_SECURITY_ADMIN_PASSWORD: ${GRAFANA_ADMIN_PASSWORD:-hunter2}",
        "      - GF_SECURITY_ADMIN_PASSWORD=hunter2",
        "basicAuthPassword: hunter2",
        '  "secret_key": "hunter2",',
        "url: http://somebody:hunter2@prometheus:9090",
        "api_url: https://hooks.slack.com/services/T0/B0/hunter2",
    ],
)
def test_a_secret_that_is_written_down_is_found(text: str) -> None:
    assert _secrets(text)


# --- rules


def test_every_alert_says_what_happened_and_what_to_do() -> None:
    assert [alert["alert"] for alert in ALERTS] == [
        "RmseAboveThreshold",
        "RmseUsdAboveThreshold",
        "RmseWorseThanRandomWalk",
        "CoverageOff",
        "MetricsStale",
        "MetricsAbsent",
        "PushgatewayDown",
        "DagsterRunFailed",
        "DagsterDaemonSilent",
        "DagsterSensorNotTicking",
        "DagsterTickFailed",
        "DagsterQueueStuck",
        "SessionsDue",
        "AlertsNotDelivered",
        "ExporterDown",
    ]
    for alert in ALERTS:
        said = {"runbook_url", "summary", "description", "what_to_do"}
        assert set(alert["annotations"]) - {"report_url", "run_url"} == said
        assert set(alert["labels"]) == {"severity"}


def test_every_alert_has_a_case_where_it_fires_and_one_where_it_is_silent() -> None:
    cases = [case for test in RULE_TESTS for case in test["alert_rule_test"]]
    fires = {case["alertname"] for case in cases if case["exp_alerts"]}
    silent = {case["alertname"] for case in cases if not case["exp_alerts"]}
    assert fires == silent == {alert["alert"] for alert in ALERTS}


# --- dashboard


def test_the_committed_dashboard_is_what_the_code_builds(builder: ModuleType) -> None:
    committed = {path.name: path.read_text() for path in DASHBOARD_FILES}
    assert committed == builder.build_dashboards()


def test_a_dashboard_is_built_the_same_twice(builder: ModuleType) -> None:
    assert builder.build_dashboards() == builder.build_dashboards()


def test_a_panel_of_a_metric_that_nobody_pushes_is_not_built(
    builder: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(METRICS, "stock_assets_rmse_usd")
    with pytest.raises(KeyError, match="stock_assets_rmse_usd"):
        builder.build_dashboards()


def test_the_dashboard_is_smaller_than_grafana_accepts() -> None:
    assert all(file.stat().st_size < 1_000_000 for file in DASHBOARD_FILES)


def test_one_dashboard_shows_errors_and_one_operations() -> None:
    assert [panel["title"] for panel in FORECASTS["panels"]] == [
        "Age of data",
        "Age of last push",
        "Tickers above threshold",
        "Version",
        "Rolling RMSE",
        "RMSE as a multiple of the random walk's",
        "Rolling RMSE in dollars",
        "Coverage, all tickers",
        "By ticker",
    ]
    assert [panel["title"] for panel in OPERATIONS["panels"]] == [
        "Exporter",
        "Pushgateway",
        "RMSE in breach",
        "Messages waiting",
        "Oldest sign of life",
        "Ticks that fail",
        "Turned on",
        "Failed runs",
        "What is due",
        "Oldest session of which something is due",
        "Runs",
        "Waiting in the queue",
        "Since the last tick",
        "Failed attempts",
        "Last success and failure of each job",
    ]
    for dashboard in DASHBOARDS.values():
        ids = [panel["id"] for panel in dashboard["panels"]]
        assert ids == list(range(1, len(ids) + 1))
    [mark] = FORECASTS["annotations"]["list"]
    assert (mark["name"], mark["titleFormat"]) == (
        "New version",
        "version {{version}} ({{dataset}})",
    )


def test_dashboards_lead_to_the_report_the_pages_and_each_other() -> None:
    settings = Settings()
    exporter = f"http://127.0.0.1:{settings.exporter_port}"
    for dashboard in DASHBOARDS.values():
        others, *pages = dashboard["links"]
        assert others["tags"] == dashboard["tags"] == ["stock-assets"]
        assert {page["title"]: page["url"] for page in pages} == {
            "Report": f"{exporter}/report",
            "What alerts mean": f"{exporter}/runbook",
            "Dagster": f"http://127.0.0.1:{settings.dagster_port}",
            "MLflow": f"http://127.0.0.1:{settings.mlflow_port}",
        }
    assert GRAFANA.removeprefix("http://") == SERVICES["grafana"]["ports"][0].rpartition(":")[0]


def test_the_alert_that_a_panel_names_is_there_and_leads_to_its_section() -> None:
    descriptions = " ".join(
        panel["description"] for dashboard in DASHBOARDS.values() for panel in dashboard["panels"]
    )
    named = re.findall(r"\[Alert: (\w+)\]\(http://127.0.0.1:9108/runbook#(\w+)\)", descriptions)
    assert len(named) == descriptions.count("Alert: ") == 10
    for alert, anchor in named:
        assert alert in {rule["alert"] for rule in ALERTS}
        assert anchor == alert.lower()


def test_every_panel_query_and_variable_uses_the_provisioned_data_source() -> None:
    [provisioned] = DATA_SOURCES
    expected = {"type": provisioned["type"], "uid": provisioned["uid"]}
    users = [
        *(v for dashboard in DASHBOARDS.values() for v in _variables(dashboard)),
        *(panel for dashboard in DASHBOARDS.values() for panel in dashboard["panels"]),
        *FORECASTS["annotations"]["list"],
        *_targets(FORECASTS),
        *_targets(OPERATIONS),
    ]
    assert len(users) == 2 + (9 + 15) + 1 + 20 + 16
    for user in users:
        assert user["datasource"] == expected, user


def test_every_query_follows_the_ticker_that_was_picked() -> None:
    assert [variable["name"] for variable in _variables(FORECASTS)] == ["dataset", "ticker"]
    for target in _targets(FORECASTS):
        selectors = re.findall(r"{([^}]*)}", target["expr"])
        assert selectors, target
        for selector in selectors:
            job, dataset, ticker = selector.split(", ")[:3]
            assert (job, dataset) == (f'job="{JOB}"', 'dataset=~"$dataset"'), target
            assert ticker in ('ticker=~"$ticker"', 'ticker="POOLED"'), target


def test_thresholds_are_drawn_from_what_is_pushed_and_alerts_use_the_same() -> None:
    drawn = {name for target in _targets(FORECASTS) for name in _metric_names(target["expr"])}
    judged = {name for alert in ALERTS for name in _metric_names(alert["expr"])}
    for name in ("stock_assets_rmse_threshold", "stock_assets_rmse_threshold_ratio"):
        assert name in drawn & judged


# --- names


def test_rules_and_dashboard_use_only_metrics_that_are_pushed() -> None:
    # `up` is Prometheus' own.
    assert {name for query in _queries() for name in _metric_names(query)} - {"up"} <= EXPOSED


def test_every_metric_that_is_pushed_is_seen_by_somebody() -> None:
    assert {name for query in _queries() for name in _metric_names(query)} >= EXPOSED


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("stock_asset_rmse", {"stock_asset_rmse"}),
        ('max by (ticker) (rmse{job="a b", ticker=~"$ticker"})', {"rmse"}),
        ("sum(a > bool b)", {"a", "b"}),
        ('absent(a{job="c"})\n  unless on () (up{job="d"} == 0)', {"a", "up"}),
        ("time() - rate(a[5m]) > 4 * 86400", {"a"}),
        ("label_values(a, ticker)", {"a"}),
    ],
)
def test_names_are_read_from_a_query(query: str, names: set[str]) -> None:
    assert _metric_names(query) == names


# --- README.md


def test_the_readme_names_every_page() -> None:
    readme = (MONITOR / "README.md").read_text()
    for service in SERVICES.values():
        address, _, _inside = service["ports"][0].rpartition(":")
        assert f"http://{address}" in readme


@pytest.fixture(scope="module")
def builder() -> ModuleType:
    """monitor/grafana/build_dashboards.py, which is a script and in no package."""
    path = MONITOR / "grafana/build_dashboards.py"
    sys.path.insert(0, str(path.parent))  # as Python does for a script
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with warnings.catch_warnings():
        # The SDK warns of its older dashboard schemas wherever it is imported.
        warnings.simplefilter("ignore", DeprecationWarning)
        spec.loader.exec_module(module)
    sys.path.remove(str(path.parent))
    return module


def _on_this_side(service: str, path: str) -> Path:
    """The file of monitor/ that a service sees at `path`."""
    for mount in SERVICES[service]["volumes"]:
        source, target, *_ = str(mount).split(":")
        if source.startswith(".") and Path(path).is_relative_to(target):
            return MONITOR / source / Path(path).relative_to(target)
    raise AssertionError(f"{service} has no mount at {path}")


def _scrape_configs() -> dict[str, list[dict[str, Any]]]:
    return {scrape["job_name"]: scrape["static_configs"] for scrape in PROMETHEUS["scrape_configs"]}


def _ignored() -> list[str]:
    lines = (MONITOR / ".gitignore").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def _is_ignored(path: Path) -> bool:
    name = str(path.relative_to(MONITOR))
    return "__pycache__" in path.parts or any(fnmatch.fnmatch(name, p) for p in _ignored())


def _secrets(text: str) -> list[str]:
    """What looks like a secret; a variable that must be set and a command are none."""
    given = r"(?im)\w*(?:password|passwd|secret|token|api_?key)\w*[\"']?[ \t]*[:=][ \t]*(.+)$"
    harmless = r"\$\{\w+:\?[^}]*\}|%s.*\$\(.*"
    return [
        *(value for value in re.findall(given, text) if not re.fullmatch(harmless, value.strip())),
        *re.findall(r"://[^/\s:@]+:[^/\s@]+@", text),
        *re.findall(r"hooks\.slack\.com/services/\w+", text),
    ]


def _targets(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return [target for panel in dashboard["panels"] for target in panel["targets"]]


def _variables(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return list(dashboard["templating"].get("list", []))


def _queries() -> Iterator[str]:
    yield from (alert["expr"] for alert in ALERTS)
    for dashboard in DASHBOARDS.values():
        yield from (target["expr"] for target in _targets(dashboard))
        yield from (variable["query"] for variable in _variables(dashboard))


def _metric_names(query: str) -> set[str]:
    """Names outside of labels, strings, durations and groupings; no functions, no operators."""
    bare = re.sub(r"{[^}]*}|\[[^]]*\]|\"[^\"]*\"", " ", query)
    bare = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", bare)
    bare = re.sub(r"label_values\((\w+)\s*,\s*\w+\)", r"\1", re.sub(r"\s+", " ", bare))
    names = re.findall(r"(?<![\w.])([a-zA-Z_]\w*)\b(?!\s*\()", bare)
    return set(names) - {"and", "or", "unless", "bool", "offset"}
