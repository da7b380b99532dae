"""MLflow's registry side: versions with their gate decision, and loading one to serve."""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from stock_assets.errors import DamagedStudyError, RegistryError
from stock_assets.forecasting.card import model_card
from stock_assets.forecasting.gate import GateDecision
from stock_assets.forecasting.promotion import (
    INTERVALS,
    PARTS,
    POINT,
    ModelVersion,
    Part,
    Promotion,
    before_the_last,
    challenger_of,
    champion_of,
)
from stock_assets.local.locks import one_at_a_time
from stock_assets.resources.mlflow_database import registered_runs
from stock_assets.resources.mlflow_runs import (
    FINGERPRINT_TAG,
    MlflowTracking,
)
from stock_assets.resources.model_settings import (
    differing_settings,
    settings_key,
    settings_of_versions,
)
from stock_assets.resources.object_store import ObjectStore
from stock_assets.resources.stored_versions import (
    StoredVersion,
    lost_versions,
    refuse_lost,
    stored_versions,
)
from stock_assets.resources.study_files import (
    CARD_FILE,
    INTERVALS_FILE,
    model_id,
    study_intervals,
    study_model,
)
from stock_assets.resources.version_tags import (
    GATE_TAGS,
    KEY_TAG,
    REJECTED,
    SETTINGS_TAG,
    as_version,
    decision_tags,
    promotion_tags,
    settings_tags,
)
from stock_assets.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as MlflowVersion

    from stock_assets.forecasting.forecast import ServedModel

CHAMPION, CHALLENGER, CHAMPION_INTERVALS = "champion", "challenger", "champion_intervals"


