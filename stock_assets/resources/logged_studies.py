"""Studies as MLflow runs: each a child of the MLflow run of its Dagster run."""

import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from stock_assets.errors import DamagedStudyError
from stock_assets.forecasting.features import FEATURES
from stock_assets.forecasting.study import Study
from stock_assets.resources.mlflow_tracking import MlflowTracking
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

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run

    from stock_assets.forecasting.pictures import Drawable
    from stock_assets.forecasting.training import TrainedModel

FINGERPRINT_TAG = "fingerprint"
_TRIALS_FILE = "trials.json"
_IMPORTANCE_FILE = "importance.json"
_RANDOM_WALK_MSE = "tuning_mse_random_walk"
_SHOWN_AS_TABLE = {"mlflow.loggedArtifacts": json.dumps([{"path": _TRIALS_FILE, "type": "table"}])}
"""As MLflow's `log_table` says it, which reads back what it may have written before."""


@dataclass(frozen=True)
class FoundStudy:
    """A finished study in MLflow, or what became of its files."""

    run_id: str
    study: Study | None
    damage: str = ""


def place_of(run: "Run") -> dict[str, str]:
    """Where a study lies, as its stored value says it."""
    return {"mlflow_run_id": str(run.info.run_id), "mlflow_model_id": str(model_id(run))}


def study_tags(study: Study) -> dict[str, str]:
    """By which a study's run is found."""
    names = (FINGERPRINT_TAG, "month", "trained_through", "data_hash", "code_hash")
    return {name: str(getattr(study, name)) for name in names}


class LoggedStudies:
    """The studies of one dataset's experiment."""

    def __init__(self, tracking: MlflowTracking) -> None:
        self._tracking = tracking

    def find(self, fingerprint: str) -> FoundStudy | None:
        """A finished training of the same data, code and settings; a complete one if there is one.

        One whose files are damaged is found too: what is trained again takes its place.
        """
        damaged = None
        with self._tracking.client() as client:
            for run in self._tracking.finished(client, FINGERPRINT_TAG, fingerprint):
                if model_id(run) is None:
                    client.set_terminated(run.info.run_id, status="FAILED")  # as it should have
                    continue
                try:
                    study = Study.of(study_values(client, run) | place_of(run))
                    study_intervals(client, run)
                    study_model(client, run)
                except DamagedStudyError as error:
                    damaged = damaged or FoundStudy(run.info.run_id, None, error.what)
                else:
                    return FoundStudy(run.info.run_id, study)
        return damaged

    def pictures(self, run_id: str) -> dict[str, bytes]:
        """The pictures of a finished study by file name."""
        with self._tracking.client() as client, tempfile.TemporaryDirectory() as folder:
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

        with self._tracking.client() as client:
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
        with self._tracking.client() as client, tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                Path(folder, name).write_bytes(content)
            client.log_artifacts(run_id, folder)

    def log(
        self,
        study: Study,
        trained: "TrainedModel",
        example: "pd.DataFrame",
        in_place_of: str | None = None,
    ) -> dict[str, str]:
        """Logs a training; where it lies. In any thread.

        The model is stored with skops (no pickle), with signature, input example and the versions
        that wrote it. MLflow's own `log_model` would do so in four times as many transactions, and
        load each model again. The run is finished last: what a kill leaves half-stored is no study.

        Args:
            study: Of the training.
            trained: Model, search, intervals and scores.
            example: Some rows of the model's input, for its signature.
            in_place_of: The MLflow run of the same training whose files are damaged: it gets these,
                so that a version of it stays the version that it is.
        """
        from mlflow import MlflowClient

        client = MlflowClient(self._tracking.uri)
        if in_place_of:
            model = client.get_logged_model(str(model_id(client.get_run(in_place_of))))
            _store_files(client, model, _contents(study, trained), trained.model, example)
            return place_of(client.get_run(in_place_of))
        run = self._create_run(client, study)
        run_id = run.info.run_id
        try:
            model = _describe(client, run, study, trained)
            _store_files(client, model, _contents(study, trained), trained.model, example)
            client.finalize_logged_model(model.model_id, "READY")
        except BaseException:
            client.set_terminated(run_id, "FAILED")
            raise
        client.set_terminated(run_id, "FINISHED")
        return place_of(client.get_run(run_id))

    def _create_run(self, client: "MlflowClient", study: Study) -> "Run":
        """A child of the Dagster run's MLflow run, where there is one."""
        parent = self._tracking.parent
        below = {"mlflow.parentRunId": parent.info.run_id} if parent else {}
        run = client.create_run(
            client.get_experiment_by_name(self._tracking.experiment).experiment_id,
            run_name=f"{study.month} through {study.trained_through}",
            tags={
                **below,
                **study_tags(study),
                **_SHOWN_AS_TABLE,
                "mlflow.source.name": "stock_assets",
                "mlflow.note.content": _description(study),
            },
        )
        self._tracking.parent_has_children = True
        return run


