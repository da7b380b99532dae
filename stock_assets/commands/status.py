"""`stock-assets status`: what is stored, what is due and why, and what the next run will do."""

from collections.abc import Sequence
from itertools import compress
from typing import Any

from stock_assets.commands.tables import terminal_width
from stock_assets.planning.lineage import MONTH_ASSETS
from stock_assets.planning.status import DAMAGED, MISSING, STALE, STATES, WAITING, AssetStatus
from stock_assets.settings import Settings
from stock_assets.standing import Standing, standing

_MOST_KEYS = 100
"""Of a reason in JSON; its count says how many there are."""
_MOST_REASONS = 5
"""Of an asset and a state on the screen."""
_LONGEST = 110
_COLUMNS = ("asset", "stored", *STATES, "newest", "next run makes")


def dataset_status(settings: Settings) -> dict[str, Any]:
    """The JSON of `status`."""
    return as_json(standing(settings), settings.dataset_name)


def as_json(found: Standing, dataset: str) -> dict[str, Any]:
    """Counts of each asset, and reasons with their keys."""
    status, whole = found.status, found.extent
    return {
        "dataset": dataset,
        "from": str(whole.targets[0]) if whole else None,
        "to": str(whole.targets[-1]) if whole else None,
        "is_empty": status.is_empty,
        "due": bool(status) or bool(found.lost),
        "seconds": _rounded(status.seconds),
        "issued": status.issued,
        "lost_versions": found.lost,
        "assets": {one.asset: _asset(one) for one in status.assets},
    }


def _asset(one: AssetStatus) -> dict[str, Any]:
    return {
        "stored": one.stored,
        **{state: one.count(state) for state in STATES},
        "newest": one.newest,
        "to_make": one.to_make,
        "seconds": _rounded(one.seconds),
        "reasons": [
            {
                "state": reason.state,
                "reason": reason.words,
                "count": len(reason.keys),
                "first": reason.keys[0],
                "last": reason.keys[-1],
                "keys": list(reason.keys[:_MOST_KEYS]),
            }
            for reason in one.reasons
        ],
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 2)


def lines(found: dict[str, Any]) -> list[str]:
    """The same for a person."""
    if found["is_empty"]:
        return [f"{found['dataset']}: nothing is stored yet; `stock-assets run` begins"]
    table = _table(found, terminal_width())
    span = f", targets {found['from']}..{found['to']}" if found["from"] else ""
    issued = f", {found['issued']} sessions issued" if found["issued"] else ""
    return [f"{found['dataset']}{span}{issued}", "", *table, "", *_reasons(found), *_outlook(found)]


def _table(found: dict[str, Any], width: int | None) -> list[str]:
    """Where it would be too wide, without columns that say nothing; else with the sum of them."""
    assets = found["assets"].items()
    every = [_COLUMNS, *(_row(asset, one) for asset, one in assets)]
    says = [n < 2 or any(row[n] != "-" for row in every[1:]) for n in range(len(_COLUMNS))]
    short = [list(compress(row, says)) for row in every]
    due = ["due", *(str(sum(one[state] for state in STATES) or "-") for _, one in assets)]
    sums = [(*row[:2], n, *row[-2:]) for row, n in zip(every, due, strict=True)]
    table: list[str] = []
    for rows in (every, short, [row[:-1] for row in short], sums, [row[:-1] for row in sums]):
        table = _aligned(rows)
        if width is None or max(map(len, table)) <= width:
            break
    return table


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Numbers at the right: all but names, keys and words."""
    columns = list(zip(*rows, strict=True))
    cells = [
        [
            cell.ljust(max(map(len, column)))
            if column[0] in {_COLUMNS[0], *_COLUMNS[-2:]}
            else cell.rjust(max(map(len, column)))
            for cell in column
        ]
        for column in columns
    ]
    return ["  ".join(row).rstrip() for row in zip(*cells, strict=True)]


def _row(asset: str, one: dict[str, Any]) -> tuple[str, ...]:
    what = "month" if asset in MONTH_ASSETS else "session"
    makes = f"{_counted(one['to_make'], what)}, {_about(one['seconds'])}" if one["to_make"] else "-"
    counts = (str(one[name] or "-") for name in ("stored", *STATES))
    return (asset, *counts, one["newest"] or "-", makes)


def _reasons(found: dict[str, Any]) -> list[str]:
    said = []
    for asset, one in found["assets"].items():
        for state in (MISSING, DAMAGED, STALE, WAITING):
            of_state = [reason for reason in one["reasons"] if reason["state"] == state]
            for reason in of_state[:_MOST_REASONS]:
                span = reason["first"] + (
                    f"..{reason['last']} ({reason['count']})" if reason["count"] > 1 else ""
                )
                words = {MISSING: "missing", WAITING: f"waits {reason['reason']}"}.get(
                    state, reason["reason"]
                )
                line = f"{asset} of {span}: {words}"
                said.append(line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…")
            if left := of_state[_MOST_REASONS:]:
                keys = sum(reason["count"] for reason in left)
                said.append(f"{asset}: {keys} more {state}, for other reasons (--json has all)")
    return said


def _outlook(found: dict[str, Any]) -> list[str]:
    """What the next run will do."""
    if found["lost_versions"]:
        numbers = ", ".join(map(str, found["lost_versions"]))
        return [
            f"MLflow's registry lacks the stored versions {numbers}: the next run registers them"
            " again, after which less may be due",
        ]
    if not found["due"]:
        return ["nothing is due: each object is there and made of what it would be made of now"]
    waiting = sum(one[WAITING] for one in found["assets"].values())
    if waiting:
        more = f"; {waiting} that wait are looked at again then, and made if they would change"
    else:
        more = ""
    command = f"`stock-assets run --from {found['from']} --to {found['to']}`"
    return ["", f"{command} makes them, {_about(found['seconds'])}{more}"]


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'s'[: count != 1]}"


def _about(seconds: float | None) -> str:
    if seconds is None:
        return "nobody knows yet how long"
    if seconds < 1:
        return "about a second"
    return f"about {seconds:.0f} s" if seconds < 120 else f"about {seconds / 60:.0f} min"
