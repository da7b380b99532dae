"""docs/extend.md is held to the code: its package is installed, its changes are made to a copy.

What they add is used in processes of their own, because names are read when modules are imported.
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
from stock_assets_tests.conftest import CHECKOUT, make_home

PAGE = CHECKOUT / "docs" / "extend.md"
_BLOCK = re.compile(r'^```(python|diff) title="(.+?)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)
_PACKAGE = re.compile(
    r'^```(?:toml|python) title="(pyproject\.toml|mine/.+?)"\n(.*?)^```$', re.MULTILINE | re.DOTALL
)


def changed_package(section: str, folder: Path) -> Path:
    """A copy of the package with the changes of one section of the page."""
    # With what is compiled of it, which holds for a copy too.
    shutil.copytree(CHECKOUT / "stock_assets", folder / "stock_assets")
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


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of the page, built and installed into a folder."""
    source = tmp_path_factory.mktemp("source")
    (source / "mine").mkdir()
    page = PAGE.read_text(encoding="utf-8")
    for name, text in _PACKAGE.findall(page):
        (source / name).write_text(text)
    return pip_installed(source, tmp_path_factory.mktemp("installed"))


def pip_installed(source: Path, target: Path) -> Path:
    words = ["install", "--no-build-isolation", "--no-deps", "--quiet", "--target", str(target)]
    subprocess.run([sys.executable, "-m", "pip", *words, str(source)], check=True, timeout=120)
    return target


def test_a_feature_of_ones_own_is_known_and_the_same_alone(installed: Path):
    code = """
import json
from datetime import date
import polars as pl
from stock_assets.assets.columns import column_words
from stock_assets.forecasting.features import BAR_SESSIONS, FEATURES, build_features
from stock_assets.forecasting.model import feature_matrix
from stock_assets.forecasting.splits import labelled_rows
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
plain = rows.join(bars.filter(pl.col("dividend") == 0), on=["ticker", "session"])
expected = plain["overnight_return"] * plain["intraday_return"]
print(json.dumps({
    "apart": float((plain["night_times_day"] - expected).abs().max()),
    "varies": rows["night_times_day"].n_unique() > 1_000,
    "alone": alone.filter(at).equals(rows.filter(at)),
    "seen": "night_times_day" in feature_matrix(labelled_rows(rows, calendar)).columns,
    "words": column_words("night_times_day")[0],
    "code": Lineage.code("features"),
}))
"""
    found = said(installed, code)
    assert found.pop("apart") < 1e-9
    # Stored features are stale, and so is what was made of them.
    assert found.pop("code") != Lineage.code("features")
    assert found == {
        "varies": True,
        "alone": True,
        "seen": True,
        "words": "Feature that mine.features:night_times_day computes.",
    }


def audited(package: Path, folder: Path) -> tuple[int, dict[str, Any]]:
    """Exit code and findings of `stock-assets audit-leaks` with a package installed."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "stock_assets.cli", "audit-leaks", "--json"],
        cwd=make_home(folder),
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(package), str(CHECKOUT)))}
        | {"STOCK_ASSETS_MODEL_FAMILY": "median_boosting", "STOCK_ASSETS_TICKERS": "AAPL,IBM"},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_features_and_a_family_of_ones_own_are_audited(installed: Path, tmp_path: Path):
    code, found = audited(installed, tmp_path / "home")
    assert (code, found["ok"], found["leaks"]) == (0, True, [])
    assert (found["features"], found["family"]) == (["night_times_day"], "median_boosting")
    assert found["columns"]["tuned_model"] > 3


def test_leaky_features_of_ones_own_are_named_beside_an_honest_one(installed: Path, tmp_path: Path):
    package = tmp_path / "package"
    shutil.copytree(installed, package)
    points = next(package.glob("mine-*.dist-info")) / "entry_points.txt"
    points.write_text(
        points.read_text().replace(
            "[stock_assets.features]",
            "[stock_assets.features]\npeeking = mine.leaky:peeking\n"
            "running_mean = mine.leaky:running_mean",
        )
    )
    (package / "mine" / "leaky.py").write_text(
        "def peeking(bars):\n"
        "    return bars['return_1d'].shift(-1).fill_null(0.0) / bars['volatility_1d']\n\n\n"
        "def running_mean(bars):\n"
        "    return bars['return_1d'].fill_null(0.0).cum_sum() / bars['volatility_1d']\n"
    )
    code, found = audited(package, tmp_path / "home")
    assert (code, found["ok"]) == (1, False)
    named = {(leak["asset"], leak["column"]): leak for leak in found["leaks"]}
    assert named.keys() == {("features", "peeking"), ("features", "running_mean")}
    assert named["features", "peeking"]["examples"][0]["ticker"] in {"AAPL", "IBM"}
    # The sum of all returns so far knows nothing of the future, but where the history begins.
    ways = {example["when"] for example in named["features", "running_mean"]["examples"]}
    assert ways == {"the distant past was cut off"}


@pytest.mark.parametrize(
    ("feature", "reason"),
    [
        ("return bars['close'] * float('nan')", "it has to be a finite number"),
        ("return bars['close'].head(3)", "one value a bar"),
    ],
)
def test_a_feature_that_is_no_number_is_refused(
    installed: Path, tmp_path: Path, feature: str, reason: str
):
    package = tmp_path / "package"
    shutil.copytree(installed, package)
    (package / "mine" / "features.py").write_text(f"def night_times_day(bars):\n    {feature}\n")
    code = """
import json
from stock_assets.errors import AddedFeatureError
from stock_assets.forecasting.features import build_features
from stock_assets.market.sessions import load_calendar
from stock_assets.market.sources.sample import sample_bars
try:
    build_features(sample_bars().filter(ticker="IBM").tail(200), load_calendar("XNYS"))
except AddedFeatureError as error:
    print(json.dumps(str(error)))
"""
    assert reason in said(package, code)


def test_entry_points_that_can_not_be_used_are_one_line(installed: Path, tmp_path: Path):
    package = tmp_path / "package"
    shutil.copytree(installed, package)
    points = next(package.glob("mine-*.dist-info")) / "entry_points.txt"
    code = """
import json
from stock_assets.errors import SettingsError
try:
    from stock_assets.forecasting.families import family_named
    from stock_assets.forecasting.features import FEATURES
    family_named("nothing")
except SettingsError as error:
    print(json.dumps(str(error)))
"""
    for line, reason in (
        ("[stock_assets.features]\nmomentum_5 = mine:x", "is one of ours"),
        ("[stock_assets.features]\nNight = mine:x", "is no lower-case identifier"),
        ("[stock_assets.families]\nnothing = mine.features:absent", "can't be loaded from"),
        ("[stock_assets.families]\nnothing = builtins:dict", "it lacks usual, suggest, build"),
    ):
        points.write_text(line)
        assert reason in said(package, code)


def test_a_family_of_ones_own_trains_and_is_read_again(installed: Path):
    code = """
import json
import numpy as np
import skops.io
from stock_assets.environment import load_settings
from stock_assets.forecasting.families import Means, family_named
from stock_assets.forecasting.model import ShrunkRegressor, feature_matrix, trusted_types
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
again = skops.io.loads(skops.io.dumps(model), trusted=trusted_types())
whole, single = again.predict(features), again.predict(features[7:8])
print(json.dumps({
    "loss": again.estimator.loss,
    "same": bool(np.array_equal(whole, model.predict(features))),
    "alone": bool(single[0] == whole[7]),
    "varies": len(set(whole)) > 10,
}))
"""
    assert said(installed, code) == {
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
