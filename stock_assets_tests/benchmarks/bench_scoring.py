"""mlforecast's forecasts of the sample, judged by `stock-assets score` beside ours.

Nothing here is about speed. What the command prints goes to docs/score.md, and the file of
forecasts to the tests that score it.
"""

import os
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

from stock_assets_tests.benchmarks.case import CHECKOUT, Case, Measurement, Size, measured
from stock_assets_tests.benchmarks.homes import QUICK, home_for

FILE = CHECKOUT / "stock_assets_tests" / "data" / "mlforecast.csv"
COMMAND = "stock-assets score --forecasts mlforecast.csv --unit return"
_FIRST, _LAST = date(2012, 10, 1), date(2013, 3, 1)
_DIGITS = 6


def _settings(home: Path, size: Size) -> dict[str, Any]:
    """Those of a new checkout, or quick ones."""
    quick = QUICK | {"store_uri": f"file://{home / 'objects'}"}
    return {"home": home, **(quick if size.get("quick") else {})}


def _typed(line: str, home: Path, size: Size) -> str:
    """What a command prints."""
    given = _settings(home, size).items()
    done = subprocess.run(
        [sys.executable, "-m", "stock_assets.cli", *line.split()[1:]],
        cwd=home,
        env=os.environ | {f"STOCK_ASSETS_{name.upper()}": str(value) for name, value in given},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{line}: {done.stderr[-2000:]}")
    return done.stdout


def prepare(folder: Path, size: Size) -> None:
    first = _FIRST if not size.get("quick") else date(2013, 2, 25)
    _typed(f"stock-assets run --from {first} --to {_LAST}", home_for(folder, "home"), size)


def mlforecast(folder: Path, size: Size) -> Measurement:
    from stock_assets import read
    from stock_assets_tests.benchmarks.mlforecast_file import forecasts_of_mlforecast

    home = folder / "home"
    with read.open_dataset(**_settings(home, size)) as dataset:
        features = dataset.features(columns="ticker, session, return_1d")
    with measured() as result:
        forecasts = forecasts_of_mlforecast(features, size["targets"])
    file = home / FILE.name
    forecasts.write_csv(file, float_precision=_DIGITS)
    if size.get("kept"):
        shutil.copy(file, FILE)
    return result | {"printed": _typed(COMMAND, home, size).splitlines()}


def scored_page(page: str, best: dict[str, Measurement]) -> str:
    """docs/score.md with what the command printed last."""
    from stock_assets_tests.benchmarks.judging_report import between_markers

    if "mlforecast" not in best:
        return page
    return between_markers(page, "scoring", ["```", *best["mlforecast"]["printed"], "```"])


CASE = Case(
    title="mlforecast's forecasts of the sample, judged beside ours",
    sizes={"full": {"targets": 103, "kept": 1}, "tiny": {"targets": 5, "quick": 1}},
    prepare=prepare,
    contenders={"mlforecast": mlforecast},
    needs={"mlforecast": "mlforecast"},
    repeats=1,
)
