"""README is held to what the program does: its sample output is what `make run` prints."""

import os
import subprocess
import sys
from pathlib import Path

from stock_assets_tests.conftest import CHECKOUT, make_home

COMMAND = str(Path(sys.executable).with_name("stock-assets"))


def block_under(heading: str) -> str:
    """The first fenced block of a section of README."""
    section = (CHECKOUT / "README.md").read_text(encoding="utf-8").split(f"\n## {heading}\n")[1]
    return section.split("```\n")[1]


def test_readme_shows_what_make_run_prints(tmp_path: Path):
    """With the settings that a new checkout has; only how long it took may differ."""
    home = make_home(tmp_path)
    ours = {k: v for k, v in os.environ.items() if not k.startswith("STOCK_ASSETS_")}
    done = subprocess.run(
        [COMMAND, "run"],
        cwd=home,
        env={**ours, "HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    printed, _, took = done.stdout.partition("\nStages: ")
    assert "training" in took
    said = [line.rstrip() for line in printed.strip().splitlines()]
    assert said == block_under("What `make run` prints").strip().splitlines()
