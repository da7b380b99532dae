"""Another time of day for processes of Dagster: schedules, partitions and what is issued go by it.

A `sitecustomize.py` installs it in every process that is started with its folder on PYTHONPATH. It
runs as fast as the real one, from where a file says. Everything else is as it is in production.
"""

import os
import time
from datetime import UTC, datetime
from pathlib import Path

VARIABLE = "MOVED_CLOCK"
SITECUSTOMIZE = "from stock_assets_tests.services.moved_clock import install\n\ninstall()\n"


def move(file: Path, to: datetime) -> None:
    """From now on it is that time."""
    new = file.with_suffix(".new")
    new.write_text(f"{to.timestamp()} {time.time()}")
    new.replace(file)


def timestamp() -> float:
    then, since = map(float, Path(os.environ[VARIABLE]).read_text().split())
    return then + time.time() - since


def now() -> datetime:
    return datetime.fromtimestamp(timestamp(), UTC)


def install() -> None:
    import dagster._time

    dagster._time._mockable_get_current_datetime = now
    dagster._time._mockable_get_current_timestamp = timestamp
    from dagster._daemon import controller  # before the scheduler, which it imports in a circle
    from dagster._scheduler import scheduler

    # It began by the real clock, and would never again look whether its code server lives.
    controller.get_current_timestamp = time.time

    # It would sleep until the next full minute, and not notice that the clock was moved.
    scheduler._get_next_scheduler_iteration_time = lambda start: start + 0.5
