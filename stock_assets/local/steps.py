"""How far the work under way is: whoever works tells it, whoever shows it listens.

Work is done inside Dagster, by threads too, and Dagster hands a step nothing of the command that
runs it. So the command listens here, in its own process. In a run of the page nobody does.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """How much of a partition is done.

    Args:
        asset: Its name.
        key: Of the partition.
        share: Done of it, from 0 to 1; 1 where it is stored.
        done: The same counted, where `of` is not 0: trials of a search.
        of: How many there will be.
    """

    asset: str
    key: str
    share: float = 1.0
    done: int = 0
    of: int = 0


_listeners: list[Callable[[Step], None]] = []


def tell(step: Step) -> None:
    """From any thread."""
    for listener in _listeners:
        listener(step)


@contextmanager
def listened_to(listener: Callable[[Step], None]) -> Iterator[None]:
    """Whatever is told within the block, the listener hears; it must be quick and never fail."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
