"""MLflow's registry side: versions with their gate decision, and loading one to serve."""

import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from stock_assets.errors import RegistryError
from stock_assets.forecasting.card import model_card
from stock_assets.forecasting.gate import GateDecision
from stock_assets.forecasting.promotion import ModelVersion, Promotion, challenger_of, champion_of
from stock_assets.resources.mlflow_runs import (
    CARD_FILE,
    FINGERPRINT_TAG,
    INTERVALS_FILE,
    MlflowTracking,
    download_model,
    one_at_a_time,
)
from stock_assets.resources.object_store import ObjectStore
from stock_assets.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as MlflowVersion

    from stock_assets.forecasting.forecast import ServedModel

CHAMPION, CHALLENGER = "champion", "challenger"
_GATE_TAG = "gate"
_PROMOTIONS_TAG = "promotions"
_AUDIT_TAG = "audit_"
_APPROVED, _REJECTED = "approved", "rejected"


class ModelRegistry:
    """The versions of one dataset's model, and the MLflow runs behind them (`tracking`)."""

    def __init__(self, settings: Settings, store: ObjectStore) -> None:
        self._settings = settings
        self.tracking = MlflowTracking(settings, store)
        self.name = f"stock_assets_{settings.dataset_name}"

    def register(self, study: Mapping[str, Any], decision: GateDecision) -> int:
        """The version of a study: made once, however often it is asked for, also at once.

        On one machine a lock lets one process in at a time. Machines that share a tracking server
        may both create a version; each then sees both, and the higher number is deleted.

        Args:
            study: A value of the asset `tuned_model`.
            decision: The gate's.

        Returns:
            The version's number.
        """
        with self.tracking.client() as client, one_at_a_time(self._settings):
            version = self._made_from(client, study["fingerprint"])
            if version is None:
                self._create(client, study)
                version = self._made_from(client, study["fingerprint"])
            if version is None:
                raise RegistryError(f"{self.name} lost the version of {study['month']}; try again")
            tags = {
                _GATE_TAG: _APPROVED if decision.approved else _REJECTED,
                "gate_reason": decision.reason,
                "gate_numbers": json.dumps([asdict(c) for c in decision.comparisons]),
            }
            for name, value in tags.items():
                client.set_model_version_tag(self.name, version.version, name, value)
            card = model_card(study, decision)
            client.update_model_version(self.name, version.version, description=card)
            client.log_text(study["mlflow_run_id"], card, CARD_FILE)
            self._point_aliases(client)
            return int(version.version)

    def _made_from(self, client: "MlflowClient", fingerprint: str) -> "MlflowVersion | None":
        """The lowest version of a study; others, made at the same time elsewhere, are deleted."""
        found = [v for v in self._search(client) if v.tags.get(FINGERPRINT_TAG) == fingerprint]
        found.sort(key=lambda v: int(v.version))
        for twin in found[1:]:
            client.delete_model_version(self.name, twin.version)
        return found[0] if found else None

    def promote(self, number: int, after: date, who: str, why: str = "promoted") -> ModelVersion:
        """Lets a version forecast from the sessions after `after`, until a newer one is approved.

        Args:
            number: Of the version, approved by the gate or not.
            after: The newest session: forecasts up to it stay what they were.
            who: For the audit trail in the version's tags, which only grows.
            why: The same.

        Raises:
            RegistryError: There is no such version.
        """
        with self.tracking.client() as client, one_at_a_time(self._settings):
            known = {int(v.version): v for v in self._search(client)}
            if number not in known:
                raise RegistryError(
                    f"{self.name} has no version {number}; there are"
                    f" {', '.join(map(str, sorted(known))) or 'none yet'}"
                )
            before = champion_of(map(_as_version, known.values()))
            now = datetime.now(UTC)
            entry = (
                f"{now:%Y-%m-%dT%H:%M:%SZ} {why} by {who} after {after}; champion was"
                f" {before.version if before else 'none'}; gate said"
                f" {known[number].tags.get(_GATE_TAG)}"
            )
            count = sum(name.startswith(_AUDIT_TAG) for name in known[number].tags)
            tags = {
                f"{_AUDIT_TAG}{count + 1:03d}": entry,
                _PROMOTIONS_TAG: _written(
                    (*_as_version(known[number]).promotions, Promotion(after, now.isoformat()))
                ),
            }
            for name, value in tags.items():
                client.set_model_version_tag(self.name, str(number), name, value)
            self._point_aliases(client)
            return _as_version(client.get_model_version(self.name, str(number)))

    def rollback(self, after: date, who: str) -> ModelVersion:
        """Promotes the version that was champion before the present one.

        Raises:
            RegistryError: There was none.
        """
        versions = self.versions()
        champion = champion_of(versions)
        former = champion_of(v for v in versions if v != champion)
        if champion is None or former is None:
            raise RegistryError(
                f"{self.name} has no approved version before the champion to go back to; promote"
                " one by its number"
            )
        return self.promote(former.version, after, who, f"rollback from {champion.version}")

    def _create(self, client: "MlflowClient", study: Mapping[str, Any]) -> None:
        from mlflow.exceptions import MlflowException

        try:
            client.create_registered_model(
                self.name, description="Next session's return in units of volatility."
            )
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        # A version whose tags were set later could be seen, for a moment, without its gate.
        client.create_model_version(
            self.name,
            source=self._model_uri(client, study["mlflow_run_id"]),
            run_id=study["mlflow_run_id"],
            tags={
                name: str(study[name])
                for name in (
                    "month",
                    "trained_through",
                    "family",
                    "model_family",
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

    def _point_aliases(self, client: "MlflowClient") -> None:
        """Aliases show people who serves and who is next; forecasts choose by session."""
        versions = [_as_version(v) for v in self._search(client)]
        for alias, version in (
            (CHAMPION, champion_of(versions)),
            (CHALLENGER, challenger_of(versions)),
        ):
            if version:
                client.set_registered_model_alias(self.name, alias, str(version.version))
            else:
                client.delete_registered_model_alias(self.name, alias)

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
            try:
                model = download_model(f"models:/{self.name}/{version.version}")
            except (ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
                raise RegistryError(
                    f"{self.name} version {version.version} can't be read as a model of trusted"
                    f" types: {error}; delete it and train {found.tags.get('month')} again"
                ) from error
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
    promotions = json.loads(found.tags.get(_PROMOTIONS_TAG, "[]"))
    return ModelVersion(
        trained_through=date.fromisoformat(found.tags["trained_through"]),
        version=int(found.version),
        approved=found.tags.get(_GATE_TAG) == _APPROVED,
        family=found.tags["family"],
        promotions=tuple(Promotion(date.fromisoformat(p["after"]), p["at"]) for p in promotions),
    )


def _written(promotions: tuple[Promotion, ...]) -> str:
    return json.dumps([{"after": str(p.after), "at": p.at} for p in promotions])
