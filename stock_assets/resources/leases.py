"""Rights that one process at a time has, on any number of machines that share nothing but a store.

An object in the store says who has it and until when. It is only ever replaced as the one that was
read (a conditional PUT; in a folder under a file lock), so of several that try, one succeeds. Its
holder renews it while it lives. Others take it over at once where it is free or its process is gone
from this machine; else when it has not changed for its whole duration, watched from here: no clock
of another machine is trusted.

A holder that was suspended for that long may come back and not know. So who writes asks `check`
before: it answers from memory while the last renewal is younger than the duration, since nobody can
have watched for longer than that, and asks the store otherwise. What is held up between that answer
and its write is written all the same: an object store has no means against it.
"""

import json
import logging
import platform
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from stock_assets.errors import LostLeaseError, ObjectStoreError, StockAssetsError
from stock_assets.local.process_identity import ProcessIdentity, this_process
from stock_assets.resources.object_store import ObjectStore

SECONDS = 60.0
"""A lease lasts that long without being renewed."""
_LOOK_SECONDS = 1.0
_UNREADABLE = {"id": "unknown", "machine": "", "pid": 0, "started": 0.0}
# Counts while the machine sleeps too, where there is such a clock.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Right:
    """What is held of a dataset.

    Args:
        store: The dataset.
        key: Of the object that says who has it.
        what: What it is the right to write, in words.
    """

    store: ObjectStore
    key: str
    what: str

    @property
    def place(self) -> tuple[str, str | None, str]:
        """What tells it from any other."""
        connection = self.store.connection
        return self.store.uri, connection.endpoint_url if connection else None, self.key


@dataclass
class Lease:
    """A right, held.

    `number`: grows by one with each taking, so whoever held it as n and now holds it as n + 1 knows
    that nobody wrote between.
    """

    number: int
    _right: Right
    _content: dict[str, Any]
    _tag: str
    _renewed: float
    _lost: str | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def check(self) -> None:
        """Refuses to go on for a writer that another took the lease from.

        Raises:
            LostLeaseError: Names who holds it now.
            ObjectStoreError: It could not be renewed in time, and the store does not answer.
        """
        if self._lost is None and _now() - self._renewed >= self._content["seconds"]:
            self.renew()
        if self._lost is not None:
            raise LostLeaseError(
                f"{self._content['who']} may not write {self._right.what} any more:"
                f" {self._lost}; run it again"
            )

    def renew(self) -> None:
        """Says in the store that the holder still lives."""
        self._replace({})

    def release(self) -> None:
        """Lets the next one take it.

        Raises:
            LostLeaseError: Another one has.
        """
        self._replace({"id": None})
        self.check()

    def _replace(self, news: dict[str, Any]) -> None:
        with self._lock:
            if self._lost is not None or self._content["id"] is None:
                return
            content = _lasting(self._content | news)
            began = _now()
            tag = self._right.store.put_if(self._right.key, _encoded(content), self._tag)
            if tag is None:
                # Also where an answer was lost on its way and the PUT was sent again.
                now = found(self._right)
                self._lost = self._why_lost(now and now[0])
                if self._lost is None and now:
                    tag = self._right.store.put_if(self._right.key, _encoded(content), now[1])
            if tag is not None:
                self._content, self._tag, self._renewed = content, tag, began

    def _why_lost(self, found: dict[str, Any] | None) -> str | None:
        if found is None:
            return f"somebody deleted {self._right.key}"
        if found["number"] == self.number and found.get("id") in {None, self._content["id"]}:
            return None
        return (
            f"it was held up for more than {self._content['seconds']:g} s, and {_holder(found)}"
            " took over"
        )


@dataclass(frozen=True)
class Taking:
    """How a right is taken.

    Args:
        who: What takes it, in words that others are told ("run").
        on_wait: Is told once who is waited for.
        seconds: How long it lasts without being renewed.
        process: Who holds it.
    """

    who: str
    on_wait: Callable[[str], None] | None = None
    seconds: float = SECONDS
    process: ProcessIdentity = field(default_factory=this_process)


@dataclass
class _Held:
    """What one process holds of one right, for all of its threads."""

    entering: threading.Lock = field(default_factory=threading.Lock)
    lease: Lease | None = None
    count: int = 0
    over: threading.Event = field(default_factory=threading.Event)


_of_process: dict[tuple[str, str | None, str], _Held] = {}
_registering = threading.Lock()


