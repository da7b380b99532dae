"""The graph in anybody's Dagster project: a component, some lines of YAML each.

`dg` finds it by the entry point `dagster_dg_cli.registry_modules`. Its attributes are the settings
in lower case, and nothing comes from the environment: two instances in one project share no value.
"""

import os
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import dagster as dg
from dagster_shared.check import CheckError
from pydantic import BaseModel, Field, PrivateAttr, SecretStr, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from stock_assets.environment import keep_proxies_from_loopback
from stock_assets.errors import SettingsError, spelled_for
from stock_assets.graph import build_graph
from stock_assets.settings import PREFIX, Settings, refusal, secret_names

_PATHS = ("home", "files_uri", "members_uri", "tickers_file", "studies_folder", "notify_urls_file")
_OF_A_CHECKOUT = {
    "dataset", "local_s3_port", "dagster_port", "mlflow_port", "exporter_port", "dagster_url"
}  # fmt: skip
"""What only the pages and the server of `stock-assets` itself listen to; the dataset is `name`, and
Dagster's instance that of the project."""
_ADDRESSES = ("mlflow_tracking_uri", "http_url")
"""Secrets only where a password is in them."""
_NAME = r"^[A-Za-z][A-Za-z0-9_]{0,39}$"


class InstanceSettings(Settings):
    """Settings of one instance of the component: what it was given and defaults, nothing else."""

    _code_location: str = PrivateAttr("")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)

    @cached_property
    def dataset_name(self) -> str:
        """Without hyphens, which names in Dagster must not have."""
        return super().dataset_name.replace("-", "_")

    def named(self, name: str) -> str:
        """With the dataset before it: a code location may have several, and much else."""
        return f"{self.dataset_name}_{name}"

    def spelled(self, message: str) -> str:
        return as_attributes(message)

    @property
    def code_location(self) -> str:
        """The project, where a command loaded it from one."""
        return self._code_location

    @property
    def working_folder(self) -> Path:
        """Dagster's configuration is the project's, whose folder a command runs in."""
        return Path.cwd()

    def of_project(self, code_location: str, changed: Mapping[str, object]) -> "InstanceSettings":
        """These in a project that Dagster calls so, with other values of some settings."""
        settings = _validated({**self.model_dump(exclude_unset=True), **changed})
        settings._code_location = code_location
        return settings


def as_attributes(message: str) -> str:
    """A message in which settings stand as in YAML: `files_uri` for `STOCK_ASSETS_FILES_URI`."""
    return re.sub(rf"{PREFIX}([A-Z0-9_]+)", lambda found: found[1].lower(), message)


def _attribute(name: str, setting: FieldInfo) -> tuple[Any, Any]:
    """How an attribute may be written: as the setting's type, or as a template that gives it."""
    written: Any = setting.annotation
    if SecretStr in get_args(written):
        written = str | None
    elif get_origin(written) is tuple:
        written = list[str]
    elif name.endswith("_by_ticker"):
        written = dict[str, float]
    if setting.metadata and isinstance(written, type) and issubclass(written, int | float):
        written = Annotated[written, *setting.metadata]
    if get_origin(setting.annotation) is not Literal:
        written |= str
    return written, Field(None, description=setting.description)


_FIELDS: dict[str, Any] = {
    "name": (
        str,
        Field(
            pattern=_NAME,
            description="What its keys, objects, models and jobs begin with: a letter, then"
            " letters, digits and underscores.",
        ),
    ),
    **{
        name: _attribute(name, setting)
        for name, setting in Settings.model_fields.items()
        if name not in _OF_A_CHECKOUT
    },
}
Attributes: type[BaseModel] = create_model("StockForecastsAttributes", __base__=dg.Model, **_FIELDS)
"""What may stand in the YAML file: `name`, and each setting that makes sense there."""


