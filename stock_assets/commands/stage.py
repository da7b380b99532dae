"""One stage by hand, for the newest partition: what `make prepare train register …` call."""

from collections.abc import Sequence

from stock_assets.asset_keys import Asset
from stock_assets.automation.jobs import DAILY_ASSETS, DAILY_JOB, MONTHLY_JOB
from stock_assets.backfill.execution import bring_up_to_date, with_objects_mended
from stock_assets.backfill.progress import Progress
from stock_assets.backfill.project import Project, open_project, run_partitions
from stock_assets.errors import MissingPartitionsError
from stock_assets.market.months import month_key
from stock_assets.partitions import partition_keys
from stock_assets.planning.plan import Wanted
from stock_assets.resources.partition_objects import stored_partitions
from stock_assets.settings import Settings

STAGE_ASSETS: dict[str, tuple[str, ...]] = {
    "prepare": (Asset.RAW_PRICES, Asset.FEATURES, Asset.TRAIN_SET, Asset.TEST_SET),
    "train": (Asset.TUNED_MODEL,),
    "register": (Asset.REGISTERED_VERSION,),
    "forecast": (Asset.DAILY_FORECAST,),
    "evaluate": (Asset.FORECAST_RMSE,),
}


def run_stage(settings: Settings, stage: str) -> str:
    """Materialises the stage's assets for the newest session or month; what was done, in words."""
    with open_project(settings) as project:
        return with_objects_mended(project, lambda: _run_stage(project, stage))


def _run_stage(project: Project, stage: str) -> str:
    newest = project.partitions.newest
    if stage == "prepare":
        wanted = project.range_of(newest, newest).wanted()
        history = {asset: wanted.of(asset) for asset in (Asset.RAW_PRICES, Asset.FEATURES)}
        bring_up_to_date(project, Wanted(history), Progress())
    assets = STAGE_ASSETS[stage]
    by_session = [asset for asset in assets if asset in DAILY_ASSETS]
    by_month = [asset for asset in assets if asset not in DAILY_ASSETS]
    keys = [_materialise(project, DAILY_JOB, by_session, str(newest))] if by_session else []
    if by_month:
        month = month_key(newest)
        # A month whose parameters it takes over goes through all stages with it, once.
        done = stored_partitions(project.store, Asset.REGISTERED_VERSION)
        with_lender = project.lineage.rules.months.with_lenders([month])
        keys += [
            _materialise(project, MONTHLY_JOB, by_month, one)
            for one in with_lender
            if one == month or one not in done
        ]
    return f"{stage}: {', '.join(assets)} of {' and '.join(keys)}"


def _materialise(project: Project, job: str, assets: Sequence[str], key: str) -> str:
    daily = job == DAILY_JOB
    partitions = project.partitions.sessions if daily else project.partitions.months
    run_partitions(project, job, assets, [key], partition_keys(partitions), per_run=1)
    by = "session" if daily else "month"
    absent = [asset for asset in assets if not project.store.keys(f"{asset}/{by}={key}")]
    if absent:
        raise MissingPartitionsError(
            f"{', '.join(absent)} of {key} was run and not stored: there was nothing to store; see"
            " the source's last session with `stock-assets doctor`, and run the stage again"
        )
    return key
