"""The pages of `stock-assets ui` in a browser."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stock_assets.asset_keys import asset_key, asset_page
from stock_assets_tests.chromium import DESKTOP, Page, chromium
from stock_assets_tests.clicking import DIALOG, click, see, write

DATASET = "sample"
_NAMES = ("Dagster", "MLflow")
_COMMAND = str(Path(sys.executable).with_name("stock-assets"))


@dataclass
class Pages:
    """Both pages' ports, and a browser's tab."""

    dagster: int
    mlflow: int
    page: Page

    def open(self, path: str) -> None:
        self.page.open(f"http://127.0.0.1:{self.dagster}{path}")

    def asset(self, name: str, view: str) -> None:
        self.open(f"{asset_page(asset_key(DATASET, name).path)}?view={view}")

    def choose(self, asset: str, partitions: str) -> None:
        """Opens the dialog of *Materialize* with these partitions."""
        self.asset(asset, "partitions")
        click(self.page, "Materialize")
        see(self.page, "Partition selection", DIALOG)
        if partitions == "Latest":
            click(self.page, partitions, DIALOG)
        else:
            click(self.page, "Custom", DIALOG)
            write(self.page, f"{DIALOG} input[placeholder^='ex:']", partitions)


@contextmanager
def served_pages(home: Path, environment: Mapping[str, str], profile: Path) -> Iterator[Pages]:
    """`stock-assets ui` of a home, until the block is left."""
    process = subprocess.Popen(
        [_COMMAND, "ui"],
        cwd=home, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stdout
        said = ""
        for line in process.stdout:
            said += line
            if "Ctrl-C ends both" in line:
                break
        ports = {n: re.search(rf"^{n} +http://127.0.0.1:(\d+)", said, re.MULTILINE) for n in _NAMES}
        dagster, mlflow = (int(found[1]) for found in ports.values() if found)
        with chromium(profile) as page:
            page.look(DESKTOP)
            yield Pages(dagster, mlflow, page)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=90)
