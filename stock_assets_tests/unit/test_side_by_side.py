"""Months side by side: in order, lenders first, and an error at its own turn."""

import threading
from collections.abc import Generator

import pytest

from stock_assets.assets.side_by_side import lenders_ahead, made_ahead, side_by_side

MONTHS = [f"2020-0{n}" for n in range(1, 8)]
LENDER_OF = dict(zip(MONTHS, [MONTHS[0]] * 3 + [MONTHS[3]] * 3 + [MONTHS[6]], strict=True))
ALONE = {month: month for month in MONTHS}
SECONDS = 20


def test_the_first_of_the_next_block_is_begun_before_those_that_wait():
    assert [month[-1] for month in lenders_ahead(MONTHS, LENDER_OF)] == list("1423756")
    assert lenders_ahead(MONTHS, ALONE) == MONTHS
    # Whose lender is of another run waits for nobody.
    assert lenders_ahead(MONTHS[1:3], LENDER_OF) == MONTHS[1:3]


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_order_and_lenders_are_finished_before(threads: int):
    finished: list[str] = []

    def work(month: str) -> str:
        lender = LENDER_OF[month]
        assert lender == month or lender in finished
        finished.append(month)
        return month

    assert list(side_by_side(work, MONTHS, LENDER_OF, threads, ahead=3)) == MONTHS
    assert sorted(finished) == MONTHS


def test_two_are_worked_on_at_once():
    both = threading.Barrier(2, timeout=SECONDS)
    assert len(list(side_by_side(lambda _month: both.wait(), MONTHS[:6], ALONE, 2, ahead=2))) == 6


def test_no_more_are_begun_than_may_be_lost():
    begun: list[str] = []
    results = side_by_side(begun.append, MONTHS, ALONE, 1, ahead=2)
    next(results)
    results.close()
    assert len(begun) <= 3


def test_an_error_comes_at_its_months_turn_and_the_rest_is_left():
    begun: list[str] = []

    def work(month: str) -> str:
        begun.append(month)
        if month == MONTHS[1]:
            raise RuntimeError("on purpose")
        return month

    results = side_by_side(work, MONTHS, ALONE, 2, ahead=2)
    assert next(results) == MONTHS[0]
    with pytest.raises(RuntimeError, match="on purpose"):
        next(results)
    assert MONTHS[6] not in begun


def test_results_are_made_while_nobody_takes_them_and_none_after_that_is_over():
    all_made, made = threading.Event(), []

    def months(count: int) -> Generator[str, None, None]:
        for month in MONTHS[:count]:
            made.append(month)
            yield month
        all_made.set()
        raise RuntimeError("on purpose")

    results = made_ahead(months(3))
    assert next(results) == MONTHS[0]
    assert all_made.wait(SECONDS)
    assert [next(results), next(results)] == MONTHS[1:3]
    with pytest.raises(RuntimeError, match="on purpose"):
        next(results)

    turn = threading.Semaphore(1)

    def slow() -> Generator[str, None, None]:
        for month in MONTHS:
            assert turn.acquire(timeout=SECONDS)
            made.append(month)
            yield month

    made.clear()
    left = made_ahead(slow())
    next(left)
    threading.Timer(0.2, turn.release).start()
    left.close()
    assert made == MONTHS[:2]
