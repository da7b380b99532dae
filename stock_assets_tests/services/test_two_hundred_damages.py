"""One thing is damaged at random, two hundred times: a run mends it, or says what does, and that
does; afterwards all values are those of a checkout that nothing happened to.

A case alone: `pytest -k damage017`. It takes some ten minutes for all, three at a time.
"""

import multiprocessing as mp
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from typing import Any

import psutil
import pytest

from stock_assets.environment import load_settings
from stock_assets.market.sessions import load_calendar
from stock_assets.resources.object_store import open_store
from stock_assets_tests.conftest import QUICK, make_home
from stock_assets_tests.services.damages import (
    NOTHING,
    Damage,
    damage,
    damage_file,
    damage_object,
    make_readable,
)
from stock_assets_tests.services.forked_commands import (
    PROGRAM,
    Said,
    command,
    run_forked,
    start_server,
)
from stock_assets_tests.services.inspected_homes import print_differences, write_values
from stock_assets_tests.simulated_prices import Law, simulated_bars

# The first test of each process waits for the reference, too.
pytestmark = pytest.mark.timeout(1200)

DAMAGES = 200
AT_ONCE = 3
# A checkout at rest has its forecasts through January, or all: then a run finds nothing to do.
JANUARY = ("--from", "2011-09-01", "--to", "2012-01-31")
_COMMAND = re.compile(r"`((?:stock-assets|mv|rm|cp|chmod|chown|mkdir|kill) [^`]+)`")
_STACK_TRACES = ("Traceback (most recent call last)", "Stack Trace:", '  File "')
_SECONDS = 200


@dataclass
class Reference:
    """Checkouts at rest, one a slot with ports of its own, and what must come of their like."""

    folder: Path
    slots: Queue[int]

    def environment(self, slot: int) -> dict[str, str]:
        settings = QUICK | {
            "source": "files",
            "files_uri": self.folder / "prices.parquet",
            "dataset": "same",
            "train_months": 3,
            "min_train_sessions": 30,
            "local_s3_port": 9000 + 250 * slot,
        }
        ours = {f"STOCK_ASSETS_{name}".upper(): str(value) for name, value in settings.items()}
        kept = {k: v for k, v in os.environ.items() if not k.startswith("STOCK_ASSETS_")}
        path = f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}"
        return {**kept, **ours, "PATH": path, "HOME": str(self.folder), "COLUMNS": "120"}

    def home(self, slot: int, *, goes_on: bool) -> Path:
        return self.folder / f"{'january' if goes_on else 'whole'}{slot}"

    @property
    def values(self) -> Path:
        return self.folder / "values"


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    made = Reference(tmp_path_factory.mktemp("damaged"), Queue())
    # Enough for models of December, January and February; before, the random walk forecasts.
    bars = simulated_bars(load_calendar("XNYS"), "2011-06-15", 162, 3, 3, Law(signal=0.8))
    bars.write_parquet(made.folder / "prices.parquet")
    start_server()
    january, whole = made.home(0, goes_on=True), made.home(0, goes_on=False)
    _run(make_home(january), made.environment(0), *JANUARY)
    _copy(january, whole)
    _run(whole, made.environment(0))
    _expect(run_forked(write_values, (made.values,), whole, made.environment(0), _SECONDS))
    for slot in range(1, AT_ONCE):
        for home, given in ((january, JANUARY), (whole, ())):
            own = made.home(slot, goes_on=home == january)
            _copy(home, own)
            # A server keeps its state under the number of its port: that of each slot is made.
            _rest(own)
            _run(own, made.environment(slot), *given)
    for slot in range(AT_ONCE):
        for goes_on in (True, False):
            # Of a command that was killed.
            (made.home(slot, goes_on=goes_on) / "var/commands/0123456789ab.lock").touch()
        made.slots.put(slot)
    return made


def _rest(home: Path) -> None:
    for state in (home / "var/store/data").glob("m[0-9]*"):
        shutil.rmtree(state)


def _copy(home: Path, to: Path) -> None:
    subprocess.run(["cp", "-a", str(home), str(to)], check=True)


def _run(home: Path, environment: dict[str, str], *given: str) -> None:
    _expect(command(["run", *given], home, environment, _SECONDS))


