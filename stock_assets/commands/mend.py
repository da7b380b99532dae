"""`stock-assets mend`: looks at every byte that is stored, and makes again what is damaged.

What a command meets damaged on its way it mends anyway; a flipped bit that nobody has read yet is
found here alone.
"""

import sys

from stock_assets.backfill.execution import Aside, bring_up_to_date, with_objects_mended
from stock_assets.backfill.mended_models import mend_models
from stock_assets.backfill.progress import Progress
from stock_assets.backfill.project import open_project
from stock_assets.errors import SourceError
from stock_assets.planning.extent import extent
from stock_assets.planning.lineage import IN_ORDER
from stock_assets.planning.plan import Wanted
from stock_assets.resources.damage import find_damaged
from stock_assets.resources.stored_state import listed_objects
from stock_assets.settings import Settings


def mend(settings: Settings) -> str:
    """Looks at every object of the dataset and mends the damaged ones; what was done, in words."""
    with open_project(settings) as project:
        stored = listed_objects(project.store)
        wanted = extent(settings, project.partitions, project.lineage, stored)
        number, damaged = find_damaged(project.store, IN_ORDER)
        Aside(project).move(damaged)
        progress = Progress()

        def mended() -> None:
            mend_models(project, progress)
            bring_up_to_date(project, wanted.wanted() if wanted else Wanted({}), progress)

        try:
            with_objects_mended(project, mended)
        except SourceError as error:
            print(f"note: prices can't be fetched again: {error}", file=sys.stderr, flush=True)
        return f"{number} objects looked at, {len(damaged)} were damaged and are made again"
