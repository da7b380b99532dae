"""Studies whose MLflow run is gone with its database, while their files lie where it had them."""

import json
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stock_assets.errors import DamagedStudyError
from stock_assets.forecasting.study import Study
from stock_assets.resources.logged_studies import place_of, study_tags
from stock_assets.resources.mlflow_tracking import MlflowTracking
from stock_assets.resources.stored_values import plain_values
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
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def adopt(tracking: MlflowTracking, lost: Mapping[str, Any]) -> Study:
    """Gives a study an MLflow run again; the study, with its new place.

    Args:
        tracking: With the dataset's experiment.
        lost: What is stored of it: `month`, where it lay in MLflow, and more by which its files
            must be known for its own.

    Raises:
        DamagedStudyError: Its files are gone, damaged, or another study's.
    """
    month, lost_run = str(lost.get("month")), lost.get("mlflow_run_id")
    for name in ("mlflow_run_id", "mlflow_model_id"):
        # It becomes part of an address, under which there may be folders of this machine.
        if not _ID.fullmatch(str(lost.get(name))):
            raise DamagedStudyError(
                f"{name} of {month} is none of MLflow's: {lost.get(name)!r}", month
            )
    with tracking.client() as client, tempfile.TemporaryDirectory() as folder:
        experiment = client.get_experiment_by_name(tracking.experiment)
        root = experiment.artifact_location
        files = _fetched(f"{root}/{lost_run}/artifacts", f"{folder}/run", month)
        of_model = f"{root}/models/{lost.get('mlflow_model_id')}/artifacts"
        model = _fetched(of_model, f"{folder}/model", month)
        study, digests = _verified(files, model, lost)
        # A kill may have come after it had a run again and before that was stored.
        for run in tracking.finished(client, _ADOPTED_TAG, str(lost_run))[:1]:
            return study.at(place_of(run))
        tags = {
            **study_tags(study),
            _ADOPTED_TAG: str(lost_run),
            DIGESTS_TAG: json.dumps(digests),
        }
        run = client.create_run(
            experiment.experiment_id,
            tags=tags,
            run_name=f"{month} through {study.trained_through}",
        )
        run_id = run.info.run_id
        for name, value in study.as_values().items():
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
        return study.at({"mlflow_run_id": run_id, "mlflow_model_id": logged.model_id})


def _link(client: "MlflowClient", run_id: str, model_id: str) -> None:
    from mlflow.entities import LoggedModelOutput

    client.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])


def _fetched(uri: str, folder: str, month: str) -> Path:
    from botocore.exceptions import BotoCoreError, ClientError
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    Path(folder).mkdir()
    try:
        return Path(download_artifacts(uri, dst_path=folder))
    except (MlflowException, OSError, BotoCoreError, ClientError) as error:
        raise DamagedStudyError(f"{uri} is gone", month) from error


def _verified(files: Path, model: Path, lost: Mapping[str, Any]) -> tuple[Study, dict[str, str]]:
    """A study by its files, and their digests, once they are seen to be the lost one's."""
    month = str(lost.get("month"))
    try:
        contents = {name: (files / name).read_bytes() for name in (VALUES_FILE, INTERVALS_FILE)}
        contents[MODEL_FILE] = (model / MODEL_FILE).read_bytes()
        values = plain_values(contents[VALUES_FILE])
        plain_values(contents[INTERVALS_FILE])
    except (OSError, ValueError) as error:
        raise DamagedStudyError(f"the files of {month}: {error}", month) from error
    if not isinstance(values, dict) or "fingerprint" not in lost:
        raise DamagedStudyError(f"nothing tells whose the files of {month} are", month)
    if any(name in lost and lost[name] != value for name, value in values.items()):
        raise DamagedStudyError(f"the files of {month} are another study's", month)
    load_model(contents[MODEL_FILE], month)
    digests = {name: digest(content) for name, content in contents.items()}
    return Study.of({**lost, **values}), digests
