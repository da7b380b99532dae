"""The component StockForecasts: what its YAML may say, and that two instances share nothing."""

import re
import shutil
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster.components.testing import create_defs_folder_sandbox

import stock_assets
from stock_assets.automation.jobs import config_of
from stock_assets.component import Attributes, StockForecasts, instance_settings
from stock_assets.definitions import build_definitions
from stock_assets.errors import SettingsError
from stock_assets.resources.model_registry import ModelRegistry
from stock_assets.resources.object_store import open_store
from stock_assets.settings import Settings
from stock_assets_tests.conftest import CHECKOUT

US = {"name": "us", "tickers": ["AAPL", "IBM"], "first_session": "2012-06-01"}
WEEK = {"name": "week", "horizon": 5, "first_session": "2012-06-01", "schedules_on": True}


def loaded(*instances: Mapping[str, Any]) -> dg.Definitions:
    """One code location with an instance for each set of attributes."""
    with create_defs_folder_sandbox() as sandbox:
        for number, attributes in enumerate(instances):
            folder = sandbox.defs_folder_path / f"instance_{number}"
            folder.mkdir()
            document = {"type": "stock_assets.StockForecasts", "attributes": attributes}
            (folder / "defs.yaml").write_text(yaml.safe_dump(document))
        with sandbox.build_all_defs() as definitions:
            return definitions


@pytest.fixture(scope="module")
def both() -> dg.Definitions:
    return loaded(US, WEEK)


def names_in(definitions: dg.Definitions) -> Iterator[str]:
    """Everything that a code location knows by name."""
    repository = definitions.get_repository_def()
    graph = definitions.resolve_asset_graph()
    yield from (key.to_user_string() for key in graph.get_all_asset_keys())
    yield from (graph.get(key).group_name or "" for key in graph.get_all_asset_keys())
    yield from (node.name for node in definitions.resolve_implicit_global_asset_job_def().nodes)
    yield from (job.name for job in repository.get_all_jobs() if job.name != "__ASSET_JOB")
    yield from (one.name for one in repository.schedule_defs)
    yield from (one.name for one in repository.sensor_defs)
    yield from repository.get_top_level_resources()


def test_two_instances_in_a_code_location_share_no_name_and_lack_none(both: dg.Definitions):
    bare = sorted(name.removeprefix("sample/") for name in names_in(build_definitions(Settings())))
    names = sorted(names_in(both))
    for dataset in ("us", "week_5_sessions"):
        own = [name for name in names if name.startswith((f"{dataset}_", f"{dataset}/"))]
        assert sorted(name[len(dataset) + 1 :] for name in own) == bare
    assert len(names) == 2 * len(bare)


def test_a_checkout_keeps_the_names_that_its_docs_have():
    repository = build_definitions(Settings()).get_repository_def()
    assert {one.name for one in repository.schedule_defs} == {"daily", "monthly", "refetch"}
    assert {one.name for one in repository.sensor_defs} == {
        "rmse_above_threshold",
        "report_after_daily",
    }


def test_two_instances_share_no_folder_object_or_model(tmp_path: Path):
    us, week = (instance_settings(one, tmp_path) for one in (US, WEEK))
    assert us.state_folder == tmp_path / ".stock_assets" / "us" / "var"
    assert week.state_folder == tmp_path / ".stock_assets" / "week" / "var"
    with open_store(us) as own, open_store(week) as other:
        assert own.uri == f"file://{tmp_path}/.stock_assets/us/var/objects/us"
        assert other.uri == f"file://{tmp_path}/.stock_assets/week/var/objects/week_5_sessions"
        first, second = ModelRegistry(us, own), ModelRegistry(week, other)
    assert (first.name, second.name) == ("stock_assets_us", "stock_assets_week_5_sessions")
    assert first.tracking.experiment != second.tracking.experiment
    # And in one bucket, with one MLflow, for all:
    shared = {"store_uri": f"file://{tmp_path}/shared", "home": str(tmp_path / "state")}
    stores = []
    for one in (US, WEEK):
        with open_store(instance_settings({**one, **shared}, tmp_path)) as store:
            stores.append(store.uri)
    assert stores == [f"file://{tmp_path}/shared/{name}" for name in ("us", "week_5_sessions")]


