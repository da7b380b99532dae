"""Bringing some sessions of some assets up to date, as commands do."""

from collections.abc import Sequence
from datetime import date

from stock_assets.backfill.execution import bring_up_to_date
from stock_assets.backfill.progress import Progress
from stock_assets.backfill.project import Project
from stock_assets.planning.plan import Wanted


def fill(project: Project, sessions: Sequence[date], *assets: str) -> list[date]:
    """The sessions of which something was due."""
    wanted = Wanted({asset: list(map(str, sessions)) for asset in assets})
    due = project.plan(wanted).due
    bring_up_to_date(project, wanted, Progress())
    return sorted({date.fromisoformat(key) for asset in assets for key in due[asset]})
