"""The pages: `stock-assets ui`, and `dagster dev` alone, as a person starts and ends them."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from stock_assets.automation.jobs import DAILY_JOB
from stock_assets.backfill.project import open_project, run_partitions
from stock_assets.local.processes import free_port
from stock_assets.settings import Settings
from stock_assets_tests.asked_pages import BACKFILL, LAUNCH, ask, page
from stock_assets_tests.conftest import CHECKOUT, make_home
from stock_assets_tests.e2e.test_command_line import environment, left_running
from stock_assets_tests.listeners import listening
from stock_assets_tests.served_pages import served
from stock_assets_tests.waiting import until


def checkout(folder: Path) -> Path:
    home = make_home(folder)
    for name in ("workspace.yaml", "pyproject.toml"):
        (home / name).write_text((CHECKOUT / name).read_text())
    return home


SEEN = """
{ repositoryOrError(repositorySelector: {
    repositoryName: "__repository__", repositoryLocationName: "stock_assets" }) {
  ... on Repository { jobs { name runs(limit: 5) { id } } } }
  runsOrError(limit: 5) { ... on Runs { results {
    id status repositoryOrigin { repositoryName repositoryLocationName } tags { key value } } } } }
"""


def test_both_pages_answer_until_ctrl_c_and_nothing_survives(tmp_path: Path):
    home = checkout(tmp_path / "home")
    run = _run_of_a_command(home)
    ports = {"dagster_port": free_port(23_000), "mlflow_port": free_port(25_000)}
    with served(home, environment(home, **ports)) as ui:
        assert f"Dagster  http://127.0.0.1:{ports['dagster_port']}" in ui.said
        assert f"MLflow   http://127.0.0.1:{ports['mlflow_port']}" in ui.said
        links = dict(
            line.rsplit(maxsplit=1) for line in ui.said if "/#/" in line or "/assets/" in line
        )
        assert list(links) == ["newest forecasts", "versions", "runs by skill"]
        assert links["newest forecasts"].startswith(f"http://127.0.0.1:{ports['dagster_port']}/as")
        assert links["versions"].endswith(f":{ports['mlflow_port']}/#/models/stock_assets_sample")
        assert all(page(link) for link in links.values())
        assert "dagster_version" in page(f"http://127.0.0.1:{ports['dagster_port']}/server_info")
        assert "MLflow" in page(f"http://127.0.0.1:{ports['mlflow_port']}")
        _assert_a_commands_run_is_seen(ask(ports["dagster_port"], SEEN), run)
        _assert_other_sites_are_refused(ports["dagster_port"])
        _assert_mlflow_refuses_other_sites(ports["mlflow_port"])
        assert listening() == ["127.0.0.1"]
    assert left_running(home) == []


def _run_of_a_command(home: Path) -> str:
    """The number of the run in which a command fetched a session's prices."""
    settings = Settings(home=home, store_uri=f"file://{home / 'objects'}")
    with open_project(settings) as project:
        sessions = project.partitions.sessions.get_partition_keys()
        run_partitions(project, DAILY_JOB, ["raw_prices"], sessions[-1:], sessions, 1)
        return project.instance.get_runs()[0].run_id


def _assert_a_commands_run_is_seen(seen: dict[str, Any], run: str) -> None:
    """Among its job's runs, and with the place that the timeline puts it by."""
    jobs = {job["name"]: job["runs"] for job in seen["repositoryOrError"]["jobs"]}
    assert (jobs["daily_job"], jobs["monthly_job"]) == ([{"id": run}], [])
    (listed,) = seen["runsOrError"]["results"]
    assert (listed["id"], listed["status"]) == (run, "SUCCESS")
    assert listed["repositoryOrigin"] == {
        "repositoryName": "__repository__",
        "repositoryLocationName": "stock_assets",
    }
    tags = {tag["key"]: tag["value"] for tag in listed["tags"]}
    assert tags["stock_assets/dataset"] == tags["stock_assets/source"] == "sample"


