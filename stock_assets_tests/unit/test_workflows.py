"""The workflows of GitHub: they parse, call what there is, and hold no right that they need not."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from stock_assets_tests.conftest import CHECKOUT

WORKFLOWS = sorted((CHECKOUT / ".github" / "workflows").glob("*.yml"))
MAKEFILE = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
_READ = {"contents": "read"}


def parsed(file: Path) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return values


def steps(file: Path) -> list[dict[str, Any]]:
    return [step for job in parsed(file)["jobs"].values() for step in job["steps"]]


def runs(file: Path) -> str:
    return "\n".join(step.get("run", "") for step in steps(file))


def test_there_is_one_that_tests_and_one_that_releases():
    assert [file.name for file in WORKFLOWS] == ["ci.yml", "release.yml"]
    assert {"make test", "make lint", "make build", "make sbom", "make audit", ".ci/run"} <= set(
        runs(WORKFLOWS[0]).splitlines()
    )
    assert "docker build --file deploy/Dockerfile" in runs(WORKFLOWS[0])
    assert {"make test", "make lint", "make build", "make sbom", "make audit"} <= set(
        runs(WORKFLOWS[1]).splitlines()
    )


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_a_workflow_is_one_by_githubs_schema(file: Path):
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema"]
    done = subprocess.run(
        [*command, "vendor.github-workflows", str(file)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_a_workflow_calls_targets_and_files_that_exist(file: Path):
    called = re.findall(r"\bmake ([a-z-]+)", runs(file))
    assert called
    assert set(called) - TARGETS == set()
    for script in re.findall(r"^\.\S+", runs(file), re.MULTILINE):
        assert (CHECKOUT / script).is_file()


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_a_workflow_may_only_read_and_takes_nothing_of_others_for_code(file: Path):
    workflow = parsed(file)
    assert workflow["permissions"] == _READ
    assert "pull_request_target" not in file.read_text(encoding="utf-8")
    for name, job in workflow["jobs"].items():
        assert set(job.get("permissions", _READ)) <= {"contents", "id-token", "attestations"}
        assert job.get("permissions", _READ) == _READ or name == "release"
        assert job["timeout-minutes"]
    for step in steps(file):
        # A name of a branch or tag is anybody's: it reaches a shell as a variable alone.
        assert "${{" not in step.get("run", "")
        if action := step.get("uses"):
            assert re.fullmatch(r"actions/[a-z-]+@v\d+", action)
        if "checkout" in step.get("uses", ""):
            assert step["with"] == {"persist-credentials": False}


def test_the_targets_that_need_the_net_are_in_no_check_of_a_checkout():
    script = (CHECKOUT / ".ci" / "run").read_text(encoding="utf-8")
    assert "make audit" not in script
    assert "make sbom" not in script


def test_the_tools_that_audit_are_locked_with_hashes_and_no_part_of_the_project():
    locked = (CHECKOUT / "requirements-audit.lock").read_text(encoding="utf-8")
    assert set(re.findall(r"^(cyclonedx-bom|pip-audit)==", locked, re.MULTILINE)) == {
        "cyclonedx-bom", "pip-audit",
    }  # fmt: skip
    for requirement in locked.split("\n\n")[0].replace(" \\\n", " ").splitlines():
        assert "==" in requirement
        assert "--hash=sha256:" in requirement
    runtime = (CHECKOUT / "requirements.lock").read_text(encoding="utf-8")
    assert "pip-audit" not in runtime
    assert "cyclonedx" not in runtime
