"""Months worked on side by side, a thread each, whose results come in order."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from queue import SimpleQueue
from threading import Event
from typing import Any, TypeVar

Result = TypeVar("Result")


def side_by_side(
    work: Callable[[str], Result],
    months: Sequence[str],
    lender_of: Mapping[str, str],
    threads: int,
    ahead: int,
) -> Iterator[Result]:
    """What `work` gives for each month, in the order of the months.

    Args:
        work: For a month; errors come out at the month's turn, those before it are finished.
        months: Ascending.
        lender_of: The month that each month's work needs to be finished before, where that is one
            of `months`; itself where it needs none.
        threads: At most.
        ahead: Months that may be begun beyond the one whose turn it is; 1 at least. What is
            finished and not yet taken, a kill loses.
    """
    under_way: dict[str, Future[Result]] = {}

    def after_its_lender(month: str) -> Result:
        lender = lender_of[month]
        if lender != month and lender in under_way:
            under_way[lender].result()
        return work(month)

    waiting = iter(lenders_ahead(months, lender_of))
    with ThreadPoolExecutor(threads) as pool:
        try:
            for done, month in enumerate(months):
                for one in islice(waiting, 1 + done + ahead - len(under_way)):
                    under_way[one] = pool.submit(after_its_lender, one)
                yield under_way[month].result()
        finally:
            for future in under_way.values():
                future.cancel()


def made_ahead(results: Generator[Result, None, None]) -> Iterator[Result]:
    """The same results, made in a thread of their own however slowly they are taken.

    Whoever takes no more of them waits for the one under way.
    """
    ready: SimpleQueue[Any] = SimpleQueue()
    left, over = Event(), object()

    def make() -> None:
        with closing(results):
            for result in results:
                ready.put(result)
                if left.is_set():
                    break

    with ThreadPoolExecutor(1) as maker:
        making = maker.submit(make)
        making.add_done_callback(lambda _: ready.put(over))
        try:
            while (result := ready.get()) is not over:
                yield result
            making.result()
        finally:
            left.set()


def lenders_ahead(months: Sequence[str], lender_of: Mapping[str, str]) -> list[str]:
    """The order in which months are begun: each lender before those that wait for the one before.

    So a thread finds work while a block's first month is searched.
    """
    lenders = [month for month in months if lender_of[month] == month]
    order: list[str] = []
    for month in months:
        next_lenders = [lender for lender in lenders if lender > month]
        order += [month] if lender_of[month] == month else [*next_lenders[:1], month]
    return list(dict.fromkeys(order))
