"""How much of a process's time passes inside the pure core, measured while it works.

Every function of `stock_assets.market` and `stock_assets.forecasting` is wrapped in a stopwatch,
which runs while any thread is inside one: months train beside each other. So the pure computation
of a backfill is measured on the very frames that the backfill hands over, in the same run.
"""

import importlib
import pkgutil
import sys
import threading
import time
from collections.abc import Callable
from functools import wraps
from types import FunctionType
from typing import Any

PURE = ("stock_assets.market", "stock_assets.forecasting")
_LEFT_OUT = ("__main__", "calendars")


class Stopwatch:
    """Seconds in which some thread was in the pure core, and each function's own by name.

    Those of functions count an outermost call of a thread whole, so they may add up to more.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.cpu_seconds = 0.0
        self.by_function: dict[str, float] = {}
        self._inside = threading.local()
        self._lock = threading.Lock()
        self._threads = 0
        self._since = (0.0, 0.0)

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        name = f"{function.__module__.removeprefix('stock_assets.')}.{function.__qualname__}"

        @wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            if getattr(self._inside, "now", False):
                return function(*args, **kwargs)
            self._inside.now = True
            start = time.perf_counter()
            self._enter()
            try:
                return function(*args, **kwargs)
            finally:
                self._inside.now = False
                self._leave(name, time.perf_counter() - start)

        return timed

    def _enter(self) -> None:
        with self._lock:
            if self._threads == 0:
                self._since = time.perf_counter(), time.process_time()
            self._threads += 1

    def _leave(self, name: str, took: float) -> None:
        with self._lock:
            self._threads -= 1
            self.by_function[name] = self.by_function.get(name, 0.0) + took
            if self._threads == 0:
                start, cpu = self._since
                self.seconds += time.perf_counter() - start
                self.cpu_seconds += time.process_time() - cpu


def watch_the_pure_core() -> Stopwatch:
    """Wraps the functions wherever the package has a name for them; call before building it."""

    for package in PURE:
        path = importlib.import_module(package).__path__
        for module in pkgutil.walk_packages(path, f"{package}."):
            if not module.name.rpartition(".")[2].startswith(_LEFT_OUT):
                importlib.import_module(module.name)
    watch = Stopwatch()
    wrapped: dict[int, Callable[..., Any]] = {}
    for name, module in list(sys.modules.items()):
        if not name.startswith("stock_assets."):
            continue
        for attribute, value in list(vars(module).items()):
            if isinstance(value, FunctionType) and value.__module__.startswith(PURE):
                wrapped.setdefault(id(value), watch.around(value))
                setattr(module, attribute, wrapped[id(value)])
    return watch
