"""Folders of this machine's state, which nobody but their owner needs to read."""

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from stock_assets.errors import LocalStackError


def own_folder(folder: Path) -> Path:
    """The folder, made for its owner alone where it is missing, as are those above it.

    One that is there keeps its mode: who opened it to others meant it.
    """
    missing = [path for path in (folder, *folder.parents) if not path.is_dir()]
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)
    return folder


@contextmanager
def writable_state(folder: Path) -> Iterator[None]:
    """What the system refuses within the block becomes one line.

    Raises:
        LocalStackError: Names the file, the reason and what mends it.
    """
    try:
        yield
    except OSError as error:
        raise LocalStackError(refusal(error, folder)) from error


def refusal(error: OSError, folder: Path | None = None) -> str:
    """What the system refused, and what mends it."""
    path = Path(error.filename or folder or ".").absolute()
    return f"{path}: {error.strerror or error}; {_remedy(error, path)}"


def _remedy(error: OSError, path: Path) -> str:
    way = [*reversed(path.parents), path]
    if isinstance(error, PermissionError):
        closed = next((part for part in way if _is_closed(part, path)), path)
        return f"{_opening(closed)}, or set STOCK_ASSETS_HOME to a folder where you can"
    if isinstance(error, FileExistsError | NotADirectoryError | IsADirectoryError):
        # A file lies where a folder belongs, or the other way round.
        found = next((part for part in way if part.is_file()), path)
        return f"{_setting_aside(found)} and run again: it is made anew"
    return "make room on its disk, or set STOCK_ASSETS_HOME to a folder where you can write"


def remedy_of_damage(folder: Path) -> str:
    """What mends a folder whose owner can't work with what lies in it."""
    closed = first_unwritable(folder)
    if closed:
        return _opening(closed)
    return f"if that stays so, {_setting_aside(folder)} and run again: what it held is made anew"


def _opening(path: Path) -> str:
    return (
        f"your user must be able to write it (`chmod -R u+rwX {shlex.quote(str(path))}`, as its"
        " owner)"
    )


def _setting_aside(path: Path) -> str:
    aside = next(
        new for n in count(1) if not (new := path.with_name(f"{path.name}.damaged-{n}")).exists()
    )
    return f"`mv {shlex.quote(str(path))} {shlex.quote(str(aside))}`"


def _is_closed(part: Path, path: Path) -> bool:
    """Whether this process may not use a part of the way to a path, or the path itself."""
    try:
        folder = part.is_dir()
        # Folders far above need not be ours: a way through them is enough.
        needed = os.R_OK | os.W_OK if part in (path, path.parent) else 0
        needed |= os.X_OK if folder else 0
        return part.exists() and not os.access(part, needed, effective_ids=True)
    except PermissionError:
        return False


def first_unwritable(folder: Path) -> Path | None:
    """A file or folder in there that we can't write: left by another user, sudo, a container."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink() and not os.access(path, os.W_OK, effective_ids=True):
            return path
    return None
