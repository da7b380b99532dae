"""What the sensor remembers from one tick to the next, in its cursor.

Dagster stores the cursor after a tick, in one write. A tick that is killed before leaves the old
one, and the next tick sees the same events again and decides the same.
"""

from dataclasses import replace
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from stock_assets.monitoring.absence import AbsenceState
from stock_assets.monitoring.episodes import EpisodeState
from stock_assets.monitoring.messages import Pending


@dataclass(frozen=True)
class UnpushedMetrics:
    """The newest session's metrics, which the gateway did not take yet."""

    session: str
    attempts: int = 0
    not_before: float = 0.0


@dataclass(frozen=True)
class Memory:
    """Everything.

    Args:
        dataset: Whose errors these are: those of another start anew.
        after: Number of the last event seen; None before the first look.
        episode: Of the errors.
        absence: Of what is missing.
        retrained: Session of the last retrain that was requested; empty for none.
        outbox: Messages to deliver, oldest first.
        unpushed: Metrics to push again.
    """

    dataset: str = ""
    after: int | None = None
    episode: EpisodeState = EpisodeState()
    absence: AbsenceState = AbsenceState()
    retrained: str = ""
    outbox: tuple[Pending, ...] = ()
    unpushed: UnpushedMetrics | None = None


@lru_cache
def _schema() -> TypeAdapter[Memory]:
    return TypeAdapter(Memory)


def read_memory(cursor: str | None, dataset: str) -> tuple[Memory, str | None]:
    """The memory of a cursor, and what is wrong with it, if anything is.

    A cursor that can't be read starts anew: the newest session is judged again, and the record of
    what was sent keeps people from being told twice. Messages outlive a change of dataset.
    """
    if not cursor:
        return Memory(dataset), None
    try:
        memory = _schema().validate_json(cursor)
    except ValidationError as error:
        return Memory(
            dataset
        ), f"the cursor can't be read, so this starts anew: {error.errors()[0]['msg']}"
    if memory.dataset != dataset:
        return replace(Memory(dataset), outbox=memory.outbox), None
    return memory, None


def write_memory(memory: Memory) -> str:
    written: Any = _schema().dump_json(memory)
    return str(written.decode())
