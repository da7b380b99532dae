"""MLflow's tracking side: opening it, and one MLflow run per Dagster run.

dagster-mlflow links the two systems: it opens the MLflow run that carries the Dagster run's id. On
its own it leaves that run RUNNING unless a hook is on the job, which the page's Materialize button
never has; so it is opened and closed here, in a context manager around the work.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import dagster as dg

from stock_assets.environment import variables_set
from stock_assets.local.locks import one_at_a_time
from stock_assets.local.postgres import one_client_at_a_time
from stock_assets.resources.mlflow_database import (
    create_whole,
    is_tracking_server,
    local_database,
    local_uri,
    refuse_unusable_database,
    tracking_login,
    tracking_uri,
)
from stock_assets.resources.object_store import ObjectStore, aws_environment
from stock_assets.setting_values import is_postgres
from stock_assets.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

DAGSTER_RUN_TAG = "dagster_run_id"
_PARENT_TAG = "mlflow.parentRunId"


class MlflowTracking:
    """One dataset's experiment. Imports mlflow when first used: it costs seconds."""

    def __init__(self, settings: Settings, store: ObjectStore) -> None:
        self._settings = settings
        self._store = store
        self.experiment = f"stock_assets/{settings.dataset_name}"
        self.uri = tracking_uri(settings)
        self._prepared = False
        self.parent: Run | None = None
        """The MLflow run of the Dagster run, within `linked_to`. In any thread, unlike MLflow's."""
        self.parent_has_children = False
        """Whether a study was logged below it."""

    @contextmanager
    def client(self) -> Iterator["MlflowClient"]:
        """A client whose database and experiment exist, with S3 known to it."""
        _prepare_environment(self._settings)
        import mlflow
        from sqlalchemy.exc import SQLAlchemyError

        _quiet_loggers()
        with (
            aws_environment(self._store),
            variables_set(tracking_login(self._settings)),
        ):
            mlflow.set_tracking_uri(self.uri)
            if not self._prepared:
                # Two processes that create the schema at once break it.
                with one_at_a_time(self._settings, "mlflow"), self._alone_on_server():
                    refuse_unusable_database(self._settings)
                    self._prepare()
            try:
                yield mlflow.MlflowClient(self.uri)
            except (mlflow.exceptions.MlflowException, SQLAlchemyError):
                refuse_unusable_database(self._settings, thorough=True)  # where that is why
                raise

    def _prepare(self) -> None:
        import mlflow

        if self.uri == local_uri(self._settings):
            create_whole(local_database(self._settings))
        client = mlflow.MlflowClient(self.uri)  # creates what is missing as soon as it is made
        if client.get_experiment_by_name(self.experiment) is None:
            client.create_experiment(self.experiment, artifact_location=self._artifacts())
        self._prepared = True

    def _alone_on_server(self) -> AbstractContextManager[None]:
        return one_client_at_a_time(self.uri) if is_postgres(self.uri) else nullcontext()

    def _artifacts(self) -> str | None:
        if self._settings.mlflow_artifact_uri:
            return f"{self._settings.mlflow_artifact_uri}/{self._settings.dataset_name}"
        # A tracking server of the user's own decides where its artifacts lie.
        return None if is_tracking_server(self.uri) else f"{self._store.uri}/mlflow"

    @contextmanager
    def linked_to(self, context: dg.AssetExecutionContext) -> Iterator[None]:
        """One MLflow run for the Dagster run, active within the block and closed after it.

        It goes where no study was logged below it: the months were found as trained before. A run
        that failed stays, and says so.
        """
        with self.client() as client:
            import mlflow
            from dagster_mlflow import mlflow_tracking

            self.close_orphans(client, context.instance)
            config = {
                "experiment_name": self.experiment,
                "mlflow_tracking_uri": self.uri,
                "env": {},
                "extra_tags": {"dagster_job": context.run.job_name},
            }
            with dg.build_resources(
                {"mlflow": mlflow_tracking},
                resource_config={"mlflow": {"config": config}},
                dagster_run=context.run,
                log_manager=context.log,
            ):
                status = "FAILED"
                self.parent, self.parent_has_children = mlflow.active_run(), False
                mlflow.set_tags(_parent_tags(self._settings.dataset_name, context))
                try:
                    yield
                    status = "FINISHED"
                finally:
                    while mlflow.active_run():
                        mlflow.end_run(status)
                    if self.parent and status == "FINISHED" and not self.parent_has_children:
                        client.delete_run(self.parent.info.run_id)

    def close_orphans(self, client: "MlflowClient", instance: dg.DagsterInstance) -> None:
        """Ends MLflow runs whose Dagster run is over: nobody else will after a kill -9."""
        experiment = client.get_experiment_by_name(self.experiment)
        if experiment is None:
            return
        running = client.search_runs(
            [experiment.experiment_id], filter_string="attributes.status = 'RUNNING'"
        )
        alive = set()
        for run in running:
            dagster_run = instance.get_run_by_id(run.data.tags.get(DAGSTER_RUN_TAG, ""))
            if dagster_run and not dagster_run.is_finished:
                alive.add(run.info.run_id)
        for run in running:
            # A study of another run that trains at the moment has a parent that lives.
            if not alive & {run.info.run_id, run.data.tags.get(_PARENT_TAG)}:
                client.set_terminated(run.info.run_id, status="KILLED")

    def finished(self, client: "MlflowClient", tag: str, value: str) -> list["Run"]:
        """The finished MLflow runs with a tag, newest first."""
        experiment = client.get_experiment_by_name(self.experiment)
        return list(
            client.search_runs(
                [experiment.experiment_id] if experiment else [],
                filter_string=f"tags.{tag} = '{value}' and attributes.status = 'FINISHED'",
            )
        )


MONTHS_FILTER = "tags.month != ''"
"""Of an experiment's runs those that are a month's training, not what held them together."""


def runs_by_skill(tracking: MlflowTracking) -> str:
    """The path within MLflow's page of the months' runs, the greatest test skill first."""
    with tracking.client() as client:
        experiment = client.get_experiment_by_name(tracking.experiment)
    query = {
        "searchFilter": MONTHS_FILTER,
        "orderByKey": "metrics.`test_skill`",
        "orderByAsc": "false",
    }
    return f"/experiments/{experiment.experiment_id}/runs?{urlencode(query, quote_via=quote)}"


def _parent_tags(dataset: str, context: dg.AssetExecutionContext) -> dict[str, str]:
    """Name and description of a Dagster run's MLflow run; dagster-mlflow calls all by the job."""
    months = sorted(context.partition_keys)
    span = months[0] if len(months) == 1 else f"{months[0]}..{months[-1]}"
    return {
        "mlflow.runName": f"{dataset} {span}",
        "mlflow.note.content": (
            f"Training of {span} of dataset `{dataset}`, asked for by Dagster run"
            f" `{context.run.run_id}`. Each month that was trained is a run below this one; the"
            " others were found as they had been trained before, or have too little history."
        ),
    }


def _prepare_environment(settings: Settings) -> None:
    """Before MLflow is imported: no telemetry, no chatter, nothing in the user's home."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MPLCONFIGDIR", str(settings.state_folder / "matplotlib"))
    if tracking_uri(settings) == local_uri(settings):
        # A connection that outlives a file which was moved away goes on showing what that held.
        os.environ.setdefault("MLFLOW_SQLALCHEMYSTORE_POOLCLASS", "NullPool")


def _quiet_loggers() -> None:
    """Importing MLflow sets its loggers to INFO; warnings still come through."""
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # It prints the stack trace of an error that it raises too.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
