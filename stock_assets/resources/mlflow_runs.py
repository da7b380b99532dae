"""MLflow's tracking side: opening it, one MLflow run per Dagster run, one child run per study.

dagster-mlflow links the two systems: it opens the MLflow run that carries the Dagster run's id. On
its own it leaves that run RUNNING unless a hook is on the job, which the page's Materialize button
never has; so it is opened and closed here, in a context manager around the work.
"""

import json
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl

from stock_assets.errors import DamagedStudyError
from stock_assets.forecasting.features import FEATURES
from stock_assets.forecasting.fingerprint import fingerprint
from stock_assets.local.locks import one_at_a_time
from stock_assets.local.postgres import is_postgres, one_client_at_a_time
from stock_assets.resources.mlflow_database import (
    create_whole,
    is_tracking_server,
    local_database,
    local_uri,
    refuse_unusable_database,
    tracking_uri,
)
from stock_assets.resources.object_store import ObjectStore, aws_environment
from stock_assets.resources.study_files import (
    DIGESTS_TAG,
    INTERVALS_FILE,
    MODEL_FILE,
    MODEL_NAME,
    VALUES_FILE,
    digest,
    model_id,
    read_file,
    study_intervals,
    study_model,
    study_values,
)
from stock_assets.settings import Settings

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from stock_assets.forecasting.pictures import Drawable
    from stock_assets.forecasting.training import TrainedModel

DAGSTER_RUN_TAG = "dagster_run_id"
FINGERPRINT_TAG = "fingerprint"
SEARCH_TAG = "search"
_TRIALS_FILE = "trials.json"
_IMPORTANCE_FILE = "importance.json"
_RANDOM_WALK_MSE = "tuning_mse_random_walk"


@dataclass(frozen=True)
class FoundStudy:
    """A finished study in MLflow: its values and where it lies, or what became of its files."""

    run_id: str
    values: dict[str, Any] | None
    damage: str = ""


def place_of(run: "Run") -> dict[str, str]:
    """Where a study lies, as its stored value says it."""
    return {"mlflow_run_id": str(run.info.run_id), "mlflow_model_id": str(model_id(run))}


