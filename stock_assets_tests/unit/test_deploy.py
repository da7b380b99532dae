"""deploy/: the image and the manifests name what exists, ask for no rights and hold no secret.

No cluster, chart or engine is at hand here: Kubernetes' own schemas are asked as docs/kubernetes.md
says, and this looks for what no schema knows.
"""

import fnmatch
import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import distribution, entry_points
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from stock_assets.cli import main
from stock_assets.environment import load_settings
from stock_assets.resources.mlflow_database import tracking_uri
from stock_assets.settings import PREFIX, Settings, secret_names
from stock_assets_tests.conftest import CHECKOUT

DEPLOY = CHECKOUT / "deploy"
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
VALUES = DEPLOY / "kubernetes" / "dagster-values.yaml"
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
IMAGE = f"stock-assets:{PROJECT['version']}"
OF_THE_CHART = ("dagsterWebserver", "dagsterDaemon")
_PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[\w,-]+\])?==(\S+?)(?: ; .*)? \\$", re.MULTILINE)


@cache
def values() -> Mapping[str, Any]:
    return yaml.safe_load(VALUES.read_text(encoding="utf-8"))


@cache
def objects() -> list[Mapping[str, Any]]:
    """Of kustomize: what `kubectl apply` would send."""
    kustomization = yaml.safe_load((VALUES.parent / "kustomization.yaml").read_text())
    named = kustomization["resources"]
    assert sorted([*named, VALUES.name, "kustomization.yaml"]) == [f.name for f in MANIFESTS]
    texts = [(VALUES.parent / name).read_text(encoding="utf-8") for name in named]
    return [found for text in texts for found in yaml.safe_load_all(text)]


def of_kind(kind: str) -> dict[str, Mapping[str, Any]]:
    return {o["metadata"]["name"]: o for o in objects() if o["kind"] == kind}


@dataclass(frozen=True)
class Pod:
    """A pod that is asked for, whoever writes its manifest."""

    name: str
    security: Mapping[str, Any]
    container: Mapping[str, Any]
    volumes: list[Mapping[str, Any]]
    spec: Mapping[str, Any]


def pods() -> Iterator[Pod]:
    for found in objects():
        spec = found.get("spec", {})
        spec = spec.get("jobTemplate", {"spec": spec})["spec"].get("template", {}).get("spec")
        if spec:
            (container,) = spec["containers"]
            name = f"{found['kind']} {found['metadata']['name']}"
            yield Pod(name, spec["securityContext"], container, spec["volumes"], spec)
    deployments = values()["dagster-user-deployments"]["deployments"]
    for given in (*(values()[name] for name in OF_THE_CHART), *deployments):
        yield Pod("chart", given["podSecurityContext"], given, given["volumes"], {})


PODS = list(pods())


def test_all_pods_are_looked_at():
    assert [pod.name for pod in PODS] == [
        "Deployment stock-assets-worker", "Deployment stock-assets-mlflow",
        "CronJob stock-assets-prune", "chart", "chart", "chart",
    ]  # fmt: skip


@pytest.mark.parametrize("pod", PODS, ids=lambda pod: pod.name)
def test_no_pod_has_rights_that_it_does_not_need(pod: Pod):
    assert pod.security["runAsNonRoot"] is True
    assert pod.security["runAsUser"] == pod.security["fsGroup"] == 10001
    assert pod.security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod.container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    # The restricted profile of Kubernetes' pod security standards allows nothing of these.
    forbidden = {"hostNetwork", "hostPID", "hostIPC"} & pod.spec.keys()
    assert not forbidden
    assert [volume for volume in pod.volumes if volume.keys() != {"name", "emptyDir"}] == []
    if pod.spec:
        assert pod.spec["automountServiceAccountToken"] is False
        assert pod.spec["serviceAccountName"] in of_kind("ServiceAccount")


@pytest.mark.parametrize("pod", PODS, ids=lambda pod: pod.name)
def test_what_is_written_has_a_place_and_everything_a_limit(pod: Pod):
    mounts = {mount["name"]: mount["mountPath"] for mount in pod.container["volumeMounts"]}
    assert mounts == {"var": f"{image()['WORKDIR']}/var", "tmp": image()["HOME"]}
    assert {volume["name"]: "sizeLimit" in volume["emptyDir"] for volume in pod.volumes} == {
        "var": True,
        "tmp": True,
    }
    asked = pod.container["resources"]
    assert asked["requests"].keys() >= {"cpu", "memory"}
    assert "memory" in asked["limits"]


def environment(container: Mapping[str, Any]) -> dict[str, Any]:
    return {entry["name"]: entry for entry in container.get("env", [])}


@pytest.mark.parametrize("pod", PODS, ids=lambda pod: pod.name)
def test_passwords_are_named_and_never_given(pod: Pod):
    for name, entry in environment(pod.container).items():
        setting = name.removeprefix(PREFIX).lower()
        if setting in secret_names():
            # Every process takes it from the same key of the same Secret.
            assert entry["valueFrom"] == {"secretKeyRef": {"name": "stock-assets", "key": name}}
        else:
            assert "secretKeyRef" not in entry.get("valueFrom", {})


