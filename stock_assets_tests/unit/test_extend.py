"""docs/extend.md is held to the code: each of its changes is made to a copy and what it adds used.

A copy and a process of its own, because the changes touch modules that are imported by name.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stock_assets.planning.lineage import Lineage
from stock_assets_tests.conftest import CHECKOUT

PAGE = CHECKOUT / "docs" / "extend.md"
_BLOCK = re.compile(r'^```(python|diff) title="(.+?)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def changed_package(section: str, folder: Path) -> Path:
    """A copy of the package with the changes of one section of the page."""
    shutil.copytree(
        CHECKOUT / "stock_assets",
        folder / "stock_assets",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    part = PAGE.read_text(encoding="utf-8").split(f"\n## {section}\n")[1].split("\n## ")[0]
    blocks = _BLOCK.findall(part)
    assert blocks, section
    for kind, name, text in blocks:
        file = folder / name
        file.write_text(text if kind == "python" else changed(file.read_text(), text))
    return folder


def changed(code: str, change: str) -> str:
    """The code with one change: lines that begin with a blank must be there, once, and stay."""
    lines = change.splitlines(keepends=True)
    before = "".join(line[1:] for line in lines if not line.startswith("+"))
    after = "".join(line[1:] for line in lines if not line.startswith("-"))
    assert code.count(before) == 1, f"{before!r} is there {code.count(before)} times"
    return code.replace(before, after)


def said(package: Path, code: str) -> Any:
    """What a script on the changed package prints as JSON."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=package,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(package), str(CHECKOUT)))},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_change_that_does_not_fit_is_refused():
    assert changed("a\nb\nc\n", " a\n-b\n+B\n") == "a\nB\nc\n"
    for code in ("a\nc\n", "a\nb\na\nb\n"):
        with pytest.raises(AssertionError, match="times"):
            changed(code, " a\n-b\n+B\n")


def test_a_source_of_ones_own_serves_bars_and_has_assets(tmp_path: Path):
    package = changed_package("A source", tmp_path)
    code = """
import json, os, sqlite3
from datetime import date
from pathlib import Path
import polars as pl
from stock_assets.market.sources.sample import sample_bars
mine = sample_bars().filter(
    pl.col("ticker").is_in(["AAPL", "IBM"]), pl.col("session") >= date(2012, 6, 1)
)
with sqlite3.connect("prices.db") as database:
    database.execute(f"create table bars ({', '.join(mine.columns)})")
    rows = mine.with_columns(pl.col("session").cast(str)).rows()
    database.executemany(f"insert into bars values ({', '.join('?' * mine.width)})", rows)
os.environ |= {"STOCK_ASSETS_SOURCE": "sqlite", "STOCK_ASSETS_SQLITE_FILE": "prices.db"}

from stock_assets.definitions import build_definitions
from stock_assets.environment import load_settings
from stock_assets.resources.prices import open_prices
settings = load_settings()
with open_prices(settings) as prices:
    sessions = prices.calendar.between(date(2012, 6, 1), date(2013, 3, 1))
    answer = prices.fetch(prices.tickers, sessions)
graph = build_definitions(settings).resolve_asset_graph()
keys = [
    graph.get(key).partitions_def.get_partition_keys()
    for key in graph.get_all_asset_keys()
    if key.path[-1] == "raw_prices"
]
print(json.dumps({
    "tickers": prices.tickers,
    "same": answer.bars.equals(mine) and answer.failure is None,
    "dataset": settings.dataset_name,
    "sessions": [keys[0][0], keys[0][-1], len(keys[0])],
}))
"""
    assert said(package, code) == {
        "tickers": ["AAPL", "IBM"],
        "same": True,
        "dataset": "sqlite",
        # 21 + 21 + 23 + 19 + 21 + 21 + 20 of 2012, without two days of a hurricane; 21 + 19 + 1.
        "sessions": ["2012-06-01", "2013-03-01", 187],
    }


