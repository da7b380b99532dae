"""Trainings that meet: each waits for as many as a file says, so that a test sees them at once."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

FOLDER = "MEETING_OF_TRAININGS"
"""The variable that names the folder where trainings meet."""
AT_ONCE = "at_once"
"""The file in it that says how many trainings have to be under way before any goes on."""
_SECONDS = 90


def meeting(train_model: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, which first says its process in a file of its month, and waits there."""

    def meet(*arguments: Any, study_name: str, **others: Any) -> Any:
        folder, month = Path(os.environ[FOLDER]), study_name.split()[1]
        (folder / f"training-{month}").write_text(str(os.getpid()))
        until = time.monotonic() + _SECONDS
        while len(list(folder.glob("training-*"))) < int((folder / AT_ONCE).read_text()):
            if time.monotonic() > until:
                raise TimeoutError(f"{month} was trained alone")
            time.sleep(0.05)
        return train_model(*arguments, study_name=study_name, **others)

    return meet
