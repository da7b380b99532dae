"""Where processes that a test started let others in."""

from collections.abc import Iterator
from contextlib import suppress

import psutil


def listening() -> list[str]:
    """The addresses at which what this process started listens, with all that it started."""
    return sorted({address for process in _started() for address in _addresses(process)})


def _started() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def _addresses(process: psutil.Process) -> Iterator[str]:
    with suppress(psutil.Error):
        for one in process.net_connections(kind="inet"):
            if one.status == psutil.CONN_LISTEN:
                yield one.laddr.ip