def instance_settings(given: Mapping[str, Any], project: Path) -> InstanceSettings:
    """The settings of an instance.

    Args:
        given: Its attributes, templates resolved. Paths are taken from the project's folder.
        project: That folder. The state is kept in `.stock_assets/<name>/var` below it, objects
            included, unless `home` and `store_uri` say otherwise.

    Raises:
        SettingsError: Names the attribute, the reason and the value.
    """
    values, project = dict(given), project.resolve()
    values["dataset"] = name = values.pop("name")
    for path in _PATHS:
        if (value := values.get(path)) and not str(value).startswith(("s3://", "file://")):
            values[path] = str(project / Path(value).expanduser())
    home = values.setdefault("home", str(project / ".stock_assets" / name))
    values.setdefault("store_uri", f"file://{home}/var/objects")
    with spelled_for(as_attributes):
        return _validated(values)


def _validated(values: dict[str, Any]) -> InstanceSettings:
    try:
        return InstanceSettings(**values)
    except ValidationError as error:
        raise refusal(error) from None


def instance_of_project(prefix: str, changed: Mapping[str, object]) -> InstanceSettings:
    """The settings of an instance in the Dagster project that this folder is in, for a command.

    Args:
        prefix: What its asset keys begin with.
        changed: Other values of some settings.

    Raises:
        SettingsError: This is no such project, or it can't be loaded, or has no such instance.
    """
    if not os.environ.get("DAGSTER_HOME"):
        raise SettingsError(
            "--component needs your instance of Dagster: set DAGSTER_HOME to the folder of its"
            " dagster.yaml, as for `dg dev`"
        )
    if "source" in changed:
        raise SettingsError("--source: write another source into the component's defs.yaml instead")
    keep_proxies_from_loopback()
    try:
        project = dg.ComponentTree.for_project(Path.cwd())
        found = {
            one.settings.dataset_name: one for one in project.get_all_components(StockForecasts)
        }
    except (dg.DagsterError, ImportError, CheckError) as error:
        raise SettingsError(f"--component: {' '.join(str(error).split())}") from error
    if prefix not in found:
        known = ", ".join(sorted(found)) or "none"
        raise SettingsError(
            f"--component: no stock_assets.StockForecasts of {Path.cwd()} has the key prefix"
            f" {prefix}; it has {known}"
        )
    return found[prefix].settings.of_project(project.code_location_name or "", changed)


def _refuse_secrets(written: Mapping[str, Any]) -> None:
    """Raises SettingsError for one that stands in the file itself."""
    for name in secret_names():
        text = written.get(name) or ""
        is_address = name in _ADDRESSES and "@" not in text
        if text and "{{" not in text and not is_address:
            raise SettingsError(
                f"{name}: a secret has no place in a file; write it as"
                f' "{{{{ env.{name.upper()} }}}}" and set that variable'
            )


class _Scaffolder(dg.Scaffolder[Any]):
    """What `dg scaffold defs` writes runs as it is, on the sample."""

    def scaffold(self, request: dg.ScaffoldRequest[Any]) -> None:
        name = re.sub(r"\W", "_", request.target_path.name)
        dg.scaffold_component(request, {"name": name, "source": "sample", "horizon": 1})


@dg.scaffold_with(_Scaffolder)
class StockForecasts(dg.Component):
    """Daily stock forecasts: prices, features, models, forecasts and their errors as assets.

    One instance is one dataset under a key prefix of its own, with its jobs, schedules, sensors and
    checks.
    """

    def __init__(self, settings: InstanceSettings) -> None:
        self.settings = settings

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        return Attributes

    @classmethod
    def load(
        cls, attributes: BaseModel | None, context: dg.ComponentLoadContext
    ) -> "StockForecasts":
        written = (attributes or Attributes()).model_dump(exclude_unset=True)
        _refuse_secrets(written)
        resolved = context.resolution_context.at_path("attributes").resolve_value(written)
        return cls(instance_settings(resolved, context.project_root))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:  # noqa: ARG002
        with spelled_for(as_attributes):
            return build_graph(self.settings)
