"""One writer at a time per dataset, on any number of machines that share nothing but the store.

An object in the store says who writes and until when. It is only ever replaced as the one that was
read (a conditional PUT; in a folder under a file lock), so of several that try, one succeeds. Its
holder renews it while it lives. Others take it over at once where it is free or its process is gone
from this machine; else when it has not changed for its whole duration, watched from here: no clock
of another machine is trusted.

Training holds no right to write: it stores nothing but what nobody looks for yet. It holds one of
its month instead, made in the same way, so that of two machines one trains and the other one finds
what that trained.

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

KEY = "lease/writer.json"
_TRAININGS = "lease/training"
_SECONDS = 60.0
_LOOK_SECONDS = 1.0
_UNREADABLE = {"id": "unknown", "machine": "", "pid": 0, "started": 0.0}
# Counts while the machine sleeps too, where there is such a clock.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_log = logging.getLogger(__name__)


@dataclass
class Lease:
    """The right to write, held.

    `number`: grows by one with each taking, so whoever held it as n and now holds it as n + 1 knows
    that nobody wrote between.
    """

    number: int
    _store: ObjectStore
    _content: dict[str, Any]
    _tag: str
    _renewed: float
    _key: str = KEY
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
                f"{self._content['who']} may not write {_held_of(self._store, self._key)} any more:"
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
            tag = self._store.put_if(self._key, _encoded(content), self._tag)
            if tag is None:
                # Also where an answer was lost on its way and the PUT was sent again.
                found = _found(self._store, self._key)
                self._lost = self._why_lost(found and found[0])
                if self._lost is None and found:
                    tag = self._store.put_if(self._key, _encoded(content), found[1])
            if tag is not None:
                self._content, self._tag, self._renewed = content, tag, began

    def _why_lost(self, found: dict[str, Any] | None) -> str | None:
        if found is None:
            return f"somebody deleted {self._key}"
        if found["number"] == self.number and found.get("id") in {None, self._content["id"]}:
            return None
        return (
            f"it was held up for more than {self._content['seconds']:g} s, and {_holder(found)}"
            " took over"
        )


@dataclass
class _Held:
    """What one process holds of one key of a dataset, for all of its threads."""

    entering: threading.Lock = field(default_factory=threading.Lock)
    lease: Lease | None = None
    count: int = 0
    over: threading.Event = field(default_factory=threading.Event)


_of_process: dict[tuple[str, str | None, str], _Held] = {}
_registering = threading.Lock()


@contextmanager
def writing(
    store: ObjectStore,
    who: str,
    on_wait: Callable[[str], None] | None = None,
    *,
    seconds: float = _SECONDS,
    process: ProcessIdentity | None = None,
) -> Iterator[Lease]:
    """The right to write the dataset for the block; waits for whoever has it.

    A process that holds it enters again at once, in any of its threads, and has one lease.

    Args:
        store: The dataset.
        who: What writes, in words that others are told ("run").
        on_wait: Is told once who is waited for.
        seconds: How long it lasts without being renewed.
        process: Who holds it; this process.

    Raises:
        LostLeaseError: On leaving: another one took it over, the holder was held up for too long.
    """
    with _held(store, KEY, _Taking(who, on_wait, seconds, process or this_process())) as lease:
        yield lease


@contextmanager
def others_may_write(
    store: ObjectStore, who: str, on_wait: Callable[[str], None] | None = None
) -> Iterator[bool]:
    """Gives up the right to write for the block, and waits for it again at its end.

    Where something else in this process holds it too, as a command does while it runs Dagster, it
    stays with the process; the block is told whether others may write.

    Args:
        store: The dataset, which the caller is writing.
        who: See `writing`.
        on_wait: See `writing`.

    Raises:
        LostLeaseError: Another one took it over before.
    """
    held = _of_process[_place(store, KEY)]
    _leave(held)
    try:
        yield held.lease is None
    finally:
        _enter(held, store, KEY, _Taking(who, on_wait, _SECONDS, this_process()))


@contextmanager
def training_once(
    store: ObjectStore, month: str, on_wait: Callable[[str], None] | None = None
) -> Iterator[None]:
    """Holds back other trainings of a month for the block, on any machine; waits for theirs.

    Who was held up for so long that another one took over trains it a second time, which costs
    that time and nothing else: equal trainings are one version.
    """
    taking = _Taking(f"training of {month}", on_wait, _SECONDS, this_process())
    with suppress(LostLeaseError), _held(store, f"{_TRAININGS}/{month}.json", taking):
        yield


@dataclass(frozen=True)
class _Taking:
    """Who takes a lease, and how."""

    who: str
    on_wait: Callable[[str], None] | None
    seconds: float
    process: ProcessIdentity


@contextmanager
def _held(store: ObjectStore, key: str, taking: _Taking) -> Iterator[Lease]:
    with _registering:
        held = _of_process.setdefault(_place(store, key), _Held())
    lease = _enter(held, store, key, taking)
    try:
        yield lease
    except BaseException:
        with suppress(StockAssetsError):
            _leave(held)
        raise
    _leave(held)


def _place(store: ObjectStore, key: str) -> tuple[str, str | None, str]:
    return store.uri, store.connection.endpoint_url if store.connection else None, key


def _enter(held: _Held, store: ObjectStore, key: str, taking: _Taking) -> Lease:
    with held.entering:
        if held.lease is None:
            held.lease = _taken(store, key, taking)
            held.over = threading.Event()
            threading.Thread(
                target=_renewed, args=(held.lease, taking.seconds, held.over), daemon=True
            ).start()
        held.count += 1
        return held.lease


def writings_over(store: ObjectStore) -> int:
    """How many writings of the dataset are over: the next lease has a higher number than that.

    A plan that is made now knows of all these, and of no other for certain.
    """
    found = _found(store, KEY)
    if found is None:
        return 0
    content, _ = found
    return int(content["number"]) - (content.get("id") is not None)


def _leave(held: _Held) -> None:
    with held.entering:
        held.count -= 1
        if held.count == 0 and held.lease:
            lease, held.lease = held.lease, None
            held.over.set()
            lease.release()


def _renewed(lease: Lease, seconds: float, over: threading.Event) -> None:
    while not over.wait(seconds / 3):
        try:
            lease.renew()
        except ObjectStoreError as error:
            _log.warning("the right to write could not be renewed: %s", error)


def _taken(store: ObjectStore, key: str, taking: _Taking) -> Lease:
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
        found = _found(store, key)
        if found is None:
            content, tag, free = {"number": 0}, None, True
        else:
            content, tag = found
            if tag != seen:
                seen, since = tag, time.monotonic()
            free = _is_free(content, time.monotonic() - since)
        if free:
            wanted = _lasting(mine | {"number": content["number"] + 1})
            began = _now()
            store.put_if(key, _encoded(wanted), tag)
            # What stands there now decides: an answer may have been lost on its way.
            found = _found(store, key)
            if found and found[0].get("id") == mine["id"]:
                return Lease(wanted["number"], store, wanted, found[1], began, key)
            continue
        if on_wait:
            on_wait(f"waiting for {_holder(content)}, which writes {_held_of(store, key)}")
            on_wait = None
        time.sleep(min(_LOOK_SECONDS, seconds / 20))


def _is_free(content: dict[str, Any], unchanged: float) -> bool:
    if content.get("id") is None or unchanged >= content.get("seconds", _SECONDS):
        return True
    return ProcessIdentity(content["machine"], content["pid"], content["started"]).is_gone()


def _found(store: ObjectStore, key: str) -> tuple[dict[str, Any], str] | None:
    found = store.find_with_tag(key)
    if found is None:
        return None
    try:
        content = json.loads(found[0])
        return content | {"number": int(content["number"])}, found[1]
    except (ValueError, KeyError, TypeError, RecursionError):
        # Whoever holds it will renew it; its number is one that nobody can have seen.
        return _UNREADABLE | {"number": int(time.time())}, found[1]


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


def _held_of(store: ObjectStore, key: str) -> str:
    """What a lease is the right to, in words: a dataset, or the model of a month of it."""
    dataset, month = store.uri.rpartition("/")[2], key.rpartition("/")[2].partition(".")[0]
    return dataset if key == KEY else f"the model of {month} of {dataset}"


def _now() -> float:
    return time.clock_gettime(_CLOCK)
