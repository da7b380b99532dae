"""`stock-assets down`: ends pages, monitor and a store that nobody needs, in this order."""

from stock_assets.commands.monitor import monitor_folder
from stock_assets.commands.pages import pages_folder
from stock_assets.errors import LocalStackError
from stock_assets.local.lease import stop_leftover
from stock_assets.local.processes import stop_started
from stock_assets.settings import Settings


def stop_all(settings: Settings) -> list[str]:
    """Ends what a `ui` or `monitor` runs, or a kill left behind; the names of what was stopped.

    Raises:
        LocalStackError: The store is in use by something else, a run: that is left alone.
    """
    stopped = stop_started(pages_folder(settings)) + stop_started(monitor_folder(settings))
    try:
        if stop_leftover(settings.state_folder / "store"):
            stopped.append("local store")
    except LocalStackError as error:
        if stopped:
            raise LocalStackError(f"stopped: {', '.join(stopped)}; but {error}") from error
        raise
    return stopped
