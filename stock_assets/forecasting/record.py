"""The record of issued forecasts: which are issued, and the chain by which a change is noticed.

A forecast is issued where a source goes on and it is made before its target session opens. Each
session's issued rows have a number and a hash that goes on from the hash of the number before. So
whoever edits, deletes or reorders them must make every hash after them anew, and the newest one is
then another than somebody may have kept. It is tamper-evident and no proof of time: who holds the
store can make a whole chain anew.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from hashlib import sha256
from typing import Any

import polars as pl

from stock_assets.forecasting.forecast_schema import FORECAST_SCHEMA, RECORD_COLUMNS
from stock_assets.market.sessions import ExchangeCalendar

NOTHING_BEFORE = "0" * 64
"""The hash before the first."""
_HASH = "record_hash"


def mark_issued(
    forecasts: pl.DataFrame, calendar: ExchangeCalendar, at: datetime, *, is_live: bool
) -> pl.DataFrame:
    """Forecasts (FORECAST_SCHEMA) with `issued_at` where they are made in time.

    Args:
        forecasts: Of any sessions.
        calendar: Knows when a target session opens.
        at: Now.
        is_live: Whether the source goes on: of one that has ended, all is known already.
    """
    targets = forecasts["target_session"].unique().to_list() if is_live else []
    coming = [session for session in targets if at < calendar.opens_at(session)]
    made = pl.lit(at, dtype=FORECAST_SCHEMA["issued_at"])
    return forecasts.with_columns(
        issued_at=pl.when(pl.col("target_session").is_in(coming)).then(made)
    )


def is_issued(rows: pl.DataFrame) -> bool:
    """Whether a session's rows are issued, or claim to be in any of the columns that say so."""
    return any(rows[name].null_count() < rows.height for name in RECORD_COLUMNS)


def in_hindsight(rows: pl.DataFrame) -> pl.DataFrame:
    """The same rows without a place in the record."""
    return rows.with_columns(
        pl.lit(None, dtype=FORECAST_SCHEMA[name]).alias(name) for name in RECORD_COLUMNS
    )


@dataclass(frozen=True)
class Head:
    """How many sessions were issued, and which was the last with which hash."""

    number: int = 0
    session: str = ""
    record_hash: str = NOTHING_BEFORE


@dataclass(frozen=True)
class Link:
    """What the chain needs to know of a session's issued rows.

    `number`, `record_hash`: as stored; `digest`: of the rows as they are now. `fault`: why they
    can't be what was issued, whatever the chain says.
    """

    session: str
    number: int
    record_hash: str
    digest: str
    fault: str | None = None


@dataclass(frozen=True)
class Finding:
    """What is wrong with the record of some sessions."""

    sessions: tuple[str, ...]
    what: str


@dataclass(frozen=True)
class Verdict:
    """What `verify` found.

    `last`: the newest issued session that there is. `beyond`: sessions that the head does not name
    yet, as after a kill between the two writes; their chain is checked like any other.
    """

    last: Head
    findings: tuple[Finding, ...]
    beyond: tuple[str, ...]


def append(rows: pl.DataFrame, session: str, last: Head) -> tuple[pl.DataFrame, Head]:
    """A session's rows with number and hash, and the head of the chain that they end."""
    numbered = rows.with_columns(
        record_number=pl.lit(last.number + 1, dtype=FORECAST_SCHEMA["record_number"])
    )
    hashed = _chained(last.record_hash, digest(numbered))
    return (
        numbered.with_columns(pl.lit(hashed).alias(_HASH)),
        Head(last.number + 1, session, hashed),
    )


def digest(rows: pl.DataFrame) -> str:
    """SHA-256 of rows in their order: each value's bits, without the hash that they bear.

    A column without any value has no part in it, so a release that adds one leaves it as it is.
    """
    hashed = sha256(f"{rows.height} rows\n".encode())
    for name in sorted(FORECAST_SCHEMA):
        values = rows[name]
        if name != _HASH and values.null_count() < rows.height:
            content = _bits(values)
            hashed.update(f"{name} {len(content)}\n".encode() + content)
    return hashed.hexdigest()


def _bits(values: pl.Series) -> bytes:
    """A column as bytes that no release of polars changes: which are null, then the values."""
    nulls = values.is_null().to_numpy().tobytes()
    known = values.drop_nulls()
    if known.dtype == pl.String:
        return nulls + json.dumps(known.to_list()).encode()
    if isinstance(known.dtype, pl.List):
        return nulls + _bits(known.list.len()) + _bits(known.explode(empty_as_null=False))
    kind = "<f8" if known.dtype == pl.Float64 else "<i8"
    return nulls + known.to_physical().to_numpy().astype(kind).tobytes()


def _chained(before: str, rows: str) -> str:
    return sha256(f"{before}\n{rows}".encode()).hexdigest()


