"""`stock-assets verify`: whether issued forecasts are what was issued, from the objects alone."""

from typing import Any

from stock_assets.errors import DamagedObjectError
from stock_assets.forecasting.record import Finding, Head, Link, verify
from stock_assets.market.sessions import load_calendar
from stock_assets.partitions import session_of
from stock_assets.resources.object_store import ObjectStore, open_store
from stock_assets.resources.stored_record import read_head, read_links
from stock_assets.settings import Settings

MEANING = (
    "tamper-evident, no proof of time: keep the head's hash elsewhere, and ask for it with --kept"
)


def verify_record(settings: Settings, kept: str | None = None) -> dict[str, Any]:
    """What the record of a dataset is found to be.

    Args:
        settings: Whose.
        kept: A head's hash that somebody kept: it must be in the chain still.
    """
    with open_store(settings) as store:
        head, of_head = _head(store)
        links, damaged, stored = read_links(store)
    every = _candidates(settings, links, head, stored)
    verdict = verify(links, head, every, settings.horizon)
    findings = [*of_head, *damaged, *verdict.findings]
    if kept and kept not in {link.record_hash for link in links}:
        findings.append(Finding((), f"no issued session has the hash {kept} that was kept"))
    return {
        "ok": not findings,
        "issued": len(links),
        "last_session": verdict.last.session or None,
        "head": verdict.last.record_hash if links else None,
        "beyond_head": list(verdict.beyond),
        "findings": [
            {"sessions": list(finding.sessions), "what": finding.what} for finding in findings
        ],
        "meaning": MEANING,
    }


def _head(store: ObjectStore) -> tuple[Head | None, list[Finding]]:
    try:
        return read_head(store), []
    except DamagedObjectError as error:
        return None, [Finding((), f"{error.said}; the next issue makes it again")]


def _candidates(
    settings: Settings, links: list[Link], head: Head | None, stored: list[str]
) -> list[str]:
    """Sessions that can have been issued: as far back as numbers are missing before the first."""
    sessions = [link.session for link in links] or ([head.session] if head else [])
    if not any(sessions):
        return []
    calendar = load_calendar(settings.calendar)
    first = min(links, key=lambda link: link.session) if links else None
    before = calendar.between(calendar.first, session_of(min([*sessions, *stored])))
    start = before[-max(first.number if first else 1, 1) :][0]
    newest = max([*sessions, head.session if head else ""])
    return [str(session) for session in calendar.between(start, session_of(newest))]


def lines(found: dict[str, Any]) -> list[str]:
    """The same for a person."""
    said = [
        f"{', '.join(finding['sessions'][:5]) or 'the record'}: {finding['what']}"
        for finding in found["findings"]
    ]
    if not found["issued"]:
        return said or ["no forecast was issued: only those of a source that goes on are"]
    said.append(f"{found['issued']} sessions were issued, the last {found['last_session']}")
    if beyond := found["beyond_head"]:
        said.append(
            f"note: the head is behind by {', '.join(beyond)}, as after a kill; the next issue"
            " brings it up to date"
        )
    return [*said, f"head {found['head']}", f"({MEANING})"]
