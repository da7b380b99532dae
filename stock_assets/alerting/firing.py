"""What fires now, whoever noticed it: Prometheus' rules, the sensor's memory, runs, what is due.

Each part is asked by itself. One that does not run, or can't be asked, is told and hides no other.
"""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from stock_assets.alerting.addresses import prometheus, run_page
from stock_assets.alerting.health import memories_of
from stock_assets.alerting.last_runs import failed_last
from stock_assets.alerting.memory import Memory
from stock_assets.alerting.sensor import SENSOR
from stock_assets.deployment import load_partitions
from stock_assets.errors import StockAssetsError
from stock_assets.monitoring.absence import Absence
from stock_assets.monitoring.episodes import Event
from stock_assets.monitoring.messages import RUNBOOK
from stock_assets.planning.status import oldest_due_seconds
from stock_assets.settings import Settings
from stock_assets.standing import Standing, standing

FIRING, PENDING, SILENCED = "firing", "pending", "silenced"
_GROUPS = {"stock_assets", "dagster"}
"""Of monitor/prometheus/rules.yaml: another Prometheus may listen at the port."""
_DUE_SECONDS = 86_400
_SECONDS = 5
_LINKS = ("run", "report", "runbook")


@dataclass(frozen=True)
class Alert:
    """Something that people ought to know.

    Args:
        alert: Its name, which is its section in the runbook.
        source: Who noticed it: prometheus, sensor, runs, due.
        state: `firing`; `pending` where it has not lasted long enough; `silenced` by a person.
        since: ISO 8601; None where nobody knows.
        summary: One line.
        description: What was seen.
        what_to_do: In words.
        labels: Whom it is about.
        links: `run`, `report`, `runbook` as addresses, where there are some.
    """

    alert: str
    source: str
    state: str
    since: str | None
    summary: str
    description: str
    what_to_do: str
    labels: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)

    @property
    def runbook(self) -> str:
        """Where it is explained, in the checkout."""
        return f"{RUNBOOK}#{self.alert.lower()}"


_Answer = tuple[list[Alert], list[str]]


@dataclass(frozen=True)
class Found:
    """What fires, and what of it could not be told."""

    alerts: tuple[Alert, ...]
    notes: tuple[str, ...]


def what_fires(
    settings: Settings,
    instance: dg.DagsterInstance,
    look: Callable[[Settings], Standing] = standing,
) -> Found:
    """Asks every part; what two of them say, the first alone.

    Args:
        settings: Of the dataset.
        instance: Dagster's.
        look: How the dataset stands.
    """
    found: list[Alert] = []
    notes: list[str] = []
    parts: tuple[Callable[[], _Answer], ...] = (
        lambda: _of_prometheus(prometheus(settings)),
        lambda: _of_sensor(settings, instance),
        lambda: _of_runs(settings, instance),
        lambda: _of_due(settings, look(settings)),
    )
    for ask in parts:
        try:
            alerts, said = ask()
        except StockAssetsError as error:
            alerts, said = [], [f"not looked at: {error}"]
        known = {(one.alert, one.labels.get("job_name")) for one in found}
        found += [one for one in alerts if (one.alert, one.labels.get("job_name")) not in known]
        notes += said
    order = (FIRING, PENDING, SILENCED)
    return Found(tuple(sorted(found, key=lambda one: order.index(one.state))), tuple(notes))


def _of_prometheus(address: str) -> _Answer:
    """Alerts of our rules, with silences of the Alertmanager that it sends them to."""
    try:
        groups = _asked(f"{address}/api/v1/rules?type=alert")["data"]["groups"]
    except (OSError, ValueError, KeyError):
        return [], [f"no Prometheus answers at {address}: `make monitor` starts one"]
    rules = [rule for group in groups if group["name"] in _GROUPS for rule in group["rules"]]
    if not rules:
        return [], [f"the Prometheus at {address} has none of the rules of monitor/"]
    silenced, notes = _silenced(address)
    return [
        _of_rule(rule["name"], one, silenced) for rule in rules for one in rule["alerts"]
    ], notes


def _of_rule(name: str, one: Mapping[str, Any], silenced: Iterable[Mapping[str, str]]) -> Alert:
    said = one["annotations"]
    is_silenced = one["state"] == FIRING and one["labels"] in silenced
    return Alert(
        alert=name,
        source="prometheus",
        state=SILENCED if is_silenced else one["state"],
        since=one["activeAt"],
        summary=said.get("summary", ""),
        description=said.get("description", ""),
        what_to_do=said.get("what_to_do", ""),
        labels={key: value for key, value in one["labels"].items() if key != "alertname"},
        links={key: said[f"{key}_url"] for key in _LINKS if f"{key}_url" in said},
    )


