"""One problem, one message: the whole way, with real daemons, some of them killed on it.

A model is made worse on purpose. On one way its errors go through Pushgateway, Prometheus and
Alertmanager to Slack, on the other through Dagster's daemon, the sensor and apprise to a webhook;
for both stands a server on loopback. The story is told once, by the fixture; tests read what it
left behind.
"""

import json
import os
import signal
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest
import yaml

from stock_assets.asset_keys import Asset, asset_key
from stock_assets.automation.jobs import DAILY_JOB, MONTHLY_ASSETS, MONTHLY_JOB
from stock_assets.backfill.project import Project, open_project, run_partitions
from stock_assets.commands.alerts import alerts_now
from stock_assets.commands.monitor import monitor_folder, monitor_stack
from stock_assets.commands.monitor_files import MonitorAddresses
from stock_assets.definitions import build_definitions
from stock_assets.forecasting.forecast import ServedModel
from stock_assets.forecasting.promotion import ModelVersion
from stock_assets.local.processes import running
from stock_assets.resources.model_registry import ModelRegistry
from stock_assets.settings import Settings
from stock_assets_tests.conftest import CHECKOUT, QUICK, make_home
from stock_assets_tests.dagster_runs import leave_run
from stock_assets_tests.filled import fill
from stock_assets_tests.loopback import Inbox, inbox
from stock_assets_tests.services.daemon import binary, start_daemon
from stock_assets_tests.services.queries import PANEL_QUERIES, RULES, selectors_of
from stock_assets_tests.waiting import until

FIRST = date(2012, 3, 1)
CALM, BREACH, STILL, BETTER, WELL = (
    "2013-02-06", "2013-02-07", "2013-02-08", "2013-02-11", "2013-02-12",
)  # fmt: skip
END = date(2013, 2, 15)
PATIENCE_SECONDS = 120.0
LIVE_ONLY = "stock_assets_oldest_due_seconds"
"""The sample has ended: no session of it becomes due. Of one that goes on: test_due_metrics.py."""
AN_EPISODE = {
    # February alone is trained: it borrows no other month's parameters.
    "retune_months": 1,
    "rmse_window": 2,
    "rmse_recovery_sessions": 1,
    "rmse_threshold": 0.1,
    "rmse_threshold_usd": 1e6,
}


class WorseModel(ModelRegistry):
    """The newest version, whose every forecast is off by ten volatilities."""

    def versions(self) -> list[ModelVersion]:
        newest = super().versions()[-1]
        newest = replace(newest, approved=True, intervals_approved=True)
        return [replace(newest, trained_through=date(2000, 1, 3))]

    def load(self, version: ModelVersion) -> ServedModel:
        served = super().load(super().versions()[-1])

        class Off:
            def predict(self, rows: Any) -> np.ndarray:
                return np.full(len(rows), 10.0)

        return replace(served, version=version, model=Off())  # type: ignore[arg-type]


@dataclass
class World:
    """What runs, and what people were told."""

    home: Path
    webhook: Inbox
    slack: Inbox
    addresses: MonitorAddresses
    settings: Settings
    seen: dict[str, Any] = field(default_factory=dict)

    def as_of(self, session: str) -> Settings:
        """The deployment on the morning after a session."""
        return self.settings.model_copy(update={"last_session": date.fromisoformat(session)})

    def live_day(self, session: str, *, worse: bool) -> None:
        """The daily run of a session: it is scored by the forecast from the session before."""
        with open_project(self.as_of(session)) as project:
            before = str(project.partitions.calendar.previous_session(date.fromisoformat(session)))
            score(project, [before], [session], worse=worse)

    def query(self, expression: str) -> list[dict[str, Any]]:
        return list(self.ask("query", {"query": expression})["result"])

    def ask(self, path: str, parameters: Mapping[str, str]) -> Any:
        url = f"http://{self.addresses.prometheus}/api/v1/{path}?"
        with urllib.request.urlopen(url + urllib.parse.urlencode(parameters), timeout=5) as answer:
            said = json.load(answer)
        assert said["status"] == "success", said
        return said["data"]

    @property
    def told(self) -> list[str]:
        """By the sensor: breach, recovery, …, and of which session."""
        references = [message["message"].rpartition("Reference: ")[2] for message in self.messages]
        return [reference.strip() for reference in references]

    @property
    def messages(self) -> list[dict[str, Any]]:
        return self.webhook.messages

    @property
    def slack_titles(self) -> list[str]:
        """By Alertmanager."""
        return [message["attachments"][0]["title"] for message in self.slack.messages]


