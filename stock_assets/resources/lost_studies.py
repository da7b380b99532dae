"""Studies whose MLflow run is gone with its database, while their files lie where it had them."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stock_assets.errors import DamagedStudyError
from stock_assets.resources.mlflow_runs import MlflowTracking, study_tags
from stock_assets.resources.study_files import (
    DIGESTS_TAG,
    INTERVALS_FILE,
    MODEL_FILE,
    MODEL_NAME,
    VALUES_FILE,
    digest,
    load_model,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

_ADOPTED_TAG = "adopted_from"


def adopt(tracking: MlflowTracking, study: Mapping[str, Any], lost_run: str) -> dict[str, Any]:
    """Gives a study an MLflow run again; where it lies now, to be said in its stored value.

    Args:
        tracking: With the dataset's experiment.
        study: A stored value of `tuned_model`.
        lost_run: The MLflow run that it had.

    Raises:
        DamagedStudyError: Its files are gone or damaged, or the value is of another study.
    """
    month = str(study.get("month"))
    with tracking.client() as client, tempfile.TemporaryDirectory() as folder:
        if study.get("mlflow_run_id") != lost_run:
            return _adopted_before(client, study, lost_run)
        experiment = client.get_experiment_by_name(tracking.experiment)
        root = experiment.artifact_location
        files = _fetched(f"{root}/{lost_run}/artifacts", f"{folder}/run", month)
        of_model = f"{root}/models/{study.get('mlflow_model_id')}/artifacts"
        model = _fetched(of_model, f"{folder}/model", month)
        digests = _digests(files, model, study)
        values = json.loads((files / VALUES_FILE).read_bytes())
        tags = {**study_tags(values), _ADOPTED_TAG: lost_run, DIGESTS_TAG: json.dumps(digests)}
        run = client.create_run(
            experiment.experiment_id,
            tags=tags,
            run_name=f"{month} through {values['trained_through']}",
        )
        run_id = run.info.run_id
        for name, value in values.items():
            if name.startswith(("test_", "slope")) and isinstance(value, float):
                client.log_metric(run_id, name, value)
        client.log_artifacts(run_id, str(files))
        logged = client.create_logged_model(
            experiment.experiment_id, name=MODEL_NAME, source_run_id=run_id
        )
        client.log_model_artifacts(logged.model_id, str(model))
        client.finalize_logged_model(logged.model_id, "READY")
        _link(client, run_id, logged.model_id)
        client.set_terminated(run_id)
        return {"mlflow_run_id": run_id, "mlflow_model_id": logged.model_id}


def _link(client: "MlflowClient", run_id: str, model_id: str) -> None:
    from mlflow.entities import LoggedModelOutput

    client.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])


def _adopted_before(
    client: "MlflowClient", study: Mapping[str, Any], lost_run: str
) -> dict[str, Any]:
    """Of a study that had a run again when a kill came before its version was stored."""
    from mlflow.exceptions import MlflowException

    month = str(study.get("month"))
    try:
        run = client.get_run(str(study.get("mlflow_run_id")))
    except MlflowException as error:
        raise DamagedStudyError(f"tuned_model of {month} is another study", month) from error
    if run.data.tags.get(_ADOPTED_TAG) != lost_run:
        raise DamagedStudyError(f"tuned_model of {month} is another study", month)
    return {name: study[name] for name in ("mlflow_run_id", "mlflow_model_id")}


def _fetched(uri: str, folder: str, month: str) -> Path:
    from botocore.exceptions import BotoCoreError, ClientError
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    Path(folder).mkdir()
    try:
        return Path(download_artifacts(uri, dst_path=folder))
    except (MlflowException, OSError, BotoCoreError, ClientError) as error:
        raise DamagedStudyError(f"{uri} is gone", month) from error


def _digests(files: Path, model: Path, study: Mapping[str, Any]) -> dict[str, str]:
    """The digests of a study's files, once they are seen to be that study's."""
    month = str(study["month"])
    try:
        contents = {name: (files / name).read_bytes() for name in (VALUES_FILE, INTERVALS_FILE)}
        contents[MODEL_FILE] = (model / MODEL_FILE).read_bytes()
        values = json.loads(contents[VALUES_FILE])
        json.loads(contents[INTERVALS_FILE])
    except (OSError, ValueError) as error:
        raise DamagedStudyError(f"the files of {month}: {error}", month) from error
    if not isinstance(values, dict) or any(study.get(n) != v for n, v in values.items()):
        raise DamagedStudyError(f"the files of {month} are another study's", month)
    load_model(contents[MODEL_FILE], month)
    return {name: digest(content) for name, content in contents.items()}
