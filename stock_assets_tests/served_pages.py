"""The pages of `stock-assets ui` in a browser."""

import os
import re
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stock_assets.asset_keys import asset_key, asset_page
from stock_assets_tests.chromium import DESKTOP, Page, chromium
from stock_assets_tests.clicking import DIALOG, click, see, write
from stock_assets_tests.started import started

DATASET = "sample"
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


@dataclass
class Ui:
    """`stock-assets ui` that answers: the lines that it has printed, and its ports."""

    said: list[str]
    dagster: int
    mlflow: int


@contextmanager
def served(home: Path, environment: Mapping[str, str]) -> Iterator[Ui]:
    """`stock-assets ui` of a home, until Ctrl-C at the block's end, which must end it well."""
    process = started([_COMMAND, "ui"], home, environment)
    try:
        assert process.stdout
        said = []
        for line in process.stdout:
            said.append(line.strip())
            if "Ctrl-C ends both." in line:
                break
        told = (re.match(r"(?:Dagster|MLflow) +http://127.0.0.1:(\d+)$", line) for line in said)
        ports = [int(found[1]) for found in told if found]
        assert len(ports) == 2, said
        yield Ui(said, *ports)
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=90)
    assert process.returncode == 0


@contextmanager
def served_pages(home: Path, environment: Mapping[str, str], profile: Path) -> Iterator[Pages]:
    """The same in a browser."""
    with served(home, environment) as ui, chromium(profile) as page:
        page.look(DESKTOP)
        yield Pages(ui.dagster, ui.mlflow, page)
