"""What makes two trainings the same: their rows, their code and their settings."""

import hashlib
import io
import json
from collections.abc import Mapping
from functools import lru_cache
from importlib import metadata, resources
from typing import Any

import polars as pl

_LIBRARIES = ("lightgbm", "numpy", "optuna", "polars", "scikit-learn")


def data_hash(*frames: pl.DataFrame) -> str:
    """Hash of the frames' columns and values, in order; equal rows give equal hashes."""
    digest = hashlib.sha256()
    for frame in frames:
        buffer = io.BytesIO()
        frame.rechunk().write_ipc(buffer, compression="uncompressed")
        digest.update(buffer.getbuffer())
    return digest.hexdigest()


@lru_cache(maxsize=1)
def code_hash() -> str:
    """Hash of this folder's source and of the versions of the libraries that compute here."""
    digest = hashlib.sha256()
    folder = resources.files(__package__)
    for file in sorted(folder.iterdir(), key=lambda f: f.name):
        if file.name.endswith(".py"):
            digest.update(file.name.encode())
            digest.update(file.read_bytes())
    for library in _LIBRARIES:
        digest.update(f"{library}=={metadata.version(library)}".encode())
    return digest.hexdigest()


def fingerprint(parts: Mapping[str, Any]) -> str:
    """Hash of a mapping of plain values, whatever their order."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
