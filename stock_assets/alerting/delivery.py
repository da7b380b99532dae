"""From the outbox to people: each message once to each channel, whatever is killed in between.

A tick stores a message before any tick sends it: the sensor's cursor is written when the tick is
over, and what is read from it has been stored. A channel that took a message is recorded at once,
as an observation of `forecast_rmse` that people see too, and nothing is sent without a look at that
record. What remains is the instant between the channel's answer and the record: a kill just there
sends the message again, with the same reference at its end. Losing it instead would be worse.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import dagster as dg

from stock_assets.alerting.patience import next_try
from stock_assets.asset_keys import Asset, asset_key
from stock_assets.errors import NotificationError, SettingsError
from stock_assets.monitoring.messages import Pending
from stock_assets.resources.notifier import Message

ALERT, ALERT_ID, CHANNEL = "alert", "alert_id", "channel"
PAGE_ONLY = "this page alone: STOCK_ASSETS_NOTIFY_URLS is not set"
SEEN_AFTER = 3
"""Failed attempts after which the page says so too."""
_SENDS_PER_TICK = 10
_FIRST_WAIT = 30.0


class Receiver(Protocol):
    """A channel: `send` raises NotificationError where the message was not taken."""

    @property
    def name(self) -> str: ...

    def send(self, message: Message) -> None: ...


class Receivers(Protocol):
    def channels(self) -> Sequence[Receiver]: ...


@dataclass(frozen=True)
class Delivery:
    """What became of the outbox."""

    left: tuple[Pending, ...]
    sent: int
    problems: tuple[str, ...]


def deliver(
    instance: dg.DagsterInstance, notifier: Receivers, outbox: tuple[Pending, ...], now: float
) -> Delivery:
    """Sends what is due, oldest first; what fails stays, later messages wait behind it.

    Args:
        instance: Where deliveries are recorded.
        notifier: Whom to tell; without a channel the record on the page is all.
        outbox: As stored by an earlier tick.
        now: Seconds since 1970.
    """
    if not any(message.not_before <= now for message in outbox):
        return Delivery(outbox, 0, ())
    try:
        channels = notifier.channels()
    except SettingsError as error:
        waiting = tuple(_later(message, now) for message in outbox)
        for before, after in zip(outbox, waiting, strict=True):
            _show_failure(instance, before, after, str(error))
        return Delivery(waiting, 0, (str(error),))
    post = _Post(instance, channels)
    left: list[Pending] = []
    problems: list[str] = []
    for message in outbox:
        due = message.not_before <= now and post.sent < _SENDS_PER_TICK
        complete, reasons = post.tell(message, due=due)
        if complete:
            continue
        after = _later(message, now) if reasons else message
        _show_failure(instance, message, after, "; ".join(reasons))
        problems += reasons
        left.append(after)
    return Delivery(tuple(left), post.sent, tuple(problems))


class _Post:
    """One round to all channels. A channel that is behind is told in order."""

    def __init__(self, instance: dg.DagsterInstance, channels: Sequence[Receiver]) -> None:
        self._instance = instance
        self._channels = channels
        self._behind: set[str] = set()
        self.sent = 0

    def tell(self, message: Pending, *, due: bool) -> tuple[bool, list[str]]:
        """Whether every channel has it now, and why those that were tried did not take it."""
        told = _told(self._instance, message)
        if not self._channels and PAGE_ONLY not in told:
            _record(self._instance, message, PAGE_ONLY)
        reasons = []
        missing = [channel for channel in self._channels if channel.name not in told]
        for channel in missing:
            if not due or channel.name in self._behind:
                self._behind.add(channel.name)
                continue
            try:
                channel.send(Message(message.title, message.body, message.kind))
            except NotificationError as error:
                self._behind.add(channel.name)
                reasons.append(str(error))
            else:
                _record(self._instance, message, channel.name)
                self.sent += 1
                told.add(channel.name)
        return all(channel.name in told for channel in missing), reasons


def _recorded_at(message: Pending) -> dg.AssetKey:
    """Of the message's own dataset: it may have outlived the one that is judged now."""
    return asset_key(message.dataset, Asset.FORECAST_RMSE)


def _later(message: Pending, now: float) -> Pending:
    due = next_try(now, _FIRST_WAIT, message.attempts)
    return replace(message, attempts=message.attempts + 1, not_before=due)


def _told(instance: dg.DagsterInstance, message: Pending) -> set[str]:
    """The channels that are recorded to have taken a message."""
    found = instance.fetch_observations(
        dg.AssetRecordsFilter(asset_key=_recorded_at(message), asset_partitions=[message.session]),
        limit=1000,
    )
    told = set()
    for record in found.records:
        observation = record.event_log_entry.asset_observation
        metadata = observation.metadata if observation else {}
        if ALERT_ID in metadata and metadata[ALERT_ID].value == message.id and CHANNEL in metadata:
            told.add(str(metadata[CHANNEL].value))
    return told


def _record(instance: dg.DagsterInstance, message: Pending, channel: str) -> None:
    instance.report_runless_asset_event(
        dg.AssetObservation(
            asset_key=_recorded_at(message),
            partition=message.session,
            description=message.title,
            metadata={
                ALERT: message.event,
                "message": dg.MetadataValue.md(message.body.replace("\n", "\n\n")),
                CHANNEL: channel,
                ALERT_ID: message.id,
            },
        )
    )


def _show_failure(
    instance: dg.DagsterInstance, before: Pending, after: Pending, reason: str
) -> None:
    if before.attempts < SEEN_AFTER <= after.attempts:
        instance.report_runless_asset_event(
            dg.AssetObservation(
                asset_key=_recorded_at(after),
                partition=after.session,
                description=f"NOT DELIVERED after {after.attempts} attempts, which go on:"
                f" {after.title}",
                metadata={"alert_undelivered": after.event, "reason": reason, ALERT_ID: after.id},
            )
        )
