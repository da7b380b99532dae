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
from stock_assets.resources.mlflow_database import RegisteredRow, registered_rows
from stock_assets.resources.model_settings import settings_key
from stock_assets.resources.study_files import model_id
from stock_assets.resources.version_tags import (
    GATE_TAGS,
    KEY_TAG,
    SUPERSEDED,
    as_version,
    settings_tags,
)
from stock_assets.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION, CHALLENGER, CHAMPION_INTERVALS = "champion", "challenger", "champion_intervals"


class RegisteredVersions:
    """Every version of a name; `own` are those that were made with a deployment's settings."""

    def __init__(self, client: "MlflowClient", name: str, settings: Settings) -> None:
        self.client, self.name, self._settings = client, name, settings
        self._key = settings_key(settings)

    def every(self) -> list[RegisteredRow]:
        """Of whatever settings."""
        rows = registered_rows(self._settings, self.name)
        if rows is not None:
            return rows
        found: list[RegisteredRow] = []
        token = None
        while True:
            page = self.client.search_model_versions(f"name = '{self.name}'", page_token=token)
            found += [RegisteredRow(int(v.version), v.run_id, v.tags) for v in page]
            token = page.token
            if not token:
                return found

    def is_own(self, version: RegisteredRow) -> bool:
        return version.tags.get(KEY_TAG) == self._key

    def own(self) -> list[RegisteredRow]:
        return [version for version in self.every() if self.is_own(version)]

    def of_training(self, fingerprint: str) -> list[RegisteredRow]:
        """Own versions of one training, by number: more than one where machines made it at once."""
        found = [v for v in self.own() if v.tags.get(FINGERPRINT_TAG) == fingerprint]
        return sorted(found, key=lambda v: v.version)

    def supersede(self, month: str, but: Collection[int] = ()) -> int:
        """Own versions of a month are approved no more, but for some; how many were until now.

        One that is found again, since its data or code came back, is judged and approved again.
        """
        others = [
            version
            for version in self.own()
            if version.tags["month"] == month
            and version.version not in but
            and {version.tags.get(tag) for tag in GATE_TAGS.values()} != {SUPERSEDED}
        ]
        for version in others:
            self.set_tags(version.version, dict.fromkeys(GATE_TAGS.values(), SUPERSEDED))
        return len(others)

    def set_tags(self, number: int, tags: Mapping[str, str]) -> None:
        for name, value in tags.items():
            self.client.set_model_version_tag(self.name, str(number), name, value)

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

    def create(
        self,
        study: Study,
        made_with: Mapping[str, Any],
        verdict: Mapping[str, str],
        card: str,
        above: int = 0,
    ) -> RegisteredRow:
        """A new version with a number above one: MLflow gives the next one that it never gave.

        Args:
            study: With an MLflow run that is there.
            made_with: Its settings.
            verdict: The gate's, as tags.
            card: What the version is, in words.
            above: The number.
        """
        self.create_name()
        names = ("month", "trained_through", "family", "model_family", "data_hash", "code_hash")
        while True:
            # A version whose tags were set later could be seen, for a moment, without its gate.
            made = self.client.create_model_version(
                self.name,
                source=self._model_uri(study.mlflow_run_id),
                run_id=study.mlflow_run_id,
                tags={name: str(getattr(study, name)) for name in (*names, FINGERPRINT_TAG)}
                | {**verdict, **settings_tags(made_with)},
                description=card,
            )
            version = RegisteredRow(int(made.version), made.run_id, made.tags)
            if version.version > above:
                return version
            self.delete([version])

    def _model_uri(self, run_id: str) -> str:
        logged = model_id(self.client.get_run(run_id))
        if not logged:
            raise RegistryError(
                f"MLflow run {run_id} holds no model; materialise tuned_model again"
            )
        return f"models:/{logged}"

    def delete(self, versions: Sequence[RegisteredRow]) -> None:
        """Takes versions away for good; nothing gets their numbers again."""
        for version in versions:
            self.client.delete_model_version(self.name, str(version.version))

    def point_aliases(self) -> None:
        """Aliases show people who serves and who is next; forecasts choose by session."""
        versions: list[ModelVersion] = [as_version(v) for v in self.own()]
        before = self.client.get_registered_model(self.name).aliases
        for alias, version in (
            (CHAMPION, champion_of(versions)),
            (CHALLENGER, challenger_of(versions)),
            (CHAMPION_INTERVALS, champion_of(versions, INTERVALS)),
        ):
            if version and before.get(alias) != str(version.version):
                self.client.set_registered_model_alias(self.name, alias, str(version.version))
            elif not version and alias in before:
                self.client.delete_registered_model_alias(self.name, alias)