class MlflowTracking:
    """Studies as MLflow runs. Imports mlflow when first used: it costs seconds."""

    def __init__(self, settings: Settings, store: ObjectStore) -> None:
        self._settings = settings
        self._store = store
        self.experiment = f"stock_assets/{settings.dataset_name}"
        self.uri = tracking_uri(settings)
        self._prepared = False
        self.parent: Run | None = None
        """The MLflow run of the Dagster run, within `linked_to`. In any thread, unlike MLflow's."""

    @contextmanager
    def client(self) -> Iterator["MlflowClient"]:
        """A client whose database and experiment exist, with S3 known to it."""
        _prepare_environment(self._settings)
        import mlflow
        from sqlalchemy.exc import SQLAlchemyError

        _quiet_loggers()
        with aws_environment(self._store):
            mlflow.set_tracking_uri(self.uri)
            if not self._prepared:
                # Two processes that create the schema at once break it.
                with one_at_a_time(self._settings, "mlflow"), self._alone_on_server():
                    refuse_unusable_database(self._settings)
                    self._prepare()
            try:
                yield mlflow.MlflowClient()
            except (mlflow.exceptions.MlflowException, SQLAlchemyError):
                refuse_unusable_database(self._settings, thorough=True)  # where that is why
                raise

    def _prepare(self) -> None:
        import mlflow

        if self.uri == local_uri(self._settings):
            create_whole(local_database(self._settings))
        client = mlflow.MlflowClient()  # creates what is missing as soon as it is made
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
        """One MLflow run for the Dagster run, active within the block and closed after it."""
        with self.client() as client:
            import mlflow
            from dagster_mlflow import mlflow_tracking

            self._close_orphans(client, context.instance)
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
                self.parent = mlflow.active_run()
                try:
                    yield
                    status = "FINISHED"
                finally:
                    while mlflow.active_run():
                        mlflow.end_run(status)

    def _close_orphans(self, client: "MlflowClient", instance: dg.DagsterInstance) -> None:
        """Ends MLflow runs whose Dagster run is over: nobody else will after a kill -9."""
        experiment = client.get_experiment_by_name(self.experiment)
        if experiment is None:
            return
        running = client.search_runs(
            [experiment.experiment_id], filter_string="attributes.status = 'RUNNING'"
        )
        for run in running:
            dagster_run = instance.get_run_by_id(run.data.tags.get(DAGSTER_RUN_TAG, ""))
            if dagster_run is None or dagster_run.is_finished:
                client.set_terminated(run.info.run_id, status="KILLED")

    def find_study(self, fingerprint: str) -> FoundStudy | None:
        """A finished training of the same data, code and settings; a complete one if there is one.

        One whose files are damaged is found too: what is trained again takes its place.
        """
        damaged = None
        with self.client() as client:
            for run in self._finished(client, FINGERPRINT_TAG, fingerprint):
                if model_id(run) is None:
                    client.set_terminated(run.info.run_id, status="FAILED")  # as it should have
                    continue
                try:
                    values = study_values(client, run)
                    study_intervals(client, run)
                    study_model(client, run)
                except DamagedStudyError as error:
                    damaged = damaged or FoundStudy(run.info.run_id, None, error.what)
                else:
                    return FoundStudy(run.info.run_id, {**values, **place_of(run)})
        return damaged

    def searched_params(self, search: str) -> dict[str, Any] | None:
        """Parameters that a search found, by its tag; None where there was none.

        Raises:
            DamagedStudyError: It can't be read; another search would be another model.
        """
        with self.client() as client:
            runs = self._finished(client, SEARCH_TAG, search)
            return dict(study_values(client, runs[0])["params"]) if runs else None

    def _finished(self, client: "MlflowClient", tag: str, value: str) -> list["Run"]:
        """Newest first."""
        experiment = client.get_experiment_by_name(self.experiment)
        return list(
            client.search_runs(
                [experiment.experiment_id] if experiment else [],
                filter_string=f"tags.{tag} = '{value}' and attributes.status = 'FINISHED'",
            )
        )

    def pictures(self, run_id: str) -> dict[str, bytes]:
        """The pictures of a finished study by file name."""
        with self.client() as client, tempfile.TemporaryDirectory() as folder:
            names = sorted(
                file.path for file in client.list_artifacts(run_id) if file.path.endswith(".png")
            )
            return {
                name: Path(client.download_artifacts(run_id, name, folder)).read_bytes()
                for name in names
            }

    def drawable(self, run_id: str) -> "Drawable":
        """What pictures show of a finished study."""
        from stock_assets.forecasting.intervals import IntervalModel
        from stock_assets.forecasting.pictures import Drawable

        with self.client() as client:
            run = client.get_run(run_id)
            names = {file.path for file in client.list_artifacts(run_id)}
            trials = json.loads(read_file(client, run, _TRIALS_FILE))
            importance = (
                pl.DataFrame(json.loads(read_file(client, run, _IMPORTANCE_FILE)))
                if _IMPORTANCE_FILE in names
                else None
            )
            return Drawable(
                trials=pl.DataFrame(trials["data"], schema=trials["columns"], orient="row"),
                mse_random_walk=run.data.metrics[_RANDOM_WALK_MSE],
                importance=importance,
                pit_counts=study_values(client, run)["test_pit_counts"],
                intervals=IntervalModel.of(study_intervals(client, run)),
            )

    def add_files(self, run_id: str, files: Mapping[str, bytes]) -> None:
        """Adds files by name to a study."""
        with self.client() as client, tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                Path(folder, name).write_bytes(content)
            client.log_artifacts(run_id, folder)

    def log_study(
        self,
        name: str,
        trained: "TrainedModel",
        example: "pd.DataFrame",
        params: Mapping[str, Any],
        values: Mapping[str, Any],
        in_place_of: str | None = None,
    ) -> dict[str, str]:
        """Logs a training as a child of the Dagster run's MLflow run; where it lies. In any thread.

        Args:
            name: Of the MLflow run.
            trained: Model, search, intervals and scores.
            example: Some rows of the model's input, for its signature.
            params: Settings of the search, logged beside what it found.
            values: What `study_values` shall give back.
            in_place_of: The MLflow run of the same training whose files are damaged: it gets these,
                so that a version of it stays the version that it is.

        The model is stored with skops (no pickle), with signature, input example and the versions
        that wrote it.
        """
        import mlflow
        import sklearn
        import skops

        from stock_assets.forecasting.model import SKOPS_TRUSTED_TYPES

        contents: dict[str, Any] = {
            INTERVALS_FILE: trained.intervals.as_values(),
            VALUES_FILE: dict(values),
            _TRIALS_FILE: _table(trained.tuning.trials),
            "features.json": {"features": list(FEATURES)},
        }
        if trained.test.importance is not None:
            contents[_IMPORTANCE_FILE] = trained.test.importance.to_dict(as_series=False)
        files = {name: _json(content) for name, content in contents.items()}
        model_options = {
            "serialization_format": "skops",
            "skops_trusted_types": list(SKOPS_TRUSTED_TYPES),
            "pip_requirements": [
                f"scikit-learn=={sklearn.__version__}",
                f"skops=={skops.__version__}",
            ],
            "signature": mlflow.models.infer_signature(example, trained.model.predict(example)),
            "input_example": example,
        }
        if in_place_of:
            client = mlflow.MlflowClient()
            with tempfile.TemporaryDirectory() as folder:
                mlflow.sklearn.save_model(trained.model, f"{folder}/{MODEL_NAME}", **model_options)
                of_model = model_id(client.get_run(in_place_of))
                client.log_model_artifacts(str(of_model), f"{folder}/{MODEL_NAME}")
            return _log_files(client, in_place_of, files)
        with mlflow.start_run(
            run_name=name,
            nested=True,
            experiment_id=self.parent.info.experiment_id if self.parent else None,
            parent_run_id=self.parent.info.run_id if self.parent else None,
            tags={**study_tags(values), **_SHOWN_AS_TABLE},
        ) as run:
            mlflow.log_params({**params, **trained.tuning.params})
            mlflow.log_metrics(
                {
                    **{n: v for n, v in trained.test.scores.items() if v is not None},
                    "tuning_mse": trained.tuning.mse,
                    _RANDOM_WALK_MSE: trained.tuning.mse_random_walk,
                    **{f"slope_{n}": v for n, v in vars(trained.tuning.slope).items()},
                }
            )
            mlflow.sklearn.log_model(trained.model, name=MODEL_NAME, **model_options)
            return _log_files(mlflow.MlflowClient(), run.info.run_id, files)


