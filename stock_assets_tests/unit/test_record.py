"""The record of issued forecasts: what is issued, its hash chain, that no change goes unseen."""

import random
from collections.abc import Callable
from datetime import UTC, date, datetime

import numpy as np
import polars as pl
import pytest

from stock_assets.commands.verify import lines as verify_lines
from stock_assets.forecasting.forecast_schema import FORECAST_SCHEMA
from stock_assets.forecasting.record import (
    Finding,
    Head,
    Link,
    append,
    digest,
    in_hindsight,
    is_issued,
    link_of,
    mark_issued,
    verify,
)
from stock_assets.market.sessions import ExchangeCalendar, load_calendar

XNYS = load_calendar("XNYS")
SESSIONS = [str(day) for day in XNYS.between(date(2024, 3, 1), date(2024, 3, 22))]
AT = datetime(2024, 3, 1, 11, 30, tzinfo=UTC)


def rows(session: str, tickers: int = 4, at: datetime | None = AT) -> pl.DataFrame:
    draw = np.random.default_rng(int(session.replace("-", "")))
    day = date.fromisoformat(session)
    numbers = [name for name, kind in FORECAST_SCHEMA.items() if kind == pl.Float64()]
    made = [
        {
            "ticker": f"T{n}",
            "as_of_session": day,
            "target_session": XNYS.next_session(day),
            **{name: float(draw.normal()) for name in numbers},
            "quantile_returns": draw.normal(size=50).tolist() if n else None,
            "model": "extra_trees",
            "model_version": 3,
            "intervals_version": 4,
            "trained_through": date(2024, 2, 29),
            "is_fallback": n == 0,
            "fallback_reason": "history too short for features" if n == 0 else None,
            "issued_at": at,
        }
        for n in range(tickers)
    ]
    return pl.DataFrame(made, schema=FORECAST_SCHEMA)


Record = dict[str, pl.DataFrame]
Change = tuple[Record, tuple[str, ...], set[str]]
"""Objects that are others now, sessions that are gone, and those that must be named for it."""


def issue(sessions: list[str]) -> tuple[Record, Head]:
    head, found = Head(), {}
    for session in sessions:
        found[session], head = append(rows(session), session, head)
    return found, head


RECORD, HEAD = issue(SESSIONS)
LINKS = {session: link_of(session, found) for session, found in RECORD.items()}


def links(changed: Record | None = None, gone: tuple[str, ...] = ()) -> list[Link]:
    now = LINKS | {session: link_of(session, found) for session, found in (changed or {}).items()}
    return [link for session, link in now.items() if link and session not in gone]


def test_the_hash_of_a_session_is_the_same_whatever_release_makes_it():
    one = rows("2024-03-01", 2).with_columns(
        pl.lit(0.1 + 0.2).alias(name)
        for name, kind in FORECAST_SCHEMA.items()
        if kind == pl.Float64
    )
    one = one.with_columns(quantile_returns=pl.lit([-0.01, None, 0.01], pl.List(pl.Float64())))
    assert digest(one) == "8bb8b1797d35fedff022466e6debbdb7b2636d066367e946097e0709fc748594"
    issued, head = append(one, "2024-03-01", Head())
    assert head == Head(
        1, "2024-03-01", "a6dfc12239dfe6cd28fe9d3e1005ae8846d010917a3a97b0d9c37e2a3cad3eac"
    )
    assert issued["record_hash"].unique().to_list() == [head.record_hash]
    # In other chunks, and as a reader of a later release may have it, it is the same.
    assert digest(pl.concat([issued[:1], issued[1:]], rechunk=False)) == digest(issued)
    assert digest(issued.select(*reversed(issued.columns))) == digest(issued)