def _assert_other_sites_are_refused(port: int) -> None:
    """What a page in another tab could send, as a browser sends it; and what our page sends."""
    own, other = f"http://localhost:{port}", "http://evil.example"
    mutation = "mutation{reloadWorkspace{__typename}}"
    json_body = {"data": json.dumps({"query": mutation}).encode()}
    by_get = f"/graphql?query={mutation}"
    cases: list[tuple[int, str, dict[str, Any], dict[str, str]]] = [
        (200, "/graphql", json_body, {"Content-Type": "application/json"}),
        (200, "/graphql", json_body, {"Content-Type": "application/json", "Origin": own}),
        (403, "/graphql", json_body, {"Content-Type": "application/json", "Origin": other}),
        (403, "/graphql", json_body, {"Content-Type": "application/json", "Origin": "null"}),
        (403, "/graphql", json_body, {"Content-Type": "application/json", "Host": f"evil:{port}"}),
        (403, by_get, {"data": b""}, {"Content-Type": "text/plain", "Origin": other}),
        (403, by_get, {}, {}),
        (403, by_get, {}, {"Sec-Fetch-Site": "same-origin", "Accept": "*/*"}),
        (403, "/report_asset_materialization/x", {"data": b""}, {"Origin": "http://localhost:1"}),
        (403, "/server_info", {}, {"Host": "127.0.0.1.evil.example"}),
        (403, "/server_info", {}, {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Dest": "image"}),
        (403, "/runs", {}, {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "iframe"}),
        # A link in a message to people.
        (200, "/runs", {}, {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document"}),
        (200, "/server_info", {}, {"Host": "[::1]:4000"}),  # through a tunnel
    ]
    seen = []
    for _, path, body, headers in cases:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}{path}", **body, headers={"Host": own[7:], **headers}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                seen.append(answer.status)
        except urllib.error.HTTPError as error:
            seen.append(error.code)
    assert seen == [case[0] for case in cases]

    def socket(origin: str | None) -> Any:
        address = f"ws://localhost:{port}/graphql"
        return connect(address, origin=origin, subprotocols=["graphql-ws"], proxy=None)

    for origin in (None, own):
        with socket(origin) as opened:
            opened.send(json.dumps({"type": "connection_init"}))
            assert json.loads(opened.recv(timeout=60)) == {"type": "connection_ack"}
    with pytest.raises(InvalidStatus, match="403"):
        socket(other)


def _assert_mlflow_refuses_other_sites(port: int) -> None:
    """By a guard of its own: a name that resolves here, and a page of another site that sends."""
    search = "/ajax-api/2.0/mlflow/experiments/search"
    body = json.dumps({"max_results": 1}).encode()
    kind = {"Content-Type": "application/json"}
    cases: list[tuple[int, bytes | None, dict[str, str]]] = [
        (200, body, kind),
        (200, body, kind | {"Origin": f"http://127.0.0.1:{port}"}),
        (403, body, kind | {"Origin": "http://evil.example"}),
        (403, body, kind | {"Host": f"evil.example:{port}"}),
        (403, None, {"Host": f"127.0.0.1.evil.example:{port}"}),
    ]
    seen = [
        _status(f"http://127.0.0.1:{port}{search}", data, headers) for _, data, headers in cases
    ]
    assert seen == [case[0] for case in cases]


def _status(url: str, data: bytes | None, headers: dict[str, str]) -> int:
    try:
        request = urllib.request.Request(url, data, headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_dagster_dev_alone_runs_a_backfill_in_order_with_a_store_of_its_own(tmp_path: Path):
    home = checkout(tmp_path / "home")
    port = free_port(27_000)
    with (home / "dev.log").open("wb") as log:
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name("dagster")), "dev", "--port", str(port)],
            cwd=home,
            env=environment(home, sessions_per_run=3),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        until("the page", lambda: page(f"http://127.0.0.1:{port}/server_info"))
        chain = _launched(port, ["raw_prices", "features"], june(4, 5, 6, 7, 8))
        # Beside it one asset alone, with sessions left out.
        alone = _launched(port, ["raw_prices"], june(12, 13, 20))
        backfill, prices = (
            until("a backfill's end", lambda name=name: _ended(ask(port, BACKFILL, id=name)))
            for name in (chain, alone)
        )
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=60)
    assert backfill["status"] == "COMPLETED_SUCCESS", (home / "dev.log").read_text()[-3000:]
    assert prices["status"] == "COMPLETED_SUCCESS", (home / "dev.log").read_text()[-3000:]
    assert sorted(map(_first_session, prices["runs"])) == june(12, 20)
    # Runs of three sessions and both assets, each after the one before: it reads what that stored.
    runs = sorted(backfill["runs"], key=lambda run: run["startTime"])
    assert list(map(_first_session, runs)) == june(4, 7)
    assert all(earlier["endTime"] <= run["startTime"] for earlier, run in pairwise(runs))
    until("the end of all processes", lambda: not left_running(home), seconds=60)
    # Telemetry would have left its number and its events there.
    assert [file for file in (home / ".dagster").rglob("*") if file.is_file()] == []


def june(*days: int) -> list[str]:
    return [f"2012-06-{day:02}" for day in days]


def _launched(port: int, assets: list[str], sessions: list[str]) -> str:
    """The name of a backfill, launched as the page's button does."""
    given = {
        "partitionNames": sessions,
        "assetSelection": [{"path": ["sample", name]} for name in assets],
    }
    return str(ask(port, LAUNCH, p=given)["launchPartitionBackfill"]["backfillId"])


def _first_session(run: dict[str, Any]) -> str:
    tags = {tag["key"]: tag["value"] for tag in run["tags"]}
    return tags.get("dagster/asset_partition_range_start") or tags["dagster/partition"]


def _ended(answer: dict[str, Any]) -> dict[str, Any] | None:
    backfill: dict[str, Any] = answer["partitionBackfillOrError"]
    return backfill if backfill["status"].startswith(("COMPLETED", "FAILED")) else None