def test_schedules_and_sensors_are_on_where_the_instance_says_so(both: dg.Definitions):
    repository = both.get_repository_def()
    for one in (*repository.schedule_defs, *repository.sensor_defs):
        assert one.default_status.value == (
            "RUNNING" if one.name.startswith("week_") else "STOPPED"
        ), one.name


def test_runs_asked_for_are_configured_by_the_instances_own_names(both: dg.Definitions):
    job = both.resolve_job_def("us_monthly_job")
    assert {node.name for node in job.nodes} == {
        "us_train_set", "us_test_set", "us_tuned_model", "us_registered_version"
    }  # fmt: skip
    assert both.resolve_sensor_def("us_rmse_above_threshold").job_name == "us_monthly_job"
    given = {"train_set": {"train_through": "2013-02-15"}}
    settings = instance_settings(US, Path("/project"))
    assert dg.validate_run_config(job, config_of(settings, given))
    with pytest.raises(dg.DagsterInvalidConfigError):
        dg.validate_run_config(job, config_of(Settings(), given))


def test_a_schedule_of_an_instance_looks_at_its_own_store(tmp_path: Path):
    (tmp_path / "dagster").mkdir()
    definitions = loaded({**US, "home": str(tmp_path / "home")})
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster")) as instance:
        context = dg.build_schedule_context(
            instance, scheduled_execution_time=datetime(2013, 3, 4, 12, tzinfo=UTC)
        )
        told = definitions.get_repository_def().get_schedule_def("us_daily").evaluate_tick(context)
    assert str(told.skip_message).startswith("nothing is stored yet")
    assert (tmp_path / "home" / "var" / "objects").is_dir()


def test_a_schedule_runs_when_the_instance_says():
    definitions = loaded(
        {**US, "daily_schedule": "30 18 * * 1-5", "monthly_schedule": "0 20 * * *"}
    )
    crons = {one.name: one.cron_schedule for one in definitions.get_repository_def().schedule_defs}
    assert (crons["us_daily"], crons["us_monthly"]) == ("30 18 * * 1-5", "0 20 * * *")


def test_nothing_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / ".env").write_text("STOCK_ASSETS_SEED=1\n")
    monkeypatch.setenv("STOCK_ASSETS_TICKERS", "MSFT")
    monkeypatch.setenv("STOCK_ASSETS_HORIZON", "3")
    settings = instance_settings({"name": "us"}, tmp_path)
    assert (settings.seed, settings.tickers, settings.horizon) == (20_130_301, (), 1)


def test_paths_are_those_of_the_project_and_not_of_the_process():
    given = {"name": "us", "source": "files", "files_uri": "prices", "tickers_file": "t.txt"}
    settings = instance_settings(given, Path("/project"))
    assert settings.files_uri == "/project/prices"
    assert settings.tickers_file == Path("/project/t.txt")
    bucket = instance_settings({**given, "files_uri": "s3://bucket/prices"}, Path("/project"))
    assert bucket.files_uri == "s3://bucket/prices"


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"horizon": "7"}, "horizon: Input should be less than or equal to 5 (got 7)"),
        ({"source": "files"}, "source=files needs files_uri (a file, folder or s3://…)"),
        ({"store_uri": "gs://x"}, "store_uri: must start with s3:// or file:// (got 'gs://x')"),
        ({"daily_schedule": "at noon"}, "daily_schedule, monthly_schedule: Found invalid cron"),
        ({"notify_urls": "slack://token"}, "notify_urls: a secret has no place in a file"),
        ({"http_key": "token"}, "http_key: a secret has no place in a file"),
        ({"http_url": "https://me:slack@example.com/{ticker}"}, "http_url: a secret"),
        ({"mlflow_tracking_uri": "postgresql://me:slack@db/x"}, "mlflow_tracking_uri: a secret"),
        ({"postgres_url": "postgresql://db/x?password=slack"}, "postgres_url: a secret has no pla"),
        ({"tickers_file": "none.txt"}, "tickers_file: can't read"),
    ],
)
def test_what_can_not_be_used_is_told_by_its_attribute(attributes: dict[str, Any], said: str):
    def used() -> None:
        with dg.build_resources(
            {"prices": loaded({"name": "us", **attributes}).resources["us_prices"]}
        ):
            pass

    with pytest.raises(Exception) as error:  # noqa: PT011  # Dagster's, with ours as its cause
        used()
    causes = [error.value]
    while causes[-1].__cause__:
        causes.append(causes[-1].__cause__)
    ours = [str(cause) for cause in causes if isinstance(cause, SettingsError)]
    assert ours, causes
    assert ours[0].startswith(said)
    assert "slack" not in ours[0]
    assert "STOCK_ASSETS" not in ours[0]