class ModelRegistry:
    """The versions of one dataset's model, and the MLflow runs behind them (`tracking`).

    A deployment's versions are those that were made with its settings, see `model_settings`: others
    of the same name neither serve nor are compared with, and their aliases are not shown.
    """

    def __init__(self, settings: Settings, store: ObjectStore) -> None:
        self._settings = settings
        self.store = store
        self.tracking = MlflowTracking(settings, store)
        self.name = f"stock_assets_{settings.dataset_name}"
        self.settings = settings_of_versions(settings)
        self.settings_key = settings_key(settings)

    def register(
        self, study: Mapping[str, Any], point: GateDecision, intervals: GateDecision
    ) -> int:
        """The version of a study: made once, however often it is asked for, also at once.

        On one machine a lock lets one process in at a time. Machines that share a tracking server
        may both create a version; each then sees both, and the higher number is deleted.

        Args:
            study: A value of the asset `tuned_model`.
            point: The gate's decision on its point forecasts.
            intervals: The same on its intervals.

        Returns:
            The version's number.
        """
        with self.tracking.client() as client, one_at_a_time(self._settings, "mlflow"):
            version = self._made_from(client, study["fingerprint"])
            if version is None:
                # A number that a stored month names is no other model's, whatever became of it.
                stored = [one.number for one in stored_versions(self.store)]
                self._create(client, study, above=max(stored, default=0))
                version = self._made_from(client, study["fingerprint"])
            if version is None:
                raise RegistryError(f"{self.name} lost the version of {study['month']}; try again")
            self._judge(client, version, study, point, intervals)
            return int(version.version)

    def _judge(
        self,
        client: "MlflowClient",
        version: "MlflowVersion",
        study: Mapping[str, Any],
        point: GateDecision,
        intervals: GateDecision,
    ) -> None:
        tags = decision_tags(POINT, point) | decision_tags(INTERVALS, intervals)
        for name, value in tags.items():
            client.set_model_version_tag(self.name, version.version, name, value)
        card = model_card(study, point, intervals)
        client.update_model_version(self.name, version.version, description=card)
        client.log_text(study["mlflow_run_id"], card, CARD_FILE)
        self._point_aliases(client)

    def register_again(
        self, study: Mapping[str, Any], value: Mapping[str, Any], number: int
    ) -> bool:
        """Registers a version that the registry lost, as its stored value has it.

        Args:
            study: Of `tuned_model`, with an MLflow run that is there.
            value: Of `registered_version`.
            number: That it had and has again.

        Returns:
            Whether it has: not where the registry has given away that number.
        """
        point = GateDecision(value["approved"], value["reason"])
        intervals = GateDecision(value["intervals_approved"], value["intervals_reason"])
        with self.tracking.client() as client, one_at_a_time(self._settings, "mlflow"):
            known = [v for v in self._search(client) if v.run_id == study["mlflow_run_id"]]
            made_with = settings_tags(value["settings_key"], value["settings"])
            version = known[0] if known else self._create(client, study, number - 1, made_with)
            if int(version.version) != number:
                client.delete_model_version(self.name, version.version)
                return False
            self._judge(client, version, study, point, intervals)
            return True

    def runs_by_number(self) -> dict[int, str]:
        """The MLflow run of every version there is, of whatever settings."""
        known = registered_runs(self._settings, self.name)
        if known is not None:
            return known
        with self.tracking.client() as client:
            return {int(v.version): v.run_id for v in self._search(client)}

    def lost(self, through: str = "") -> list[StoredVersion]:
        """Stored versions that the registry has not, or has otherwise; of months up to one."""
        return lost_versions(self.store, self.runs_by_number(), through)

    def refuse_lost(self, through: str = "") -> None:
        """Refuses to serve, or to judge, without versions that are stored.

        Raises:
            RegistryError: Says which are lost, and what mends it.
        """
        refuse_lost(self.lost(through), self.name)

    def pass_over(self, number: int) -> None:
        """Nothing that is registered later gets a number up to this one."""
        with self.tracking.client() as client, one_at_a_time(self._settings, "mlflow"):
            self._create_model(client)
            passed = max((int(v.version) for v in self._search(client)), default=0)
            while passed < number:
                nothing = client.create_model_version(self.name, f"{self.store.uri}/lost")
                passed = int(nothing.version)
                client.delete_model_version(self.name, nothing.version)

    def _made_from(self, client: "MlflowClient", fingerprint: str) -> "MlflowVersion | None":
        """The lowest version of a study with these settings; its twins, made at the same time
        elsewhere, are deleted.
        """
        found = [v for v in self._own(client) if v.tags.get(FINGERPRINT_TAG) == fingerprint]
        found.sort(key=lambda v: int(v.version))
        for twin in found[1:]:
            client.delete_model_version(self.name, twin.version)
        return found[0] if found else None

    def delete(self, number: int) -> None:
        """Takes a version away for good; nothing gets its number again."""
        with self.tracking.client() as client, one_at_a_time(self._settings, "mlflow"):
            client.delete_model_version(self.name, str(number))
            self._point_aliases(client)

    def promote(
        self,
        number: int,
        after: date,
        who: str,
        why: str = "promoted",
        parts: tuple[Part, ...] = PARTS,
    ) -> ModelVersion:
        """Lets a version forecast from the sessions after `after`, until a newer one is approved.

        Args:
            number: Of the version, approved by the gate or not.
            after: The newest session: forecasts up to it stay what they were.
            who: For the audit trail in the version's tags, which only grows.
            why: The same.
            parts: What it serves with.

        Raises:
            RegistryError: There is no such version, or it was made with other settings.
        """
        with self.tracking.client() as client, one_at_a_time(self._settings, "mlflow"):
            every = {int(v.version): v for v in self._search(client)}
            known = {n: v for n, v in every.items() if self._is_own(v)}
            if number not in known:
                raise self._not_promotable(every.get(number), number, sorted(known))
            tags = known[number].tags
            versions = [as_version(v) for v in known.values()]
            point, intervals = (champion_of(versions, part) for part in PARTS)
            now = datetime.now(UTC)
            entry = (
                f"{now:%Y-%m-%dT%H:%M:%SZ} {why} by {who} after {after} for"
                f" {' and '.join(parts)}; champion was {point.version if point else 'none'}, of"
                f" intervals {intervals.version if intervals else 'none'}; gate said"
                f" {tags.get(GATE_TAGS[POINT])}, of intervals {tags.get(GATE_TAGS[INTERVALS])}"
            )
            promotion = Promotion(after, now.isoformat(), parts)
            for name, value in promotion_tags(tags, promotion, entry).items():
                client.set_model_version_tag(self.name, str(number), name, value)
            self._point_aliases(client)
            return as_version(client.get_model_version(self.name, str(number)))

    def _not_promotable(
        self, other: "MlflowVersion | None", number: int, own: list[int]
    ) -> RegistryError:
        """Why a version is none of this deployment's, and what to do."""
        there_are = ", ".join(map(str, own)) or "none yet"
        if other is None:
            return RegistryError(f"{self.name} has no version {number}; there are {there_are}")
        then = json.loads(other.tags.get(SETTINGS_TAG, "{}"))
        if differences := differing_settings(then, self._settings):
            names = [name for name, value in self.settings.items() if then.get(name) != value]
            old = " ".join(f"STOCK_ASSETS_{n.upper()}={then[n]}" for n in names if n in then)
            return RegistryError(
                f"{self.name} version {number} was made with other settings"
                f" ({'; '.join(differences)}); set {old} to serve with it, or promote one of these"
                f" settings ({there_are})"
            )
        return RegistryError(
            f"{self.name} version {number} does not say with which settings it was made: an older"
            f" release made it; promote one that does ({there_are}), or train"
            f" {other.tags.get('month')} again"
        )

    def rollback(self, after: date, who: str) -> dict[Part, ModelVersion]:
        """Takes back the version that came to serve last: those before it serve with its parts.

        Returns:
            Who serves now by part; a part that the version did not serve with, or that had no
            version before it, is left out and stays as it is.

        Raises:
            RegistryError: There was none before it.
        """
        versions = self.versions()
        former = before_the_last(versions)
        if not former:
            raise RegistryError(
                f"{self.name} has no approved version before the champion to go back to; promote"
                " one by its number"
            )
        was = ", ".join(
            dict.fromkeys(str(v.version) for p in former if (v := champion_of(versions, p)))
        )
        why = f"rollback from {was}"
        for version in dict.fromkeys(former.values()):
            parts = tuple(part for part, one in former.items() if one == version)
            self.promote(version.version, after, who, why, parts)
        return former

    def _create_model(self, client: "MlflowClient") -> None:
        from mlflow.exceptions import MlflowException

        try:
            client.create_registered_model(
                self.name, description="Next session's return in units of volatility."
            )
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _create(
        self,
        client: "MlflowClient",
        study: Mapping[str, Any],
        above: int = 0,
        made_with: dict[str, str] | None = None,
    ) -> "MlflowVersion":
        """A new version with a number above one: MLflow gives the next one that it never gave."""
        self._create_model(client)
        names = ("month", "trained_through", "family", "model_family", "data_hash", "code_hash")
        while True:
            # A version whose tags were set later could be seen, for a moment, without its gate.
            version = client.create_model_version(
                self.name,
                source=self._model_uri(client, study["mlflow_run_id"]),
                run_id=study["mlflow_run_id"],
                tags={name: str(study[name]) for name in (*names, FINGERPRINT_TAG)}
                | dict.fromkeys(GATE_TAGS.values(), REJECTED)
                | (made_with or settings_tags(self.settings_key, self.settings)),
            )
            if int(version.version) > above:
                return version
            client.delete_model_version(self.name, version.version)

    @staticmethod
    def _model_uri(client: "MlflowClient", run_id: str) -> str:
        logged = model_id(client.get_run(run_id))
        if not logged:
            raise RegistryError(
                f"MLflow run {run_id} holds no model; materialise tuned_model again"
            )
        return f"models:/{logged}"

    def _search(self, client: "MlflowClient") -> list["MlflowVersion"]:
        found: list[MlflowVersion] = []
        token = None
        while True:
            page = client.search_model_versions(f"name = '{self.name}'", page_token=token)
            found += page
            token = page.token
            if not token:
                return found

    def _is_own(self, version: "MlflowVersion") -> bool:
        return bool(version.tags.get(KEY_TAG) == self.settings_key)

    def _own(self, client: "MlflowClient") -> list["MlflowVersion"]:
        return [version for version in self._search(client) if self._is_own(version)]

    def versions(self) -> list[ModelVersion]:
        """Every version made with these settings, approved or not, ordered by what they know."""
        with self.tracking.client() as client:
            return sorted(as_version(v) for v in self._own(client))

    def others(self) -> int:
        """How many versions were made with other settings, or do not say with which."""
        with self.tracking.client() as client:
            return sum(not self._is_own(version) for version in self._search(client))

    def _point_aliases(self, client: "MlflowClient") -> None:
        """Aliases show people who serves and who is next; forecasts choose by session."""
        versions = [as_version(v) for v in self._own(client)]
        for alias, version in (
            (CHAMPION, champion_of(versions)),
            (CHALLENGER, challenger_of(versions)),
            (CHAMPION_INTERVALS, champion_of(versions, INTERVALS)),
        ):
            if version:
                client.set_registered_model_alias(self.name, alias, str(version.version))
            else:
                client.delete_registered_model_alias(self.name, alias)

    def load(self, version: ModelVersion) -> "ServedModel":
        """A version's model and intervals.

        Raises:
            DamagedStudyError: What is stored is not what was, or gone.
            RegistryError: It is nothing that this code serves.
        """
        from stock_assets.forecasting.forecast import ServedModel
        from stock_assets.forecasting.intervals import IntervalModel
        from stock_assets.forecasting.model import ShrunkRegressor

        named = f"{self.name} version {version.version}"
        with self.tracking.client() as client:
            run = client.get_run(client.get_model_version(self.name, str(version.version)).run_id)
            try:
                model = study_model(client, run)
                intervals = IntervalModel.of(study_intervals(client, run))
            except DamagedStudyError as error:
                raise DamagedStudyError(
                    f"{named} can't be read: {error.what}", error.month, version.version
                ) from error
            except (ValueError, TypeError, KeyError) as error:
                raise DamagedStudyError(
                    f"{named}: {INTERVALS_FILE} of MLflow run {run.info.run_id} can't be right:"
                    f" {error}",
                    run.data.tags.get("month", ""),
                    version.version,
                ) from error
        if not isinstance(model, ShrunkRegressor):
            raise RegistryError(
                f"{named} holds a {type(model).__name__}, not the"
                f" {ShrunkRegressor.__name__} that this code serves; reject or delete it"
            )
        return ServedModel(
            version=version,
            model=model,
            intervals=intervals,
        )