def _log_files(client: "MlflowClient", run_id: str, files: Mapping[str, bytes]) -> dict[str, str]:
    """Stores a study's files, and the digests of all by which it is read; where it lies."""
    with tempfile.TemporaryDirectory() as folder:
        for file, content in files.items():
            Path(folder, file).write_bytes(content)
        client.log_artifacts(run_id, folder)
    client.set_tag(run_id, DIGESTS_TAG, "{}")
    run = client.get_run(run_id)
    model = read_file(client, run, MODEL_FILE)
    digests = {name: digest(files[name]) for name in (VALUES_FILE, INTERVALS_FILE)}
    client.set_tag(run_id, DIGESTS_TAG, json.dumps(digests | {MODEL_FILE: digest(model)}))
    return place_of(run)


def search_key(settings: Mapping[str, Any], code: str, month: str) -> str:
    """What one month's search was made with, so that only a like search lends its parameters: not
    one on more months of history, and not one that was made because other months are searched.
    """
    return f"{fingerprint({**settings, 'code': code})}/{month}"


def study_tags(values: Mapping[str, Any]) -> dict[str, str]:
    """By which a study's run is found."""
    month = values["month"]
    # A retrain inside the month has seen more than a later month's search may depend on: whether
    # there was one is an accident.
    lends = values["params_from"] == month and values["trained_through"] < month
    search = search_key(values["settings"], values["code_hash"], month)
    names = (FINGERPRINT_TAG, "month", "trained_through", "data_hash", "code_hash")
    return {name: values[name] for name in names} | ({SEARCH_TAG: search} if lends else {})


_SHOWN_AS_TABLE = {"mlflow.loggedArtifacts": json.dumps([{"path": _TRIALS_FILE, "type": "table"}])}
"""As MLflow's `log_table` says it, which reads back what it may have written before."""


def _table(rows: pl.DataFrame) -> dict[str, Any]:
    """As `mlflow.load_table` reads it."""
    return {"columns": rows.columns, "data": [list(row) for row in rows.iter_rows()]}


def _json(value: Any) -> bytes:
    # One line: indented, every quantile of every ticker would have one.
    return json.dumps(value, allow_nan=False).encode()


def _prepare_environment(settings: Settings) -> None:
    """Before MLflow is imported: no telemetry, no chatter, nothing in the user's home."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MPLCONFIGDIR", str(settings.state_folder / "matplotlib"))


def _quiet_loggers() -> None:
    """Importing MLflow sets its loggers to INFO; warnings still come through."""
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # It prints the stack trace of an error that it raises too.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
