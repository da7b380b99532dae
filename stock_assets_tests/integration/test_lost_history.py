"""Dagster's files damaged: named before anything runs, and all is known again without them."""

import pytest

from stock_assets.asset_keys import asset_key
from stock_assets.backfill.project import open_project
from stock_assets.commands.doctor import diagnose
from stock_assets.errors import DatabaseFileError
from stock_assets.resources.partition_objects import partition_object
from stock_assets.settings import Settings

SESSIONS = ("2013-02-28", "2013-03-01")


def known(settings: Settings) -> set[str]:
    with open_project(settings) as project:
        return set(project.instance.get_materialized_partitions(asset_key("sample", "features")))


@pytest.mark.parametrize("name", ["history/runs.db", "history/runs/index.db"])
def test_a_damaged_history_is_named_and_goes_without_a_loss(settings: Settings, name: str):
    with open_project(settings) as project:
        project.store.put_many(
            {partition_object("features", "session", s, "part.parquet"): b"" for s in SESSIONS}
        )
    assert known(settings) == set(SESSIONS)
    folder = settings.state_folder / "dagster"
    file = folder / "storage" / name
    content = file.read_bytes()
    for damaged in (b"garbage " * 1000, content[:5000]):
        file.write_bytes(damaged)
        with pytest.raises(DatabaseFileError) as refused:
            known(settings)
        said = str(refused.value)
        assert said.startswith(f"{file} can't be used: ")
        assert said.endswith(f"`stock-assets down; mv {folder} {folder}.damaged-1`, and run again")
        (finding,) = [f for f in diagnose(settings) if f.part == "dagster"]
        assert not finding.ok
        assert finding.detail.startswith(f"{file} can't be used: ")
    folder.rename(f"{folder}.damaged-1")
    assert known(settings) == set(SESSIONS)
