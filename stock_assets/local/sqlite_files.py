"""SQLite files of this machine: whether one can be used, and if not, why and what to do."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import psutil

from stock_assets.errors import DatabaseFileError

_LOCK_SECONDS = 10.0


def refuse_unusable(path: Path, remedy: str, holds: str, *, thorough: bool = False) -> None:
    """Refuses a file that is no or another database, or that a process does not let go of.

    Args:
        path: Of the file; one that is not there is made by whom it belongs to.
        remedy: What to do about a damaged one.
        holds: A table that it has as soon as it has any.
        thorough: Reads all of it; else only its schema.

    Raises:
        DatabaseFileError: Says in one line which, why, and what to do.
    """
    if not path.exists():
        return
    try:
        # Writing is what others are kept from: nothing is written here.
        with closing(sqlite3.connect(path, timeout=_LOCK_SECONDS, isolation_level=None)) as opened:
            opened.execute("begin immediate")
            tables = {name for (name,) in opened.execute("select name from sqlite_master")}
            found = opened.execute("pragma quick_check(1)").fetchone()[0] if thorough else "ok"
            opened.execute("rollback")
    except sqlite3.Error as error:
        if "locked" in str(error):
            raise DatabaseFileError(
                f"{path} is locked by another process ({_holders(path)}) for more than"
                f" {_LOCK_SECONDS:.0f} s; end that process, or wait, and run again"
            ) from error
        raise DatabaseFileError(f"{path} can't be used: {error}; {remedy}") from error
    if tables and holds not in tables:
        found = f"it is another database, without the table {holds}"
    if found != "ok":
        raise DatabaseFileError(f"{path} can't be used: {found.splitlines()[0]}; {remedy}")


def _holders(path: Path) -> str:
    names = [
        f"{process.info['name']}, pid {process.pid}"
        for process in psutil.process_iter(["name"])
        if str(path.resolve()) in _open_files(process)
    ]
    return "; ".join(names) or "of another user"


def _open_files(process: psutil.Process) -> Iterable[str]:
    try:
        return [file.path for file in process.open_files()]
    except (psutil.Error, OSError):
        return []
