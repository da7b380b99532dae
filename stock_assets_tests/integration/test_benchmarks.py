"""The benchmark suite runs, at sizes that measure nothing, without the packages only it needs."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest

from stock_assets.backfill.project import Project
from stock_assets_tests.benchmarks import __main__ as suite
from stock_assets_tests.benchmarks.bench_growth import exponents
from stock_assets_tests.benchmarks.case import Case, Ratio
from stock_assets_tests.benchmarks.hollow import hollow_definitions
from stock_assets_tests.benchmarks.report import table

QUICK_CASES = {
    "features": ("project", "judging", "pandas groupby", "pandas transform", "polars"),
    "partitions": ("project", "polars"),
    "plan": ("plan",),
    "qlib_task": ("project", "whole path", "pandas"),
    "fold": ("project",),
    "growth": ("core by tickers",),
    "backfill": ("empty",),
    "five_years": ("bookkeeping",),
    "judging": (
        "slope of ridge",
        "gate",
        "calibration on the sample",
        "calibration on simulated prices",
    ),
}


def test_a_case_gives_ratios_rounds_and_the_machine_without_its_name(
    monkeypatch: pytest.MonkeyPatch,
):
    quick = dataclasses.replace(
        suite.load_case("features"),
        needs=dict.fromkeys(
            ("mlforecast", "pandas groupby", "pandas transform", "judging"), "no_such_module"
        ),
    )
    monkeypatch.setattr(suite, "load_case", lambda _name: quick)
    result: dict[str, Any] = suite.run_case("features", "tiny", repeats=1)
    assert set(result["rounds"]) == set(result["best"]) == {"project", "polars"}
    assert result["best"]["project"]["rows"] == 600
    assert result["best"]["polars"]["columns"] == 23
    assert result["best"]["project"]["columns"] == 23 + 20  # the outlook besides
    assert {"seconds", "cpu_seconds", "peak_mb", "process_seconds", "process_cpu_seconds"} <= set(
        result["best"]["project"]
    )
    by_name = {ratio["name"]: ratio for ratio in result["ratios"]}
    assert by_name["pandas groupby / project"]["value"] is None
    assert by_name["polars / project"]["value"] > 0
    assert by_name["project: peak_mb"]["at_most"] == 1024
    assert {"processor", "cores", "commit", "versions", "python"} <= set(result["environment"])
    assert "node" not in result["environment"]
    text = table({"features": result})
    assert "| features | pandas groupby / project | not measured | ≥ 6 |  |" in text
    assert "| project |" in text


@pytest.mark.parametrize("name", sorted(set(QUICK_CASES) - {"features"}))
def test_every_quick_contender_does_its_work(name: str, tmp_path: Path):
    case = suite.load_case(name)
    size = case.sizes["tiny"]
    case.prepare(tmp_path, size)
    for contender in QUICK_CASES[name]:
        assert case.contenders[contender](tmp_path, size)["seconds"] > 0


def test_every_case_promises_something_of_its_own_contenders():
    for name in suite.CASES:
        case: Case = suite.load_case(name)
        assert {"full", "tiny"} == set(case.sizes)
        named = {part.partition(":")[0] for r in case.ratios for part in (r.of, *r.over)}
        named |= {contender for contender, _, _ in case.bounds} | set(case.needs) | set(case.once)
        assert named
        assert named <= set(case.contenders)


def test_a_ratio_is_taken_of_sums_less_the_allowance_and_holds_at_its_bound():
    best = {"a": {"seconds": 22.0}, "b": {"seconds": 5.0, "pure_seconds": 3.0}}
    ratio = Ratio("", "a", ["b", "b:pure"], at_most=1.5, allowance=10.0)
    assert ratio.value(best) == 1.5
    assert ratio.holds(1.5)
    assert not ratio.holds(1.51)
    assert ratio.holds(None) is None
    assert ratio.value({"a": best["a"]}) is None


def test_the_exponent_is_the_slope_through_all_sizes_and_the_last_step_is_beside_it():
    found = exponents([1, 10, 100], [1.0, 2.0, 2.0 * 10**1.5])
    assert math.isclose(found["last step"], 1.5)
    # Three points at equal distances: the slope is that between the first and the last.
    assert math.isclose(found["exponent"], (math.log10(2) + 1.5) / 2)
    assert math.isclose(exponents([2, 4, 8], [6.0, 12.0, 24.0])["exponent"], 1.0)


def test_the_hollow_graph_is_the_projects_without_its_work(project: Project):
    real = project.definitions.resolve_asset_graph()
    hollow = hollow_definitions(project).resolve_asset_graph()
    assert hollow.get_all_asset_keys() == real.get_all_asset_keys()
    assert set(hollow.asset_check_keys) == set(real.asset_check_keys)
    for key in real.get_all_asset_keys():
        assert hollow.get(key).parent_keys == real.get(key).parent_keys
        assert hollow.get(key).partitions_def == real.get(key).partitions_def
        assert hollow.get(key).partition_mappings == real.get(key).partition_mappings
        assert hollow.get(key).backfill_policy == real.get(key).backfill_policy
