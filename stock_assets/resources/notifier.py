"""Messages to people: Slack, e-mail, Teams, webhooks and more, each a URL, through apprise.

The URLs are secrets (they hold tokens and passwords): no error, log line or page shows one. A
channel is called by its service and position, "Slack 1".
"""

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from stock_assets.errors import NotificationError, SettingsError
from stock_assets.settings import Settings

if TYPE_CHECKING:
    from apprise import Apprise, AppriseAsset

MessageKind = Literal["info", "success", "warning", "failure"]
# Apprise's own lines and those of the HTTP libraries below it hold addresses, tokens included.
_TALKATIVE = ("apprise", "urllib3", "requests", "requests_oauthlib", "oauthlib")
_SILENT = logging.CRITICAL + 1


@dataclass(frozen=True)
class Message:
    """What a person reads."""

    title: str
    body: str
    kind: MessageKind = "info"


@dataclass(frozen=True)
class Channel:
    """One way to reach people: `name` may be shown, the service may not."""

    name: str
    _service: "Apprise"

    def __repr__(self) -> str:
        return f"Channel({self.name!r})"

    def send(self, message: Message) -> None:
        """Delivers the message or raises; some seconds at most.

        Raises:
            NotificationError: It was not taken; the text names the channel and the answer's number.
        """
        with _silence() as said:
            try:
                taken = bool(
                    self._service.notify(
                        title=message.title,
                        body=message.body,
                        notify_type=message.kind,
                        body_format="text",
                    )
                )
            except Exception as error:  # noqa: BLE001  # of whatever plugin: its text may hold the URL
                raise NotificationError(
                    f"{self.name}: {type(error).__name__}; try `stock-assets notify-test`"
                ) from None
        if not taken:
            raise NotificationError(f"{self.name}: {_reason(said)}; try `stock-assets notify-test`")


class Notifier:
    """The channels of a deployment, in the order of its settings."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @property
    def is_configured(self) -> bool:
        return bool(self._settings.notify_urls or self._settings.notify_urls_file)

    def channels(self) -> list[Channel]:
        """Ready to send; nothing is sent yet.

        Raises:
            SettingsError: A URL is not one that apprise knows; the message gives its position.
        """
        urls = self._settings.notification_urls
        if not urls:
            return []
        import apprise

        channels = []
        for position, url in enumerate(urls, start=1):
            with _silence():
                service = apprise.Apprise(asset=_asset())
                known = service.add(url)
            if not known:
                raise SettingsError(
                    f"notification URL {position} of {len(urls)} is none that apprise knows"
                    f" (it starts with {_scheme(url)!r}); forms: https://appriseit.com/services/"
                )
            channels.append(Channel(f"{service[0].service_name} {position}", service))
        return channels


def _scheme(url: str) -> str:
    scheme, separator, _ = url.partition("://")
    return scheme + separator if separator and scheme.isalnum() else "no scheme"


def _asset() -> "AppriseAsset":
    from apprise import AppriseAsset, PersistentStoreMode

    return AppriseAsset(
        app_id="stock_assets",
        app_desc="stock_assets",
        app_url="",
        # No picture from elsewhere in anybody's message.
        image_url_mask="",
        image_url_logo="",
        async_mode=False,
        secure_logging=True,
        storage_mode=PersistentStoreMode.MEMORY,
    )


@contextmanager
def _silence() -> Iterator[list[str]]:
    """Keeps the libraries' lines from every log; what apprise said is yielded for `_reason`."""
    said: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    listener = Listener()
    own = logging.getLogger("apprise")
    others = [logging.getLogger(name) for name in _TALKATIVE if name != own.name]
    before = [(logger, logger.level, logger.propagate) for logger in (own, *others)]
    own.addHandler(listener)
    own.propagate = False
    own.setLevel(logging.WARNING)
    for logger in others:
        logger.setLevel(_SILENT)
    try:
        yield said
    finally:
        own.removeHandler(listener)
        for logger, level, propagate in before:
            logger.setLevel(level)
            logger.propagate = propagate


def _reason(said: Sequence[str]) -> str:
    """Why nothing was delivered, without quoting: the lines hold the address."""
    text = " ".join(said)
    if number := re.search(r"error=(\d{3})\b", text):
        return f"answered with HTTP {number.group(1)}"
    if "onnection error" in text or "ocket" in text:
        return "can't be reached"
    return "did not take the message"
