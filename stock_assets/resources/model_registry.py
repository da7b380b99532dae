"""MLflow's registry side: versions with their gate decision, and loading one to serve."""

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from stock_assets.errors import RegistryError
from stock_assets.forecasting.promotion import GateDecision, ModelVersion
from stock_assets.resources.mlflow_runs import (
    FINGERPRINT_TAG,
    INTERVALS_FILE,
    MlflowTracking,
    download_model,
)
from stock_assets.resources.object_store import ObjectStore
from stock_assets.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as MlflowVersion

    from stock_assets.forecasting.forecast import ServedModel

CHAMPION = "champion"
_GATE_TAG = "gate"
_APPROVED, _REJECTED = "approved", "rejected"


class ModelRegistry:
    """The versions of one dataset's model, and the MLflow runs behind them (`tracking`)."""

    def __init__(self, settings: Settings, store: ObjectStore) -> None:
        self.tracking = MlflowTracking(settings, store)
        self.name = f"stock_assets_{settings.dataset_name}"

    def register(self, study: Mapping[str, Any], decision: GateDecision) -> int:
        """The version of a study: made once, however often it is asked for.

        Args:
            study: A value of the asset `tuned_model`.
            decision: The gate's.

        Returns:
            The version's number.
        """
        with self.tracking.client() as client:
            known = {v.tags.get(FINGERPRINT_TAG): v for v in self._search(client)}
            version = known.get(study["fingerprint"]) or self._create(client, study)
            client.set_model_version_tag(
                self.name, version.version, _GATE_TAG, _APPROVED if decision.approved else _REJECTED
            )
            client.set_model_version_tag(self.name, version.version, "gate_reason", decision.reason)
            self._point_champion(client)
            return int(version.version)

    def _create(self, client: "MlflowClient", study: Mapping[str, Any]) -> "MlflowVersion":
        from mlflow.exceptions import MlflowException

        try:
            client.create_registered_model(
                self.name, description="Next session's return in units of volatility."
            )
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        # A version whose tags were set later could be seen, for a moment, without its gate.
        return client.create_model_version(
            self.name,
            source=self._model_uri(client, study["mlflow_run_id"]),
            run_id=study["mlflow_run_id"],
            tags={
                name: str(study[name])
                for name in (
                    "month",
                    "trained_through",
                    "family",
                    "data_hash",
                    "code_hash",
                    FINGERPRINT_TAG,
                )
            }
            | {_GATE_TAG: _REJECTED},
        )

    @staticmethod
    def _model_uri(client: "MlflowClient", run_id: str) -> str:
        outputs = client.get_run(run_id).outputs
        if not outputs or not outputs.model_outputs:
            raise RegistryError(
                f"MLflow run {run_id} holds no model; materialise tuned_model again"
            )
        return f"models:/{outputs.model_outputs[0].model_id}"

    def _search(self, client: "MlflowClient") -> list["MlflowVersion"]:
        found: list[MlflowVersion] = []
        token = None
        while True:
            page = client.search_model_versions(f"name = '{self.name}'", page_token=token)
            found += page
            token = page.token
            if not token:
                return found

    def versions(self) -> list[ModelVersion]:
        """Every version, approved or not, in the order of the data that they know."""
        with self.tracking.client() as client:
            return sorted(_as_version(v) for v in self._search(client))

    def _point_champion(self, client: "MlflowClient") -> None:
        """The alias shows people the newest approved version; forecasts choose by session."""
        approved = [v for v in map(_as_version, self._search(client)) if v.approved]
        if approved:
            client.set_registered_model_alias(self.name, CHAMPION, str(max(approved).version))
        else:
            client.delete_registered_model_alias(self.name, CHAMPION)

    def load(self, version: ModelVersion) -> "ServedModel":
        """A version's model and intervals.

        Raises:
            RegistryError: What is stored is not what this code wrote.
        """
        from stock_assets.forecasting.forecast import ServedModel
        from stock_assets.forecasting.intervals import IntervalModel
        from stock_assets.forecasting.model import ShrunkRegressor

        with self.tracking.client() as client:
            import mlflow

            found = client.get_model_version(self.name, str(version.version))
            model = download_model(f"models:/{self.name}/{version.version}")
            stored = mlflow.artifacts.load_dict(f"runs:/{found.run_id}/{INTERVALS_FILE}")
        if not isinstance(model, ShrunkRegressor):
            raise RegistryError(
                f"{self.name} version {version.version} holds a {type(model).__name__}, not the"
                f" {ShrunkRegressor.__name__} that this code serves; reject or delete it"
            )
        return ServedModel(
            version=version,
            model=model,
            intervals=IntervalModel.of(stored),
        )


def _as_version(found: "MlflowVersion") -> ModelVersion:
    return ModelVersion(
        trained_through=date.fromisoformat(found.tags["trained_through"]),
        version=int(found.version),
        approved=found.tags.get(_GATE_TAG) == _APPROVED,
        family=found.tags["family"],
    )
