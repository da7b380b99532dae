"""Models that a run finds damaged in MLflow: their months are trained again on its way."""

import sys
from collections import Counter
from collections.abc import Callable

from stock_assets.commands.project import Project
from stock_assets.errors import DamagedStudyError
from stock_assets.resources.model_registry import ModelRegistry


def with_models_mended(
    project: Project, work: Callable[[], None], train: Callable[[str], None]
) -> None:
    """Does work that reads models, again after each one that had to be mended.

    The same data, code and settings give the same model, which takes the damaged one's place. Other
    code gives another, and the damaged version goes.

    Args:
        project: Whose registry.
        work: Skips what it has done already.
        train: Trains and registers a month.

    Raises:
        DamagedStudyError: It could not be mended.
    """
    met: Counter[str] = Counter()
    while True:
        try:
            work()
        except DamagedStudyError as error:
            found = f"{error.what.split(':')[0]}"
            met[found] += 1
            if met[found] > 2 or (met[found] == 2 and error.version is None):
                raise
            note = f"{error.what}; training {error.month} again"
            if met[found] == 2 and error.version is not None:
                ModelRegistry(project.settings, project.store).delete(error.version)
                note = f"{error.what}; other code made it, so the version is deleted"
            print(f"{'models':<10} {note}", file=sys.stderr, flush=True)
            train(error.month)
        else:
            return
