"""The journal of a dataset's searches: every trial as it finishes, so that a killed search resumes.

It is a file of this machine, or in PostgreSQL, where a search resumes on any machine.

Nothing else depends on it. So a journal that can't be read is moved aside, and what was under way
is searched again; `stock-assets prune` deletes what lies aside.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import optuna
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from stock_assets.errors import SettingsError
from stock_assets.local.postgres import database_of, one_client_at_a_time
from stock_assets.settings import Settings

ASIDE = ".damaged-"
"""Within the name of a file that was moved aside, before the time at which it was."""
# Optuna replays a journal without looking what it is.
_UNREADABLE = (ValueError, KeyError, IndexError, TypeError, AttributeError, AssertionError, OSError)


def open_journal(settings: Settings, say: Callable[[str], None]) -> BaseStorage:
    """Every trial of the dataset: `optuna-dashboard FILE` shows it.

    Args:
        settings: Name the folder; the caller holds back other trainings of the dataset.
        say: Told in one line where the journal had to be moved aside.

    Raises:
        SettingsError: The folder takes no file.
        DatabaseError: There is no connection.
    """
    if database := _database(settings):
        return _of_database(database)
    folder = settings.studies.absolute()  # the lock is a link: a relative one would lead nowhere
    file = folder / f"{settings.dataset_name}.journal"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if settings.studies_folder is None:
            # Nobody but the caller writes here, so a lock is one that a kill left: no 30 s for it.
            Path(f"{file}.lock").unlink(missing_ok=True)
        try:
            return _read(file)
        except _UNREADABLE as error:
            aside = set_aside(file)
            reason = (str(error) or type(error).__name__).splitlines()[0]
            say(f"{file} can't be read ({reason}): moved to {aside.name}, searching anew")
            return _read(file)
    except OSError as error:
        raise SettingsError(
            f"{file}: {error}; make {folder} writable, or name another with"
            " STOCK_ASSETS_STUDIES_FOLDER"
        ) from error


def _database(settings: Settings) -> str | None:
    """Where a setting puts them: the one that names a folder stands against the shared one."""
    shared = None if settings.studies_folder else settings.postgres_url
    return database_of("optuna", settings.studies_url, shared)


def _of_database(url: str) -> RDBStorage:
    with one_client_at_a_time(url):
        # A connection that the server has closed meanwhile is noticed before a trial is written.
        return RDBStorage(url, engine_kwargs={"pool_pre_ping": True})


def forget_searches(settings: Settings, before: datetime, *, dry_run: bool) -> int:
    """Deletes the dataset's searches of long ago from the database; how many. Of files, none.

    `before`: With a time zone. A search that is over is in MLflow. Names begin with the dataset,
    since a database may hold the searches of several.
    """
    database = _database(settings)
    if database is None:
        return 0
    storage = _of_database(database)
    old = [
        summary.study_name
        for summary in optuna.get_all_study_summaries(storage)
        if summary.study_name.startswith(f"{settings.dataset_name} ")
        # Optuna's times are of this machine, without a zone.
        and (summary.datetime_start is None or summary.datetime_start.astimezone(UTC) < before)
    ]
    if not dry_run:
        for name in old:
            optuna.delete_study(study_name=name, storage=storage)
    return len(old)


def _read(file: Path) -> optuna.storages.JournalStorage:
    # Optuna forgives a last line, appends to it, and then reads neither.
    lines = file.read_bytes().splitlines(keepends=True) if file.exists() else []
    if lines and not lines[-1].endswith(b"\n"):
        raise ValueError("its last line is cut off")
    for line in lines[-1:]:
        json.loads(line)
    return optuna.storages.JournalStorage(JournalFileBackend(str(file)))


def set_aside(path: Path) -> Path:
    """Renames a file or folder within its folder; its new path."""
    aside = path.with_name(f"{path.name}{ASIDE}{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
    return path.rename(aside)
