"""Copies of a year's partitions in one file on this machine's disk, to read many at once.

What a long range costs is opening its objects: from 3,272 sessions' objects, 800 tickers take
seventeen times as long to read as from a copy per year. The objects stay the only truth: a copy
names those it was made of with their entity tags, and an object whose tag is another by now is read
itself. So no copy is ever out of date, several processes may make them at once, and who deletes
them loses nothing but time. Each bears a checksum; a damaged one is thrown away.
"""

import json
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from itertools import accumulate, groupby
from mmap import ACCESS_READ, mmap
from pathlib import Path

import polars as pl

from stock_assets.resources.object_store import CacheFolder, ObjectStore, StoredObject
from stock_assets.resources.seal import is_sealed, seal
from stock_assets.resources.stored_frames import UNREADABLE, declared, read_objects, rows_of_each

_FEW = 50
"""Objects of one year that are opened each for itself: no copy is made or renewed for so few."""
_KEPT_SECONDS = 24 * 3600
_ENTRIES = "stock_assets.objects"

_log = logging.getLogger(__name__)


def read_rows(store: ObjectStore, objects: Sequence[StoredObject], *columns: str) -> pl.DataFrame:
    """Rows of Parquet objects of one asset in the given order, all columns or some.

    See `stored_frames` for what their columns are.

    Raises:
        DamagedObjectError: Objects can't be read as what was written; it names them.
    """
    if store.cache:
        try:
            return _collected(_pieces(store, store.cache, objects, columns), columns)
        except (OSError, *UNREADABLE) as error:
            # A copy is gone since it was looked up, another process made room, or it is another
            # user's; or the objects have no columns in common, which is told once more below.
            _log.warning("copies in %s are left out: %s", store.cache.path, error)
    return read_objects(store, [stored.path for stored in objects], columns)


def _collected(pieces: Sequence[pl.LazyFrame], columns: Sequence[str]) -> pl.DataFrame:
    if len(pieces) > 1:
        wanted = pieces[0].collect_schema()
        pieces = [
            piece.match_to_schema(wanted, missing_columns="insert", extra_columns="ignore")
            for piece in pieces
        ]
    rows = pl.concat(pieces) if len(pieces) > 1 else pieces[0]
    return (rows.select(columns) if columns else rows).collect()


def _pieces(
    store: ObjectStore,
    cache: CacheFolder,
    objects: Sequence[StoredObject],
    columns: Sequence[str],
) -> list[pl.LazyFrame]:
    """The rows of the objects in parts: of a copy, or of neighbours that are in none."""
    sources: list[tuple[StoredObject, _Copy | None]] = []
    for year, of_year in groupby(objects, _year_of):
        asked = list(of_year)
        copy = _copy(store, cache, year, asked)
        sources += [(one, copy if copy and copy.holds(one) else None) for one in asked]
    known = declared([stored.path for stored in objects])
    pieces: list[pl.LazyFrame] = []
    for source, group in groupby(sources, key=lambda pair: pair[1]):
        paths = [stored.path for stored, _ in group]
        if source is None:
            pieces.append(read_objects(store, paths, columns).lazy())
        else:
            scans = source.scans(paths)
            pieces += [known.matched(scan, columns) for scan in scans] if known else scans
    return pieces


def _year_of(stored: StoredObject) -> str:
    """What goes into one copy: features/session=2012-01-03/part.parquet into features-2012."""
    asset, partition, _ = stored.path.split("/", 2)
    return f"{asset}-{partition.partition('=')[2][:4]}"


@dataclass(frozen=True, eq=False)
class _Copy:
    """The rows of many objects in one file, which is never changed.

    `tags`: of each object as it was copied. `spans`: its first row, and the one after its last.
    """

    file: Path
    tags: dict[str, str]
    spans: dict[str, tuple[int, int]]

    @classmethod
    def opened(cls, file: Path) -> "_Copy":
        """Raises ValueError for one that is not as it was written."""
        with file.open("rb") as stream, mmap(stream.fileno(), 0, access=ACCESS_READ) as content:
            if not is_sealed(file.name, content):
                raise ValueError("it is damaged, or an older release wrote it")
        paths, tags, heights = json.loads(pl.read_parquet_metadata(file)[_ENTRIES])
        ends = list(accumulate(heights))
        spans = zip([0, *ends], ends, strict=False)
        return cls(file, dict(zip(paths, tags, strict=True)), dict(zip(paths, spans, strict=True)))

    def holds(self, stored: StoredObject) -> bool:
        """Whether an object is in it as it is now; never sure of a server that gives no tags."""
        return bool(stored.tag) and self.tags.get(stored.path) == stored.tag

    def scans(self, paths: Sequence[str]) -> list[pl.LazyFrame]:
        """The rows of some of its objects; one scan of those that lie side by side."""
        spans: list[tuple[int, int]] = []
        for start, end in (self.spans[path] for path in paths):
            if spans and spans[-1][1] == start:
                spans[-1] = (spans[-1][0], end)
            else:
                spans.append((start, end))
        return [pl.scan_parquet(self.file).slice(start, end - start) for start, end in spans]

    def parts(self) -> dict[str, tuple[str, pl.DataFrame]]:
        """Of each object its tag and its rows."""
        rows = pl.read_parquet(self.file)
        return {
            path: (self.tags[path], rows[start:end]) for path, (start, end) in self.spans.items()
        }


