"""What an object was made of, as the object itself says it.

A stamp lies in the object's own bytes, so whatever copies objects carries it along and any machine
finds the same. In Parquet it is a line in the gap before the footer, over which readers pass; in
JSON it is a field. The checksum of `resources.seal` covers it.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Self

_MAGIC = b"PAR1"
_TAIL = 8  # of a Parquet file: the footer's length, and the magic number
_MARK = b"\nstock_assets stamp "
STAMP_FIELD = "stamp"
"""Of a JSON object."""
_HEX = 16


@dataclass(frozen=True)
class Stamp:
    """What an object was made of.

    `code`: hash of its asset's code. `settings`: those that matter to it, by name. `inputs`: a
    digest by the name of each input. `value`: digest of what it holds, of which the digests of
    those downstream are made. `marks`: digests and facts beside it, by name. `made_at`: ISO 8601,
    UTC. `seconds`: what making it took, on average over its run.
    """

    code: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    value: str = ""
    marks: Mapping[str, str] = field(default_factory=dict)
    made_at: str = ""
    seconds: float = 0.0

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """From what `as_values` gave; fields that a later release adds are left out.

        Raises:
            TypeError: It is nothing of the kind.
        """
        known = {name: values[name] for name in cls.__dataclass_fields__ if name in values}
        return cls(**known)

    def as_values(self) -> dict[str, Any]:
        """Plain values; what is empty is left out."""
        return {name: value for name, value in asdict(self).items() if value}

    def holding(self, value: str, seconds: float, at: datetime | None = None) -> "Stamp":
        """The stamp of an object with this digest that was made just now."""
        made_at = (at or datetime.now(UTC)).isoformat(timespec="microseconds")
        return replace(self, value=value, made_at=made_at, seconds=round(seconds, 4))


def digest(*parts: bytes | str) -> str:
    """A short hash of some parts in order."""
    hashed = blake2b(digest_size=_HEX // 2)
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        hashed.update(len(data).to_bytes(8, "big"))
        hashed.update(data)
    return hashed.hexdigest()


def stamped(content: bytes, stamp: Stamp) -> bytes:
    """A Parquet file with the stamp in it."""
    footer = len(content) - _TAIL - int.from_bytes(content[-_TAIL : -len(_MAGIC)], "little")
    line = json.dumps(stamp.as_values(), separators=(",", ":"), sort_keys=True)
    return content[:footer] + _MARK + line.encode() + content[footer:]


def stamp_of(content: bytes) -> Stamp | None:
    """The stamp of a Parquet or JSON object; None where it has none, as an older release's."""
    try:
        if content.endswith(_MAGIC):
            at = content.rfind(_MARK)
            if at < 0:
                return None
            values, _ = json.JSONDecoder().raw_decode(
                content[at + len(_MARK) :].decode(errors="replace")
            )
        else:
            values = json.loads(content).get(STAMP_FIELD)
        return Stamp.of(values) if isinstance(values, dict) else None
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
