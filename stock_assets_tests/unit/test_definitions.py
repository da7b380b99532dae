import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from stock_assets.asset_keys import Asset, asset_key, asset_name
from stock_assets.definitions import build_definitions
from stock_assets.planning.lineage import IN_ORDER, Lineage
from stock_assets.settings import Settings

README = Path(__file__).parents[2] / "README.md"
HEAVY = (
    "mlflow",
    "sklearn",
    "yfinance",
    "optuna",
    "pandas",
    "boto3",
    "exchange_calendars",
    "apprise",
)


@pytest.fixture(scope="module")
def graph() -> Any:
    return build_definitions(Settings()).resolve_asset_graph()


def test_loading_the_definitions_loads_nothing_heavy():
    code = "import stock_assets.definitions, sys; print(' '.join(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "stock_assets.definitions" in loaded
    assert [module for module in HEAVY if module in loaded] == []


def test_each_asset_has_its_name_from_the_list(graph: Any):
    listed = {name for key, name in vars(Asset).items() if key.isupper()}
    assert {asset_name(key) for key in graph.get_all_asset_keys()} == listed
    assert {key.path[0] for key in graph.get_all_asset_keys()} == {"sample"}


def test_dagster_knows_the_code_that_the_stamps_name(graph: Any):
    versions = {asset_name(key): graph.get(key).code_version for key in graph.get_all_asset_keys()}
    computed = set(IN_ORDER) - {Asset.RAW_PRICES}
    assert {asset: Lineage.code(asset) for asset in computed} == {
        asset: version for asset, version in versions.items() if version
    }
    assert all(len(Lineage.code(asset)) == 16 for asset in computed)


def test_columns_come_from_columns_of_upstream_assets(graph: Any):
    for asset in (Asset.FEATURES, Asset.TRAIN_SET, Asset.DAILY_FORECAST, Asset.FORECAST_RMSE):
        node = graph.get(asset_key("sample", asset))
        made_of = node.metadata["dagster/column_lineage"].deps_by_column.values()
        assert {dep.asset_key for deps in made_of for dep in deps} <= node.parent_keys
    assert "dagster/column_lineage" not in graph.get(asset_key("sample", "raw_prices")).metadata


def test_the_readmes_diagram_is_the_graph(graph: Any):
    block = re.search(r"```mermaid\n(.*?)```", README.read_text(), re.DOTALL)
    assert block, "README has no mermaid diagram"
    drawn = set(re.findall(r"^\s*(\w+)(?:\[[^\]]*\])? --> (\w+)", block.group(1), re.MULTILINE))
    real = {
        (asset_name(parent), asset_name(key))
        for key in graph.get_all_asset_keys()
        for parent in graph.get(key).parent_keys
    }
    assert drawn == real


def test_every_asset_is_described_owned_grouped_and_backfilled_in_few_runs(graph: Any):
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.description, key
        assert node.owners == ["team:forecasting"], key
        assert node.kinds, key
        if key == asset_key("sample", "forecast_report"):
            assert (node.group_name, node.partitions_def) == ("report", None)
            continue
        assert node.group_name in {"market_data", "features", "training", "forecasts"}, key
        assert node.partitions_def is not None, key
        monthly = "-%d" not in node.partitions_def.fmt
        assert node.backfill_policy == dg.BackfillPolicy.multi_run(12 if monthly else 250), key


def test_the_yahoo_and_files_sources_load_too(tmp_path: Path):
    file = tmp_path / "a.csv"
    file.write_text(
        "ticker,session,open,high,low,close,volume,dividend,split_ratio\n"
        "A,2020-01-02,1,1,1,1,1,0,1\nA,2020-03-02,1,1,1,1,1,0,1\n"
    )
    named = Settings(source="files", files_uri=str(file))
    files = build_definitions(named)
    sessions = (
        files.resolve_asset_graph().get(asset_key(named.dataset_name, "raw_prices")).partitions_def
    )
    assert sessions is not None
    keys = sessions.get_partition_keys()
    assert (keys[0], keys[-1]) == ("2020-01-02", "2020-03-02")
    yahoo = build_definitions(Settings(source="yahoo"))
    assert yahoo.resolve_asset_graph().get(asset_key("yahoo", "tuned_model")).is_partitioned