def test_a_feature_of_ones_own_is_known_and_the_same_alone(tmp_path: Path):
    package = changed_package("A feature", tmp_path)
    code = """
import json
from datetime import date
import polars as pl
from stock_assets.forecasting.features import BAR_SESSIONS, FEATURES, build_features
from stock_assets.forecasting.model import feature_matrix
from stock_assets.market.sessions import load_calendar
from stock_assets.market.sources.sample import sample_bars
from stock_assets.planning.lineage import Lineage
calendar = load_calendar("XNYS")
bars = sample_bars().filter(pl.col("session") >= date(2010, 1, 4))
rows = build_features(bars, calendar).drop_nulls(FEATURES)
last = date(2013, 3, 1)
first = calendar.between(date(2010, 1, 4), last)[-1 - BAR_SESSIONS]
alone = build_features(bars.filter(pl.col("session") >= first), calendar)
at = pl.col("session") == last
expected = rows["overnight_return"] * rows["intraday_return"]
print(json.dumps({
    "apart": float((rows["night_times_day"] - expected).abs().max()),
    "varies": rows["night_times_day"].n_unique() > 1_000,
    "alone": alone.filter(at).equals(rows.filter(at)),
    "seen": "night_times_day" in feature_matrix(rows).columns,
    "code": Lineage.code("features"),
}))
"""
    found = said(package, code)
    assert found.pop("apart") < 1e-12
    # Stored features are stale, and so is what was made of them.
    assert found.pop("code") != Lineage.code("features")
    assert found == {"varies": True, "alone": True, "seen": True}


def test_a_family_of_ones_own_trains_and_is_read_again(tmp_path: Path):
    package = changed_package("A family", tmp_path)
    code = """
import json
import numpy as np
import skops.io
from stock_assets.environment import load_settings
from stock_assets.forecasting.families import Means, family_named
from stock_assets.forecasting.model import SKOPS_TRUSTED_TYPES, ShrunkRegressor, feature_matrix
from stock_assets.forecasting.features import build_features
from stock_assets.forecasting.splits import labelled_rows
from stock_assets.market.sessions import load_calendar
from stock_assets_tests.simulated_prices import Law, simulated_bars
calendar = load_calendar("XNYS")
bars = simulated_bars(calendar, "2010-01-04", 464, 5, seed=5, law=Law(signal=0.25))
rows = labelled_rows(build_features(bars, calendar), calendar)
features, labels = feature_matrix(rows), rows["label"].to_numpy()
name = load_settings(model_family="median_boosting").model_family
family = family_named(name)
built = family.build(family.usual, rows.height, Means(trees=5, sample_cap=1000, seed=1, jobs=1))
model = ShrunkRegressor(built, 0.5).fit(features, labels)
again = skops.io.loads(skops.io.dumps(model), trusted=list(SKOPS_TRUSTED_TYPES))
whole, single = again.predict(features), again.predict(features[7:8])
print(json.dumps({
    "loss": again.estimator.loss,
    "same": bool(np.array_equal(whole, model.predict(features))),
    "alone": bool(single[0] == whole[7]),
    "varies": len(set(whole)) > 10,
}))
"""
    assert said(package, code) == {
        "loss": "absolute_error", "same": True, "alone": True, "varies": True,
    }  # fmt: skip


def test_a_metric_of_ones_own_is_in_every_group(tmp_path: Path):
    package = changed_package("A metric", tmp_path)
    code = """
import json
from datetime import date
import polars as pl
from stock_assets.forecasting.evaluation import SCORE_SCHEMA
from stock_assets.forecasting.summary import summarise_by_month, summarise_by_ticker
# Right, wrong, right; no direction; wrong.
rows = [("A", 0.1, 0.2), ("A", 0.1, -0.2), ("A", -0.1, -0.2), ("B", 0.0, 0.2), ("C", 0.1, -0.1)]
scores = pl.DataFrame(
    [
        {
            "ticker": ticker, "session": date(2013, 1, 2 + day), "as_of_session": date(2013, 1, 1),
            "model": "forest", "is_fallback": False, "forecast_return": said,
            "realised_return": was, "error_return": was - said, "error_return_random_walk": was,
            "error_usd": was - said, "error_usd_random_walk": was,
        }
        for day, (ticker, said, was) in enumerate(rows)
    ],
    schema=SCORE_SCHEMA,
)
groups = summarise_by_ticker(scores) | summarise_by_month(scores)
print(json.dumps({name: group["right_direction"] for name, group in groups.items()}))
"""
    assert said(package, code) == {"A": 2 / 3, "B": None, "C": 0.0, "2013-01": 0.5}
