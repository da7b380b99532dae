"""`stock-assets reconcile`: issued forecasts beside what would be forecast now."""

from datetime import date
from typing import Any

import polars as pl

from stock_assets.asset_keys import HINDSIGHT_FORECAST, Asset
from stock_assets.automation.jobs import DAILY_JOB
from stock_assets.backfill.execution import bring_up_to_date, with_objects_mended
from stock_assets.backfill.progress import Progress
from stock_assets.backfill.project import Project, open_project, run_partitions
from stock_assets.errors import MissingPartitionsError
from stock_assets.forecasting.features import BAR_SESSIONS
from stock_assets.forecasting.intervals import adaptive_history
from stock_assets.forecasting.reconciliation import CAUSES, NONE, reconcile
from stock_assets.partitions import partition_keys, session_of
from stock_assets.planning.plan import Wanted
from stock_assets.resources.partition_objects import stored_partitions
from stock_assets.resources.read_cache import read_rows
from stock_assets.settings import Settings


def reconcile_record(settings: Settings, first: date | None, last: date | None) -> dict[str, Any]:
    """Makes the hindsight of issued sessions and holds both against each other.

    Args:
        settings: Whose.
        first: First target session; left out: of all.
        last: Last target session; left out: of all.

    Raises:
        MissingPartitionsError: No session of the range was issued.
    """
    with open_project(settings) as project:
        progress = Progress()
        rows = with_objects_mended(project, lambda: _reconciled(project, first, last, progress))
    differing = rows.filter(pl.col("cause") != NONE)
    causes = dict(rows["cause"].value_counts().iter_rows())
    return {
        "from": str(rows["target_session"].min()),
        "to": str(rows["target_session"].max()),
        "sessions": rows["target_session"].n_unique(),
        "forecasts": rows.height,
        "causes": {cause: causes.get(cause, 0) for cause in CAUSES},
        "differences": differing.to_dicts(),
    }


def _reconciled(
    project: Project, first: date | None, last: date | None, progress: Progress
) -> pl.DataFrame:
    calendar, horizon = project.partitions.calendar, project.settings.horizon
    issued = _issued(project, first, last)
    sessions = issued["as_of_session"].unique().sort().to_list()
    keys = [str(session) for session in sessions]
    targets = {session: calendar.offset(session, horizon) for session in sessions}
    upstream = project.range_of(min(targets.values()), project.partitions.newest).wanted()
    own = (Asset.DAILY_FORECAST, Asset.FORECAST_RMSE)
    rest = Wanted({asset: keys for asset, keys in upstream.keys.items() if asset not in own})
    bring_up_to_date(project, rest, progress)
    with progress.stage("forecasts", f"{len(keys)} sessions {keys[0]}..{keys[-1]} in hindsight"):
        make_hindsight(project, keys)
    stored = stored_partitions(project.store, HINDSIGHT_FORECAST)
    hindsight = read_rows(project.store, [stored[key] for key in keys])
    reach = adaptive_history(horizon) + BAR_SESSIONS
    every = calendar.between(project.partitions.first, sessions[-1])
    place = {session: n for n, session in enumerate(every)}
    window_of = {session: every[max(0, place[session] - reach)] for session in sessions}
    bars = project.price_history.bars(every[place[window_of[sessions[0]]] :])
    return reconcile(issued, hindsight, bars, window_of).with_columns(
        target_session=pl.col("as_of_session").replace_strict(targets, return_dtype=pl.Date)
    )


def _issued(project: Project, first: date | None, last: date | None) -> pl.DataFrame:
    stored = stored_partitions(project.store, Asset.DAILY_FORECAST)
    known = [one for key, one in stored.items() if last is None or session_of(key) <= last]
    if known:
        rows = read_rows(project.store, known).filter(
            pl.col("issued_at").is_not_null(),
            pl.col("target_session").is_between(first or date.min, last or date.max),
        )
        if not rows.is_empty():
            return rows
    raise MissingPartitionsError(
        f"no forecast of {first or 'the first'}..{last or 'the last session'} was issued: only"
        " those of a source that goes on are, made before their target session opens"
    )


def make_hindsight(project: Project, keys: list[str]) -> None:
    """Forecasts issued sessions again, from the features that are stored: it is stored beside."""
    partitions = project.partitions
    run_partitions(
        project,
        DAILY_JOB,
        [Asset.DAILY_FORECAST],
        keys,
        partition_keys(partitions.sessions),
        partitions.sessions_per_run,
    )


def lines(found: dict[str, Any]) -> list[str]:
    """The same for a person: each difference in a line."""
    causes = ", ".join(f"{number} {cause}" for cause, number in found["causes"].items() if number)
    said = [
        f"{found['from']} .. {found['to']}: {found['forecasts']} forecasts of {found['sessions']}"
        f" issued sessions; causes of differences: {causes}"
    ]
    for row in found["differences"]:
        before, after = (_spelled(row, suffix) for suffix in ("", "_hindsight"))
        said.append(
            f"  {row['target_session']} {row['ticker']}: issued {before}, now {after};"
            f" {row['cause']}: {row['because']}"
        )
    return said


def _spelled(row: dict[str, Any], suffix: str) -> str:
    point, lower, upper = (
        row[f"{name}{suffix}"] for name in ("forecast_close_usd", "lower_95_usd", "upper_95_usd")
    )
    if point is None:
        return "nothing"
    return f"{point:.4f}" + ("" if lower is None else f" ({lower:.4f} .. {upper:.4f})")
