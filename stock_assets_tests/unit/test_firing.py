"""What `stock-assets alerts` tells, with a stand-in for Prometheus and an instance of Dagster."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner

from stock_assets.alerting import firing
from stock_assets.alerting.firing import Alert, Found, what_fires
from stock_assets.alerting.memory import Memory, write_memory
from stock_assets.alerting.sensor import SENSOR
from stock_assets.cli import main
from stock_assets.commands.alerts import as_json, lines
from stock_assets.errors import ObjectStoreError
from stock_assets.local.dagster_private.ticks import SensorInstigatorData
from stock_assets.monitoring.absence import AbsenceState
from stock_assets.monitoring.episodes import Breach, EpisodeState
from stock_assets.monitoring.messages import Pending
from stock_assets.planning.lineage import IN_ORDER
from stock_assets.planning.status import AssetStatus, Reason, Status
from stock_assets.settings import Settings
from stock_assets.standing import Standing
from stock_assets_tests.conftest import CHECKOUT
from stock_assets_tests.dagster_runs import leave_run
from stock_assets_tests.loopback import served

LABELS = {"alertname": "CoverageOff", "dataset": "sample", "interval": "95"}
RULE = {
    "name": "CoverageOff",
    "alerts": [
        {
            "labels": LABELS,
            "annotations": {
                "summary": "Intervals are off",
                "description": "It covered 80 %.",
                "what_to_do": "See.",
                "runbook_url": "http://127.0.0.1:9108/runbook#coverageoff",
                "report_url": "http://127.0.0.1:9108/report",
            },
            "state": "firing",
            "activeAt": "2026-11-27T08:28:01.1Z",
        }
    ],
}
NOTHING_DUE = Status(tuple(AssetStatus(asset, 1, "2013-03-01") for asset in IN_ORDER))


@contextmanager
def answering(answers: dict[str, Any]) -> Iterator[str]:
    """A server that answers JSON by path."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = answers.get(self.path.partition("?")[0])
            self.send_response(404 if known is None else 200)
            self.end_headers()
            self.wfile.write(json.dumps(known).encode())

        def log_message(self, *_: object) -> None:
            pass

    with served(Handler) as url:
        yield url


@dataclass
class Asked:
    """One look, with a memory of the sensor where it is on."""

    instance: dg.DagsterInstance
    patch: pytest.MonkeyPatch
    settings: Settings

    def __call__(
        self, prometheus: str = "http://127.0.0.1:9", memory: Memory | None = None, look: Any = None
    ) -> Found:
        state = SimpleNamespace(
            is_running=True,
            instigator_name=SENSOR,
            instigator_data=SensorInstigatorData(cursor=write_memory(memory or Memory())),
        )
        states = [state] if memory else []
        self.patch.setattr(type(self.instance), "all_instigator_state", lambda _: states)
        self.patch.setattr(firing, "prometheus", lambda _: prometheus)
        return what_fires(
            self.settings, self.instance, look or (lambda _: SimpleNamespace(status=NOTHING_DUE))
        )


@pytest.fixture
def ask(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Asked]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Asked(instance, monkeypatch, settings)


def only(found: Found) -> Alert:
    [alert] = found.alerts
    return alert


def test_where_nothing_fires_what_was_not_asked_is_told(ask: Asked):
    found = ask()
    assert found.alerts == ()
    assert found.notes == (
        "no Prometheus answers at http://127.0.0.1:9: `make monitor` starts one",
        "the sensor rmse_above_threshold is off: nobody tells of errors or missing forecasts",
    )
    assert lines(as_json(found, "sample"))[0] == "sample: nothing fires"


def test_prometheus_alerts_come_with_their_texts_and_links(ask: Asked):
    groups = [
        {"name": "stock_assets", "rules": [RULE]},
        {"name": "of somebody else", "rules": [{**RULE, "name": "Other"}]},
    ]
    answers: dict[str, Any] = {"/api/v1/rules": {"data": {"groups": groups}}}
    with answering(answers) as url:
        found = ask(url, Memory("sample"))
        alert = only(found)
        assert (alert.alert, alert.state, alert.runbook) == (
            "CoverageOff",
            "firing",
            "docs/alerts.md#coverageoff",
        )
        assert alert.links == {
            "report": "http://127.0.0.1:9108/report",
            "runbook": "http://127.0.0.1:9108/runbook#coverageoff",
        }
        assert found.notes == (
            "Alertmanager does not answer: silences are not known, and nobody is told",
        )
        manager = {"url": f"{url}/api/v2/alerts"}
        answers["/api/v1/alertmanagers"] = {"data": {"activeAlertmanagers": [manager]}}
        answers["/api/v2/alerts"] = [{"labels": {**LABELS, "interval": "80"}}]
        assert only(ask(url)).state == "firing"
        answers["/api/v2/alerts"] = [{"labels": LABELS}]
        silenced = ask(url)
        assert only(silenced).state == "silenced"
        assert as_json(silenced, "sample")["firing"] == 0
        groups[0]["rules"] = []
        groups.pop()
        assert "has none of the rules of monitor/" in ask(url).notes[0]


