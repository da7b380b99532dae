"""Two machines that share a store and Dagster's instance, and make the same range at the same time.

Each has a home of its own, with its journals and its copies of what was read; what is registered
they share, as machines that share a store must.
"""

from collections import Counter
from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from stock_assets.asset_keys import asset_key
from stock_assets.backfill.project import open_project
from stock_assets.resources.model_registry import ModelRegistry
from stock_assets.settings import Settings
from stock_assets_tests.backfilled import STORED_ASSETS, comparable, nursery
from stock_assets_tests.conftest import QUICK, make_home

FIRST, LAST = "2013-02-27", "2013-03-01"
SHORT = QUICK | {"train_months": 3, "min_train_sessions": 30, "test_sessions": 5}


def of_home(folder: Path, name: str, store: str) -> Settings:
    return Settings(
        home=make_home(folder / name),
        store_uri=f"file://{folder / store}",
        first_session=date(2012, 8, 1),
        tickers=("AAPL", "IBM"),
        **SHORT,
    )


@pytest.mark.timeout(400)
def test_nothing_is_made_twice_and_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    alone = of_home(tmp_path, "alone", "objects_alone")
    pair = [of_home(tmp_path, name, "objects") for name in ("one", "two")]
    with nursery(tmp_path) as lone:
        lone.wait(lone.start(alone, FIRST, LAST))
    shared = make_home(tmp_path / "shared")
    configured = (shared / "dagster.yaml").read_text()
    (shared / "dagster.yaml").write_text(configured.replace("var/", f"{shared}/var/"))
    registry = tmp_path / "registry"
    registry.mkdir()
    for settings in pair:
        settings.state_folder.mkdir()
        (settings.state_folder / "mlflow").symlink_to(registry)
    monkeypatch.setenv("DAGSTER_HOME", str(shared))
    # Both files exist, as with a server: two machines do not create them at once.
    with open_project(pair[0]) as project:
        assert ModelRegistry(project.settings, project.store).versions() == []
    with nursery(tmp_path) as both:
        for process in [both.start(settings, FIRST, LAST) for settings in pair]:
            both.wait(process)
    said = (tmp_path / "nursery.log").read_text()
    assert "Traceback" not in said, said
    with dg.DagsterInstance.from_config(str(shared)) as instance:
        for asset in STORED_ASSETS:
            found = instance.fetch_materializations(asset_key("sample", asset), limit=1000).records
            assert set(Counter(one.partition_key for one in found).values()) == {1}, asset
        assert [run.status for run in instance.get_runs() if not run.is_finished] == []
    monkeypatch.delenv("DAGSTER_HOME")
    expected = comparable(alone)
    for settings in pair:
        assert comparable(settings) == expected