def _expect(said: Said) -> None:
    assert said.code == 0, said.text


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, reference: Reference
) -> Iterator[dict[int, Future[None]]]:
    """What becomes of each damage that was asked for, several at a time."""
    numbers = [
        item.callspec.params["number"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and "outcomes" in item.fixturenames
    ]
    pool = ThreadPoolExecutor(AT_ONCE)
    yield {number: pool.submit(_suffer, reference, damage(number)) for number in numbers}
    pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("number", range(DAMAGES), ids=lambda number: f"damage{damage(number)}")
def test_a_damaged_checkout_is_mended_or_says_by_what(
    outcomes: dict[int, Future[None]], number: int
):
    outcomes[number].result()


def test_an_undamaged_checkout_is_the_same(reference: Reference):
    _suffer(reference, NOTHING)


def _suffer(reference: Reference, wanted: Damage) -> None:
    slot = reference.slots.get()
    home = reference.folder / f"damage{wanted}"
    try:
        _copy(reference.home(slot, goes_on=wanted.goes_on), home)
        case = _Case(wanted, home, reference, slot)
        try:
            case.suffer()
        except AssertionError as error:
            raise AssertionError(f"damage {wanted}: " + case.told(str(error))) from None
        finally:
            for process in _left_running(home):
                process.kill()
        make_readable(home)
        shutil.rmtree(home)
    finally:
        reference.slots.put(slot)


class _Case:
    """One damaged checkout, and the story of what happened to it."""

    def __init__(self, wanted: Damage, home: Path, reference: Reference, slot: int) -> None:
        self.wanted, self.home = wanted, home
        self.environment, self.values = reference.environment(slot), reference.values
        self.story: list[str] = []

    def told(self, what: str) -> str:
        return "\n".join([*self.story, what])

    def suffer(self) -> None:
        with self._damaged():
            said = self._stock_assets("run")
            differences = self._differences() if said.code == 0 else ""
        mends = 2 if self.wanted.way == "swap" else 1  # a swap damages two things
        while said.code != 0 or differences:
            if not mends:
                raise AssertionError(f"not mended: {differences or said.text}")
            mends -= 1
            if said.code == 0:
                # What the run did not read: whoever looks must find it.
                said = self._stock_assets("doctor")
                if said.code == 0:
                    raise AssertionError(f"doctor finds nothing wrong; yet\n{differences}")
            self._mend(said)
            said = self._stock_assets("run")
            differences = self._differences() if said.code == 0 else ""
        assert (left := [p.cmdline() for p in _left_running(self.home)]) == [], left

    @contextmanager
    def _damaged(self) -> Iterator[None]:
        """The damage is done; a store that is up for that stays up for the block."""
        if not self.wanted.in_the_store:
            self.story.append(damage_file(self.home, self.wanted))
            yield
            return
        context = mp.get_context("forkserver")
        over = context.Event()
        with ThreadPoolExecutor(1) as pool:
            done = self.home.parent / f"{self.home.name}.done"
            keeper = pool.submit(
                run_forked, _damage_object, (self.wanted, done, over), self.home,
                self.environment, _SECONDS,
            )  # fmt: skip
            try:
                while not done.exists() and not keeper.done():
                    with suppress(TimeoutError):
                        keeper.result(0.02)
                assert done.exists(), keeper.result().text
                self.story.append(done.read_text())
                yield
            finally:
                over.set()
                keeper.result()

    def _stock_assets(self, *arguments: str) -> Said:
        installed = self.wanted.number % 20 == 0
        said = command(
            list(arguments), self.home, self.environment, _SECONDS, as_installed=installed
        )
        return self._heard(shlex.join(["stock-assets", *arguments]), said)

    def _heard(self, what: str, said: Said) -> Said:
        self.story.append(f"$ {what}\n{said.err[-1800:]}-> {said.code}")
        assert said.code is not None, "it does not end"
        shown = [trace for trace in _STACK_TRACES if trace in said.text]
        assert not shown, f"a stack trace reaches the user: {shown}"
        return said

    def _mend(self, said: Said) -> None:
        """Runs the command that a refusal names."""
        refusals = [
            line for line in said.text.splitlines() if line.startswith(("Error: ", "WRONG "))
        ]
        assert len(refusals) == 1, f"not one line of refusal: {refusals}"
        assert said.err.rstrip().endswith(refusals[0]) or said.out, said.err[-500:]
        named = _COMMAND.search(refusals[0])
        assert named, f"names no command: {refusals[0]}"
        done = self._typed(named[1])
        assert done.code == 0, f"`{named[1]}` fails: {done.text}"

    def _typed(self, line: str) -> Said:
        words = shlex.split(line)
        if words[0] == "stock-assets" and not set(line) & set("|&;<>"):
            return self._stock_assets(*words[1:])
        done = subprocess.run(
            ["sh", "-c", line],
            cwd=self.home,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
        )
        return self._heard(line, Said(done.returncode, done.stdout, done.stderr))

    def _differences(self) -> str:
        said = run_forked(print_differences, (self.values,), self.home, self.environment, _SECONDS)
        return said.out if said.code == 0 else f"{said.out}{said.err[-3000:]}"


def _damage_object(wanted: Damage, done: Path, over: Any) -> None:
    with open_store(load_settings()) as store:
        story = damage_object(store, wanted)
        done.with_suffix(".new").write_text(story)
        done.with_suffix(".new").rename(done)
        over.wait(_SECONDS)


def _left_running(home: Path) -> list[psutil.Process]:
    """Processes that name the folder, or stand in it."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            named = any(f"{home}/" in word for word in process.cmdline())
            if named or Path(process.cwd()).is_relative_to(home):
                found.append(process)
    return found
