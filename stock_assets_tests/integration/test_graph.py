"""The real graph on real parts: SeaweedFS, MLflow's database and registry, Dagster's instance."""

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import mlflow
import polars as pl
import pytest
from prometheus_client.parser import text_string_to_metric_families

from stock_assets.asset_keys import asset_key
from stock_assets.automation.jobs import MONTHLY_JOB, REPORT_JOB
from stock_assets.backfill.execution import bring_up_to_date
from stock_assets.backfill.progress import Progress
from stock_assets.backfill.project import Project, open_project, run_partitions
from stock_assets.commands.report import newest_report
from stock_assets.definitions import build_definitions
from stock_assets.forecasting.gate import GateDecision
from stock_assets.forecasting.study import Study
from stock_assets.monitoring.live_scores import LiveScore
from stock_assets.planning.stamp import STAMP_FIELD
from stock_assets.resources.logged_studies import LoggedStudies
from stock_assets.resources.model_registry import ModelRegistry
from stock_assets.resources.partition_objects import stored_partitions
from stock_assets.resources.read_cache import read_rows
from stock_assets.resources.registered_versions import CHAMPION
from stock_assets.resources.report_rows import Asked
from stock_assets.settings import Settings
from stock_assets_tests.backfilled import without_stamp
from stock_assets_tests.conftest import QUICK, make_home
from stock_assets_tests.loopback import inbox
from stock_assets_tests.stored_rows import rows_at

