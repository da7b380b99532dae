"""MLflow's registry side: versions with their gate decision, and loading one to serve."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING

from stock_assets.errors import DamagedStudyError, RegistryError
from stock_assets.forecasting.card import model_card
from stock_assets.forecasting.gate import GateDecision
from stock_assets.forecasting.promotion import (
    INTERVALS,
    POINT,
    RANDOM_WALK,
    ModelVersion,
    Part,
)
from stock_assets.forecasting.study import Study
from stock_assets.local.locks import one_at_a_time
from stock_assets.resources.mlflow_database import RegisteredRow, registered_rows
from stock_assets.resources.mlflow_tracking import MlflowTracking
from stock_assets.resources.model_settings import settings_key, settings_of_versions
from stock_assets.resources.object_store import ObjectStore
from stock_assets.resources.promotions import former_versions, promote, rollback
from stock_assets.resources.registered_versions import RegisteredVersions
from stock_assets.resources.stored_versions import (
    StoredVersion,
    lost_versions,
    refuse_lost,
    stored_versions,
)
from stock_assets.resources.study_files import (
    CARD_FILE,
    INTERVALS_FILE,
    MODEL_FILE,
    read_file,
    study_intervals,
    study_model,
)
from stock_assets.resources.version_tags import KEY_TAG, as_version, decision_tags
from stock_assets.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from stock_assets.forecasting.forecast import ServedModel
    from stock_assets.forecasting.intervals import IntervalModel
    from stock_assets.forecasting.model import ShrunkRegressor


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

    @contextmanager
    def opened(self) -> Iterator[RegisteredVersions]:
        """The versions as they are now, to read."""
        with self.tracking.client() as client:
            yield RegisteredVersions(client, self.name, self._settings)

    @contextmanager
    def _alone(self) -> Iterator[RegisteredVersions]:
        """The same to write: one process of this machine at a time."""
        with self.opened() as registered, one_at_a_time(self._settings, "mlflow"):
            yield registered

    def register(
        self,
        study: Study,
        point: GateDecision,
        intervals: GateDecision,
        beside: Collection[int] = (),
    ) -> int:
        """The version of a study: made once, however often it is asked for, also at once.

        On one machine a lock lets one process in at a time. Machines that share a tracking server
        may both create a version; each then sees both, and the higher number is deleted.

        Args:
            study: As it is stored.
            point: The gate's decision on its point forecasts.
            intervals: The same on its intervals.
            beside: Versions that its month had before it was trained again, and that stay. Any
                other of the month is superseded: what was made of older data or code must neither
                serve nor judge.

        Returns:
            The version's number.
        """
        verdict = decision_tags(POINT, point) | decision_tags(INTERVALS, intervals)
        card = model_card(study, point, intervals)
        with self._alone() as registered:
            known = registered.of_training(study.fingerprint)
            if known:
                self._judge_again(registered, known[0], verdict, card)
            else:
                # A number that a stored month names is no other model's, whatever became of it.
                stored = [one.number for one in stored_versions(self.store)]
                registered.create(study, self.settings, verdict, card, max(stored, default=0))
            version, *twins = registered.of_training(study.fingerprint)
            registered.delete(twins)
            registered.supersede(study.month, but={version.version, *beside})
            registered.client.log_text(study.mlflow_run_id, card, CARD_FILE)
            registered.point_aliases()
            return version.version

    def supersede(self, month: str) -> None:
        """Lets no version of a month serve or judge that can't be trained any more."""
        with self._alone() as registered:
            if registered.supersede(month):
                registered.point_aliases()

    def _judge_again(
        self,
        registered: RegisteredVersions,
        version: RegisteredRow,
        verdict: Mapping[str, str],
        card: str,
    ) -> None:
        changed = {n: value for n, value in verdict.items() if version.tags.get(n) != value}
        if changed:
            registered.set_tags(version.version, changed)
            registered.client.update_model_version(self.name, str(version.version), card)

    def register_again(self, study: Study, lost: StoredVersion) -> bool:
        """Registers a version that the registry lost, as its stored value has it.

        Args:
            study: With an MLflow run that is there.
            lost: The version; it has its number again.

        Returns:
            Whether it has: not where the registry has given away that number.
        """
        value = lost.value
        point = GateDecision(value["approved"], value["reason"])
        intervals = GateDecision(value["intervals_approved"], value["intervals_reason"])
        verdict = decision_tags(POINT, point) | decision_tags(INTERVALS, intervals)
        card = model_card(study, point, intervals)
        with self._alone() as registered:
            known = [v for v in registered.every() if v.run_id == study.mlflow_run_id]
            if known:
                version = known[0]
                self._judge_again(registered, version, verdict, card)
            else:
                version = registered.create(
                    study, value["settings"], verdict, card, above=lost.number - 1
                )
            if version.version != lost.number:
                registered.delete([version])
                return False
            registered.client.log_text(study.mlflow_run_id, card, CARD_FILE)
            registered.point_aliases()
            return True

    def runs_by_number(self) -> dict[int, str]:
        """The MLflow run of every version there is, of whatever settings."""
        return {row.version: row.run_id for row in self._rows()}

    def _rows(self) -> list[RegisteredRow]:
        rows = registered_rows(self._settings, self.name)
        if rows is not None:  # without MLflow, which takes seconds to import
            return rows
        with self.opened() as registered:
            return registered.every()

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
        with self._alone() as registered:
            registered.create_name()
            passed = max((v.version for v in registered.every()), default=0)
            while passed < number:
                client = registered.client
                nothing = client.create_model_version(self.name, f"{self.store.uri}/lost")
                passed = int(nothing.version)
                client.delete_model_version(self.name, nothing.version)

    def delete(self, number: int) -> None:
        """Takes a version away for good; nothing gets its number again."""
        with self._alone() as registered:
            registered.client.delete_model_version(self.name, str(number))
            registered.point_aliases()

    def promote(self, number: int, after: date, who: str) -> ModelVersion:
        """Lets a version serve with all parts from now on, see `promotions.promote`."""
        with self._alone() as registered:
            return promote(registered, self._settings, number, after, who)

    def rollback(self, after: date, who: str) -> dict[Part, ModelVersion]:
        """Takes back the version that came to serve last, see `promotions.rollback`."""
        with self._alone() as registered:
            return rollback(registered, self._settings, after, who)

    def former_versions(self) -> dict[Part, ModelVersion]:
        """Who would serve after a rollback, see `promotions.former_versions`; nothing changes."""
        with self.opened() as registered:
            return former_versions(registered)

    def versions(self) -> list[ModelVersion]:
        """Every version made with these settings, approved or not, ordered by what they know."""
        return sorted(
            as_version(row) for row in self._rows() if row.tags.get(KEY_TAG) == self.settings_key
        )

    def others(self) -> int:
        """How many versions were made with other settings, or do not say with which."""
        return sum(row.tags.get(KEY_TAG) != self.settings_key for row in self._rows())

    def load(self, version: ModelVersion) -> "ServedModel":
        """A version's model and intervals.

        Raises:
            DamagedStudyError: What is stored is not what was, or gone.
            RegistryError: It is nothing that this code serves.
        """
        from stock_assets.forecasting.forecast import ServedModel

        return ServedModel(version, self._model(version), self.load_intervals(version))

    def _model(self, version: ModelVersion) -> "ShrunkRegressor | None":
        with self._study_of(version) as (client, run):
            if version.family == RANDOM_WALK:
                # It is what was stored; what makes a model of it takes seconds to import.
                read_file(client, run, MODEL_FILE)
                return None
            model = study_model(client, run)
        from stock_assets.forecasting.model import ShrunkRegressor

        if not isinstance(model, ShrunkRegressor):
            raise RegistryError(
                f"{self._named(version)} holds a {type(model).__name__}, not the"
                f" {ShrunkRegressor.__name__} that this code serves; reject or delete it"
            )
        return model

    def load_intervals(self, version: ModelVersion) -> "IntervalModel":
        """A version's intervals.

        Raises:
            DamagedStudyError: What is stored is not what was, or gone.
        """
        from stock_assets.forecasting.intervals import IntervalModel

        with self._study_of(version) as (client, run):
            try:
                return IntervalModel.of(study_intervals(client, run))
            except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
                raise DamagedStudyError(
                    f"{self._named(version)}: {INTERVALS_FILE} of MLflow run {run.info.run_id}"
                    f" can't be right: {error}",
                    run.data.tags.get("month", ""),
                    version.version,
                ) from error

    @contextmanager
    def _study_of(self, version: ModelVersion) -> Iterator[tuple["MlflowClient", "Run"]]:
        """Where a version's files are; an error of theirs says whose they are."""
        with self.tracking.client() as client:
            run = client.get_run(self.runs_by_number()[version.version])
            try:
                yield client, run
            except DamagedStudyError as error:
                if error.version:
                    raise
                raise DamagedStudyError(
                    f"{self._named(version)} can't be read: {error.what}",
                    error.month,
                    version.version,
                ) from error

    def _named(self, version: ModelVersion) -> str:
        return f"{self.name} version {version.version}"
