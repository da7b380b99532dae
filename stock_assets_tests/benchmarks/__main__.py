"""Runs the benchmark suite: `make bench`, `make bench CASES=features,imports`, `… QUICK=1`.

Each figure is measured beside its rival in the same run: the contenders of a case take turns, in
the reverse order every other round, each in a process of its own. What counts is the best round of
each. Results go to docs/benchmarks.json, where a case that was not run keeps its last one, and
docs/benchmarks.md and the sizes of docs/kubernetes.md are made of that. The cases of PAGES are not
about speed: what they find goes to pages of their own.
"""

import argparse
import importlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from stock_assets_tests.benchmarks.bench_scoring import scored_page
from stock_assets_tests.benchmarks.case import CHECKOUT, Case, Measurement, Size, run_contender
from stock_assets_tests.benchmarks.judging_report import judged_pages
from stock_assets_tests.benchmarks.report import environment, table
from stock_assets_tests.benchmarks.sizing import PAGE as SIZES
from stock_assets_tests.benchmarks.sizing import made_page

CASES = (
    "features",
    "imports",
    "backfill",
    "five_years",
    "far_store",
    "workers",
    "daily_run",
    "partitions",
    "plan",
    "growth",
    "sizes",
    "qlib_task",
    "fold",
    "judging",
    "scoring",
)
RESULTS = CHECKOUT / "docs" / "benchmarks.json"
PAGES = {
    "judging": (CHECKOUT / "docs" / "models.md", judged_pages),
    "scoring": (CHECKOUT / "docs" / "score.md", scored_page),
}
"""By case the page that shows what it found, and what writes it there."""


def module_of(name: str) -> str:
    return f"{__package__}.bench_{name}"


def load_case(name: str) -> Case:
    case: Case = importlib.import_module(module_of(name)).CASE
    return case


def rounds(name: str, case: Case, size: Size, repeats: int) -> dict[str, list[Measurement]]:
    """All measurements of a case's contenders, in the order in which they were made."""
    able = [
        contender
        for contender in case.contenders
        if contender not in case.needs or find_spec(case.needs[contender])
    ]
    made: dict[str, list[Measurement]] = {contender: [] for contender in able}
    # The local store of a commands' project must find room for itself: a short path.
    with tempfile.TemporaryDirectory(prefix="sa") as folder:
        run_contender(module_of(name), "", Path(folder), size)
        for n in range(repeats):
            for contender in able if n % 2 == 0 else reversed(able):
                if n and contender in case.once:
                    continue
                shown = run_contender(module_of(name), contender, Path(folder), size)
                made[contender].append(shown)
                print(
                    f"  {contender:<24} {shown['seconds']:9.3f} s  CPU"
                    f" {shown['cpu_seconds']:9.3f} s  peak {shown['peak_mb']:6.0f} MB",
                    file=sys.stderr,
                    flush=True,
                )
    return made


def best_of(made: Mapping[str, list[Measurement]]) -> dict[str, Measurement]:
    """Of each contender and number, the smallest: what disturbs a measurement only adds."""
    best = {}
    for contender, measurements in made.items():
        best[contender] = {
            key: min(m[key] for m in measurements) if isinstance(value, float) else value
            for key, value in measurements[-1].items()
        }
    return best


def run_case(name: str, size_name: str, repeats: int | None = None) -> dict[str, object]:
    """A case's result: ratios with their verdicts, and every measurement."""
    case = load_case(name)
    start = time.perf_counter()
    size = case.sizes[size_name]
    made = rounds(name, case, size, repeats or case.repeats)
    best = best_of(made)
    ratios = []
    for ratio in case.ratios:
        value = ratio.value(best)
        ratios.append(
            {
                "name": ratio.name,
                "value": value,
                "at_most": ratio.at_most,
                "at_least": ratio.at_least,
                "holds": ratio.holds(value),
            }
        )
    for contender, key, most in case.bounds:
        if contender in best:
            value = best[contender][key]
            ratios.append(
                {
                    "name": f"{contender}: {key}",
                    "value": value,
                    "at_most": most,
                    "at_least": None,
                    "holds": most is None or value <= most,
                }
            )
    return {
        "title": case.title,
        "size": dict(size),
        "notes": case.notes,
        "took_seconds": time.perf_counter() - start,
        "ratios": ratios,
        "best": best,
        "rounds": made,
        "environment": environment(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", default="", help=f"Of {','.join(CASES)}; all when left out.")
    parser.add_argument("--quick", action="store_true", help="Tiny sizes, once; nothing is stored.")
    given = parser.parse_args()
    names = [name for name in given.cases.split(",") if name] or list(CASES)
    if unknown := set(names) - set(CASES):
        parser.error(f"no case {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    os.environ.pop("DAGSTER_HOME", None)
    failed = []
    for name in names:
        print(f"{name}: {load_case(name).title}", file=sys.stderr, flush=True)
        result = run_case(name, "tiny" if given.quick else "full", 1 if given.quick else None)
        for ratio in result["ratios"]:  # type: ignore[attr-defined]
            verdict = {True: "holds", False: "MISSED", None: ""}[ratio["holds"]]
            value = "not measured" if ratio["value"] is None else f"{ratio['value']:.3g}"
            print(f"  = {ratio['name']}: {value} {verdict}", file=sys.stderr, flush=True)
            if ratio["holds"] is False:
                failed.append(f"{name}: {ratio['name']}")
        if not given.quick:
            # Read anew: another run may have measured another case meanwhile.
            results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
            results[name] = result
            ordered = {name: results[name] for name in CASES if name in results}
            RESULTS.write_text(json.dumps(ordered, indent=1, default=str) + "\n")
            RESULTS.with_suffix(".md").write_text(
                table({name: ordered[name] for name in ordered if name not in PAGES})
            )
            SIZES.write_text(made_page(SIZES.read_text(), ordered))
            if name in PAGES:
                page, made = PAGES[name]
                page.write_text(made(page.read_text(), ordered[name]["best"]))
    if failed and not given.quick:
        print("missed: " + "; ".join(failed), file=sys.stderr)


if __name__ == "__main__":
    main()
