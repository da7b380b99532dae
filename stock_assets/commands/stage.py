"""One stage by hand, for the newest partition: what `make prepare train register …` call."""

from collections.abc import Sequence

from stock_assets.automation.jobs import DAILY_JOB, MONTHLY_JOB
from stock_assets.commands.mend import mending
from stock_assets.commands.project import Project, open_project, run_partitions
from stock_assets.commands.run import newest_session
from stock_assets.commands.stages import Progress, fill_history, plan_range
from stock_assets.errors import MissingPartitionsError
from stock_assets.market.months import month_key
from stock_assets.partitions import training_months
from stock_assets.resources.io_managers import stored_partitions
from stock_assets.settings import Settings

STAGE_ASSETS: dict[str, tuple[str, ...]] = {
    "prepare": ("raw_prices", "features", "train_set", "test_set"),
    "train": ("tuned_model",),
    "register": ("registered_version",),
    "forecast": ("daily_forecast",),
    "evaluate": ("forecast_rmse",),
}
_SESSION_ASSETS = frozenset({"raw_prices", "features", "daily_forecast", "forecast_rmse"})


def run_stage(settings: Settings, stage: str) -> str:
    """Materialises the stage's assets for the newest session or month; what was done, in words."""
    with open_project(settings) as project:
        progress = Progress()
        return mending(project, progress, lambda: _run_stage(project, stage, progress))


def _run_stage(project: Project, stage: str, progress: Progress) -> str:
    newest = newest_session(project)
    if stage == "prepare":
        fill_history(project, plan_range(project, newest, newest), progress)
    assets = STAGE_ASSETS[stage]
    by_session = [asset for asset in assets if asset in _SESSION_ASSETS]
    by_month = [asset for asset in assets if asset not in _SESSION_ASSETS]
    keys = [_materialise(project, DAILY_JOB, by_session, str(newest))] if by_session else []
    if by_month:
        month = month_key(newest)
        # A month whose parameters it takes over goes through all stages with it, once.
        done = stored_partitions(project.store, "registered_version")
        with_lender = training_months(project.settings, project.partitions).with_lenders([month])
        keys += [
            _materialise(project, MONTHLY_JOB, by_month, one)
            for one in with_lender
            if one == month or one not in done
        ]
    return f"{stage}: {', '.join(assets)} of {' and '.join(keys)}"


def _materialise(project: Project, job: str, assets: Sequence[str], key: str) -> str:
    daily = job == DAILY_JOB
    partitions = project.partitions.sessions if daily else project.partitions.months
    run_partitions(project, job, assets, [key], partitions.get_partition_keys(), per_run=1)
    by = "session" if daily else "month"
    absent = [asset for asset in assets if not project.store.keys(f"{asset}/{by}={key}")]
    if absent:
        raise MissingPartitionsError(
            f"{', '.join(absent)} of {key} was run and not stored: there was nothing to store; see"
            " the source's last session with `stock-assets doctor`, and run the stage again"
        )
    return key
