"""Folders of this machine's state, which nobody but their owner needs to read."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
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
    return (
        f"{error.filename or folder}: {error.strerror or error}; your user must be able to write it"
        " (chown, chmod, room on the disk), or set STOCK_ASSETS_HOME to a folder where you can"
    )


def first_unwritable(folder: Path) -> Path | None:
    """A file or folder in there that we can't write: left by another user, sudo, a container."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink() and not os.access(path, os.W_OK, effective_ids=True):
            return path
    return None