def test_no_file_has_a_secret():
    assert of_kind("Secret") == {}
    (shared,) = of_kind("ConfigMap").values()
    settings = {name.removeprefix(PREFIX).lower() for name in shared["data"]}
    assert not settings & set(secret_names())
    for file in (path for path in DEPLOY.rglob("*") if path.is_file()):
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"://[^\s/]+:[^\s/]+@|AKIA|BEGIN .*KEY", text), file


def test_every_setting_that_is_named_exists():
    for file in (path for path in DEPLOY.rglob("*") if path.is_file()):
        for name in re.findall(rf"{PREFIX}\w+", file.read_text(encoding="utf-8")):
            assert name.removeprefix(PREFIX).lower() in Settings.model_fields, (file, name)


def test_the_settings_are_taken_as_they_stand(monkeypatch: pytest.MonkeyPatch):
    url, broker = (
        "postgresql+psycopg2://user:pass%40word@host/database",
        "redis://:word@host:6379/0",
    )
    (shared,) = of_kind("ConfigMap").values()
    for name, value in shared["data"].items():
        assert isinstance(value, str), name  # a ConfigMap takes nothing else
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("STOCK_ASSETS_POSTGRES_URL", url)
    monkeypatch.setenv("STOCK_ASSETS_CELERY_BROKER_URL", broker)
    settings = load_settings()
    assert (settings.executor, settings.schedules_on) == ("celery", True)
    assert settings.store_uri == "s3://your-bucket/stock_assets"
    # MLflow's page reads what runs write: kubelet puts the variable before it into the address.
    (pod,) = (pod for pod in PODS if pod.name == "Deployment stock-assets-mlflow")
    mlflow = environment(pod.container)
    names = list(mlflow)
    assert names.index("STOCK_ASSETS_POSTGRES_URL") < names.index("MLFLOW_BACKEND_STORE_URI")
    address = mlflow["MLFLOW_BACKEND_STORE_URI"]["value"]
    assert address.replace("$(STOCK_ASSETS_POSTGRES_URL)", url) == tracking_uri(settings)


@cache
def image() -> dict[str, str]:
    """Of the Dockerfile's last stage: the last WORKDIR, USER and CMD, and each variable of ENV."""
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    last = text.rpartition("\nFROM ")[2].splitlines()
    found = {line.split()[0]: line.partition(" ")[2].strip() for line in last if line}
    return found | dict(pair.split("=", 1) for pair in shlex.split(found["ENV"]))


def test_every_process_has_the_dagster_yaml_of_the_image():
    folder = image()["WORKDIR"]
    assert "COPY dagster.yaml workspace.yaml ./" in (DEPLOY / "Dockerfile").read_text()
    assert image()["DAGSTER_HOME"] == image()["STOCK_ASSETS_HOME"] == folder
    for pod in PODS:
        # The chart sets the variable in a ConfigMap; what stands in `env` counts before that.
        given = environment(pod.container).get("DAGSTER_HOME", {"value": folder})
        assert given["value"] == folder
        assert pod.name != "chart" or "DAGSTER_HOME" in environment(pod.container)
    assert values()["global"]["dagsterHome"] != folder  # the chart's own is mounted there


def test_the_image_runs_as_nobody_and_holds_no_more_than_it_needs():
    assert re.fullmatch(r"([1-9]\d*):\1", image()["USER"])
    assert int(image()["USER"].split(":")[0]) == PODS[0].security["runAsUser"]
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    assert "--require-hashes" in text
    assert not re.search(r"https?://|ARG |ADD |sudo|--privileged", text)
    allowed = (CHECKOUT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert allowed[1] == "*"
    for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE):
        for source in line.split()[:-1]:
            assert any(fnmatch.fnmatch(source, rule[1:]) for rule in allowed[2:]), source
            built = f"dist/stock_assets-{PROJECT['version']}-py3-none-any.whl"
            assert (CHECKOUT / source).is_file() or source == built, source


def test_the_version_is_the_projects():
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    assert set(re.findall(r"stock_assets-([\d.]+)-py3", text)) == {PROJECT["version"]}
    assert f"--tag {IMAGE} ." in text
    kustomization = yaml.safe_load((VALUES.parent / "kustomization.yaml").read_text())
    assert kustomization["images"] == [{"name": "stock-assets", "newTag": PROJECT["version"]}]
    for pod in PODS:
        named = pod.container["image"]
        named = named if isinstance(named, str) else f"{named['repository']}:{named['tag']}"
        assert named == (IMAGE if pod.name == "chart" else "stock-assets")
    chart = re.search(r"Dagster's own chart, version ([\d.]+):", VALUES.read_text())
    assert chart
    assert chart.group(1) == distribution("dagster").version