def _silenced(address: str) -> tuple[list[Mapping[str, str]], list[str]]:
    """Labels of alerts that a person silenced."""
    try:
        managers = _asked(f"{address}/api/v1/alertmanagers")["data"]["activeAlertmanagers"]
        found = [
            one["labels"]
            for manager in managers
            for one in _asked(urllib.parse.urljoin(manager["url"], "alerts?active=false"))
        ]
    except (OSError, ValueError, KeyError):
        return [], ["Alertmanager does not answer: silences are not known, and nobody is told"]
    return found, []


def _asked(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=_SECONDS) as answer:  # noqa: S310  # of this machine
        return json.load(answer)


def _of_sensor(settings: Settings, instance: dg.DagsterInstance) -> _Answer:
    """What the sensor has told, and what it did not get through with."""
    on = [state for state in instance.all_instigator_state() if state.is_running]
    memories = memories_of(on, settings.dataset_name)
    if not memories:
        return [], [f"the sensor {SENSOR} is off: nobody tells of errors or missing forecasts"]
    return [alert for memory in memories for alert in _of_memory(settings, memory)], []


def _of_memory(settings: Settings, memory: Memory) -> list[Alert]:
    name, alerts = settings.dataset_name, []
    about = {"dataset": name}
    if memory.episode.opened:
        alerts.append(
            Alert(
                Event.BREACH.capitalize(),
                "sensor",
                FIRING,
                memory.episode.opened,
                f"{name}: rolling RMSE is above its threshold",
                f"In breach: {', '.join(memory.episode.open)}.",
                "See the report whether the random walk's is as high: then the market is wild."
                f" {_of_retrain(memory)}",
                about,
                _report(settings),
            )
        )
    if memory.absence.told:
        alerts.append(
            Alert(
                Absence.MISSING.capitalize(),
                "sensor",
                FIRING,
                memory.absence.told,
                f"{name}: forecasts or their errors are missing",
                f"Since the session {memory.absence.told}.",
                "`stock-assets status` names what is due and why; see whether the schedule `daily`"
                " is on and its last run succeeded.",
                about,
            )
        )
    if failing := [message for message in memory.outbox if message.attempts]:
        alerts.append(
            Alert(
                "AlertsNotDelivered",
                "sensor",
                FIRING,
                None,
                f"{len(failing)} messages of the sensor do not reach people",
                f"The first: {failing[0].title}; {failing[0].attempts} attempts failed.",
                "Run `stock-assets notify-test`, mend the URL that it names, and restart Dagster.",
                about,
            )
        )
    return alerts


def _of_retrain(memory: Memory) -> str:
    if memory.episode.retrain_due:
        return "A retrain waits."
    return f"A retrain was asked for after {memory.retrained}." if memory.retrained else ""


def _of_runs(settings: Settings, instance: dg.DagsterInstance) -> _Answer:
    alerts = []
    for one in failed_last(instance, settings.dataset_name):
        address = run_page(settings, one.run_id)
        opens = "" if address else "`make ui` opens Dagster's page. "
        alerts.append(
            Alert(
                "DagsterRunFailed",
                "runs",
                FIRING,
                one.ended.isoformat(timespec="seconds"),
                f"The last run of {one.job} failed",
                f"Run {one.run_id}; none succeeded since.",
                f"{opens}Read its error, which says what to do, then re-execute it. What it stored"
                " before stays.",
                {"job_name": one.job},
                {"run": address} if address else {},
            )
        )
    return alerts, []


def _of_due(settings: Settings, found: Standing) -> _Answer:
    """What has been due for a day; what is due at all is a note."""
    due = sum(one.to_make for one in found.status.assets)
    if not due:
        return [], []
    partitions = load_partitions(settings)
    zone = partitions.calendar.time_zone
    seconds = oldest_due_seconds(found.status, datetime.now(UTC), zone)
    if not partitions.is_live or seconds <= _DUE_SECONDS:
        return [], [f"{due} objects are due: `stock-assets status` says why"]
    return [
        Alert(
            "SessionsDue",
            "due",
            FIRING,
            None,
            f"{settings.dataset_name}: what is due is not made",
            f"{due} objects; the oldest session of them is over for {seconds / 86_400:.1f} days.",
            "`stock-assets status` names it with the reason. Turn the schedules daily and monthly"
            " on, read the error of the run that failed, or run the command that status names.",
            {"dataset": settings.dataset_name},
        )
    ], []


def _report(settings: Settings) -> dict[str, str]:
    """The page that the last command left, where there is one."""
    file = settings.state_folder / "reports" / f"{settings.dataset_name}.html"
    return {"report": file.as_uri()} if file.exists() else {}
