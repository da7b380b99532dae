"""What a result says about where it was measured, and the table that a person reads."""

import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from stock_assets_tests.benchmarks.case import CHECKOUT

LIBRARIES = (
    "dagster",
    "dagster-aws",
    "mlflow-skinny",
    "numpy",
    "pandas",
    "polars",
    "scikit-learn",
    "arch",
    "mlforecast",
    "lightgbm",
    "pyqlib",
)


def environment() -> dict[str, Any]:
    """Machine without its name, versions, commit."""
    versions = {}
    for library in LIBRARIES:
        try:
            versions[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            versions[library] = None
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="minutes"),
        "commit": _git("rev-parse", "--short=12", "HEAD"),
        "changed_since_commit": bool(
            _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs")
        ),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": versions,
    }


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(CHECKOUT), *arguments], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def _processor() -> str:
    names = Path("/proc/cpuinfo")
    if names.exists():
        for line in names.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def table(results: Mapping[str, Any]) -> str:
    """Markdown: what was promised and found, then each contender's best times."""
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench` (raw times, versions and every round: `benchmarks.json`). Each",
        "figure is measured beside its rival in the same run: contenders take turns, each in a",
        "process of its own, and the best round of each counts.",
        "",
        "| case | figure | found | promised | |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {ratio['name']} | {_found(ratio)} | {_promised(ratio)} |"
        for name, result in results.items()
        for ratio in result["ratios"]
    ]
    for name, result in results.items():
        where = result["environment"]
        lines += [
            "",
            f"## {name}",
            "",
            f"{result['title']}.{' ' + result['notes'] if result['notes'] else ''}",
            "",
            f"Commit {where['commit']}{' with changes' if where['changed_since_commit'] else ''},"
            f" {where['measured_at'][:10]}, {where['cores']} cores of {where['processor']},"
            f" {where['memory_gb']} GB, Python {where['python']}.",
            "",
            "| contender | seconds | CPU seconds | process CPU | peak MB | rounds |",
            "|---|---|---|---|---|---|",
        ]
        for contender, best in result["best"].items():
            lines.append(
                f"| {contender} | {best['seconds']:.2f} | {best['cpu_seconds']:.2f}"
                f" | {best['process_cpu_seconds']:.2f} | {best['peak_mb']:.0f}"
                f" | {len(result['rounds'][contender])} |"
            )
    return "\n".join(lines) + "\n"


def _found(ratio: Mapping[str, Any]) -> str:
    return "not measured" if ratio["value"] is None else f"{ratio['value']:.3g}"


def _promised(ratio: Mapping[str, Any]) -> str:
    verdict = {True: "holds", False: "**missed**", None: ""}[ratio["holds"]]
    if ratio["at_most"] is not None:
        return f"≤ {ratio['at_most']:g} | {verdict}"
    return f"≥ {ratio['at_least']:g} | {verdict}" if ratio["at_least"] is not None else " | "
