"""The versions of one name as MLflow's registry has them, while a client is open.

Who may write them when, and what was stored of them elsewhere, is `model_registry`'s.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stock_assets.errors import RegistryError
from stock_assets.forecasting.promotion import (
    INTERVALS,
    ModelVersion,
    challenger_of,
    champion_of,
)
from stock_assets.forecasting.study import Study
from stock_assets.resources.logged_studies import FINGERPRINT_TAG
from stock_assets.resources.study_files import model_id
from stock_assets.resources.version_tags import (
    GATE_TAGS,
    KEY_TAG,
    REJECTED,
    SUPERSEDED,
    as_version,
    settings_tags,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as MlflowVersion

CHAMPION, CHALLENGER, CHAMPION_INTERVALS = "champion", "challenger", "champion_intervals"


class RegisteredVersions:
    """Every version of a name; `own` are those that were made with a deployment's settings."""

    def __init__(self, client: "MlflowClient", name: str, settings_key: str) -> None:
        self.client, self.name, self._key = client, name, settings_key

    def every(self) -> list["MlflowVersion"]:
        """Of whatever settings."""
        found: list[MlflowVersion] = []
        token = None
        while True:
            page = self.client.search_model_versions(f"name = '{self.name}'", page_token=token)
            found += page
            token = page.token
            if not token:
                return found

    def is_own(self, version: "MlflowVersion") -> bool:
        return bool(version.tags.get(KEY_TAG) == self._key)

    def own(self) -> list["MlflowVersion"]:
        return [version for version in self.every() if self.is_own(version)]

    def of_training(self, fingerprint: str) -> list["MlflowVersion"]:
        """Own versions of one training, by number: more than one where machines made it at once."""
        found = [v for v in self.own() if v.tags.get(FINGERPRINT_TAG) == fingerprint]
        return sorted(found, key=lambda v: int(v.version))

    def supersede(self, month: str, but: Collection[int] = ()) -> int:
        """Own versions of a month are approved no more, but for some; how many were until now.

        One that is found again, since its data or code came back, is judged and approved again.
        """
        others = [
            version
            for version in self.own()
            if version.tags["month"] == month
            and int(version.version) not in but
            and {version.tags.get(tag) for tag in GATE_TAGS.values()} != {SUPERSEDED}
        ]
        for version in others:
            for tag in GATE_TAGS.values():
                self.client.set_model_version_tag(self.name, version.version, tag, SUPERSEDED)
        return len(others)

    def create_name(self) -> None:
        """Lets versions be registered under the name."""
        from mlflow.exceptions import MlflowException

        try:
            self.client.create_registered_model(
                self.name, description="Next session's return in units of volatility."
            )
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def create(self, study: Study, made_with: Mapping[str, Any], above: int = 0) -> "MlflowVersion":
        """A new version with a number above one: MLflow gives the next one that it never gave.

        `made_with`: its settings.
        """
        self.create_name()
        names = ("month", "trained_through", "family", "model_family", "data_hash", "code_hash")
        while True:
            # A version whose tags were set later could be seen, for a moment, without its gate.
            version = self.client.create_model_version(
                self.name,
                source=self._model_uri(study.mlflow_run_id),
                run_id=study.mlflow_run_id,
                tags={name: str(getattr(study, name)) for name in (*names, FINGERPRINT_TAG)}
                | dict.fromkeys(GATE_TAGS.values(), REJECTED)
                | settings_tags(made_with),
            )
            if int(version.version) > above:
                return version
            self.delete([version])

    def _model_uri(self, run_id: str) -> str:
        logged = model_id(self.client.get_run(run_id))
        if not logged:
            raise RegistryError(
                f"MLflow run {run_id} holds no model; materialise tuned_model again"
            )
        return f"models:/{logged}"

    def delete(self, versions: Sequence["MlflowVersion"]) -> None:
        """Takes versions away for good; nothing gets their numbers again."""
        for version in versions:
            self.client.delete_model_version(self.name, version.version)

    def point_aliases(self) -> None:
        """Aliases show people who serves and who is next; forecasts choose by session."""
        versions: list[ModelVersion] = [as_version(v) for v in self.own()]
        for alias, version in (
            (CHAMPION, champion_of(versions)),
            (CHALLENGER, challenger_of(versions)),
            (CHAMPION_INTERVALS, champion_of(versions, INTERVALS)),
        ):
            if version:
                self.client.set_registered_model_alias(self.name, alias, str(version.version))
            else:
                self.client.delete_registered_model_alias(self.name, alias)