def locked(name: str) -> set[tuple[str, str]]:
    """Packages with their versions, some of which have others for other Pythons."""
    text = (CHECKOUT / name).read_text(encoding="utf-8")
    return {(canonicalize_name(package), version) for package, version in _PIN.findall(text)}


def test_the_image_has_what_the_project_needs_at_the_versions_that_are_tested():
    """What pip would find missing: the wheel and its packages are installed without a look."""
    deployed, tested = locked("requirements-deploy.lock"), locked("requirements.lock")
    assert deployed <= tested
    names = {name for name, _ in deployed}
    text = (CHECKOUT / "requirements-deploy.lock").read_text(encoding="utf-8")
    assert "://" not in text
    entries = re.split(r"\n(?=\S)", text.strip())
    assert len(entries) == len(deployed)
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []
    needed, wanted = set(), [("stock-assets", frozenset({"postgres", "celery"}))]
    while wanted:
        name, extras = wanted.pop()
        for line in distribution(name).requires or ():
            requirement = Requirement(line)
            marker = requirement.marker
            if marker and not any(marker.evaluate({"extra": extra}) for extra in extras or {""}):
                continue
            found = canonicalize_name(requirement.name), frozenset(requirement.extras)
            if found not in needed:
                needed.add(found)
                wanted.append(found)
    assert {name for name, _ in needed} - names == set()
    assert {"pytest", "mypy", "ruff"} & names == set()


def is_taken(command: click.Command, words: Sequence[str]) -> bool:
    """Whether a command knows its options: all are parsed before its help is shown."""
    return CliRunner().invoke(command, [*words, "--help"]).exit_code == 0


def test_every_command_exists_and_takes_what_it_is_given():
    from dagster._cli import create_dagster_cli
    from mlflow.cli import cli as mlflow

    scripts = {script.name for script in entry_points(group="console_scripts")}
    told = {pod.name: pod.container["command"] for pod in PODS if pod.spec}
    assert {command[0] for command in told.values()} | {"dagster"} <= scripts
    assert is_taken(main, told["CronJob stock-assets-prune"][1:])
    assert is_taken(mlflow, told["Deployment stock-assets-mlflow"][1:])
    (code,) = values()["dagster-user-deployments"]["deployments"]
    served = [
        "api",
        "grpc",
        "-h",
        "127.0.0.1",
        "-p",
        str(code["port"]),
        *code["dagsterApiGrpcArgs"],
    ]
    assert is_taken(create_dagster_cli(), served)
    # docs/deploy.md has the worker's line, which a test runs.
    worker = " ".join(told["Deployment stock-assets-worker"])
    documented = "celery --app stock_assets.automation.celery_worker worker --queues dagster"
    assert worker.startswith(documented)
    assert documented in (CHECKOUT / "docs" / "deploy.md").read_text(encoding="utf-8")
    assert PROJECT["scripts"] == {"stock-assets": "stock_assets.cli:main"}


def test_a_command_that_does_not_exist_would_be_noticed():
    assert not is_taken(main, ["prune", "--days", "90"])


def test_the_network_lets_through_what_is_asked_and_nobody_in():
    policies = of_kind("NetworkPolicy")
    everybody = policies["nobody-comes-in"]["spec"]
    assert everybody["podSelector"] == {}
    assert everybody["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in everybody
    (out,) = everybody["egress"]
    assert {port["port"] for port in out["ports"]} == {53, 443, 5432, 6379}
    (code,) = values()["dagster-user-deployments"]["deployments"]
    (server,) = values()["dagsterWebserver"]["workspace"]["servers"]
    assert server == {"host": code["name"], "port": code["port"], "name": "stock_assets"}
    (come_in,) = policies["the-page-and-the-daemon-ask-the-code"]["spec"]["ingress"]
    (go_out,) = policies["the-code-is-asked-by-the-page-and-the-daemon"]["spec"]["egress"]
    for rule in (come_in, go_out):
        assert rule["ports"] == [{"protocol": "TCP", "port": code["port"]}]
    mlflow = of_kind("Deployment")["stock-assets-mlflow"]["spec"]["template"]["spec"]
    command = mlflow["containers"][0]["command"]
    assert command[command.index("--host") + 1] == "127.0.0.1"


def test_a_worker_is_left_when_a_machine_is_emptied():
    worker = of_kind("Deployment")["stock-assets-worker"]["spec"]
    budget = of_kind("PodDisruptionBudget")["stock-assets-worker"]["spec"]
    assert budget["selector"] == worker["selector"]
    assert budget["minAvailable"] < worker["replicas"]


def test_the_service_account_has_no_rights_in_the_cluster():
    assert not {"Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"} & {
        o["kind"] for o in objects()
    }
    assert values()["rbacEnabled"] is False
    assert values()["runLauncher"]["type"] == "CustomRunLauncher"
    assert values()["telemetry"] == {"enabled": False}
