"""`stock-assets notify-test`: a message that tells whether messages reach people."""

from stock_assets.errors import NotificationError, SettingsError
from stock_assets.resources.notifier import Message, Notifier
from stock_assets.settings import Settings

_TEST = Message(
    "stock_assets: a test",
    "If you read this, alerts of stock_assets reach you. Nothing is wrong.",
    "info",
)


def send_test(settings: Settings) -> list[str]:
    """Sends one message to every channel; the names of those that took it.

    Raises:
        SettingsError: No channel is set, or one can't be understood.
        NotificationError: Some did not take it; names all of them.
    """
    channels = Notifier(settings).channels()
    if not channels:
        raise SettingsError(
            "no alert channel is set: set STOCK_ASSETS_NOTIFY_URLS or STOCK_ASSETS_NOTIFY_URLS_FILE"
        )
    taken, failures = [], []
    for channel in channels:
        try:
            channel.send(_TEST)
        except NotificationError as error:
            failures.append(str(error).partition(";")[0])
        else:
            taken.append(channel.name)
    if failures:
        raise NotificationError(
            f"{'; '.join(failures)}; check the URL of that position"
            + (f" ({', '.join(taken)} took it)" if taken else "")
        )
    return taken
