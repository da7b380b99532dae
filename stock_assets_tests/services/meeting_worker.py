"""Celery's app of the settings, whose trainings meet: each waits for as many as a file says.

So a test sees that months are trained at the same time, and kills a worker while it trains.
"""

import os
import time
from pathlib import Path
from typing import Any

from stock_assets.automation.celery_worker import app, execute_plan
from stock_assets.forecasting import month_training

__all__ = ["app", "execute_plan"]

FOLDER = "STOCK_ASSETS_TESTS_MEETING"
"""The variable that names the folder where trainings meet."""
AT_ONCE = "at_once"
"""The file in it that says how many trainings have to be under way before any goes on."""
_SECONDS = 90
_train_model = month_training.train_model


def _meet(*arguments: Any, study_name: str, **others: Any) -> Any:
    folder, month = Path(os.environ[FOLDER]), study_name.split()[1]
    (folder / f"training-{month}").write_text(str(os.getpid()))
    until = time.monotonic() + _SECONDS
    while len(list(folder.glob("training-*"))) < int((folder / AT_ONCE).read_text()):
        if time.monotonic() > until:
            raise TimeoutError(f"{month} was trained alone")
        time.sleep(0.05)
    return _train_model(*arguments, study_name=study_name, **others)


month_training.train_model = _meet
