"""The outbox on a real (temporary) Dagster instance, with channels that take or refuse."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import dagster as dg
import pytest

from stock_assets.alerting.delivery import PAGE_ONLY, deliver
from stock_assets.asset_keys import Asset, asset_key
from stock_assets.errors import NotificationError, SettingsError
from stock_assets.monitoring.messages import Pending
from stock_assets.resources.notifier import Message


class Killed(BaseException):
    """Nothing catches it, like SIGKILL."""


@dataclass
class Stand:
    """A channel that refuses as often as it is told to."""

    name: str
    refusals: int = 0
    taken: list[str] = field(default_factory=list)

    def send(self, message: Message) -> None:
        if self.refusals:
            self.refusals -= 1
            raise NotificationError(f"{self.name}: answered with HTTP 500")
        self.taken.append(message.title)


@dataclass
class Stands:
    stands: list[Stand]

    def channels(self) -> list[Stand]:
        return self.stands


FORECAST_RMSE = asset_key("sample", Asset.FORECAST_RMSE)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def message(name: str = "breach") -> Pending:
    return Pending(f"sample/{name}/2013-03-01", name, "2013-03-01", name, "body", "failure")


def observed(instance: dg.DagsterInstance) -> list[str]:
    found = instance.fetch_observations(FORECAST_RMSE, limit=100, ascending=True)  # type: ignore[arg-type]
    events = [record.event_log_entry.asset_observation for record in found.records]
    return [
        f"{e.description} -> {e.metadata['channel'].value}"
        for e in events
        if e and "channel" in e.metadata
    ]


def test_a_message_reaches_every_channel_and_the_page_says_so(instance: dg.DagsterInstance):
    stands = Stands([Stand("Slack 1"), Stand("JSON 2")])
    done = deliver(instance, stands, (message(),), now=0.0)
    assert (done.left, done.sent, done.problems) == ((), 2, ())
    assert [stand.taken for stand in stands.stands] == [["breach"], ["breach"]]
    assert observed(instance) == ["breach -> Slack 1", "breach -> JSON 2"]


def test_a_tick_that_is_killed_after_sending_sends_nothing_again(instance: dg.DagsterInstance):
    stands = Stands([Stand("Slack 1")])
    outbox = (message(),)
    deliver(instance, stands, outbox, now=0.0)  # its cursor was never stored
    assert deliver(instance, stands, outbox, now=1.0).left == ()
    assert stands.stands[0].taken == ["breach"]


def test_a_tick_that_is_killed_between_two_channels_goes_on_with_the_second(
    instance: dg.DagsterInstance,
):
    first, second = Stand("Slack 1"), Stand("JSON 2")

    def killed(_: Message) -> None:
        raise Killed

    second.send = killed  # type: ignore[method-assign]
    with pytest.raises(Killed):
        deliver(instance, Stands([first, second]), (message(),), now=0.0)
    second = Stand("JSON 2")
    assert deliver(instance, Stands([first, second]), (message(),), now=1.0).left == ()
    assert (first.taken, second.taken) == (["breach"], ["breach"])


def test_a_channel_that_refuses_is_tried_again_later_and_later_and_loses_nothing(
    instance: dg.DagsterInstance,
):
    well, ill = Stand("Slack 1"), Stand("JSON 2", refusals=4)
    outbox, waits, now = (message(), message("recovery")), [], 0.0
    while outbox:
        outbox = deliver(instance, Stands([well, ill]), outbox, now).left
        if outbox:
            # Told to wait, it waits.
            assert deliver(instance, Stands([well, ill]), outbox, now + 1).left == outbox
            waits.append(outbox[0].not_before - now)
            now = outbox[0].not_before
    assert waits == [30, 60, 120, 240]
    # The well channel is told once and at once; the ill one in order, recovery after breach.
    assert well.taken == ["breach", "recovery"]
    assert ill.taken == ["breach", "recovery"]
    found = instance.fetch_observations(FORECAST_RMSE, limit=100).records  # type: ignore[arg-type]
    seen = [r.event_log_entry.asset_observation.description for r in found]  # type: ignore[union-attr]
    assert [text for text in seen if text and "NOT DELIVERED" in text] == [
        "NOT DELIVERED after 3 attempts, which go on: breach"
    ]


def test_without_a_channel_the_page_is_told(instance: dg.DagsterInstance):
    assert deliver(instance, Stands([]), (message(),), now=0.0).left == ()
    assert deliver(instance, Stands([]), (message(),), now=0.0).left == ()
    assert observed(instance) == [f"breach -> {PAGE_ONLY}"]


def test_channels_that_can_not_be_opened_lose_nothing(instance: dg.DagsterInstance):
    class Broken:
        def channels(self) -> list[Stand]:
            raise SettingsError("notification URL 1 of 1 is none that apprise knows")

    done = deliver(instance, Broken(), (message(),), now=0.0)
    assert [(left.id, left.attempts, left.not_before) for left in done.left] == [
        ("sample/breach/2013-03-01", 1, 30.0)
    ]
    assert done.problems == ("notification URL 1 of 1 is none that apprise knows",)


def test_a_long_wait_is_an_hour(instance: dg.DagsterInstance):
    ill = Stand("JSON 1", refusals=1)
    outbox = (Pending(**{**vars(message()), "attempts": 50}),)
    assert deliver(instance, Stands([ill]), outbox, now=0.0).left[0].not_before == 3600
