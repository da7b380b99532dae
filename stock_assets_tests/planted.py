"""A marker in the place of every secret, and every text in which it could turn up."""

import sqlite3
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import polars as pl
import psutil

MARK = "Zq7pl4nted"
"""Letters and digits alone: no spelling of a URL, of JSON or of a shell changes it."""

# What keeps a secret by design, for its owner alone: the local store's own files.
_KEPT = {"credentials.json"}


def leaks(folder: Path) -> list[str]:
    """Files below a folder that hold the marker, with what surrounds it.

    Whatever is compressed inside is looked into: Dagster's snapshots, Parquet, zip files.
    """
    found = []
    for file in sorted(file for file in folder.rglob("*") if file.is_file()):
        name = str(file.relative_to(folder))
        if file.name not in _KEPT:
            texts = [text for text in (name, *_texts(file)) if MARK in text]
            found += [f"{name}: {around(text)}" for text in texts]
    return found


def around(text: str) -> str:
    """The first marker of a text, with some of what surrounds it."""
    at = max(0, text.find(MARK))
    return " ".join(text[max(0, at - 80) : at + 60].split())


def arguments() -> set[str]:
    """The command line of every process that runs now."""
    found = set()
    for process in psutil.process_iter(["cmdline"]):
        found.add(" ".join(process.info["cmdline"] or ()))
    return found


def _texts(file: Path) -> Iterator[str]:
    content = file.read_bytes()
    yield content.decode(errors="ignore")
    if content.startswith(b"SQLite format 3"):
        yield from _of_database(file)
    elif content.startswith(b"PAR1"):
        yield str(pl.read_parquet(file).rows()) + str(pl.read_parquet_metadata(file))
    elif zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as opened:
            for name in opened.namelist():
                yield name + opened.read(name).decode(errors="ignore")


def _of_database(file: Path) -> Iterator[str]:
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as opened:
        for (table,) in opened.execute("select name from sqlite_master where type = 'table'"):
            for row in opened.execute(f'select * from "{table}"'):  # noqa: S608  # its own names
                for value in row:
                    if isinstance(value, bytes):
                        yield _unzipped(value)


def _unzipped(value: bytes) -> str:
    try:
        return zlib.decompress(value).decode(errors="ignore")
    except zlib.error:
        return value.decode(errors="ignore")
