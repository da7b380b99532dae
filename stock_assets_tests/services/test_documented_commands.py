"""What README and docs tell people to type is typed here: every `stock-assets` line, as it stands.

Which test runs the other lines is said in unit/test_docs.py.
"""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stock_assets.local.processes import free_port
from stock_assets.market.sources.sample import sample_bars
from stock_assets_tests.conftest import CHECKOUT
from stock_assets_tests.documented import README, commands, shell_blocks
from stock_assets_tests.e2e.test_command_line import environment, left_running
from stock_assets_tests.loopback import inbox
from stock_assets_tests.scored import MLFORECAST
from stock_assets_tests.services.test_pages import checkout
from stock_assets_tests.started import started

SERVING = ("ui", "monitor", "exporter")
"""Until Ctrl-C."""
REFUSED = {"reconcile": "only those of a source that goes on are"}
"""Of the sample no forecast is issued, and the page says that the command says so."""
ELSEWHERE = ("--source yahoo", "--component ")
"""Other tests': one needs a stand-in for the network, the other somebody's own project."""


def typed(home: Path, line: str, **settings: object) -> subprocess.Popen[str]:
    given = environment(home, **settings)
    given["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{given['PATH']}"
    return started(["bash", "-euc", f"exec {line}"], home, given)


def serve_and_interrupt(process: subprocess.Popen[str]) -> None:
    said = []
    assert process.stdout
    try:
        for line in process.stdout:
            said.append(line)
            if "Ctrl-C" in line:
                break
        time.sleep(0.5)
        assert process.poll() is None, "".join(said)
        os.killpg(process.pid, signal.SIGINT)
        said.append(process.communicate(timeout=90)[0])
        assert process.returncode == 0, "".join(said)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.timeout(2700)
def test_every_command_does_what_it_says(tmp_path: Path):
    """In one checkout, the page of commands first: it begins with the run that others show."""
    home = checkout(tmp_path / "home")
    shutil.copytree(CHECKOUT / "monitor", home / "monitor")
    shutil.copy(MLFORECAST, home)
    ports = {"dagster_port": free_port(24_000), "mlflow_port": free_port(26_000)}
    lines = [
        said.line
        for said in sorted(commands(), key=lambda said: said.page.name != "commands.md")
        if said.line.startswith("stock-assets ") and not any(e in said.line for e in ELSEWHERE)
    ]
    with inbox() as taken:
        for line in dict.fromkeys(lines):
            name = shlex.split(line)[1]
            process = typed(home, line, notify_urls=taken.url.replace("http:", "json:"), **ports)
            if name in SERVING:
                serve_and_interrupt(process)
                continue
            said = process.communicate(timeout=600)[0]
            assert "Traceback" not in said
            assert process.returncode == (1 if name in REFUSED else 0), f"{line}\n{said}"
            assert REFUSED.get(name, "") in said
        assert len(taken.messages) == 1
    assert (home / "report.html").is_file()
    assert left_running(home) == []


def test_own_prices_are_read_as_readme_says(tmp_path: Path):
    home = checkout(tmp_path / "home")
    (home / "prices").mkdir()
    sample_bars().write_csv(home / "prices" / "mine.csv")
    block = next(block for block in shell_blocks(README) if "FILES_URI" in "".join(block))
    subprocess.run(["bash", "-euc", "\n".join(block)], cwd=home, check=True)
    said = typed(home, "stock-assets doctor").communicate(timeout=200)[0]
    assert "ok     source    files: 5 tickers, sessions 2000-03-01..2013-03-01 of XNYS" in said
