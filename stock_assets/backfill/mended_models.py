"""What a run finds lost or damaged in MLflow, and mends on its way."""

from collections import Counter
from collections.abc import Callable

from stock_assets.asset_keys import Asset
from stock_assets.automation.jobs import MONTHLY_JOB
from stock_assets.backfill.progress import Progress, shown
from stock_assets.backfill.project import Project, run_partitions
from stock_assets.errors import DamagedStudyError
from stock_assets.partitions import partition_keys
from stock_assets.planning.lineage import MONTH_ASSETS
from stock_assets.resources.model_registry import ModelRegistry
from stock_assets.resources.partition_objects import stored_partitions
from stock_assets.resources.stored_versions import restore_versions


def restore_registry(project: Project) -> None:
    """Registers the stored versions again that MLflow's registry lacks, with equal numbers.

    A month for which that can't be done counts as missing from then on: it is made again, with a
    number of its own.
    """
    registry = ModelRegistry(project.settings, project.store)
    lost = registry.lost()
    if not lost:
        return
    numbers = ", ".join(str(version.number) for version in lost)
    _say(f"MLflow's registry lacks versions {numbers} of {registry.name}: registering them again")
    failed = restore_versions(registry, lost)
    if failed:
        _say(f"{', '.join(failed)}: the files of these studies are gone too; made again when asked")
        for asset in (Asset.TUNED_MODEL, Asset.REGISTERED_VERSION):
            months = stored_partitions(project.store, asset)
            project.store.delete([months[month].path for month in failed if month in months])


def _say(what: str) -> None:
    shown().say(f"{'models':<10} {what}")


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
            _say(note)
            train(error.month)
        else:
            return


def mend_models(project: Project, progress: Progress) -> None:
    """Trains those months again whose versions' files can't be read as what was stored."""
    registry = ModelRegistry(project.settings, project.store)
    every = partition_keys(project.partitions.months)

    def read_all() -> None:
        for version in registry.versions():
            registry.load(version)

    def train(month: str) -> None:
        with progress.stage("training", month):
            run_partitions(project, MONTHLY_JOB, MONTH_ASSETS, [month], every, 1)

    with_models_mended(project, read_all, train)