def link_of(session: str, rows: pl.DataFrame) -> Link | None:
    """The link of a session's stored rows (FORECAST_SCHEMA); None where they are hindsight."""
    if not is_issued(rows):
        return None
    fault = None
    if any(rows[name].n_unique() > 1 or rows[name].has_nulls() for name in RECORD_COLUMNS):
        fault = "its rows do not agree on when they were issued, or on their hash"
    elif set(rows["as_of_session"]) != {date.fromisoformat(session)}:
        fault = "its rows are another session's"
    return Link(
        session,
        _most(rows["record_number"], 0),
        _most(rows[_HASH], ""),
        digest(rows),
        fault,
    )


def _most(values: pl.Series, default: Any) -> Any:
    """What most rows say, so that one that was edited does not accuse the session after it."""
    return next(iter(values.drop_nulls().mode().sort()), default)


def verify(
    links: Iterable[Link], head: Head | None, every: Sequence[str] = (), may_lag: int = 1
) -> Verdict:
    """Whether issued sessions are what was issued, and all of it.

    Args:
        links: Of every issued session that there is, in any order.
        head: As stored; None where there is none.
        every: Sessions of the calendar, ascending: tells which of them can be the missing ones.
        may_lag: Sessions that the chain may be ahead of the head: as many as one run issues.
    """
    numbered, twice = _by_number(links)
    stored = {link.session for link in numbered.values()}
    chained = _check_chain(numbered, every, stored)
    number, link = next(reversed(numbered.items()), (0, None))
    last = Head(number, link.session, link.record_hash) if link else Head()
    named = head or Head()
    beyond = tuple(link.session for n, link in numbered.items() if n > named.number)
    ends = _check_head(named, last, numbered.get(named.number), every, stored)
    if len(beyond) > may_lag:
        what = (
            f"the head of the record names number {named.number} of {last.number}: it is missing"
            " or was put back"
        )
        ends.append(Finding((), what))
    return Verdict(last, (*twice, *chained, *ends), beyond)


def _by_number(links: Iterable[Link]) -> tuple[dict[int, Link], list[Finding]]:
    """Links by ascending number, and what is wrong with any by itself."""
    findings: list[Finding] = []
    found: dict[int, Link] = {}
    for link in sorted(links, key=lambda link: (link.number, link.session)):
        if link.fault:
            findings.append(Finding((link.session,), link.fault))
        other = found.setdefault(link.number, link)
        if other is not link:
            what = f"it has number {link.number}, as {other.session} has"
            findings.append(Finding((link.session,), what))
    return found, findings


def _check_chain(
    numbered: Mapping[int, Link], every: Sequence[str], stored: Collection[str]
) -> list[Finding]:
    """Numbers that are missing, and links that do not go on from the one before."""
    findings: list[Finding] = []
    before: set[str] = {NOTHING_BEFORE}
    last, session = 0, ""
    for number, link in numbered.items():
        gap = range(last + 1, number)
        if gap:
            findings += _missing(gap, (session, link.session), every, stored)
            what = "it can't be checked without the session issued before it, which is missing"
            findings.append(Finding((link.session,), what))
            before = {link.record_hash}
        elif link.record_hash in (following := {_chained(one, link.digest) for one in before}):
            before = {link.record_hash}
        else:
            what = "its rows, or the hash that they go on from, are not those that were issued"
            findings.append(Finding((link.session,), what))
            # With its own hash or the one that it should have: one edit is one finding.
            before = {link.record_hash} | following
        last, session = number, link.session
    return findings


def _check_head(
    named: Head, last: Head, at: Link | None, every: Sequence[str], stored: Collection[str]
) -> list[Finding]:
    """Whether what the head names is there.

    Args:
        named: What is stored as the head.
        last: The newest issued session that there is.
        at: The link with the head's number.
        every: Sessions of the calendar.
        stored: Sessions with a number.
    """
    if named.number > last.number:
        numbers = range(last.number + 1, named.number + 1)
        return _missing(numbers, (last.session, ""), every, stored, named.session)
    if at and (at.session, at.record_hash) != (named.session, named.record_hash):
        return [Finding((at.session,), "it is not what the head of the record names")]
    return []


def _missing(
    numbers: range,
    between: tuple[str, str],
    every: Sequence[str],
    stored: Collection[str],
    end: str = "",
) -> list[Finding]:
    """Findings of numbers that no session has, named as far as the calendar tells.

    Args:
        numbers: Those.
        between: The sessions with the number before and the one after; "" where there is none.
        every: Sessions of the calendar.
        stored: Sessions with a number.
        end: The session of the last number, where the head says so.
    """
    first, last = between if between[0] <= between[1] or not between[1] else between[::-1]
    open_ended = not last
    last = last or end
    candidates = [
        session
        for session in every
        if first < session < last or (open_ended and session == last)
        if session not in stored
    ]
    if len(candidates) == len(numbers):
        return [
            Finding((session,), f"it was issued as number {number} and is missing")
            for number, session in zip(numbers, candidates, strict=True)
        ]
    which = f"number {numbers[0]}" if len(numbers) == 1 else f"numbers {numbers[0]}..{numbers[-1]}"
    known = [end] if end and end not in stored else []
    said = f"{which} of the record, issued after {first or 'nothing'}, missing"
    if len(candidates) > len(numbers):
        said += f": {len(numbers)} of these {len(candidates)} sessions"
    return [Finding(tuple(candidates or known), said)]