@contextmanager
def held(right: Right, taking: Taking) -> Iterator[Lease]:
    """A right for the block; waits for whoever has it.

    A process that has it enters again at once, in any of its threads, and has one lease.

    Raises:
        LostLeaseError: On leaving: another one took it over, the holder was held up for too long.
    """
    with _registering:
        mine = _of_process.setdefault(right.place, _Held())
    lease = _enter(mine, right, taking)
    try:
        yield lease
    except BaseException:
        with suppress(StockAssetsError):
            _leave(mine)
        raise
    _leave(mine)


@contextmanager
def given_up(right: Right, taking: Taking) -> Iterator[bool]:
    """Gives up a right that is held for the block, and waits for it again at its end.

    The block is told whether others may have it: not where something else in this process holds it.

    Raises:
        LostLeaseError: Another one took it over before.
    """
    mine = _of_process[right.place]
    try:
        _leave(mine)
        yield mine.lease is None
    finally:  # also where it was lost: whoever entered the block around this one leaves it, too
        _enter(mine, right, taking)


def _enter(mine: _Held, right: Right, taking: Taking) -> Lease:
    with mine.entering:
        if mine.lease is None:
            mine.lease = _taken(right, taking)
            mine.over = threading.Event()
            threading.Thread(
                target=_renewed, args=(mine.lease, taking.seconds, mine.over), daemon=True
            ).start()
        mine.count += 1
        return mine.lease


def _leave(mine: _Held) -> None:
    with mine.entering:
        mine.count -= 1
        if mine.count == 0 and mine.lease:
            lease, mine.lease = mine.lease, None
            mine.over.set()
            lease.release()


def _renewed(lease: Lease, seconds: float, over: threading.Event) -> None:
    while not over.wait(seconds / 3):
        try:
            lease.renew()
        except ObjectStoreError as error:
            _log.warning("the right to write could not be renewed: %s", error)


def _taken(right: Right, taking: Taking) -> Lease:
    store, key = right.store, right.key
    process, on_wait, seconds = taking.process, taking.on_wait, taking.seconds
    mine = {
        "id": uuid.uuid4().hex,
        "who": taking.who,
        "host": platform.node(),
        "machine": process.machine,
        "pid": process.pid,
        "started": process.started,
        "seconds": seconds,
    }
    seen, since = None, 0.0
    while True:
        now = found(right)
        if now is None:
            content, tag, free = {"number": 0}, None, True
        else:
            content, tag = now
            if tag != seen:
                seen, since = tag, time.monotonic()
            free = _is_free(content, time.monotonic() - since)
        if free:
            wanted = _lasting(mine | {"number": content["number"] + 1})
            began = _now()
            store.put_if(key, _encoded(wanted), tag)
            # What stands there now decides: an answer may have been lost on its way.
            now = found(right)
            if now and now[0].get("id") == mine["id"]:
                return Lease(wanted["number"], right, wanted, now[1], began)
            continue
        if on_wait:
            on_wait(f"waiting for {_holder(content)}, which writes {right.what}")
            on_wait = None
        time.sleep(min(_LOOK_SECONDS, seconds / 20))


def _is_free(content: dict[str, Any], unchanged: float) -> bool:
    if content.get("id") is None or unchanged >= content.get("seconds", SECONDS):
        return True
    return ProcessIdentity(content["machine"], content["pid"], content["started"]).is_gone()


def found(right: Right) -> tuple[dict[str, Any], str] | None:
    """What the store says of a right, and the tag of the object; None where nobody had it yet."""
    now = right.store.find_with_tag(right.key)
    if now is None:
        return None
    try:
        content = json.loads(now[0])
        return content | {"number": int(content["number"])}, now[1]
    except (ValueError, KeyError, TypeError, RecursionError):
        # Whoever holds it will renew it; its number is one that nobody can have seen.
        return _UNREADABLE | {"number": int(time.time())}, now[1]


def _lasting(content: dict[str, Any]) -> dict[str, Any]:
    """The content with an end, which no rule looks at: for people, and to be another content."""
    until = datetime.now(UTC) + timedelta(seconds=content["seconds"])
    return content | {"until": until.isoformat()}


def _encoded(content: dict[str, Any]) -> bytes:
    return json.dumps(content).encode()


def _holder(content: dict[str, Any]) -> str:
    if "who" not in content:
        return "another process"
    return f"`{content['who']}` of {content['host']}:{content['pid']}"


def _now() -> float:
    return time.clock_gettime(_CLOCK)