PUSHED: list[tuple[str, str, str]] = []
"""Method, path and body of what reached the gateway while the project was made."""
FIRST, LAST = date(2013, 1, 29), date(2013, 2, 5)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Two months of models and a week of forecasts on the local S3 server, made once."""
    home = make_home(tmp_path_factory.mktemp("graph"))
    with inbox() as gateway:
        settings = Settings(
            home=home,
            first_session=date(2012, 3, 1),
            last_session=LAST,
            pushgateway_url=gateway.url,
            **QUICK,
        )
        with open_project(settings) as opened:
            bring_up_to_date(opened, opened.range_of(FIRST, LAST).wanted(), Progress())
            PUSHED.extend(gateway.requests)
            yield opened


def test_only_the_newest_sessions_errors_are_pushed(project: Project):
    # Six sessions were scored in one backfill.
    pushed = {path: body for method, path, body in PUSHED if method == "PUT"}
    assert sorted(pushed) == [
        f"/metrics/job/stock_assets/dataset/sample/ticker/{ticker}"
        for ticker in ("AAPL", "FB", "GOOG", "IBM", "MSFT", "POOLED")
    ]
    midnight = datetime(2013, 2, 5, tzinfo=UTC).timestamp()
    gauges = {path.rsplit("/", 1)[1]: _gauges(body) for path, body in pushed.items()}
    assert {g["stock_assets_session_timestamp_seconds"] for g in gauges.values()} == {midnight}
    stored = rows_at(project.store, ["forecast_rmse/session=2013-02-05/part.parquet"])
    rmse = dict(stored.select("ticker", "rolling_rmse_return").rows())
    own = {ticker: g["stock_assets_rmse_return"] for ticker, g in gauges.items()}
    pooled = own.pop("POOLED")
    assert own == rmse
    assert min(rmse.values()) < pooled < max(rmse.values())
    sessions = project.partitions.sessions.get_partition_keys()
    with inbox() as gateway:
        settings = project.settings.model_copy(update={"pushgateway_url": gateway.url})
        other = replace(project, definitions=build_definitions(settings))
        run_partitions(other, "daily_job", ["forecast_rmse"], ["2013-02-04"], sessions, 1)
        assert gateway.requests == []


def test_each_recent_sessions_event_carries_its_own_scores(project: Project):
    stored = rows_at(
        project.store, [f"forecast_rmse/session=2013-02-0{day}/part.parquet" for day in (1, 4, 5)]
    )
    expected = {
        (str(session), ticker): value
        for session, ticker, value in stored.select(
            "session", "ticker", "rolling_rmse_return"
        ).rows()
    }
    events = project.instance.fetch_materializations(
        dg.AssetRecordsFilter(
            asset_key=asset_key("sample", "forecast_rmse"),
            asset_partitions=["2013-02-01", "2013-02-04", "2013-02-05"],
        ),
        limit=10,
    ).records
    told = {
        (score.session, ticker): values.rmse_return
        for event in events
        if event.asset_materialization
        for score in [LiveScore.of(event.asset_materialization.metadata["live_score"].value)]
        for ticker, values in score.tickers.items()
    }
    assert told == expected


def _gauges(body: str) -> dict[str, float]:
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(body)
        for sample in family.samples
    }


def test_each_partitions_event_has_its_own_numbers(project: Project):
    """What the page shows of a partition must not be the newest value of its run."""
    told = {
        session: _numbers(project, "forecast_rmse", session)["rmse_return"]
        for session in ("2013-02-01", "2013-02-04", "2013-02-05")
    }
    objects = [f"forecast_rmse/session={session}/part.parquet" for session in told]
    errors = rows_at(project.store, objects).group_by("session").agg(pl.col("error_return"))
    expected = {
        str(session): math.sqrt(sum(e * e for e in values) / len(values))
        for session, values in errors.iter_rows()
    }
    assert told == pytest.approx(expected, rel=1e-3)  # four digits are shown
    assert len(set(told.values())) == len(told)
    forecasts = _numbers(project, "daily_forecast", "2013-02-01")
    assert (forecasts["forecasts"], forecasts["without_a_version"]) == (5, 0)
    for month in ("2013-01", "2013-02"):
        stored = json.loads(project.store.get(f"tuned_model/month={month}/value.json"))
        shown = _numbers(project, "tuned_model", month)
        assert shown["test_rmse_return"] == pytest.approx(stored["test_rmse_return"], rel=1e-3)
        assert shown["mlflow_run_id"] == stored["mlflow_run_id"]
        train = _numbers(project, "train_set", month)
        assert (train["first_session"], train["dagster/row_count"]) == (
            stored["train_first"],
            stored["train_rows"],
        )
    assert "optimisation_history" in _numbers(project, "tuned_model", "2013-02")


def test_each_partitions_event_has_its_own_rows_and_object(project: Project):
    """Seven sessions were one run."""
    shares = {"features": 5, "daily_forecast": 5, "forecast_rmse": 5, "raw_prices": 5}
    for asset, rows in shares.items():
        for session in ("2013-02-01", "2013-02-04"):
            told = _numbers(project, asset, session)
            path = f"{asset}/session={session}/part.parquet"
            assert told["object"] == f"{project.store.uri}/{path}"
            assert told["dagster/row_count"] == rows
            # The run's numbers, and columns without their descriptions, stand in no event.
            assert not {"rows_in_run", "bars_in_run", "dagster/column_schema"} & told.keys()
    forecasts = _numbers(project, "daily_forecast", "2013-02-01")["own_forecasts"]
    assert (forecasts.count("2013-02-04"), forecasts.count("2013-02-05")) == (5, 0)
    by_day = [_numbers(project, "forecast_rmse", f"2013-02-0{day}")["own_scores"] for day in (1, 4)]
    assert by_day[0].count("AAPL") == by_day[1].count("AAPL") == 1
    assert by_day[0] != by_day[1]
    spec = project.definitions.resolve_asset_graph().get(asset_key("sample", "forecast_rmse"))
    columns = spec.metadata["dagster/column_schema"].columns
    assert all(column.description for column in columns)


def test_every_check_was_looked_at_and_pictures_and_links_are_there(project: Project):
    keys = project.definitions.resolve_asset_graph().asset_check_keys
    storage = project.instance.event_log_storage
    results = storage.get_latest_asset_check_execution_by_key(list(keys))
    looked_at = {key.name for key, found in results.items() if found.event}
    assert looked_at >= {
        "no_label_reaches_the_test_set",
        "no_label_is_after_the_cut_off",
        "every_test_session_has_rows",
        "test_skill_is_known",
        "newest_month_serves",
        "intervals_are_nested_and_finite",
        "every_ticker_with_a_bar_was_forecast",
        "versions_are_recent",
        "metrics_were_pushed",
    }
    evaluations = [found.event.asset_check_evaluation for found in results.values() if found.event]
    assert {e.partition for e in evaluations if e} == {None}
    fan = _numbers(project, "daily_forecast", "2013-02-05")["fan"]
    errors = _numbers(project, "forecast_rmse", "2013-02-05")["errors"]
    assert fan.startswith("![closes and coming intervals](data:image/svg+xml;base64,")
    assert errors.startswith("![RMSE by session](data:image/svg+xml;base64,")
    study = json.loads(project.store.get("tuned_model/month=2013-02/value.json"))
    address = f"http://127.0.0.1:{project.settings.mlflow_port}/#"
    run = _numbers(project, "tuned_model", "2013-02")["mlflow_run"]
    assert run == f"{address}/runs/{study['mlflow_run_id']}"
    version = _numbers(project, "registered_version", "2013-02")
    assert version["mlflow_version"] == (
        f"{address}/models/stock_assets_sample/versions/{version['version']}"
    )


def _numbers(project: Project, asset: str, key: str) -> dict[str, Any]:
    (record,) = project.instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=asset_key("sample", asset), asset_partitions=[key]), limit=1
    ).records
    assert record.asset_materialization
    return {name: value.value for name, value in record.asset_materialization.metadata.items()}


def test_a_gateway_that_is_down_fails_nothing(project: Project):
    settings = project.settings.model_copy(update={"pushgateway_url": "http://127.0.0.1:9"})
    down = replace(project, definitions=build_definitions(settings))
    sessions = project.partitions.sessions.get_partition_keys()
    run_partitions(down, "daily_job", ["forecast_rmse"], ["2013-02-05"], sessions, 1)
    key = dg.AssetCheckKey(asset_key("sample", "forecast_rmse"), "metrics_were_pushed")
    (last,) = project.instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
    evaluation = last.event and last.event.asset_check_evaluation
    assert evaluation
    assert not evaluation.passed
    assert evaluation.severity is dg.AssetCheckSeverity.WARN
    assert "http://127.0.0.1:9" in str(evaluation.description)


def objects(project: Project) -> dict[str, Any]:
    """What they hold, without their stamps."""
    assets = ("features", "train_set", "test_set", "tuned_model", "registered_version",
              "daily_forecast", "forecast_rmse")  # fmt: skip
    keys = [key for asset in assets for key in project.store.keys(asset)]
    contents = zip(keys, project.store.get_many(keys), strict=True)
    return {
        key: {**json.loads(content), STAMP_FIELD: None}
        if key.endswith(".json")
        else without_stamp(content)
        for key, content in contents
    }


def test_the_report_is_made_once_for_a_range_that_has_not_changed(project: Project):
    def made() -> int:
        return project.instance.get_runs_count(dg.RunsFilter(job_name=REPORT_JOB))

    asked = Asked(FIRST, LAST)
    file = newest_report(project, asked, changed=True)
    assert made() == 1
    assert newest_report(project, asked, changed=False) == file
    assert made() == 1
    page = project.store.get("forecast_report/report.html")
    assert file.read_bytes() == page
    for text in (b"<h1>Forecasts of 2013-02-06</h1>", b"Largest ten misses"):
        assert text in page
    event = project.instance.get_latest_materialization_event(
        asset_key("sample", "forecast_report")
    )
    assert event
    assert event.asset_materialization
    metadata = event.asset_materialization.metadata
    assert metadata["object"].value == f"{project.store.uri}/forecast_report/report.html"
    assert metadata["bytes"].value == len(page.rstrip()) + 1
    assert str(metadata["verdict"].value).count("\n") == 2
    check = dg.AssetCheckKey(asset_key("sample", "forecast_report"), "nothing_is_due")
    looked = project.instance.get_latest_asset_check_evaluation_record(check)
    assert looked
    assert looked.event
    said = looked.event.get_dagster_event().asset_check_evaluation_data
    assert (said.passed, said.description) == (True, "nothing is due")
    for damaged in (page[:-100], page.replace(b"Forecasts", b"Forebasts"), b"\xff"):
        project.store.put_many({"forecast_report/report.html": damaged})
        newest_report(project, asked, changed=False)
        assert b"Forebasts" not in project.store.get("forecast_report/report.html")
    assert made() == 4
    newest_report(project, Asked(FIRST, LAST, ("IBM",)), changed=False)
    assert made() == 5
    assert b'data-ticker="AAPL"' not in project.store.get("forecast_report/report.html")


def test_forecasts_name_the_version_that_a_live_run_would_have_used(project: Project):
    stored = stored_partitions(project.store, "daily_forecast")
    assert list(stored) == [
        "2013-01-28",  # the forecast of the first target
        *(f"2013-01-{day}" for day in (29, 30, 31)),
        *(f"2013-02-0{day}" for day in (1, 4, 5)),
    ]
    rows = read_rows(project.store, list(stored.values()))
    known = rows.select("as_of_session", "trained_through").unique().sort("as_of_session")
    assert known["trained_through"].to_list() == [date(2012, 12, 31)] * 4 + [date(2013, 1, 31)] * 3
    assert rows.filter(pl.col("target_session") <= pl.col("as_of_session")).is_empty()
    assert rows["is_fallback"].sum() == 0
    assert rows.select(
        (pl.col("lower_95_usd") < pl.col("lower_50_usd")).all()
        & (pl.col("lower_50_usd") < pl.col("forecast_close_usd")).all()
        & (pl.col("forecast_close_usd") < pl.col("upper_50_usd")).all()
    ).item()


def pictures(project: Project, month: str) -> set[str]:
    study = json.loads(project.store.get(f"tuned_model/month={month}/value.json"))
    return set(LoggedStudies(registry(project).tracking).pictures(study["mlflow_run_id"]))


def test_pictures_are_drawn_of_a_runs_newest_month_and_of_a_month_materialised_alone(
    project: Project,
):
    drawn = {"fan_chart.png", "optimisation_history.png", "pit_histogram.png"}
    assert pictures(project, "2013-02") >= drawn
    assert pictures(project, "2013-01") == set()
    months = project.partitions.months.get_partition_keys()
    run_partitions(project, MONTHLY_JOB, ["tuned_model"], ["2013-01"], months, 1)
    assert pictures(project, "2013-01") >= drawn


def test_a_second_run_of_everything_replaces_with_the_same_values(project: Project):
    before = objects(project)
    versions = registry(project).versions()
    wanted = project.range_of(FIRST, LAST)
    sessions = project.partitions.sessions.get_partition_keys()
    run_partitions(
        project, "daily_job", ["features"], [str(s) for s in wanted.features[-5:]], sessions, 100
    )
    bring_up_to_date(project, wanted.wanted(), Progress(), fresh=True)
    after = objects(project)
    assert before.keys() == after.keys()
    for key, value in before.items():
        assert after[key] == value, key
    assert registry(project).versions() == versions


def test_raw_prices_change_only_their_fetch_time(project: Project):
    path = "raw_prices/session=2013-02-05/part.parquet"
    before = rows_at(project.store, [path])
    run_partitions(
        project,
        "daily_job",
        ["raw_prices"],
        ["2013-02-05"],
        project.partitions.sessions.get_partition_keys(),
        1,
    )
    after = rows_at(project.store, [path])
    assert after["fetched_at"].min() > before["fetched_at"].max()
    assert after.drop("fetched_at").equals(before.drop("fetched_at"))


def registry(project: Project) -> ModelRegistry:
    return ModelRegistry(project.settings, project.store)


def test_a_version_says_what_it_was_made_of(project: Project):
    with registry(project).tracking.client() as client:
        version = client.get_model_version_by_alias("stock_assets_sample", CHAMPION)
        run = client.get_run(version.run_id)
        names = {artifact.path for artifact in client.list_artifacts(version.run_id)}
        parent = client.get_run(run.data.tags["mlflow.parentRunId"])
    study = json.loads(project.store.get("tuned_model/month=2013-02/value.json"))
    assert version.tags["trained_through"] == study["trained_through"] == "2013-01-31"
    assert version.tags["data_hash"] == study["data_hash"]
    assert version.tags["gate_reason"].startswith("approved: ")
    assert {
        "trials.json",
        "features.json",
        "intervals.json",
        "study.json",
        "model_card.md",
    } <= names
    assert version.description.startswith("# 2013-02: ")
    assert run.data.metrics["test_rmse_return"] == study["test_rmse_return"]
    assert run.data.params["max_depth"] == str(study["params"]["max_depth"])
    # dagster-mlflow's run of the Dagster run is the parent of the month's study.
    assert project.instance.get_run_by_id(parent.data.tags["dagster_run_id"]) is not None


def test_the_trials_are_a_table_that_mlflow_reads(project: Project):
    study = json.loads(project.store.get("tuned_model/month=2013-02/value.json"))
    with registry(project).tracking.client():
        trials = mlflow.load_table("trials.json", run_ids=[study["mlflow_run_id"]])
    assert next(iter(trials.columns)) == "trial"
    assert {"mse", "slope", "slope_used"} <= set(trials.columns)


def runs(project: Project, status: str) -> list[Any]:
    with registry(project).tracking.client() as client:
        experiment = client.get_experiment_by_name("stock_assets/sample")
        return client.search_runs(
            [experiment.experiment_id], f"attributes.status = '{status}'", max_results=1000
        )


def test_no_mlflow_run_is_left_running(project: Project):
    assert len(runs(project, "FINISHED")) >= 3
    assert runs(project, "RUNNING") == []


def test_a_failed_dagster_run_fails_its_mlflow_run(
    project: Project, monkeypatch: pytest.MonkeyPatch
):
    def broken(*_args: Any, **_kwargs: Any) -> None:
        raise RuntimeError("on purpose")

    monkeypatch.setattr("stock_assets.assets.studies.train_or_reuse", broken)
    failed = len(runs(project, "FAILED"))
    months = project.partitions.months.get_partition_keys()
    with pytest.raises(RuntimeError, match="on purpose"):
        run_partitions(project, MONTHLY_JOB, ["tuned_model"], ["2013-02"], months, 1)
    assert len(runs(project, "FAILED")) == failed + 1
    assert runs(project, "RUNNING") == []


def test_an_mlflow_run_left_by_a_kill_is_ended_by_the_next_training(project: Project):
    with registry(project).tracking.client() as client:
        experiment = client.get_experiment_by_name("stock_assets/sample")
        orphan = client.create_run(experiment.experiment_id, tags={"dagster_run_id": "gone"})
    months = project.partitions.months.get_partition_keys()
    run_partitions(project, MONTHLY_JOB, ["tuned_model"], ["2013-02"], months, 1)
    with registry(project).tracking.client() as client:
        assert client.get_run(orphan.info.run_id).info.status == "KILLED"


def test_a_retrain_inside_a_month_serves_only_later_sessions(project: Project):
    job = project.definitions.resolve_job_def(MONTHLY_JOB)
    through = {"config": {"train_through": "2013-02-04"}}
    before = registry(project).versions()
    result = job.execute_in_process(
        instance=project.instance,
        partition_key="2013-02",
        run_config={"ops": {"train_set": through, "test_set": through}},
    )
    assert result.success
    (new,) = set(registry(project).versions()) - set(before)
    assert new.trained_through == date(2013, 2, 4)
    sessions = project.partitions.sessions.get_partition_keys()
    run_partitions(
        project, "daily_job", ["daily_forecast"], ["2013-02-04", "2013-02-05"], sessions, 9
    )
    stored = stored_partitions(project.store, "daily_forecast")
    rows = read_rows(project.store, [stored["2013-02-04"], stored["2013-02-05"]])
    by_session = dict(rows.select("as_of_session", "trained_through").unique().rows())
    assert by_session == {
        date(2013, 2, 4): date(2013, 1, 31),
        date(2013, 2, 5): date(2013, 2, 4),
    }


def test_a_version_rejected_by_the_gate_serves_nothing_and_keeps_its_reason(project: Project):
    study = Study.of(json.loads(project.store.get("tuned_model/month=2013-01/value.json")))
    models = registry(project)
    approved = [v for v in models.versions() if v.approved]
    number = models.register(
        study, GateDecision(False, "rejected: on purpose"), GateDecision(False, "no")
    )
    try:
        (rejected,) = [v for v in models.versions() if v.version == number]
        assert (rejected.approved, rejected.intervals_approved) == (False, False)
        assert len([v for v in models.versions() if v.approved]) == len(approved) - 1
        with models.tracking.client() as client:
            tags = client.get_model_version(models.name, str(number)).tags
        assert tags["gate_reason"] == "rejected: on purpose"
        assert (tags["gate_intervals"], tags["gate_intervals_reason"]) == ("rejected", "no")
    finally:
        models.register(study, GateDecision(True, "again"), GateDecision(True, "again"))


def test_months_without_history_are_left_to_the_random_walk(tmp_path: Path):
    settings = Settings(
        home=make_home(tmp_path / "home"),
        store_uri=f"file://{tmp_path / 'objects'}",
        first_session=date(2012, 12, 3),
        **QUICK,
    )
    with open_project(settings) as project:
        bring_up_to_date(project, project.range_of(date(2013, 1, 31), LAST).wanted(), Progress())
        stored = stored_partitions(project.store, "daily_forecast")
        rows = read_rows(project.store, list(stored.values()))
    assert rows["model"].unique().to_list() == ["random_walk"]
    assert rows["fallback_reason"].unique().to_list() == [
        "no approved version with these settings was trained before it"
    ]