def test_a_secret_is_read_from_the_variable_that_its_template_names(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("SLACK", "slack://hunter2/x")
    component = StockForecasts.from_attributes_dict(
        attributes={"name": "us", "notify_urls": "{{ env.SLACK }}", "horizon": "{{ 1 + 1 }}"}
    )
    assert component.settings.notification_urls == ("slack://hunter2/x",)
    assert component.settings.horizon == 2
    shown = component.build_defs(None).resources["us_2_sessions_configuration"]  # type: ignore[arg-type]
    assert shown.model_dump()["dataset"] == "us_2_sessions"
    assert "hunter2" not in repr(shown)


def test_what_is_no_secret_may_stand_in_the_file():
    component = StockForecasts.from_attributes_dict(
        attributes={
            "name": "us",
            "mlflow_tracking_uri": "https://mlflow.example",
            "notify_urls": None,
        }
    )
    assert component.settings.notification_urls == ()


def test_every_setting_is_an_attribute_but_those_of_the_checkouts_own_servers():
    assert set(Settings.model_fields) - set(Attributes.model_fields) == {
        "dataset", "local_s3_port", "dagster_port", "mlflow_port", "exporter_port", "dagster_url"
    }  # fmt: skip
    assert set(Attributes.model_fields) - set(Settings.model_fields) == {"name"}


@pytest.mark.parametrize("name", ["", "500", "a-b", "a.b", "a b", "x" * 41])
def test_a_name_that_dagster_could_not_use_is_refused(name: str):
    with pytest.raises(ValueError, match="pattern"):
        Attributes.model_validate({"name": name})


def blocks_of_the_page() -> dict[str, Any]:
    """docs/component.md's YAML: an instance's file, and what it adds to dagster.yaml."""
    page = (CHECKOUT / "docs" / "component.md").read_text(encoding="utf-8")
    instance, dagster = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return {"instance": yaml.safe_load(instance), "dagster": yaml.safe_load(dagster)}


def test_the_pages_instance_is_sound(tmp_path: Path):
    (tmp_path / "sp500.txt").write_text("AAPL\nIBM\n")
    attributes = blocks_of_the_page()["instance"]["attributes"]
    settings = instance_settings(Attributes(**attributes).model_dump(exclude_unset=True), tmp_path)
    assert settings.wanted_tickers == ("AAPL", "IBM")
    assert (settings.rmse_threshold, settings.schedules_on) == (0.05, True)


def test_the_pages_limits_are_those_of_the_checkouts_instance(tmp_path: Path):
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(blocks_of_the_page()["dagster"]))
    shutil.copytree(tmp_path, tmp_path / "theirs")
    limits = []
    for folder in (tmp_path / "theirs", CHECKOUT):
        with dg.DagsterInstance.from_config(str(folder)) as instance:
            queue = instance.get_concurrency_config().run_queue_config
        assert queue
        limits.append(queue.tag_concurrency_limits)
    theirs, ours = limits
    assert [limit.pop("key") for limit in theirs] == ["dagster/backfill", "stock_assets/tick"]
    assert [limit.pop("key") for limit in ours] == ["stock_assets/in_order", "stock_assets/tick"]
    assert theirs == ours


def test_what_dg_scaffolds_loads_as_it_is():
    assert stock_assets.StockForecasts is StockForecasts
    with create_defs_folder_sandbox() as sandbox:
        path = sandbox.scaffold_component(component_cls=StockForecasts, defs_path="sp-500")
        lines = (path / "defs.yaml").read_text().splitlines()
        assert len([line for line in lines if line.strip()]) <= 10
        with sandbox.load_component_and_build_defs(defs_path=path) as (component, definitions):
            assert isinstance(component, StockForecasts)
            assert component.settings.dataset_name == "sp_500"
            keys = definitions.resolve_asset_graph().get_all_asset_keys()
    assert dg.AssetKey(["sp_500", "daily_forecast"]) in keys
