"""A checksum inside each object and copy, so that a flipped bit is never read as another value.

It lies in the bytes themselves: that holds on any S3 server and in a folder, and whatever copies
objects carries it along. Any reader of Parquet, JSON or HTML passes over it: in Parquet it is a
line in the gap before the footer, in text it is spelled with spaces and tabs after the last line.
It covers the object's path too, so two objects that changed places are found. What older releases
stored has none, and is read as it is.
"""

import re
import zlib
from collections.abc import Iterable
from mmap import mmap

_MAGIC = b"PAR1"
_TAIL = 8  # of a Parquet file: the footer's length, and the magic number
_MARK = b"\nstock_assets crc32 "
_DIGITS = 8
_BLANKS = re.compile(rb"\n[ \t]{32}\n")
_AS_BLANKS = bytes.maketrans(b"01", b" \t")


def seal(path: str, content: bytes) -> bytes:
    """A Parquet file, or a text that ends with a line break, with its checksum in it."""
    if content.endswith(_MAGIC):
        footer = len(content) - _TAIL - int.from_bytes(content[-_TAIL : -len(_MAGIC)], "little")
        start, end = content[:footer], content[footer:]
        return start + _MARK + _as_digits(_checksum(path, [start, end])) + end
    return content + _as_blanks(_checksum(path, [content]))


def is_sealed(path: str, content: bytes | mmap) -> bool | None:
    """Whether the checksum is that of path and content; None where there is none."""
    view = memoryview(content)
    if _BLANKS.fullmatch(content[-34:]):
        return content[-33:] == _as_blanks(_checksum(path, [view[:-33]]))
    at = content.rfind(_MARK)
    if at < 0:
        return None
    digits, end = at + len(_MARK), at + len(_MARK) + _DIGITS
    return content[digits:end] == _as_digits(_checksum(path, [view[:at], view[end:]]))


def _checksum(path: str, parts: Iterable[memoryview | bytes]) -> int:
    checksum = zlib.crc32(path.encode())
    for part in parts:
        checksum = zlib.crc32(part, checksum)
    return checksum


def _as_digits(checksum: int) -> bytes:
    return b"%08x" % checksum


def _as_blanks(checksum: int) -> bytes:
    return f"{checksum:032b}\n".encode().translate(_AS_BLANKS)
