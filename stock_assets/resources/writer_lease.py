"""One writer at a time per dataset, and one training of a month, on any number of machines.

Training holds no right to write: it stores nothing but what nobody looks for yet. It holds one of
its month instead, so that of two machines one trains and the other one finds what that trained.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

from stock_assets.errors import LostLeaseError
from stock_assets.local.process_identity import ProcessIdentity, this_process
from stock_assets.resources.leases import SECONDS, Lease, Right, Taking, found, given_up, held
from stock_assets.resources.object_store import ObjectStore

__all__ = ["KEY", "Lease", "others_may_write", "training_once", "writing", "writings_over"]

KEY = "lease/writer.json"


def writing(
    store: ObjectStore,
    who: str,
    on_wait: Callable[[str], None] | None = None,
    *,
    seconds: float = SECONDS,
    process: ProcessIdentity | None = None,
) -> AbstractContextManager[Lease]:
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
    return held(_writing(store), Taking(who, on_wait, seconds, process or this_process()))


def others_may_write(
    store: ObjectStore, who: str, on_wait: Callable[[str], None] | None = None
) -> AbstractContextManager[bool]:
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
    return given_up(_writing(store), Taking(who, on_wait))


@contextmanager
def training_once(
    store: ObjectStore, month: str, on_wait: Callable[[str], None] | None = None
) -> Iterator[None]:
    """Holds back other trainings of a month for the block, on any machine; waits for theirs.

    Who was held up for so long that another one took over trains it a second time, which costs
    that time and nothing else: equal trainings are one version.
    """
    dataset = store.uri.rpartition("/")[2]
    right = Right(store, f"lease/training/{month}.json", f"the model of {month} of {dataset}")
    with suppress(LostLeaseError), held(right, Taking(f"training of {month}", on_wait)):
        yield


def writings_over(store: ObjectStore) -> int:
    """How many writings of the dataset are over: the next lease has a higher number than that.

    A plan that is made now knows of all these, and of no other for certain.
    """
    now = found(_writing(store))
    if now is None:
        return 0
    content, _ = now
    return int(content["number"]) - (content.get("id") is not None)


def _writing(store: ObjectStore) -> Right:
    return Right(store, KEY, store.uri.rpartition("/")[2])
