"""What makes two results the same: their rows, their code and their settings."""

import ast
import hashlib
import io
import json
import tokenize
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from importlib import metadata, resources
from typing import Any

import polars as pl

from stock_assets.extensions import FAMILIES_GROUP, FEATURES_GROUP, installed, sources

_LIBRARIES = ("lightgbm", "numpy", "optuna", "polars", "scikit-learn")
_PURE = ("stock_assets.forecasting.", "stock_assets.market.")
"""Whose code computes; what else a module imports tells people, or brings data."""
_EXTENDED = {
    "stock_assets.forecasting.features": FEATURES_GROUP,
    "stock_assets.forecasting.families": FAMILIES_GROUP,
}
"""Modules to which other packages add, by entry points of which group."""


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
    """Hash of the code that trains and of the versions of the libraries that compute there."""
    digest = hashlib.sha256(source_hash("stock_assets.forecasting.training").encode())
    for library in _LIBRARIES:
        digest.update(f"{library}=={metadata.version(library)}".encode())
    return digest.hexdigest()


@lru_cache
def source_hash(*modules: str) -> str:
    """Hash of some modules of the core and of those that they import, down to the last.

    So does what other packages add to them. Comments, docstrings and blank lines do not count.
    """
    found: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name], imported = _module(name)
            waiting += imported
    for module, group in _EXTENDED.items():
        if module in found:
            found |= _added(group)
    digest = hashlib.sha256()
    for name, code in sorted(found.items()):
        digest.update(f"{name}\n{code}\n".encode())
    return digest.hexdigest()[:16]


def _added(group: str) -> dict[str, str]:
    """What the entry points of a group say, and the code that they lead to."""
    said = {f"{group} {name}": entry.value for name, entry in installed(group).items()}
    return said | {f"{group} {name}": bare_code(source) for name, source in sources(group)}


@cache
def _module(name: str) -> tuple[str, tuple[str, ...]]:
    """A module's code and the modules of the core that it imports; each is parsed once."""
    source = _source(name)
    tree = ast.parse(source)
    return bare_code(source, tree), tuple(_imported(tree))


def _source(module: str) -> str:
    package, _, name = module.rpartition(".")
    folder = resources.files(package)
    file = folder.joinpath(f"{name}.py")
    return (file if file.is_file() else folder.joinpath(name, "__init__.py")).read_text()


def _imported(tree: ast.Module) -> Iterator[str]:
    """The core's modules that a source names in `from … import`, anywhere in it.

    Raises:
        ValueError: It names one in another way, and would be taken for one that it does not use.
    """
    for node in ast.walk(tree):
        relative = False
        if isinstance(node, ast.ImportFrom):
            names, relative = [node.module or ""], bool(node.level)
            if not relative and names[0].startswith(_PURE):
                yield names[0]
                continue
        elif isinstance(node, ast.Import):
            names = [one.name for one in node.names]
        else:
            continue
        if relative or any(f"{name}.".startswith(_PURE) for name in names):
            raise ValueError(f"line {node.lineno}: write `from package.module import …`")


def bare_code(source: str, tree: ast.Module | None = None) -> str:
    """A source without comments, docstrings and blank lines, as every version of Python sees it.

    `tree`: the same parsed, where somebody has done so.
    """
    written = source.split("\n")  # as Python counts them: some letters break lines for others
    dropped = {
        line
        for node in ast.walk(tree or ast.parse(source))
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
        and not written[node.lineno - 1][: node.col_offset].strip()  # or code stands before it
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    comments = {
        token.start
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    ends = dict(comments)  # a line has one comment at most, and it ends the line
    lines = (
        line[: ends.get(number)] for number, line in enumerate(written, 1) if number not in dropped
    )
    return "\n".join(line.rstrip() for line in lines if line.strip())


def fingerprint(parts: Mapping[str, Any]) -> str:
    """Hash of a mapping of plain values, whatever their order."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