def score(
    project: Project, forecasts: list[str], targets: list[str], *, worse: bool = False
) -> None:
    if worse:
        registry = WorseModel(project.settings, project.store)
        definitions = build_definitions(
            project.settings,
            {"model_registry": dg.ResourceDefinition.hardcoded_resource(registry)},
        )
        project = replace(project, definitions=definitions)
    keys = project.partitions.sessions.get_partition_keys()
    run_partitions(project, DAILY_JOB, ["daily_forecast"], forecasts, keys, 1000)
    run_partitions(project, DAILY_JOB, ["forecast_rmse"], targets, keys, 1000)


def environment(world: World) -> dict[str, str]:
    """The same settings for processes of their own."""
    given = {**QUICK, **AN_EPISODE, "first_session": FIRST, "last_session": END}
    return {
        "DAGSTER_HOME": str(world.home),
        "PYTHONPATH": str(CHECKOUT),
        "STOCK_ASSETS_HOME": str(world.home),
        "STOCK_ASSETS_STORE_URI": str(world.settings.store_uri),
        "STOCK_ASSETS_TICKERS": "AAPL,IBM",
        "STOCK_ASSETS_RMSE_THRESHOLD_BY_TICKER": "IBM=9",
        "STOCK_ASSETS_SENSOR_INTERVAL_SECONDS": "1",
        "STOCK_ASSETS_NOTIFY_URLS": world.webhook.url.replace("http://", "json://"),
        **{f"STOCK_ASSETS_{name.upper()}": str(value) for name, value in given.items()},
    }


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The finished story."""
    home = make_home(tmp_path_factory.mktemp("alerts"))
    (home / "workspace.yaml").write_text((CHECKOUT / "workspace.yaml").read_text())
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        webhook, slack = stack.enter_context(inbox()), stack.enter_context(inbox())
        configure_monitor(home, slack)
        settings = Settings(
            home=home,
            store_uri=f"file://{home / 'objects'}",
            first_session=FIRST,
            last_session=END,
            tickers=("AAPL", "IBM"),
            rmse_threshold_by_ticker={"IBM": 9.0},
            **QUICK,
            **AN_EPISODE,
        )
        for name, value in environment(
            World(home, webhook, slack, MonitorAddresses("", "", "", ""), settings)
        ).items():
            patch.setenv(name, value)
        intervals = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        addresses, processes = stack.enter_context(monitor_stack(settings, intervals))
        settings = settings.model_copy(
            update={"pushgateway_url": f"http://{addresses.pushgateway}"}
        )
        world = World(home, webhook, slack, addresses, settings)
        tell_the_story(world, processes, stack)
        yield world


def configure_monitor(home: Path, slack: Inbox) -> None:
    """monitor/ as it is; Slack's address in its file, and seconds for minutes."""
    for part in ("prometheus", "alertmanager"):
        folder = home / "monitor" / part
        folder.mkdir(parents=True)
        for file in (CHECKOUT / "monitor" / part).glob("*.yaml"):
            (folder / file.name).write_text(file.read_text())
    file = home / "monitor/alertmanager/alertmanager.yaml"
    configuration = yaml.safe_load(file.read_text())
    configuration["route"] |= {"group_wait": "3s", "group_interval": "3s"}
    file.write_text(yaml.safe_dump(configuration))
    (file.parent / "slack_url").write_text(f"{slack.url}/services/T0/B0/x")


