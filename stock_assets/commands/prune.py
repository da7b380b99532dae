"""`stock-assets prune`: what databases and folders keep of long ago, and nobody needs."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from stock_assets.backfill.project import open_project
from stock_assets.local.dagster_history import prune_history, shrink
from stock_assets.resources.mlflow_database import local_database
from stock_assets.resources.search_journal import ASIDE, forget_searches
from stock_assets.settings import Settings


def prune(settings: Settings, keep_days: int, *, dry_run: bool = False) -> dict[str, Any]:
    """Deletes what is older than some days and no page, check, sensor or run needs.

    Logs and superseded events of Dagster's runs, ticks, journals of searches, files that were moved
    aside. Objects, models and versions stay, and so does what the page shows of each partition.

    Returns:
        What was deleted, in numbers; with `dry_run`, what would be.
    """
    before = datetime.now(UTC) - timedelta(days=keep_days)
    state = settings.state_folder
    bytes_before = _bytes(state)
    with open_project(settings) as project:
        history = prune_history(
            project.instance, before, state / "dagster" / "compute_logs", dry_run=dry_run
        )
        if not dry_run:
            _purge_ticks(project.instance, before)
    searches = forget_searches(settings, before, dry_run=dry_run)
    files = [path for path in _throw_away(settings) if _changed(path) < before]
    if not dry_run:
        for path in files:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        shrink([*(state / "dagster").rglob("index.db"), *(state / "dagster").rglob("runs.db")])
        shrink([*(state / "dagster").rglob("schedules.db"), local_database(settings)])
    return {
        "before": before.isoformat(timespec="seconds"),
        "dry_run": dry_run,
        **vars(history),
        "files": len(files),
        "searches": searches,
        "freed_bytes": bytes_before - _bytes(state),
    }


def _throw_away(settings: Settings) -> list[Path]:
    aside = [path for level in ("*", "*/*", "*/*/*") for path in settings.state_folder.glob(level)]
    return sorted(
        {
            *(path for path in aside if ASIDE in path.name),
            *(path for path in settings.studies.glob("*") if ASIDE in path.name),
            # A search that is over is in MLflow; its journal is for one that was killed.
            *settings.studies.glob("*.journal"),
        }
    )


def _changed(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _bytes(folder: Path) -> int:
    """On disk, without the store's own objects and the read cache."""
    kept = ("store", "read_cache")
    files = (file for part in folder.iterdir() if part.name not in kept for file in part.rglob("*"))
    return sum(file.stat().st_size for file in files if file.is_file())


def _purge_ticks(instance: dg.DagsterInstance, before: datetime) -> None:
    for state in instance.all_instigator_state():
        # The newest stays, however old: a sensor that was off goes on where it was.
        ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)
        newest = min((tick.timestamp for tick in ticks), default=0.0)
        instance.purge_ticks(
            state.instigator_origin_id, state.selector_id, min(before.timestamp(), newest)
        )