def test_what_the_sensor_remembers_is_told_with_what_to_do(ask: Asked):
    episode = EpisodeState(
        newest_session="2013-02-08",
        opened="2013-02-07",
        open={"AAPL return": Breach("2013-02-07")},
        retrain_due=True,
    )
    waiting = Pending("a", "breach", "2013-02-07", "a title", "", "failure")
    memory = Memory("sample", 1, episode, AbsenceState("2013-02-11"), outbox=(waiting,))
    breach, missing = ask(memory=memory).alerts
    assert (breach.alert, breach.since) == ("Breach", "2013-02-07")
    assert breach.description == "In breach: AAPL return."
    assert breach.what_to_do.endswith("A retrain waits.")
    assert (missing.alert, missing.since) == ("Missing", "2013-02-11")
    tried = replace(memory, outbox=(replace(waiting, attempts=4),))
    assert ask(memory=tried).alerts[2].description == "The first: a title; 4 attempts failed."


def test_a_run_that_failed_is_linked_where_the_page_is_open(ask: Asked):
    run = leave_run(ask.instance, ask.settings, "daily_job", "FAILURE")
    alert = only(ask())
    assert (alert.alert, alert.labels, alert.links) == (
        "DagsterRunFailed",
        {"job_name": "daily_job"},
        {},
    )
    assert run in alert.description
    assert alert.what_to_do.startswith("`make ui` opens Dagster's page.")
    ask.patch.setattr(firing, "run_page", lambda _, run: f"http://127.0.0.1:3000/runs/{run}")
    assert only(ask()).links == {"run": f"http://127.0.0.1:3000/runs/{run}"}


@pytest.mark.parametrize("is_live", [True, False])
def test_what_is_due_is_an_alert_of_a_source_that_goes_on(ask: Asked, is_live: bool):
    due = AssetStatus("raw_prices", 1, None, (Reason("missing", "", ("2013-02-27", "2013-02-28")),))
    zone = SimpleNamespace(time_zone="America/New_York")
    known = SimpleNamespace(is_live=is_live, calendar=zone)
    ask.patch.setattr(firing, "load_partitions", lambda _: known)
    found = ask(memory=Memory("sample"), look=lambda _: SimpleNamespace(status=Status((due,))))
    if is_live:
        assert only(found).alert == "SessionsDue"
        assert only(found).description.startswith("2 objects; the oldest session of them is over")
    else:
        assert found.alerts == ()
        assert "2 objects are due: `stock-assets status` says why" in found.notes


def test_a_part_that_cannot_be_asked_hides_no_other(ask: Asked):
    def away(_: Settings) -> Standing:
        raise ObjectStoreError("the store is away")

    leave_run(ask.instance, ask.settings, "daily_job", "FAILURE")
    found = ask(look=away)
    assert only(found).alert == "DagsterRunFailed"
    assert found.notes[-1] == "not looked at: the store is away"


def test_every_alert_that_is_told_here_is_explained():
    alerts = (CHECKOUT / "docs/alerts.md").read_text()
    for name in ("Breach", "Missing", "AlertsNotDelivered", "DagsterRunFailed", "SessionsDue"):
        assert f"\n## {name}\n" in alerts


def test_the_command_prints_one_json_object(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        "stock_assets.commands.alerts.what_fires",
        lambda *_: Found((Alert("Breach", "sensor", "firing", None, "s", "d", "w"),), ()),
    )
    monkeypatch.setenv("STOCK_ASSETS_HOME", str(settings.home))
    found = json.loads(CliRunner().invoke(main, ["alerts", "--json"]).stdout)
    assert found["firing"] == 1
    assert found["alerts"][0]["runbook"] == "docs/alerts.md#breach"
    said = CliRunner().invoke(main, ["alerts"]).stdout
    assert "FIRING Breach\n  s. d\n  What to do: w\n  What it means: docs/alerts.md#breach" in said
