"""A price that the source revised: what the schedules make again of it, and what they do not."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from stock_assets.backfill.project import open_project
from stock_assets.commands.run import run
from stock_assets_tests.integration.test_record import XNYS, Live, going_on, revise


def tick(of: Live, schedule: str) -> list[tuple[set[str], str, str]]:
    """Does what a tick asks for now; assets, first and last session of each run."""
    made = []
    with open_project(of.settings) as project:
        context = dg.build_schedule_context(
            instance=project.instance,
            scheduled_execution_time=datetime.now(UTC),
            repository_def=project.definitions.get_repository_def(),
        )
        found = project.definitions.resolve_schedule_def(schedule)
        for request in found.evaluate_tick(context).run_requests or []:
            job = project.definitions.resolve_job_def(found.job_name)
            done = job.execute_in_process(
                instance=project.instance,
                run_config=request.run_config,
                tags=request.tags,
                asset_selection=request.asset_selection and list(request.asset_selection),
            )
            assert done.success
            events = done.get_asset_materialization_events()
            keys = sorted(str(event.partition) for event in events)
            made.append(({str(e.asset_key.path[-1]) for e in events}, keys[0], keys[-1]))
    return made


def test_a_revised_price_makes_again_the_features_and_scores_that_hold_it_and_nothing_else(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """With months that were trained on sessions before the revised one: they stay as they are."""
    settings = {"train_months": 3, "min_train_sessions": 30, "retune_months": 1}
    live = going_on(monkeypatch, tmp_path, date(2013, 2, 20), 160, **settings)
    run(live.settings, XNYS.offset(live.newest, -3), live.newest)
    assert tick(live, "daily") == []
    before = everything(live)
    assert "registered_version/month=2013-02/value.json" in before
    assert tick(live, "refetch") == [({"raw_prices"}, live.sessions[0], live.sessions[-1])]
    assert tick(live, "daily") == []  # the source said what it had said

    revised = live.issued[1]
    revise(live, revised)
    assert tick(live, "refetch") == [({"raw_prices"}, live.sessions[0], live.sessions[-1])]
    newest = str(live.newest)
    assert tick(live, "daily") == [({"features", "forecast_rmse"}, revised, newest)]
    assert tick(live, "daily") == []

    after = everything(live)
    changed = {path for path in after if after[path] != before.get(path)}
    since = [key for key in live.sessions if key >= revised]
    assert {path for path in changed if "raw_prices" not in path} == {
        f"{asset}/session={key}/part.parquet"
        for asset in ("features", "forecast_rmse")
        for key in since
    }
    assert before.keys() == after.keys()
    found: dict[str, Any] = live.says(monkeypatch, "reconcile")
    causes = {(row["as_of_session"], row["ticker"]): row["cause"] for row in found["differences"]}
    assert causes[revised, "T000"] == "revision"
    assert set(causes.values()) == {"revision"}
    assert {key for key, _ in causes} <= set(since)
    assert live.says(monkeypatch, "verify")["ok"]


def everything(of: Live) -> dict[str, bytes]:
    """All objects of assets."""
    return {
        str(path.relative_to(of.objects)): path.read_bytes()
        for path in of.objects.rglob("*=*/*")
        if path.is_file()
    }
