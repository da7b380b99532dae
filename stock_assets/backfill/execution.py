"""Doing what the plan says, stage by stage: as little as possible, and again where something broke.

The plan is looked up anew whenever something was stored, by this command or by another one. So
nothing is remembered here: a command that is killed leaves to the next one what it had not done.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from stock_assets.asset_keys import Asset
from stock_assets.automation.jobs import DAILY_JOB, MONTHLY_JOB
from stock_assets.backfill.mended_models import restore_registry, with_models_mended
from stock_assets.backfill.progress import Progress
from stock_assets.backfill.project import Project, run_partitions
from stock_assets.errors import DamagedObjectError, MissingPartitionsError
from stock_assets.partitions import partition_keys
from stock_assets.planning.lineage import IN_ORDER, MONTH_ASSETS
from stock_assets.planning.plan import Plan, Wanted
from stock_assets.planning.work import Work, months_due, neighbouring_ranges, sessions_due
from stock_assets.resources.partition_objects import object_path
from stock_assets.resources.requests import forget_anew, request_anew
from stock_assets.resources.writer_lease import Lease, writings_over

T = TypeVar("T")

_STAGES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("prices", (Asset.RAW_PRICES,)),
    ("features", (Asset.FEATURES,)),
    ("training", MONTH_ASSETS),
    ("forecasts", (Asset.DAILY_FORECAST,)),
    ("scores", (Asset.FORECAST_RMSE,)),
)
_MOST_ROUNDS = 10
_MOST_TIMES = 3
"""As often as this a key may be made within one command: what is due again then will stay so."""


def bring_up_to_date(
    project: Project, wanted: Wanted, progress: Progress, *, fresh: bool = False
) -> bool:
    """Makes what the plan says is due of the wanted keys; whether that was anything.

    With `fresh` all of them are due, prices aside.

    Raises:
        StockAssetsError: Something can't be made; what was made before it is stored.
    """
    if fresh:
        anew = {asset: wanted.of(asset) for asset in IN_ORDER if asset != Asset.RAW_PRICES}
        request_anew(project.store, anew)
    restore_registry(project)
    execution = _Execution(project, wanted.with_keys(project.lost), progress)
    for _ in range(_MOST_ROUNDS):
        # Mostly one round: a version that is judged again may change who judges the next month.
        if not execution.plan() or not execution.round():
            break
    execution.refuse_unfinished()
    forget_anew(project.store, wanted.keys)
    return bool(execution.made)


def with_objects_mended(project: Project, work: Callable[[], T]) -> T:
    """What `work` returns; begun anew after each time that it met damaged objects, now set aside.

    Raises:
        DamagedObjectError: Something that no asset is made of, or that is damaged again.
    """
    aside = Aside(project)
    while True:
        try:
            return work()
        except DamagedObjectError as error:
            aside.move(error.damaged)


class Aside:
    """Moves damaged objects to where nothing is read from: they are missing from then on."""

    def __init__(self, project: Project) -> None:
        self._project, self._store, self._moved = project, project.store, set[str]()

    def move(self, damaged: Mapping[str, str]) -> None:
        """Raises DamagedObjectError where one is damaged again, or no asset is made of it."""
        for path, why in damaged.items():
            if path in self._moved or path.partition("/")[0] not in IN_ORDER:
                raise self._store.damaged({path: why})
            self._moved.add(path)
            asset, partition, _ = path.split("/")
            self._project.lost.add((asset, partition.partition("=")[2]))
            aside = self._store.set_aside(path)
            # Not by `shown`: whoever wants silence is to know of this all the same.
            print(
                f"note: {path} is damaged: moved to {aside}, it is made again",
                file=sys.stderr,
                flush=True,
            )


class _Execution:
    """One command's way through the stages."""

    def __init__(self, project: Project, wanted: Wanted, progress: Progress) -> None:
        self._project, self._wanted, self._progress = project, wanted, progress
        self.made: Counter[tuple[str, str]] = Counter()
        self._plan: Plan | None = None
        self._known = 0
        self._answered: dict[str, frozenset[str]] = {}
        self._aside = Aside(project)

    def plan(self) -> Plan:
        """The plan as of the last thing that was stored."""
        if self._plan is None:
            self._known = writings_over(self._project.store)
            self._plan = self._project.plan(self._wanted, self._answered)
            if self._plan.damaged:
                self._aside.move(
                    {object_path(*key): why for key, why in self._plan.damaged.items()}
                )
                self._wanted = self._wanted.with_keys(self._project.lost)
                self._plan = None
                return self.plan()
        return self._plan

    def round(self) -> bool:
        """Every stage once; whether anything was made."""
        worked = [self.stage(name, assets) for name, assets in _STAGES]
        return any(worked)

    def stage(self, name: str, assets: tuple[str, ...]) -> bool:
        """Makes what is due of a stage; whether that was anything."""
        worked = False
        while todo := self._todo(assets):
            worked = True
            made: set[tuple[str, str]] = set()
            keys = [key for work in todo for key in work.keys]
            words = f"{_counted(keys, assets)}: {todo[0].why}"
            with self._progress.stage(name, words, _of_all(todo), keys):
                report, done = self._progress.of(len(keys)), 0
                for work in todo:
                    with self._project.writing() as lease:
                        if self._written_by_others(lease) or not self._do(work):
                            break
                    made |= {(asset, key) for asset in work.assets for key in work.keys}
                    done += len(work.keys)
                    report(done)
            self.made.update(made)
            self._plan = None
        return worked

    def _written_by_others(self, lease: Lease) -> bool:
        """Whether another one wrote since the plan was made: then it may be out of date.

        Nobody else writes while the lease is held, so a plan made now holds.
        """
        known, self._known = self._known, lease.number
        return lease.number > known + 1

    def _todo(self, assets: tuple[str, ...]) -> list[Work]:
        plan = self.plan()
        todo = list(months_due(plan) if assets == MONTH_ASSETS else sessions_due(plan, assets[0]))
        for asset in assets:
            # Who judges a month may change as often as one before it is judged anew.
            months = self._wanted.of(asset) if asset == Asset.REGISTERED_VERSION else ()
            most = max(_MOST_TIMES, len(months))
            for key in plan.ready(asset):
                if self.made[asset, key] >= most:
                    self._refuse(asset, key)
        return [part for work in todo for part in self._parts(work)]

    def _parts(self, work: Work) -> Iterator[Work]:
        """Work in portions of neighbouring keys, as many as one failure may lose."""
        every, per_run = self._partitions(work)
        for first, last in neighbouring_ranges(work.keys, every, per_run):
            yield replace(work, keys=[key for key in work.keys if first <= key <= last])

    def _partitions(self, work: Work) -> tuple[Sequence[str], int]:
        """Every key of a job, and how many one run may take."""
        project = self._project
        if work.assets[0] in MONTH_ASSETS:
            return partition_keys(project.partitions.months), project.settings.months_per_run
        return project.lineage.sessions, project.settings.sessions_per_run

    def _do(self, work: Work) -> bool:
        """One run; whether the plan still holds after it."""
        project, monthly = self._project, work.assets[0] in MONTH_ASSETS
        job = MONTHLY_JOB if monthly else DAILY_JOB
        every, per_run = self._partitions(work)

        def run() -> None:
            run_partitions(project, job, work.assets, work.keys, every, per_run, work.config)

        try:
            if monthly or Asset.DAILY_FORECAST in work.assets:
                with_models_mended(project, run, self._train_again)
            else:
                run()
        except DamagedObjectError as error:
            self._aside.move(error.damaged)
            self._wanted = self._wanted.with_keys(project.lost)
            return False
        except MissingPartitionsError as error:
            # A run makes what it needs before it needs it: what lacks then may only be hidden.
            if error.asset:
                paths = [object_path(error.asset, key) for key in error.keys]
                project.store.refuse_unlisted(paths)
            raise
        if Asset.RAW_PRICES in work.assets:
            # What the source did not say now is due for the next command, and holds up nothing.
            asked = work.config.get(Asset.RAW_PRICES, {}).get("tickers", project.prices.tickers)
            for key in work.keys:
                self._answered[key] = self._answered.get(key, frozenset()).union(asked)
        return True

    def _train_again(self, month: str) -> None:
        every = partition_keys(self._project.partitions.months)
        with self._progress.stage("training", month):
            run_partitions(self._project, MONTHLY_JOB, MONTH_ASSETS, [month], every, 1)

    def refuse_unfinished(self) -> None:
        """Refuses to call it done while something is due that nothing more can be done about.

        Raises:
            MissingPartitionsError: Names the first key of the first asset.
        """
        for asset, due in self.plan().due.items():
            for key in due:
                self._refuse(asset, key)

    def _refuse(self, asset: str, key: str) -> None:
        due = self.plan().due[asset][key]
        if due.state == "missing":
            self._project.store.refuse_unlisted([object_path(asset, key)])
        raise MissingPartitionsError(
            f"{asset} of {key} could not be made: {due.reason}; see `stock-assets status` for all"
            " that is due, and `stock-assets doctor`",
            asset,
            [key],
        )


def _of_all(todo: Sequence[Work]) -> list[str]:
    """The assets of some works, each once."""
    return list(dict.fromkeys(asset for work in todo for asset in work.assets))


def _counted(keys: Sequence[str], assets: tuple[str, ...]) -> str:
    what = "month" if assets == MONTH_ASSETS else "session"
    span = keys[0] if len(keys) == 1 else f"{min(keys)}..{max(keys)}"
    return f"{len(keys)} {what}{'s'[: len(keys) > 1]} {span}"
