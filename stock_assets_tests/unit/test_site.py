"""What the exporter answers beside metrics: the pages that alerts link to."""

import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import dagster as dg
import pytest
from prometheus_client import CollectorRegistry, Gauge, make_wsgi_app

from stock_assets.alerting import site
from stock_assets.alerting.site import Site
from stock_assets.asset_keys import Asset
from stock_assets.commands.exporter import _addresses, _serving
from stock_assets.local.processes import free_port
from stock_assets.resources.object_store import open_store
from stock_assets.resources.page_io_manager import page_object
from stock_assets.settings import Settings
from stock_assets_tests.conftest import CHECKOUT, make_home
from stock_assets_tests.dagster_runs import leave_run


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


@dataclass(frozen=True)
class Served:
    settings: Settings
    instance: dg.DagsterInstance
    address: str


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("site")
    settings = Settings(home=make_home(folder / "home"), store_uri=f"file://{folder / 'objects'}")
    shutil.copytree(CHECKOUT / "docs", settings.home / "docs")
    registry = CollectorRegistry()
    Gauge("seen", "A number.", registry=registry).set(7)
    port = free_port(19108)
    with dg.DagsterInstance.local_temp(str(folder)) as instance:
        site = Site(settings, instance, make_wsgi_app(registry), ["Box"])
        with _serving(site, "127.0.0.1", port):
            yield Served(settings, instance, f"http://127.0.0.1:{port}")


@pytest.fixture
def address(served: Served) -> str:
    return served.address


def ask(url: str, host: str = "") -> tuple[int, str]:
    """Status and text; a redirection is not followed, its text is where it leads."""
    request = urllib.request.Request(url, headers={"Host": host} if host else {})
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get("Location") or error.read().decode()


def test_the_first_page_lists_all_others_and_each_answers(address: str, served: Served):
    nothing = "no report is stored yet; `stock-assets run` ends with one\n"
    assert ask(f"{address}/report") == (404, nothing)
    with open_store(served.settings) as store:
        store.put_encoded({page_object(Asset.FORECAST_REPORT): b"<h1>the report</h1>"}, bytes)
    status, text = ask(f"{address}/")
    assert status == 200
    own = [to for to in re.findall(r'href="([^"]+)"', text) if to.startswith("/")]
    assert own == ["/report", "/runbook", "/metrics"]
    said = {to: ask(address + to) for to in own}
    assert {status for status, _ in said.values()} == {200}
    assert said["/report"][1].startswith("<h1>the report</h1>")
    assert "seen 7.0" in said["/metrics"][1]


def test_the_runbook_has_the_anchors_that_alerts_link(address: str):
    text = ask(f"{address}/runbook")[1]
    rules = (CHECKOUT / "monitor/prometheus/rules.yaml").read_text()
    linked = re.findall(r"/runbook#(\w+)", rules)
    assert len(linked) == 15
    assert set(linked) < set(re.findall(r'<h2 id="([^"]+)">', text))


def test_a_run_link_leads_to_the_last_run_that_failed(
    address: str, served: Served, monkeypatch: pytest.MonkeyPatch
):
    link, well = f"{address}/run/daily_job", "the last run of daily_job that is over did not fail\n"
    assert ask(link) == (200, well)
    assert ask(f"{address}/run/other_job")[0] == ask(f"{address}/elsewhere")[0] == 404

    def leave(status: str, **tags: str) -> str:
        return leave_run(served.instance, served.settings, "daily_job", status, **tags)

    run = leave("FAILURE")
    leave("FAILURE", **{"stock_assets/dataset": "another"})
    assert ask(link) == (200, f"run {run} of daily_job failed; `make ui` opens Dagster's page\n")
    monkeypatch.setattr(site, "run_page", lambda _, run: f"http://127.0.0.1:3000/runs/{run}")
    assert ask(link) == (302, f"http://127.0.0.1:3000/runs/{run}")
    leave("SUCCESS")
    assert ask(link) == (200, well)


def test_a_page_out_of_the_store_reaches_nothing_and_stands_in_no_frame(
    address: str, served: Served
):
    with open_store(served.settings) as store:
        store.put_encoded({page_object(Asset.FORECAST_REPORT): b"<script>x</script>"}, bytes)
    for path in ("/report", "/"):
        with urllib.request.urlopen(address + path, timeout=10) as answer:
            policy = answer.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none';")
            assert "frame-ancestors 'none'; sandbox allow-scripts" in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("host", [
    "localhost:9108", "172.17.0.1:9108", "host.docker.internal:9108", "[::1]:9108", "box:9108",
])  # fmt: skip
def test_addresses_of_this_machine_are_let_in(address: str, host: str):
    assert [ask(f"{address}{path}", host)[0] for path in ("/", "/metrics")] == [200, 200]


@pytest.mark.parametrize("host", [
    "evil.example", "evil.example:9108", "127.0.0.1.evil.example", "localhost.evil.example",
    "127.0.0.1:9108@evil.example", "[::1", "box.evil.example",
])  # fmt: skip
def test_a_name_that_resolves_here_reads_nothing(address: str, host: str):
    """DNS rebinding: a page of that name could else read metrics, report and runs."""
    for path in ("/", "/metrics", "/report", "/runbook", "/run/daily_job", "/elsewhere"):
        assert ask(f"{address}{path}", host) == (403, "ask for 127.0.0.1 or localhost\n")


@pytest.mark.parametrize(
    ("host", "addresses"),
    [
        ("127.0.0.1", ["127.0.0.1"]),
        ("localhost", ["localhost"]),
        ("0.0.0.0", ["0.0.0.0"]),  # noqa: S104  # nothing listens there
        ("172.17.0.1", ["172.17.0.1", "127.0.0.1"]),
    ],
)
def test_links_of_alerts_answer_wherever_containers_reach_it(host: str, addresses: list[str]):
    assert _addresses(host) == addresses
