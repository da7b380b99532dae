"""JSON objects as values: every read and write of one comes through here."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, TypeVar

from stock_assets.planning.stamp import STAMP_FIELD
from stock_assets.resources.object_store import ObjectStore

T = TypeVar("T", dict[str, Any], list[str])


def as_json(value: Any) -> bytes:
    """The text of a value.

    Raises:
        ValueError: It holds NaN or infinity.
    """
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()


def plain_values(content: bytes) -> Any:
    """What a JSON text says.

    Raises:
        ValueError: It is none, holds NaN or infinity, or is nested beyond reason.
    """
    try:
        return json.loads(content, parse_constant=_refused)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def put_values(store: ObjectStore, values: Mapping[str, Any]) -> None:
    """Writes each value by its path."""
    store.put_encoded(values, as_json)


def read_values(store: ObjectStore, paths: Sequence[str], kind: type[T]) -> list[T]:
    """The values of some objects in the given order, without their stamps.

    Raises:
        DamagedObjectError: Some are not JSON, hold NaN or infinity, or are no `kind`; it names all.
    """
    found: list[T] = []
    damaged: dict[str, str] = {}
    for path, content in zip(paths, store.get_many(list(paths)), strict=True):
        try:
            value = plain_values(content)
        except ValueError as error:
            damaged[path] = str(error)
            continue
        if isinstance(value, kind) and all(isinstance(name, str) for name in value):
            if isinstance(value, dict):
                value.pop(STAMP_FIELD, None)
            found.append(value)
        else:
            damaged[path] = f"it holds a {type(value).__name__}"
    if damaged:
        raise store.damaged(damaged)
    return found


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"it holds {constant}")