def tell_the_story(
    world: World, processes: dict[str, "subprocess.Popen[bytes]"], stack: ExitStack
) -> None:
    with open_project(world.settings) as project:
        fill(
            project,
            project.range_of(date(2012, 4, 20), END).prices,
            Asset.RAW_PRICES,
            Asset.FEATURES,
        )
        months = project.partitions.months.get_partition_keys()
        run_partitions(project, MONTHLY_JOB, MONTHLY_ASSETS, ["2013-02"], months, 1)
        # Past the model's first month, with everything that is scored off by ten volatilities.
        sessions = project.partitions.sessions.get_partition_keys()
        old = sessions[sessions.index("2013-02-01") - 200 : sessions.index("2013-02-01")]
    world.live_day(CALM, worse=False)
    turn_sensor_on(world)
    daemon = start_daemon(world.home, stack)

    def judged(session: str) -> Callable[[], bool]:
        return lambda: f'"newest_session":"{session}"' in cursor(world)

    until("the sensor's look at the first session", judged(CALM), PATIENCE_SECONDS)
    with open_project(world.settings) as project:
        score(project, old, old[1:], worse=True)
    newest = newest_event(world)
    until("a tick after the backfill", lambda: cursor_position(world) >= newest, PATIENCE_SECONDS)
    time.sleep(8)  # another tick: what the backfill might cause would be there
    world.seen["after the backfill"] = (list(world.told), list(world.slack_titles))
    world.seen["pushed by the backfill"] = world.query(
        f'stock_assets_session_timestamp_seconds{{ticker="AAPL"}} != {midnight(CALM)}'
    )

    world.live_day(BREACH, worse=True)
    until("a breach at the webhook", lambda: len(world.told) >= 1, PATIENCE_SECONDS)
    until("an alert at Slack", lambda: len(world.slack_titles) >= 1, PATIENCE_SECONDS)
    world.seen["alerts"] = alerts_now(world.settings)["alerts"]
    # A run dies with the processes that are killed here, and this story is about messages.
    until("the end of the retrain", lambda: retrains(world, over=True), PATIENCE_SECONDS)
    kill(daemon)
    time.sleep(12)  # Alertmanager writes every ten seconds what it has said
    for name in ("alertmanager", "prometheus"):
        kill(processes[name])
    world.live_day(STILL, worse=True)  # while nobody watches
    for name in ("alertmanager", "prometheus"):
        command = [str(part) for part in processes[name].args]  # type: ignore[union-attr]
        where = world.home / "monitor/alertmanager"
        again = running(f"{name}_again", command, monitor_folder(world.settings), {}, where)
        stack.enter_context(again)
    daemon = start_daemon(world.home, stack)
    until("the sensor's next look", judged(STILL), PATIENCE_SECONDS)
    world.live_day(BETTER, worse=False)
    until("the sensor's next look", judged(BETTER), PATIENCE_SECONDS)
    kill(daemon)
    daemon = start_daemon(world.home, stack)
    world.live_day(WELL, worse=False)
    until("a recovery at the webhook", lambda: len(world.told) >= 2, PATIENCE_SECONDS)
    until("a recovery at Slack", lambda: len(world.slack_titles) >= 2, PATIENCE_SECONDS)
    time.sleep(12)  # room for what must not come
    world.seen["at Slack"] = list(world.slack_titles)
    world.seen["metrics"] = world.query("stock_assets_dagster_tick_failed")
    kill(daemon)
    with open_instance(world) as instance:  # what only a bad day shows
        for status in ("FAILURE", "QUEUED"):
            leave_run(instance, world.settings, DAILY_JOB, status)
    time.sleep(8)  # the exporter reads every five seconds


def turn_sensor_on(world: World) -> None:
    subprocess.run(
        [binary("dagster"), "sensor", "start", "rmse_above_threshold", "-w", "workspace.yaml"],
        cwd=world.home,
        check=True,
        capture_output=True,
        timeout=120,
    )