@pytest.mark.parametrize("session", ["2024-03-01", "2024-03-08"])
def test_a_forecast_is_issued_until_its_target_opens(xnys: ExchangeCalendar, session: str):
    made = rows(session, at=None)
    # Monday 2024-03-04 opens at 14:30 UTC, 2024-03-11 in summer time at 13:30.
    opens = {"2024-03-01": (4, 14), "2024-03-08": (11, 13)}[session]
    before = datetime(2024, 3, opens[0], opens[1], 29, 59, tzinfo=UTC)
    assert mark_issued(made, xnys, before, is_live=True)["issued_at"].to_list() == [before] * 4
    at_opening = before.replace(minute=30, second=0)
    for late in (
        mark_issued(made, xnys, at_opening, is_live=True),
        mark_issued(made, xnys, before, is_live=False),
    ):
        assert late["issued_at"].to_list() == [None] * 4
        assert not is_issued(late)
    assert mark_issued(made.clear(), xnys, before, is_live=True).schema == FORECAST_SCHEMA


def test_an_untouched_record_is_well_and_hindsight_is_no_part_of_it():
    verdict = verify(links(), HEAD, SESSIONS)
    assert (verdict.last, verdict.findings, verdict.beyond) == (HEAD, (), ())
    assert link_of(SESSIONS[0], in_hindsight(RECORD[SESSIONS[0]])) is None
    assert verify([], None).findings == ()


def test_a_head_that_a_kill_left_behind_is_told_from_one_that_was_put_back():
    _, behind = issue(SESSIONS[:-1])
    verdict = verify(links(), behind, SESSIONS)
    assert (verdict.last, verdict.findings, verdict.beyond) == (HEAD, (), (SESSIONS[-1],))
    _, older = issue(SESSIONS[:-3])
    (finding,) = verify(links(), older, SESSIONS).findings
    assert finding == Finding(
        (), "the head of the record names number 13 of 16: it is missing or was put back"
    )
    assert len(verify(links(), None, SESSIONS).findings) == 1
    assert verify(links(), older, SESSIONS, may_lag=3).findings == ()


def test_missing_sessions_are_named():
    gone = SESSIONS[4]
    assert verify(links(gone=(gone,)), HEAD, SESSIONS).findings == (
        Finding((gone,), "it was issued as number 5 and is missing"),
        Finding(
            (SESSIONS[5],),
            "it can't be checked without the session issued before it, which is missing",
        ),
    )
    (first,) = verify(links(gone=tuple(SESSIONS[-1:])), HEAD, SESSIONS).findings
    assert first == Finding((SESSIONS[-1],), "it was issued as number 16 and is missing")
    all_gone = verify([], HEAD, SESSIONS)
    assert [finding.sessions for finding in all_gone.findings] == [(day,) for day in SESSIONS]


def test_a_session_that_was_not_issued_makes_the_missing_one_ambiguous_and_both_are_named():
    issued = [day for day in SESSIONS if day != "2024-03-12"]
    record, head = issue(issued)
    found = [link_of(day, of) for day, of in record.items() if day != "2024-03-13"]
    named = verify([link for link in found if link], head, SESSIONS).findings[0]
    assert named.sessions == ("2024-03-12", "2024-03-13")
    assert named.what.endswith("1 of these 2 sessions")


def test_one_edit_is_one_finding():
    session = SESSIONS[7]
    edited = RECORD[session].with_columns(forecast_close_usd=pl.col("forecast_close_usd") + 1)
    (finding,) = verify(links({session: edited}), HEAD, SESSIONS).findings
    assert finding.sessions == (session,)


# --- a thousand changes -------------------------------------------------------------------------


def _edit(draw: random.Random) -> Change:
    """One value becomes another: numbers by their last bit."""
    session = draw.choice(SESSIONS)
    found = RECORD[session]
    name, row = draw.choice(found.columns), draw.randrange(found.height)
    values = found[name].to_list()
    values[row] = _another(values[row], FORECAST_SCHEMA[name], draw)
    changed = found.with_columns(pl.Series(name, values, dtype=FORECAST_SCHEMA[name]))
    return {session: changed}, (), {session}


