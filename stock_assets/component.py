"""The graph in anybody's Dagster project: a component, some lines of YAML each.

`dg` finds it by the entry point `dagster_dg_cli.registry_modules`. Its attributes are the settings
in lower case, and nothing comes from the environment: two instances in one project share no value.
"""

import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import dagster as dg
from pydantic import BaseModel, Field, SecretStr, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

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
        try:
            return InstanceSettings(**values)
        except ValidationError as error:
            raise refusal(error) from None


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
