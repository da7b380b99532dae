"""The user's own table of members: one CSV or Parquet file with `ticker, first, last`.

A ticker has a row per spell, both days inclusive; an empty `last` is still to come. Other columns
are ignored.
"""

from collections.abc import Mapping

import polars as pl

from stock_assets.errors import InvalidFileError
from stock_assets.market.membership import MEMBER_SCHEMA, Membership, wrong_spell
from stock_assets.market.sources.tables import FORMATS, Table


def read_members(
    uri: str,
    storage_options: Mapping[str, str] | None = None,
    *,
    time_zone: str | None = None,
) -> Membership:
    """Reads the table.

    Args:
        uri: A path or an s3:// URI of one file.
        storage_options: What polars needs to reach an s3:// URI.
        time_zone: The exchange's, as of `FilesSource`.

    Raises:
        InvalidFileError: The file is not there or holds no row, a value is missing or can't be
            read, a spell ends before it begins, or two of a ticker overlap.
    """
    if not uri.endswith(FORMATS):
        raise InvalidFileError(f"{uri}: a table of members is one {' or '.join(FORMATS)} file")
    options = dict(storage_options or {}) if uri.startswith("s3://") else None
    table = Table(
        uri, MEMBER_SCHEMA, ("ticker", "first"), time_zone=time_zone, storage_options=options
    )
    try:
        spells = table.scan().collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InvalidFileError(f"{uri} can't be read: {str(error).strip()}") from error
    table.refuse_missing()
    if spells.is_empty():
        raise InvalidFileError(f"{uri} has no rows; a table of members names at least one")
    if wrong := wrong_spell(spells):
        row, column, why = wrong
        table.refuse(column, row, f"{why}; keep one row per spell")
    return Membership(spells)
