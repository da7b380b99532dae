"""Real apprise, a webhook on loopback; URLs are secrets wherever they could show."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from stock_assets.cli import main
from stock_assets.commands.doctor import diagnose
from stock_assets.environment import load_settings
from stock_assets.errors import NotificationError, SettingsError
from stock_assets.resources.notifier import Message, Notifier
from stock_assets.settings import Settings
from stock_assets_tests.loopback import Inbox, inbox

TOKEN = "T0pS3cret"
HELLO = Message("title", "line 1\nline 2", "failure")


@pytest.fixture
def webhook() -> Iterator[Inbox]:
    with inbox() as taken:
        yield taken


def address(webhook: Inbox) -> str:
    return webhook.url.replace("http://", f"json://user:{TOKEN}@") + f"/{TOKEN}"


def everything_logged(caplog: pytest.LogCaptureFixture) -> str:
    return caplog.text + "".join(record.getMessage() for record in caplog.records)


def test_a_message_arrives_and_no_log_line_shows_the_address(
    webhook: Inbox, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    for name in ("apprise", "urllib3", "requests"):
        caplog.set_level(logging.DEBUG, logger=name)
    (channel,) = Notifier(Settings(notify_urls=address(webhook))).channels()
    channel.send(HELLO)
    assert [(m["title"], m["message"], m["type"]) for m in webhook.messages] == [
        ("title", "line 1\nline 2", "failure")
    ]
    assert TOKEN not in everything_logged(caplog) + repr(channel)
    assert channel.name == "JSON 1"


@pytest.mark.parametrize(
    ("status", "port", "reason"),
    [(500, None, "answered with HTTP 500"), (404, None, "HTTP 404"), (200, 9, "can't be reached")],
)
def test_a_refusal_says_why_and_keeps_the_secret(
    webhook: Inbox,
    caplog: pytest.LogCaptureFixture,
    status: int,
    port: int | None,
    reason: str,
):
    caplog.set_level(logging.DEBUG)
    webhook.status = status
    url = f"json://user:{TOKEN}@127.0.0.1:{port}/{TOKEN}" if port else address(webhook)
    (channel,) = Notifier(Settings(notify_urls=url)).channels()
    with pytest.raises(NotificationError, match=reason) as refused:
        channel.send(HELLO)
    shown = everything_logged(caplog) + repr(refused.value) + repr(refused.value.__cause__)
    assert TOKEN not in shown


def test_an_error_inside_a_plugin_is_a_refusal_without_its_text(monkeypatch: pytest.MonkeyPatch):
    (channel,) = Notifier(Settings(notify_urls=f"json://127.0.0.1/{TOKEN}")).channels()

    def explode(**_: object) -> bool:
        raise RuntimeError(TOKEN)

    monkeypatch.setattr(channel._service, "notify", explode)
    with pytest.raises(NotificationError, match="JSON 1: RuntimeError") as refused:
        channel.send(HELLO)
    assert TOKEN not in str(refused.value)
    assert refused.value.__suppress_context__  # no traceback shows the plugin's error


@pytest.mark.parametrize("url", [f"nothing://{TOKEN}", f"{TOKEN}", f"slack://{TOKEN}"])
def test_a_url_that_nobody_knows_is_refused_by_its_position(
    url: str, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    notifier = Notifier(Settings(notify_urls=f"json://127.0.0.1/a {url}" if "://" in url else url))
    with pytest.raises(SettingsError, match=r"notification URL \d of \d") as refused:
        notifier.channels()
    assert TOKEN not in everything_logged(caplog) + str(refused.value)


def test_urls_come_from_the_variable_and_the_file(tmp_path: Path):
    file = tmp_path / "urls"
    file.write_text("# people\nslack://a/b/c/#alerts\n\nmailto://u:p@h.org?to=a@h.org,b@h.org\n")
    settings = Settings(notify_urls="json://one, json://two", notify_urls_file=file)
    assert settings.notification_urls == (
        "json://one",
        "json://two",
        "slack://a/b/c/#alerts",
        "mailto://u:p@h.org?to=a@h.org,b@h.org",
    )
    with pytest.raises(SettingsError, match="STOCK_ASSETS_NOTIFY_URLS_FILE: can't read"):
        _ = Settings(notify_urls_file=tmp_path / "none").notification_urls


def test_the_address_that_slack_gives_is_taken_as_it_is():
    url = "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
    (channel,) = Notifier(Settings(notify_urls=url)).channels()
    assert channel.name == "Slack 1"


def test_no_setting_shows_its_urls(webhook: Inbox):
    settings = load_settings(notify_urls=address(webhook))
    assert TOKEN not in repr(settings) + str(settings) + settings.model_dump_json()


def test_the_doctor_names_channels_by_service_and_position(webhook: Inbox, tmp_path: Path):
    settings = Settings(store_uri=f"file://{tmp_path}", home=tmp_path, notify_urls=address(webhook))
    (found,) = [finding for finding in diagnose(settings) if finding.part == "notify"]
    assert (found.ok, found.detail) == (
        True,
        "JSON 1; `stock-assets notify-test` sends a message",
    )
    assert webhook.requests == []


def test_a_test_message_is_sent_by_command(
    webhook: Inbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    (tmp_path / "dagster.yaml").touch()
    monkeypatch.setenv("STOCK_ASSETS_HOME", str(tmp_path))
    monkeypatch.setenv("STOCK_ASSETS_NOTIFY_URLS", address(webhook))
    told = CliRunner().invoke(main, ["notify-test"])
    assert (told.exit_code, told.output) == (0, "JSON 1 took the message\n")
    assert webhook.messages[0]["title"] == "stock_assets: a test"
    webhook.status = 403
    told = CliRunner().invoke(main, ["notify-test"])
    assert told.exit_code == 1
    assert "Error: JSON 1: answered with HTTP 403; check the URL of that position" in told.output
    monkeypatch.delenv("STOCK_ASSETS_NOTIFY_URLS")
    told = CliRunner().invoke(main, ["notify-test"])
    assert "no alert channel is set: set STOCK_ASSETS_NOTIFY_URLS" in told.output
