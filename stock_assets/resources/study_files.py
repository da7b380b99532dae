"""The files of a study in MLflow: their names, and reading them back as they were written.

MLflow checks nothing of what it fetches. So a study's run carries the digests of its files, and one
that is gone, cut or changed is no file of that study: a DamagedStudyError says which.
"""

import hashlib
import io
import json
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stock_assets.errors import DamagedStudyError, RegistryError
from stock_assets.resources.stored_values import plain_values

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

CARD_FILE = "model_card.md"
INTERVALS_FILE = "intervals.json"
VALUES_FILE = "study.json"
MODEL_NAME = "model"
MODEL_FILE = "model.skops"
DIGESTS_TAG = "sha256"
_MONTH_TAG = "month"
_MOST_BYTES = 2**31
"""Of an unpacked model: a small file can hold any number of equal bytes."""


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def model_id(run: "Run") -> str | None:
    """MLflow's name of the model that a study logged; None where it logged none."""
    outputs = run.outputs.model_outputs if run.outputs else []
    return str(outputs[0].model_id) if outputs else None


def study_values(client: "MlflowClient", run: "Run") -> dict[str, Any]:
    """What a study was logged with."""
    return _json(client, run, VALUES_FILE)


def study_intervals(client: "MlflowClient", run: "Run") -> dict[str, Any]:
    """The values of its interval model."""
    return _json(client, run, INTERVALS_FILE)


def study_model(client: "MlflowClient", run: "Run") -> Any:
    """Its model, read by skops with our own list of trusted types.

    MLflow's loader would follow what the stored MLmodel file says, a pickle included.
    """
    content = read_file(client, run, MODEL_FILE)
    try:
        return load_model(content, _month(run))
    except DamagedStudyError as error:
        raise _damaged(run, error.what) from error


def load_model(content: bytes, month: str) -> Any:
    """The same of a file's content."""
    import skops.io

    from stock_assets.forecasting.model import ShrunkRegressor, trusted_types
    from stock_assets.forecasting.stored_models import refuse_unsound

    trusted = trusted_types()
    try:
        _refuse_vast(content)
        model = skops.io.loads(content, trusted=trusted)
        if isinstance(model, ShrunkRegressor):
            refuse_unsound(model)
    except Exception as error:  # whatever somebody's file makes of skops, it is no model
        raise DamagedStudyError(
            f"{MODEL_FILE} is no model of trusted types: {error}", month
        ) from error
    return model


def _refuse_vast(content: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        size = sum(entry.file_size for entry in file.infolist())
    if size > _MOST_BYTES:
        raise ValueError(f"it holds {size} bytes, more than any model")


def read_file(client: "MlflowClient", run: "Run", name: str) -> bytes:
    """A file of a study, or of its model, verified where the run has its digest.

    Raises:
        DamagedStudyError: It is not there, or not what was stored.
        RegistryError: It can't be fetched although it is there.
    """
    import mlflow
    from botocore.exceptions import BotoCoreError, ClientError
    from mlflow.exceptions import MlflowException

    of_model = model_id(run) if name == MODEL_FILE else None
    if name == MODEL_FILE and of_model is None:
        raise _damaged(run, "it holds no model")
    with tempfile.TemporaryDirectory() as folder:
        try:
            if of_model:
                root = client.get_logged_model(of_model).artifact_location
                path = mlflow.artifacts.download_artifacts(f"{root}/{name}", dst_path=folder)
            else:
                path = client.download_artifacts(run.info.run_id, name, folder)
            content = Path(path).read_bytes()
        except (MlflowException, OSError, BotoCoreError, ClientError) as error:
            listed = (
                client.list_logged_model_artifacts(of_model)
                if of_model
                else client.list_artifacts(run.info.run_id)
            )
            if name not in [file.path for file in listed if not file.is_dir]:
                raise _damaged(run, f"{name} is gone") from error
            raise RegistryError(
                f"MLflow run {run.info.run_id}: {name} can't be fetched:"
                f" {str(error).splitlines()[0]}; `stock-assets doctor` looks into it"
            ) from error
    known = json.loads(run.data.tags.get(DIGESTS_TAG, "{}")).get(name)
    if known not in (None, digest(content)):
        raise _damaged(run, f"{name} is not what was stored")
    return content


def _json(client: "MlflowClient", run: "Run", name: str) -> dict[str, Any]:
    content = read_file(client, run, name)
    try:
        value = plain_values(content)
    except ValueError as error:
        raise _damaged(run, f"{name} is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise _damaged(run, f"{name} is no JSON object")
    return value


def _month(run: "Run") -> str:
    return str(run.data.tags.get(_MONTH_TAG, ""))


def _damaged(run: "Run", what: str) -> DamagedStudyError:
    of = f"MLflow run {run.info.run_id} of {_month(run)}"
    return DamagedStudyError(f"{of}: {what}", _month(run))