def _contents(study: Study, trained: "TrainedModel") -> dict[str, bytes]:
    """The files of a study by name, without its model."""
    contents: dict[str, Any] = {
        INTERVALS_FILE: trained.intervals.as_values(),
        VALUES_FILE: study.as_values(),
        _TRIALS_FILE: _table(trained.tuning.trials),
        "features.json": {"features": list(FEATURES)},
    }
    if trained.test.importance is not None:
        contents[_IMPORTANCE_FILE] = trained.test.importance.to_dict(as_series=False)
    return {name: _json(content) for name, content in contents.items()}


def _describe(
    client: "MlflowClient", run: "Run", study: Study, trained: "TrainedModel"
) -> "LoggedModel":
    """Parameters and metrics of a run and of the model that it makes; the model."""
    from mlflow.entities import LoggedModelOutput, Metric, Param

    parameters = {name: str(value) for name, value in {**study.settings, **study.params}.items()}
    run_id = run.info.run_id
    model = client.create_logged_model(
        run.info.experiment_id, MODEL_NAME, source_run_id=run_id, params=parameters
    )
    metrics = {
        **{n: v for n, v in study.scores.items() if v is not None},
        "tuning_mse": trained.tuning.mse,
        _RANDOM_WALK_MSE: trained.tuning.mse_random_walk,
        **{f"slope_{n}": v for n, v in vars(trained.tuning.slope).items()},
    }
    now = int(time.time() * 1000)
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    client.log_batch(
        run_id,
        metrics=[Metric(n, v, now, 0, model_id=model.model_id) for n, v in metrics.items()],
        params=[Param(name, value) for name, value in parameters.items()],
    )
    return model


def _store_files(
    client: "MlflowClient",
    model: "LoggedModel",
    files: Mapping[str, bytes],
    estimator: Any,
    example: "pd.DataFrame",
) -> None:
    """Stores a study's files and its model's, and the digests by which they are read."""
    import mlflow
    import sklearn
    import skops

    from stock_assets.forecasting.model import trusted_types

    run_id, its_id = model.source_run_id, model.model_id
    with tempfile.TemporaryDirectory() as of_run, tempfile.TemporaryDirectory() as folder:
        of_model = Path(folder, MODEL_NAME)
        mlflow.sklearn.save_model(
            estimator,
            of_model,
            mlflow_model=mlflow.models.Model(
                artifact_path=model.artifact_location,
                model_uuid=its_id,
                run_id=run_id,
                model_id=its_id,
            ),
            serialization_format="skops",
            skops_trusted_types=trusted_types(),
            pip_requirements=[
                f"scikit-learn=={sklearn.__version__}",
                f"skops=={skops.__version__}",
            ],
            signature=mlflow.models.infer_signature(example, estimator.predict(example)),
            input_example=example,
        )
        for name, content in files.items():
            Path(of_run, name).write_bytes(content)
        client.log_model_artifacts(its_id, str(of_model))
        client.log_artifacts(run_id, of_run)
        digests = {name: digest(files[name]) for name in (VALUES_FILE, INTERVALS_FILE)}
        digests[MODEL_FILE] = digest((of_model / MODEL_FILE).read_bytes())
    client.set_tag(run_id, DIGESTS_TAG, json.dumps(digests))


def _description(study: Study) -> str:
    skill = study.scores["test_skill"]
    return (
        f"{study.month}, trained through {study.trained_through} with {study.train_rows} rows:"
        f" {study.family.replace('_', ' ')} forecasts, slope {study.slope:.3f}; test skill"
        f" {'unknown' if skill is None else f'{skill:+.2%}'} against the random walk."
    )


def _table(rows: pl.DataFrame) -> dict[str, Any]:
    """As `mlflow.load_table` reads it."""
    return {"columns": rows.columns, "data": [list(row) for row in rows.iter_rows()]}


def _json(value: Any) -> bytes:
    # One line: indented, every quantile of every ticker would have one.
    return json.dumps(value, allow_nan=False).encode()