def _another(value: object, kind: pl.DataType, draw: random.Random) -> object:
    if value is not None and draw.random() < 0.2:
        return None
    if isinstance(value, list):
        at = draw.randrange(len(value))
        return [*value[:at], float(np.nextafter(value[at], 9)), *value[at + 1 :]]
    others = {
        pl.Float64(): lambda: float(np.nextafter(value if value is not None else 1.0, 9)),
        pl.String(): lambda: f"{value or ''}x",
        pl.Int64(): lambda: (value or 0) + draw.choice([-1, 1, 7]),
        pl.Boolean(): lambda: not value,
        pl.Date(): lambda: date(2020, 1, 2),
        pl.List(pl.Float64()): lambda: [0.5],
    }
    return others.get(kind, lambda: datetime(2024, 3, 1, tzinfo=UTC))()


def _edit_with_a_hash_of_its_own(draw: random.Random) -> Change:
    """By one who knows how the hash is made: the chain breaks at the next one, or the head."""
    at = draw.randrange(len(SESSIONS))
    before = LINKS[SESSIONS[at - 1]] if at else None
    head = Head(at, SESSIONS[at - 1], before.record_hash) if before else Head()
    forged = RECORD[SESSIONS[at]].with_columns(forecast_return=pl.lit(draw.random()))
    changed, _ = append(forged, SESSIONS[at], head)
    return {SESSIONS[at]: changed}, (), {SESSIONS[min(at + 1, len(SESSIONS) - 1)]}


def _drop_rows(draw: random.Random) -> Change:
    session = draw.choice(SESSIONS)
    kept = sorted(draw.sample(range(4), draw.randrange(1, 4)))
    return {session: RECORD[session][kept]}, (), {session}


def _repeat_or_swap_rows(draw: random.Random) -> Change:
    session = draw.choice(SESSIONS)
    order = draw.sample(range(4), 4)
    if order == sorted(order):
        order = [0, 0, 1, 2]
    return {session: RECORD[session][order]}, (), {session}


def _delete_sessions(draw: random.Random) -> Change:
    gone = draw.sample(SESSIONS, draw.randrange(1, 4))
    return {}, tuple(gone), set(gone)


def _swap_sessions(draw: random.Random) -> Change:
    one, other = draw.sample(SESSIONS, 2)
    return {one: RECORD[other], other: RECORD[one]}, (), {one, other}


def _swap_numbers(draw: random.Random) -> Change:
    one, other = draw.sample(SESSIONS, 2)
    taken = {name: {day: RECORD[day][name][0] for day in (one, other)} for name in
             ("record_number", "record_hash", "issued_at")}  # fmt: skip
    return (
        {
            day: RECORD[day].with_columns(
                pl.lit(of[whose], FORECAST_SCHEMA[name]).alias(name) for name, of in taken.items()
            )
            for day, whose in ((one, other), (other, one))
        },
        (),
        {one, other},
    )


def _call_it_hindsight(draw: random.Random) -> Change:
    session = draw.choice(SESSIONS)
    return {session: in_hindsight(RECORD[session])}, (), {session}


@pytest.mark.parametrize(
    "change",
    [_edit, _edit_with_a_hash_of_its_own, _drop_rows, _repeat_or_swap_rows, _delete_sessions,
     _swap_sessions, _swap_numbers, _call_it_hindsight],
)  # fmt: skip
def test_of_a_thousand_edits_deletions_and_reorderings_every_one_is_found(
    change: Callable[[random.Random], Change],
):
    draw = random.Random(13)
    for number in range(125):
        changed, gone, whose = change(draw)
        found = verify(links(changed, gone), HEAD, SESSIONS).findings
        named = {session for finding in found for session in finding.sessions}
        assert whose <= named, (number, changed, gone)


def test_a_hash_is_missed_without_a_word_about_a_head_that_is_none():
    found = {"issued": 0, "findings": [{"sessions": [], "what": "no issued session has it"}]}
    assert verify_lines(found) == ["the record: no issued session has it"]
    assert verify_lines({"issued": 0, "findings": []}) == [
        "no forecast was issued: only those of a source that goes on are"
    ]
