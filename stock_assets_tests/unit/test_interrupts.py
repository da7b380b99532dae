import os
import signal
from contextlib import suppress

import pytest

from stock_assets.backfill.interrupts import noted_interrupts


def strike(number: int = signal.SIGINT) -> None:
    os.kill(os.getpid(), number)


@pytest.fixture(autouse=True)
def own_handlers():
    """SIGTERM's usual handler would end the tests."""

    def interrupt(*_):
        raise KeyboardInterrupt

    before = {n: signal.signal(n, interrupt) for n in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_error_made_of_an_interrupt_is_an_interrupt(number: int):
    def strike_into_foreign_code():
        try:
            strike(number)
        except KeyboardInterrupt as error:
            raise ValueError("failed to extract stable_cache_key") from error

    with pytest.raises(KeyboardInterrupt) as raised, noted_interrupts():
        strike_into_foreign_code()
    assert isinstance(raised.value.__cause__, ValueError)


def test_a_swallowed_interrupt_is_known():
    with noted_interrupts() as interrupted:
        assert not interrupted()
        with suppress(KeyboardInterrupt):
            strike()
        assert interrupted()
        assert interrupted()


def test_other_errors_stay_what_they_are():
    with pytest.raises(ValueError, match="a plain one"), noted_interrupts():
        raise ValueError("a plain one")


def test_another_signal_is_no_interrupt():
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        with noted_interrupts() as interrupted:
            strike(signal.SIGUSR1)
            assert not interrupted()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_an_inner_block_leaves_the_outer_ones_notes_as_they_were():
    with noted_interrupts() as outer:
        with pytest.raises(KeyboardInterrupt), noted_interrupts():
            strike()
        assert not outer()  # the inner block has told of it
        with suppress(KeyboardInterrupt):
            strike()
        assert outer()