def _copy(
    store: ObjectStore, cache: CacheFolder, year: str, asked: Sequence[StoredObject]
) -> _Copy | None:
    """The copy of a year, made or renewed if more than a few of the objects asked for lack."""
    folder = cache.path / sha256(store.uri.encode()).hexdigest()[:16]
    copy = _newest(folder, year)
    lacking = [stored for stored in asked if not (copy and copy.holds(stored))]
    if len(lacking) > _FEW and _has_room(cache):
        try:
            copy = _written(folder, year, _merged(store, copy, lacking))
        except (pl.exceptions.SchemaError, pl.exceptions.ShapeError):
            pass  # objects of before and after a column was added are read themselves
        except OSError as error:
            _log.warning("no copy of %s to read faster next time: %s", year, error)
    elif copy:
        os.utime(copy.file)
    return copy


def _newest(folder: Path, year: str) -> _Copy | None:
    files = sorted(folder.glob(f"{year}.*.parquet"), key=lambda file: file.stat().st_mtime)
    if not files:
        return None
    try:
        return _Copy.opened(files[-1])
    except (*UNREADABLE, KeyError, ValueError) as error:
        _log.warning("the copy %s is thrown away: %s", files[-1], error)
        files[-1].unlink(missing_ok=True)
        return None


def _merged(
    store: ObjectStore, copy: _Copy | None, lacking: Sequence[StoredObject]
) -> dict[str, tuple[str, pl.DataFrame]]:
    """Of each object its tag and rows: those of the copy, and those that it lacks."""
    paths = [stored.path for stored in lacking]
    contents, tags = zip(*store.get_with_tags(paths), strict=True)
    rows = rows_of_each(store, dict(zip(paths, contents, strict=True)))
    fetched = dict(zip(paths, zip(tags, rows.values(), strict=True), strict=True))
    return (copy.parts() if copy else {}) | fetched


def _written(folder: Path, year: str, parts: dict[str, tuple[str, pl.DataFrame]]) -> _Copy:
    """A new file in place of the year's older ones."""
    paths = sorted(parts)
    rows = [parts[path][1] for path in paths]
    entries = json.dumps([paths, [parts[path][0] for path in paths], [one.height for one in rows]])
    content = BytesIO()
    # Four times faster to read than zstd, and 15 % larger.
    pl.concat(rows).write_parquet(
        content, compression="lz4", statistics=False, metadata={_ENTRIES: entries}
    )
    folder.mkdir(parents=True, exist_ok=True)
    # A name of its own, so that nobody finds other rows than those whose places were looked up.
    file = folder / f"{year}.{sha256(entries.encode()).hexdigest()[:16]}.parquet"
    draft = folder / f"{file.stem}.{os.getpid()}.draft"
    with draft.open("wb") as stream:
        stream.write(seal(file.name, content.getvalue()))
        os.fsync(stream.fileno())  # or a power failure could leave its end without its middle
    draft.replace(file)
    for other in folder.glob(f"{year}.*.parquet"):
        if other != file:
            other.unlink(missing_ok=True)
    return _Copy.opened(file)


def _has_room(cache: CacheFolder) -> bool:
    """Whether the folder is not full, after copies of any store that nobody reads made room.

    What was read within a day stays: where a range is larger than the folder, each of its years
    would make room for the next, and none be there when the range is read again.
    """
    used = {file: file.stat() for file in cache.path.glob("*/*")}
    size = sum(stat.st_size for stat in used.values())
    for file in sorted(used, key=lambda file: used[file].st_mtime):
        if size < cache.most_bytes or time.time() - used[file].st_mtime < _KEPT_SECONDS:
            break
        file.unlink(missing_ok=True)
        size -= used[file].st_size
    return size < cache.most_bytes
