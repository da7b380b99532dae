"""monitor/ as files: what can be promised without starting anything.

Against running daemons: services/test_prometheus.py.
"""

import fnmatch
import importlib.util
import json
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from stock_assets.resources.metrics import JOB, METRICS

MONITOR = Path(__file__).parents[2] / "monitor"
COMPOSE_FILE = MONITOR / "docker-compose.yaml"
COMPOSE = yaml.safe_load(COMPOSE_FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PROMETHEUS = yaml.safe_load((MONITOR / "prometheus/prometheus.yaml").read_text())
ALERTS = yaml.safe_load((MONITOR / "prometheus/rules.yaml").read_text())["groups"][0]["rules"]
RULE_TESTS = yaml.safe_load((MONITOR / "prometheus/rules_test.yaml").read_text())["tests"]
DATA_SOURCES = yaml.safe_load(
    (MONITOR / "grafana/provisioning/datasources/prometheus.yaml").read_text()
)["datasources"]
DASHBOARD_FILE = MONITOR / "grafana/dashboards/forecasts.json"
DASHBOARD = json.loads(DASHBOARD_FILE.read_text())


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
    assert _on_this_side("grafana", provider["options"]["path"]) == DASHBOARD_FILE.parent


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
    [scrape] = PROMETHEUS["scrape_configs"]
    assert scrape["honor_labels"] is True


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
        "RmseWorseThanRandomWalk",
        "MetricsStale",
        "MetricsAbsent",
        "PushgatewayDown",
    ]
    for alert in ALERTS:
        assert set(alert["annotations"]) == {"summary", "description", "what_to_do"}
        assert set(alert["labels"]) == {"severity"}


def test_every_alert_has_a_case_where_it_fires_and_one_where_it_is_silent() -> None:
    cases = [case for test in RULE_TESTS for case in test["alert_rule_test"]]
    fires = {case["alertname"] for case in cases if case["exp_alerts"]}
    silent = {case["alertname"] for case in cases if not case["exp_alerts"]}
    assert fires == silent == {alert["alert"] for alert in ALERTS}


# --- dashboard


def test_the_committed_dashboard_is_what_the_code_builds(builder: ModuleType) -> None:
    committed = {path.name: path.read_text() for path in DASHBOARD_FILE.parent.iterdir()}
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
    assert DASHBOARD_FILE.stat().st_size < 1_000_000


def test_the_dashboard_shows_errors_the_random_walk_and_ages() -> None:
    assert [panel["title"] for panel in DASHBOARD["panels"]] == [
        "Age of data",
        "Age of last push",
        "Tickers above threshold",
        "Rolling RMSE",
        "RMSE as a multiple of the random walk's",
        "Rolling RMSE in dollars",
        "By ticker",
    ]
    assert [panel["id"] for panel in DASHBOARD["panels"]] == [1, 2, 3, 4, 5, 6, 7]


def test_every_panel_query_and_variable_uses_the_provisioned_data_source() -> None:
    [provisioned] = DATA_SOURCES
    expected = {"type": provisioned["type"], "uid": provisioned["uid"]}
    [variable] = DASHBOARD["templating"]["list"]
    users = [variable, *DASHBOARD["panels"], *_targets()]
    assert len(users) == 1 + 7 + 11
    for user in users:
        assert user["datasource"] == expected, user


def test_every_query_follows_the_ticker_that_was_picked() -> None:
    [variable] = DASHBOARD["templating"]["list"]
    assert variable["name"] == "ticker"
    for target in _targets():
        selectors = re.findall(r"{[^}]*}", target["expr"])
        assert selectors, target
        assert set(selectors) == {f'{{job="{JOB}", ticker=~"$ticker"}}'}, target


def test_the_red_line_of_the_ratio_is_where_the_alert_is() -> None:
    [ratio] = [p for p in DASHBOARD["panels"] if p["title"].startswith("RMSE as a multiple")]
    red = ratio["fieldConfig"]["defaults"]["thresholds"]["steps"][-1]
    assert red == {"color": "red", "value": 1.1}
    [alert] = [alert for alert in ALERTS if alert["alert"] == "RmseWorseThanRandomWalk"]
    assert alert["expr"].endswith("> 1.1")


# --- names


def test_rules_and_dashboard_use_only_metrics_that_are_pushed() -> None:
    # `up` is Prometheus' own.
    assert {name for query in _queries() for name in _metric_names(query)} - {"up"} <= set(METRICS)


def test_every_metric_that_is_pushed_is_seen_by_somebody() -> None:
    assert set(METRICS) <= {name for query in _queries() for name in _metric_names(query)}


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
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with warnings.catch_warnings():
        # The SDK warns of its older dashboard schemas wherever it is imported.
        warnings.simplefilter("ignore", DeprecationWarning)
        spec.loader.exec_module(module)
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


def _targets() -> list[dict[str, Any]]:
    return [target for panel in DASHBOARD["panels"] for target in panel["targets"]]


def _queries() -> Iterator[str]:
    yield from (alert["expr"] for alert in ALERTS)
    yield from (target["expr"] for target in _targets())
    yield from (variable["query"] for variable in DASHBOARD["templating"]["list"])


def _metric_names(query: str) -> set[str]:
    """Names outside of labels, strings, durations and groupings; no functions, no operators."""
    bare = re.sub(r"{[^}]*}|\[[^]]*\]|\"[^\"]*\"", " ", query)
    bare = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", bare)
    bare = re.sub(r"label_values\((\w+)\s*,\s*\w+\)", r"\1", re.sub(r"\s+", " ", bare))
    names = re.findall(r"(?<![\w.])([a-zA-Z_]\w*)\b(?!\s*\()", bare)
    return set(names) - {"and", "or", "unless", "bool", "offset"}
