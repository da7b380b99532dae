"""How much of a process's time passes inside the pure core, measured while it works.

Every function of `stock_assets.market` and `stock_assets.forecasting` is wrapped in a stopwatch; of
calls within calls only the outermost counts, and only on the main thread, which waits for the
others. So the pure computation of a backfill is measured on the very frames that the backfill
hands over, in the same run.
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
    """Seconds spent in the pure core so far, and by function."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.cpu_seconds = 0.0
        self.by_function: dict[str, float] = {}
        self._inside = False

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        name = f"{function.__module__.removeprefix('stock_assets.')}.{function.__qualname__}"

        @wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            if self._inside or threading.current_thread() is not threading.main_thread():
                return function(*args, **kwargs)
            self._inside = True
            start, cpu = time.perf_counter(), time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                took = time.perf_counter() - start
                self._inside = False
                self.seconds += took
                self.cpu_seconds += time.process_time() - cpu
                self.by_function[name] = self.by_function.get(name, 0.0) + took

        return timed


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
