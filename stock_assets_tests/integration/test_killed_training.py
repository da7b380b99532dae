"""A kill after the last month is stored, and before its MLflow run has ended."""

import dagster as dg
from dagster import DagsterRunStatus

from stock_assets.asset_keys import Asset, asset_key
from stock_assets.automation.jobs import COMMAND_TAG, DATASET_TAG
from stock_assets.backfill.project import open_project
from stock_assets.resources.mlflow_tracking import MlflowTracking
from stock_assets.settings import Settings


def test_the_next_command_ends_the_runs_of_a_killed_training(settings: Settings):
    with open_project(settings) as project:
        killed = dg.DagsterRun(
            job_name="monthly_job",
            run_id="0b0c5a5e-7d7e-4a0e-8d0d-0d4f6c7d1a11",
            status=DagsterRunStatus.STARTED,
            tags={DATASET_TAG: settings.dataset_name, COMMAND_TAG: "0123456789ab"},
            asset_selection=frozenset({asset_key(settings.dataset_name, Asset.TUNED_MODEL)}),
        )
        project.instance.add_run(killed)
        tracking = MlflowTracking(settings, project.store)
        with tracking.client() as client:
            experiment = client.get_experiment_by_name(tracking.experiment)
            run = client.create_run(
                experiment.experiment_id, tags={"dagster_run_id": killed.run_id}
            )
        (settings.state_folder / "commands" / "0123456789ab.lock").touch()
    with open_project(settings) as project, tracking.client() as client:
        assert client.get_run(run.info.run_id).info.status == "KILLED"
        assert project.instance.get_run_by_id(killed.run_id).status == DagsterRunStatus.FAILURE


def test_a_study_that_another_run_stores_at_the_moment_is_left_to_it(settings: Settings):
    with open_project(settings) as project:
        living = dg.DagsterRun(
            job_name="monthly_job",
            run_id="0b0c5a5e-7d7e-4a0e-8d0d-0d4f6c7d1a12",
            status=DagsterRunStatus.STARTED,
        )
        project.instance.add_run(living)
        tracking = MlflowTracking(settings, project.store)
        with tracking.client() as client:
            experiment = client.get_experiment_by_name(tracking.experiment).experiment_id
            parent = client.create_run(experiment, tags={"dagster_run_id": living.run_id})
            below = {"mlflow.parentRunId": parent.info.run_id}
            runs = [
                parent,
                client.create_run(experiment, tags=below),
                client.create_run(experiment),
            ]
            tracking.close_orphans(client, project.instance)
            found = [client.get_run(run.info.run_id).info.status for run in runs]
    assert found == ["RUNNING", "RUNNING", "KILLED"]