def kill(process: "subprocess.Popen[bytes]") -> None:
    """SIGKILL for it and all that it started."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def cursor(world: World) -> str:
    with open_instance(world) as instance:
        for state in instance.all_instigator_state():
            if state.instigator_name == "rmse_above_threshold" and state.instigator_data:
                return str(state.instigator_data.cursor or "").replace(" ", "")  # type: ignore[union-attr]
    return ""


def cursor_position(world: World) -> int:
    return int(json.loads(cursor(world) or "{}").get("after") or 0)


def newest_event(world: World) -> int:
    with open_instance(world) as instance:
        found = instance.fetch_materializations(asset_key("sample", "forecast_rmse"), limit=1)
    return found.records[0].storage_id


def open_instance(world: World) -> dg.DagsterInstance:
    os.chdir(world.home)
    return dg.DagsterInstance.from_config(str(world.home))


def retrains(world: World, *, over: bool = False) -> list[dg.DagsterRun]:
    with open_instance(world) as instance:
        runs = instance.get_runs(dg.RunsFilter(tags={"reason": "rmse_breach"}))
    return [run for run in runs if run.is_finished or not over]


def midnight(session: str) -> float:
    return (date.fromisoformat(session) - date(1970, 1, 1)).total_seconds()


# --- what the story left behind


@pytest.mark.timeout(500)
def test_the_sensor_tells_one_breach_and_one_recovery(world: World) -> None:
    assert world.told == [f"sample/breach/{BREACH}", f"sample/recovery/{WELL}"]
    breach = world.messages[0]
    assert breach["title"] == f"stock_assets: RMSE above its threshold (sample, {BREACH})"
    assert "AAPL: rolling RMSE" in breach["message"]


def test_there_is_one_retrain_with_data_through_the_breach(world: World) -> None:
    (run,) = retrains(world)
    assert run.status is dg.DagsterRunStatus.SUCCESS
    assert run.tags["train_through"] == BREACH


def test_alertmanager_tells_one_firing_and_one_resolved(world: World) -> None:
    assert world.seen["at Slack"] == [
        "FIRING RmseAboveThreshold (1)",
        "RESOLVED RmseAboveThreshold (1)",
    ]
    text = world.slack.messages[0]["attachments"][0]["text"]
    assert text.startswith("AAPL: rolling RMSE of the forecasts is above its threshold.")
    assert "threshold 0.1000, random walk 0.0" in text
    exporter = f"http://{world.addresses.exporter}"
    assert f"What it means: {exporter}/runbook#rmseabovethreshold" in text
    assert f"Report: {exporter}/report" in text
    link = world.slack.messages[0]["attachments"][0]["title_link"]
    assert link == f"{exporter}/runbook#rmseabovethreshold"


def test_the_command_lists_what_fires_on_both_ways(world: World) -> None:
    fires = {one["alert"]: one for one in world.seen["alerts"] if one["state"] == "firing"}
    assert {"RmseAboveThreshold", "Breach"} <= set(fires)
    assert fires["RmseAboveThreshold"]["source"] == "prometheus"
    assert (fires["Breach"]["since"], fires["Breach"]["source"]) == (BREACH, "sensor")


def test_a_failed_run_is_told_with_a_link_that_answers(world: World) -> None:
    failed = [a for a in alerts_now(world.settings)["alerts"] if a["alert"] == "DagsterRunFailed"]
    (one,) = failed
    assert (one["source"], one["labels"]["job_name"]) == ("prometheus", DAILY_JOB)
    with urllib.request.urlopen(one["links"]["run"], timeout=30) as answer:
        assert b"`make ui` opens Dagster's page" in answer.read()


def test_a_backfill_of_200_old_sessions_tells_nobody_and_pushes_nothing(world: World) -> None:
    assert world.seen["after the backfill"] == ([], [])
    assert world.seen["pushed by the backfill"] == []


def test_the_page_shows_each_alert_once(world: World) -> None:
    with open_instance(world) as instance:
        found = instance.fetch_observations(asset_key("sample", "forecast_rmse"), limit=100).records  # type: ignore[arg-type]
    events = [record.event_log_entry.asset_observation for record in found]
    assert [(e.partition, e.metadata["alert"].value) for e in events if e] == [
        (WELL, "recovery"),
        (BREACH, "breach"),
    ]


def test_no_tick_failed(world: World) -> None:
    assert [sample["value"][1] for sample in world.seen["metrics"]] == ["0"]


@pytest.mark.parametrize("query", PANEL_QUERIES)
def test_every_panel_shows_data(world: World, query: str) -> None:
    result = world.query(query.replace("$ticker", ".+").replace("$dataset", ".+"))
    assert bool(result) is (LIVE_ONLY not in query)
    for sample in result:
        assert sample["value"][1] not in ("NaN", "+Inf", "-Inf")


@pytest.mark.parametrize("alert", RULES)
def test_every_rule_is_evaluated_and_finds_what_it_looks_at(world: World, alert: str) -> None:
    groups = world.ask("rules", {})["groups"]
    rules = {rule["name"]: rule for group in groups for rule in group["rules"]}
    assert set(rules) == set(RULES)
    assert (rules[alert]["health"], rules[alert].get("lastError", "")) == ("ok", "")
    world.query(RULES[alert])
    for selector in selectors_of(RULES[alert]):
        assert bool(world.query(selector)) is (LIVE_ONLY not in selector), selector
