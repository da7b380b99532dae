"""Waiting for what other processes do."""

import time
from collections.abc import Callable
from typing import Any

import pytest


def until(what: str, see: Callable[[], Any], seconds: float = 150.0) -> Any:
    """What is seen, as soon as it is something; a server that does not answer yet is waited for."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            seen = see()
        except OSError:
            seen = None
        if seen:
            return seen
        time.sleep(0.3)
    pytest.fail(f"{what} was not seen within {seconds:.0f} s")
