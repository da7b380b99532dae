"""The body of `tuned_model`; apart, because it imports scikit-learn and Optuna."""

import os
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import dagster as dg
import optuna
import polars as pl
from threadpoolctl import threadpool_limits

from stock_assets.asset_keys import Asset
from stock_assets.assets.side_by_side import made_ahead, side_by_side
from stock_assets.errors import NotEnoughHistoryError
from stock_assets.forecasting.model import feature_matrix
from stock_assets.forecasting.month_training import prepare_training
from stock_assets.forecasting.pictures import study_pictures
from stock_assets.forecasting.study import MonthStudy, SkippedMonth, Study
from stock_assets.local.locks import one_at_a_time
from stock_assets.local.steps import Step, tell
from stock_assets.resources.logged_studies import LoggedStudies
from stock_assets.resources.model_settings import settings_of_studies
from stock_assets.resources.search_journal import open_journal
from stock_assets.settings import Settings

_ROWS_ALONE = 500_000
"""A larger month trains alone: of two, memory would hold both."""


@dataclass(frozen=True)
class Training:
    """What the months that a run trains share.

    Args:
        context: Its log.
        settings: That a study depends on, by name.
        logged: Studies in MLflow.
        journal: Opened once, as threads that open it beside each other would see half-written
            lines.
        dataset: Whose studies they are there, where others may be too.
        lender_of: Each month's.
        stored: The stored study of a month.
        made: Studies of this run, which come before stored ones; added to.
    """

    context: dg.AssetExecutionContext
    settings: Mapping[str, Any]
    logged: LoggedStudies
    journal: optuna.storages.BaseStorage
    dataset: str
    lender_of: Mapping[str, str]
    stored: Callable[[str], MonthStudy]
    made: dict[str, MonthStudy] = field(default_factory=dict)

    def study_of(self, month: str) -> MonthStudy:
        return self.made.get(month) or self.stored(month)


def studies(
    context: dg.AssetExecutionContext,
    settings: Settings,
    lender: Callable[[str], str],
    logged: LoggedStudies,
    stored: Callable[[str], MonthStudy],
    train_set: Mapping[str, pl.DataFrame],
    test_set: Mapping[str, pl.DataFrame],
    once: Callable[[str], AbstractContextManager[None]],
) -> Iterator[MonthStudy]:
    """Each month's study: what was trained on what, how it did, where it is.

    They come in the order of the months. Months train side by side, on a core each: all that ties
    them is the month that lends its parameters to others. Each is stored in MLflow as soon as it is
    trained, while others are, and however long the reader takes for the one before: whoever waits
    for one of these months, or for this machine, may hold what the reader waits for.

    Args:
        context: Its log.
        settings: Of the deployment.
        lender: The month that lends each month its parameters.
        logged: Studies in MLflow.
        stored: The stored study of a month.
        train_set: Labelled rows by month.
        test_set: The same.
        once: Holds back who would train the same month elsewhere.
    """
    months, cores = sorted(train_set), os.cpu_count() or 1
    threads = max(1, min(cores, len(months)))
    lender_of = {month: lender(month) for month in months}
    machine = ExitStack()
    # One run uses all cores of a machine, and would end another one's trials in its journal.
    machine.enter_context(one_at_a_time(settings, f"training-{settings.dataset_name}"))

    def trained() -> Generator[Future[MonthStudy], None, None]:
        with (
            machine,
            ThreadPoolExecutor(1) as writer,
            # Matrices are small, and each month has a core: BLAS's threads would wait for others.
            threadpool_limits(1, user_api="blas"),
        ):
            training = Training(
                context,
                settings_of_studies(settings),
                logged,
                open_journal(settings, context.log.warning),
                settings.dataset_name,
                lender_of,
                stored,
            )
            reading = Lock()

            def train(month: str) -> Future[MonthStudy]:
                with ExitStack() as alone:
                    alone.enter_context(once(month))
                    with reading:
                        rows, test = train_set[month], test_set[month]
                        is_large = rows is not None and rows.height > _ROWS_ALONE
                        if is_large:
                            store = train_or_reuse(training, cores, month, rows, test)
                    if not is_large:
                        store = train_or_reuse(training, cores // threads, month, rows, test)
                    return writer.submit(_stored, store, alone.pop_all())

            ahead = settings.retune_months + threads
            yield from side_by_side(train, months, lender_of, threads, ahead)

    for study in made_ahead(trained()):
        yield study.result()


def _stored(store: Callable[[], MonthStudy], alone: ExitStack) -> MonthStudy:
    """A month's study, once it is where another training of it is looked for."""
    with alone:
        return store()


def train_or_reuse(
    training: Training, jobs: int, month: str, train: pl.DataFrame, test: pl.DataFrame
) -> Callable[[], MonthStudy]:
    """One month's study, trained; a call stores it in MLflow and says where it lies.

    `jobs`: threads to train with, which change no result.
    """
    log = training.context.log
    try:
        order = prepare_training(
            month, train, test, training.settings, training.lender_of[month], training.study_of
        )
        found = training.logged.find(order.identity["fingerprint"])
        if found and (known := found.study):
            log.info(f"{month}: same data, code and settings as MLflow run {found.run_id}")
            training.made[month] = known
            return lambda: known
        if found:
            log.warning(f"{month}: {found.damage}; training again in its place")
        trials = order.trials

        def tried(done: int, _best: float = 0.0) -> None:
            # Its last part is to fit what was found and to store it.
            tell(Step(Asset.TUNED_MODEL, month, done / (trials + 1), done, trials))

        tried(0)
        trained = order.model(jobs, training.journal, tried, training.dataset)
    except NotEnoughHistoryError as error:
        skipped = SkippedMonth(month, str(error), training.settings)
        log.info(f"{month}: {skipped.reason}")
        training.made[month] = skipped
        return lambda: skipped
    study = training.made[month] = order.study(trained)
    skill = study.scores["test_skill"]
    log.info(
        f"{month}: {trained.tuning.trials.height} trials on {train.height} rows, slope"
        f" {study.slope:.3f}, {study.family} forecasts; test skill"
        f" {'unknown' if skill is None else f'{skill:+.2%}'} against the random walk"
    )
    example = feature_matrix(train.head(3))
    in_place_of = found.run_id if found else None
    return lambda: study.at(training.logged.log(study, trained, example, in_place_of))


def pictures_of(
    logged: LoggedStudies, study: Study, train: pl.DataFrame, test: pl.DataFrame
) -> dict[str, bytes]:
    """The pictures of a month's study: those of its MLflow run, which gets them where it has none.

    They take as long as the rest of a small month, and of a backfill's months few are looked at.
    """
    stored = logged.pictures(study.mlflow_run_id)
    if not stored:
        stored = study_pictures(logged.drawable(study.mlflow_run_id), pl.concat([train, test]))
        logged.add_files(study.mlflow_run_id, stored)
    return stored
