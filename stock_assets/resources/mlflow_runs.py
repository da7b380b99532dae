"""MLflow's tracking side: opening it, one MLflow run per Dagster run, one child run per study.

dagster-mlflow links the two systems: it opens the MLflow run that carries the Dagster run's id. On
its own it leaves that run RUNNING unless a hook is on the job, which the page's Materialize button
never has; so it is opened and closed here, in a context manager around the work.
"""

import fcntl
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl

from stock_assets.forecasting.features import FEATURES
from stock_assets.resources.object_store import ObjectStore, aws_environment
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
CARD_FILE = "model_card.md"
INTERVALS_FILE = "intervals.json"
MODEL_NAME = "model"
_VALUES_FILE = "study.json"
_TRIALS_FILE = "trials.json"
_IMPORTANCE_FILE = "importance.json"
_RANDOM_WALK_MSE = "tuning_mse_random_walk"


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

        _quiet_loggers()
        with aws_environment(self._store):
            mlflow.set_tracking_uri(self.uri)
            if not self._prepared:
                # Two processes that create the schema at once break it.
                with one_at_a_time(self._settings):
                    self._prepare()
            yield mlflow.MlflowClient()

    def _prepare(self) -> None:
        import mlflow

        if self.uri == local_uri(self._settings):
            _create_whole(local_database(self._settings))
        client = mlflow.MlflowClient()  # creates what is missing as soon as it is made
        if client.get_experiment_by_name(self.experiment) is None:
            client.create_experiment(self.experiment, artifact_location=self._artifacts())
        self._prepared = True

    def _artifacts(self) -> str | None:
        if self._settings.mlflow_artifact_uri:
            return f"{self._settings.mlflow_artifact_uri}/{self._settings.dataset_name}"
        # A tracking server of the user's own decides where its artifacts lie.
        return None if self._settings.mlflow_tracking_uri else f"{self._store.uri}/mlflow"

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

    def find_study(self, client: "MlflowClient", fingerprint: str) -> str | None:
        """The finished MLflow run of a training with the same data, code and settings."""
        return self._newest_finished(client, FINGERPRINT_TAG, fingerprint)

    def searched_params(self, search: str) -> dict[str, Any] | None:
        """Parameters that a search found, by its tag; None where there was none."""
        with self.client() as client:
            run_id = self._newest_finished(client, SEARCH_TAG, search)
        return dict(self.study_values(run_id)["params"]) if run_id else None

    def _newest_finished(self, client: "MlflowClient", tag: str, value: str) -> str | None:
        experiment = client.get_experiment_by_name(self.experiment)
        runs = client.search_runs(
            [experiment.experiment_id] if experiment else [],
            filter_string=f"tags.{tag} = '{value}' and attributes.status = 'FINISHED'",
            max_results=1,
        )
        return str(runs[0].info.run_id) if runs else None

    def study_values(self, run_id: str) -> dict[str, Any]:
        """What a finished study was logged with."""
        with self.client():
            import mlflow

            return dict(mlflow.artifacts.load_dict(f"runs:/{run_id}/{_VALUES_FILE}"))

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

        with self.client() as client, tempfile.TemporaryDirectory() as folder:

            def stored(name: str) -> Any:
                return json.loads(
                    Path(client.download_artifacts(run_id, name, folder)).read_bytes()
                )

            names = {file.path for file in client.list_artifacts(run_id)}
            trials = stored(_TRIALS_FILE)
            return Drawable(
                trials=pl.DataFrame(trials["data"], schema=trials["columns"], orient="row"),
                mse_random_walk=client.get_run(run_id).data.metrics[_RANDOM_WALK_MSE],
                importance=(
                    pl.DataFrame(stored(_IMPORTANCE_FILE)) if _IMPORTANCE_FILE in names else None
                ),
                pit_counts=stored(_VALUES_FILE)["test_pit_counts"],
                intervals=IntervalModel.of(stored(INTERVALS_FILE)),
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
        tags: Mapping[str, str],
    ) -> str:
        """Logs a training as a child of the Dagster run's MLflow run; its run id. In any thread.

        Args:
            name: Of the MLflow run.
            trained: Model, search, intervals and scores.
            example: Some rows of the model's input, for its signature.
            params: Settings of the search, logged beside what it found.
            values: What `study_values` shall give back.
            tags: By which the run can be found.

        The model is stored with skops (no pickle), with signature, input example and the versions
        that wrote it.
        """
        import mlflow
        import sklearn
        import skops

        from stock_assets.forecasting.model import SKOPS_TRUSTED_TYPES

        with mlflow.start_run(
            run_name=name,
            nested=True,
            experiment_id=self.parent.info.experiment_id if self.parent else None,
            parent_run_id=self.parent.info.run_id if self.parent else None,
            tags={**tags, **_SHOWN_AS_TABLE},
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
            importance = trained.test.importance
            files: dict[str, Any] = {
                INTERVALS_FILE: trained.intervals.as_values(),
                _VALUES_FILE: dict(values),
                _TRIALS_FILE: _table(trained.tuning.trials),
                "features.json": {"features": list(FEATURES)},
            }
            if importance is not None:
                files[_IMPORTANCE_FILE] = importance.to_dict(as_series=False)
            self.add_files(run.info.run_id, {name: _json(value) for name, value in files.items()})
            mlflow.sklearn.log_model(
                trained.model,
                name=MODEL_NAME,
                serialization_format="skops",
                skops_trusted_types=list(SKOPS_TRUSTED_TYPES),
                pip_requirements=[
                    f"scikit-learn=={sklearn.__version__}",
                    f"skops=={skops.__version__}",
                ],
                signature=mlflow.models.infer_signature(example, trained.model.predict(example)),
                input_example=example,
            )
            return str(run.info.run_id)


_SHOWN_AS_TABLE = {"mlflow.loggedArtifacts": json.dumps([{"path": _TRIALS_FILE, "type": "table"}])}
"""As MLflow's `log_table` says it, which reads back what it may have written before."""


def _table(rows: pl.DataFrame) -> dict[str, Any]:
    """As `mlflow.load_table` reads it."""
    return {"columns": rows.columns, "data": [list(row) for row in rows.iter_rows()]}


def _json(value: Any) -> bytes:
    # One line: indented, every quantile of every ticker would have one.
    return json.dumps(value, allow_nan=False).encode()


def tracking_uri(settings: Settings) -> str:
    if settings.mlflow_tracking_uri:
        return settings.mlflow_tracking_uri
    local_database(settings).parent.mkdir(parents=True, exist_ok=True)
    return local_uri(settings)


def local_database(settings: Settings) -> Path:
    """MLflow's SQLite file, where no tracking server is set."""
    return settings.state_folder / "mlflow" / "mlflow.db"


def local_uri(settings: Settings) -> str:
    return f"sqlite:///{local_database(settings)}"


def _create_whole(database: Path) -> None:
    """Creates MLflow's tables elsewhere first: a kill among them would leave half of a schema,
    which MLflow can't complete.
    """
    if database.exists():
        return
    import mlflow

    # A folder that no killed process used: SQLite would play back the journal that it left there.
    for left in database.parent.glob("new-*"):
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(dir=database.parent, prefix="new-") as folder:
        new = Path(folder) / database.name
        mlflow.MlflowClient(f"sqlite:///{new}").search_experiments(max_results=1)
        new.rename(database)


@contextmanager
def one_at_a_time(settings: Settings, what: str = "mlflow") -> Iterator[None]:
    """Holds back other processes of this machine for the block; not reentrant.

    The system lets go of the lock when a process ends, however it ends.
    """
    folder: Path = settings.state_folder
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{what}.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


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


def download_model(version_uri: str) -> Any:
    """A stored model, read by skops with our own list of trusted types.

    MLflow's loader would follow what the stored MLmodel file says, a pickle included.
    """
    import mlflow
    import skops.io

    from stock_assets.forecasting.model import SKOPS_TRUSTED_TYPES

    with tempfile.TemporaryDirectory() as folder:
        path = mlflow.artifacts.download_artifacts(f"{version_uri}/model.skops", dst_path=folder)
        return skops.io.load(path, trusted=list(SKOPS_TRUSTED_TYPES))
