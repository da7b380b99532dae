"""What `stock-assets status` says of a whole store and of a damaged one, and `run` mends it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from stock_assets.commands.run import run
from stock_assets.commands.status import dataset_status, lines
from stock_assets.planning.stamp import Stamp, stamp_of, stamped
from stock_assets.resources.seal import seal
from stock_assets.settings import Settings
from stock_assets_tests.backfilled import comparable
from stock_assets_tests.conftest import QUICK, make_home

FIRST, LAST = date(2013, 2, 20), date(2013, 3, 1)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("status")
    made = Settings(
        home=make_home(folder / "home"),
        store_uri=f"file://{folder / 'objects'}",
        first_session=date(2012, 3, 1),
        **QUICK | {"model_family": "ridge"},
    )
    assert lines(dataset_status(made)) == [
        "sample: nothing is stored yet; `stock-assets run` begins"
    ]
    run(made, FIRST, LAST)
    return made


@pytest.fixture
def objects(settings: Settings) -> Iterator[Path]:
    """The folder of the dataset's objects; a run then makes all equal to those of before."""
    before = comparable(settings)
    yield Path(str(settings.store_uri).removeprefix("file://")) / settings.dataset_name
    run(settings, FIRST, LAST)
    assert lines(dataset_status(settings))[-1].startswith("nothing is due")
    assert comparable(settings) == before


def said(found: dict[str, Any], asset: str) -> list[tuple[str, str, str]]:
    return [
        (reason["state"], reason["reason"].partition(":")[0], " ".join(reason["keys"]))
        for reason in found["assets"][asset]["reasons"]
    ]


def of_older_code(path: str, content: bytes) -> bytes:
    """The same object as other code would have left it."""
    stamp = stamp_of(content)
    assert isinstance(stamp, Stamp)
    start = content[: content.rfind(b"\nstock_assets stamp ")]
    footer = content[-8 - int.from_bytes(content[-8:-4], "little") :]
    return seal(path, stamped(start + footer, replace(stamp, code="0123456789abcdef")))


def test_a_store_that_is_up_to_date_says_so_and_is_not_touched(settings: Settings):
    folder = Path(str(settings.store_uri).removeprefix("file://"))
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    found = dataset_status(settings)
    assert (found["due"], found["is_empty"], found["lost_versions"]) == (False, False, [])
    assert (found["from"], found["to"]) == ("2013-02-20", "2013-03-01")
    assert found["assets"]["daily_forecast"] == {
        "stored": 9,
        "missing": 0,
        "stale": 0,
        "damaged": 0,
        "waiting": 0,
        "newest": "2013-03-01",
        "to_make": 0,
        "seconds": 0.0,
        "reasons": [],
    }
    assert found["assets"]["tuned_model"]["newest"] == "2013-03"
    assert lines(found)[-1] == (
        "nothing is due: each object is there and made of what it would be made of now"
    )
    json.dumps(found, allow_nan=False)
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_a_missing_a_truncated_and_an_older_object_are_told_apart(
    settings: Settings, objects: Path
):
    (objects / "forecast_rmse/session=2013-02-26/part.parquet").unlink()
    cut = objects / "features/session=2013-02-22/part.parquet"
    cut.write_bytes(cut.read_bytes()[:-900])
    older = "daily_forecast/session=2013-02-27/part.parquet"
    (objects / older).write_bytes(of_older_code(older, (objects / older).read_bytes()))
    found = dataset_status(settings)
    assert said(found, "features") == [("damaged", "damaged", "2013-02-22")]
    assert said(found, "forecast_rmse")[0] == ("missing", "missing", "2013-02-26")
    assert said(found, "daily_forecast")[0] == ("stale", "made by other code", "2013-02-27")
    # All else that the damaged features go into waits for them; prices come before them.
    waiting = [(s, r, k) for s, r, k in said(found, "daily_forecast") if s == "waiting"]
    assert waiting == [
        (
            "waiting",
            "for features of 2013-02-22",
            "2013-02-22 2013-02-25 2013-02-26 2013-02-28 2013-03-01",
        )
    ]
    assert said(found, "raw_prices") == []
    assert [found["assets"][a]["to_make"] for a in ("features", "daily_forecast")] == [1, 1]
    assert found["seconds"] > 0
    text = "\n".join(lines(found))
    assert "features of 2013-02-22: damaged: " in text
    assert "forecast_rmse of 2013-02-26: missing" in text
    assert "daily_forecast of 2013-02-27: made by other code" in text
    assert "`stock-assets run --from 2013-02-20 --to 2013-03-01` makes them, about" in text


def test_a_trained_month_of_older_code_is_named(settings: Settings, objects: Path):
    path = "test_set/month=2013-02/part.parquet"
    (objects / path).write_bytes(of_older_code(path, (objects / path).read_bytes()))
    found = dataset_status(settings)
    assert said(found, "test_set") == [("stale", "made by other code", "2013-02")]
    assert ("waiting", "for the test set of 2013-02", "2013-02") in said(found, "tuned_model")
