"""Objects of each kind are damaged; afterwards all equal those of the undisturbed run."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from stock_assets.automation.jobs import DAILY_JOB
from stock_assets.backfill.project import open_project, run_partitions
from stock_assets.commands.doctor import diagnose
from stock_assets.commands.mend import mend
from stock_assets.commands.run import run
from stock_assets.errors import DamagedObjectError
from stock_assets.market.sessions import load_calendar
from stock_assets.resources.partition_objects import stored_partitions
from stock_assets.settings import Settings
from stock_assets_tests.backfilled import comparable
from stock_assets_tests.conftest import QUICK, make_home
from stock_assets_tests.simulated_prices import simulated_bars

FIRST, LAST = date(2012, 2, 1), date(2012, 2, 8)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("mending")
    bars = simulated_bars(load_calendar("XNYS"), "2011-08-15", 123, 2, seed=3)
    bars.write_parquet(folder / "prices.parquet")
    made = Settings(
        home=make_home(folder / "home"),
        store_uri=f"file://{folder / 'objects'}",
        source="files",
        files_uri=str(folder / "prices.parquet"),
        **QUICK | {"model_family": "ridge", "train_months": 6, "min_train_sessions": 30},
    )
    run(made, FIRST, LAST)
    return made


@pytest.fixture
def objects(settings: Settings) -> Iterator[Path]:
    """The folder of the dataset's objects; after the test all equal those of before."""
    before = comparable(settings)
    yield Path(str(settings.store_uri).removeprefix("file://")) / settings.dataset_name
    after = comparable(settings)
    assert after.keys() == before.keys()
    assert [key for key, value in before.items() if after[key] != value] == []


def damage(file: Path, how: str) -> None:
    assert file.is_file()
    content = bytearray(file.read_bytes())
    if how == "flip":
        content[len(content) // 2] ^= 4
    file.write_bytes(
        {"cut": content[: len(content) // 2], "empty": b"", "garbage": b"?" * 900}.get(how, content)
    )


def test_a_run_makes_what_it_meets_damaged_again(
    settings: Settings, objects: Path, capsys: pytest.CaptureFixture[str]
):
    paths = {
        "raw_prices/session=2012-02-07/part.parquet": "garbage",
        "raw_prices/session=2012-02-08/part.parquet": "empty",
        "features/session=2012-01-27/part.parquet": "cut",
        "features/session=2011-09-07/part.parquet": "flip",  # before what the range needs
        "forecast_rmse/session=2012-02-01/part.parquet": "empty",
        "daily_forecast/session=2012-02-02/part.parquet": "garbage",
        "registered_version/month=2012-02/value.json": "flip",
        "tuned_model/month=2012-02/value.json": "cut",
    }
    for path, how in paths.items():
        damage(objects / path, how)
    run(settings, FIRST, LAST)
    said = capsys.readouterr().err
    # What is due again for another reason is replaced without being read.
    met = [path for path in paths if not path.startswith("daily_forecast")]
    for path in met:
        assert f"note: {path} is damaged: moved to damaged/" in said
    moved = {file.parent.name for file in (objects / "damaged").rglob("*.*")}
    assert {path.split("/")[1] for path in met} <= moved


def test_a_run_makes_what_a_registered_month_lacks(settings: Settings, objects: Path):
    for path in ("train_set/month=2012-02/part.parquet", "tuned_model/month=2012-02/value.json"):
        (objects / path).unlink()
    assert run(settings, FIRST, LAST)["seconds"]["training"] > 0
    assert not any(run(settings, FIRST, LAST)["seconds"].values())


def test_doctor_names_what_no_run_reads_and_mend_mends_it(settings: Settings, objects: Path):
    paths = [
        "train_set/month=2012-02/part.parquet",
        "test_set/month=2012-02/part.parquet",
        "daily_forecast/session=2012-02-03/part.parquet",
    ]
    for path in paths:
        damage(objects / path, "flip")
    (finding,) = [found for found in diagnose(settings) if found.part == "objects"]
    assert not finding.ok
    assert finding.detail.startswith(f"{paths[0]} and 2 more are damaged in file://")
    assert "`stock-assets mend`" in finding.detail
    assert mend(settings).endswith("3 were damaged and are made again")
    assert mend(settings).endswith(" 0 were damaged and are made again")


def test_a_damaged_bar_is_named_in_a_step_and_fetched_again_by_its_own(
    settings: Settings, objects: Path
):
    key = "2012-02-08"
    damage(objects / f"raw_prices/session={key}/part.parquet", "garbage")
    with open_project(settings) as project:
        keys = project.partitions.sessions.get_partition_keys()
        with pytest.raises(DamagedObjectError, match=f"raw_prices/session={key}"):
            run_partitions(project, DAILY_JOB, ["features"], [key], keys, 1)
        run_partitions(project, DAILY_JOB, ["raw_prices"], [key], keys, 1)
        run_partitions(project, DAILY_JOB, ["features"], [key], keys, 1)
        assert key in stored_partitions(project.store, "raw_prices")
