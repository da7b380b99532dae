"""Live bars at a terminal: one per stage with its rate and the time left, one per month in search.

They stand on standard error, so that a command's results can go into a file. What is said
meanwhile appears above them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TaskID, TextColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

from stock_assets.asset_keys import Asset
from stock_assets.backfill.progress import StageWork
from stock_assets.local.steps import Step, listened_to
from stock_assets.planning.lineage import MONTH_ASSETS

_BESIDE_THE_BAR = 52
_NARROWEST, _WIDEST = 6, 40
_WEIGHT = {Asset.TUNED_MODEL: 20.0}
"""Of an asset in the share of a month that is done: searching takes nearly all of the time."""


class Bars:
    """All bars of one command.

    Args:
        verbose: Whether messages of assets are shown above them too.
        console: Where; standard error if left out.
    """

    def __init__(self, *, verbose: bool = False, console: Console | None = None) -> None:
        self.log_level = "INFO" if verbose else "WARNING"
        self._console = console or Console(stderr=True)
        bar = min(_WIDEST, max(_NARROWEST, self._console.width - _BESIDE_THE_BAR))
        self._rich = RichProgress(
            TextColumn("{task.description:<9}"),
            BarColumn(bar_width=bar),
            _Count(),
            _Rate(),
            _Left(),
            console=self._console,
            refresh_per_second=5,
            # A table of results that is printed meanwhile belongs to standard output.
            redirect_stdout=False,
        )
        self._idle: TaskID | None = None

    @contextmanager
    def shown(self, doing: str) -> Iterator[None]:
        """Shows them within the block; an interrupt leaves nothing of them behind.

        `doing`: what the command is at where no stage is under way.
        """
        self._idle = self._rich.add_task(doing, total=None)
        try:
            with self._rich:
                try:
                    yield
                except KeyboardInterrupt:
                    self._rich.live.transient = True
                    raise
                finally:
                    self._rich.remove_task(self._idle)
        finally:
            self._idle = None

    def say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False)

    @contextmanager
    def stage(self, work: StageWork) -> Iterator[None]:
        what = "months" if set(work.assets) & set(MONTH_ASSETS) else "sessions"
        of = len(work.keys) or None
        task = self._rich.add_task(work.name, total=of, what=what if of else "", unit=1)
        if self._idle is not None:
            self._rich.update(self._idle, visible=False)
        months = _Months(self._rich)
        done = _Done(work)

        def heard(step: Step) -> None:
            months.hear(step)
            self._rich.update(task, completed=done.after(step))

        try:
            with listened_to(heard):
                yield
            # What the plan did not make after all is done too.
            self._rich.update(task, total=of or 1, completed=of or 1)
        finally:
            months.clear()
            self._rich.stop_task(task)
            if self._idle is not None:
                # It stands below the stages that are done.
                doing = self._rich.tasks[self._rich.task_ids.index(self._idle)].description
                self._rich.remove_task(self._idle)
                self._idle = self._rich.add_task(doing, total=None)

    def portion(self, done: int, total: int, seconds: float) -> None:
        """The bar knows already, key by key."""


class _Done:
    """How many keys of a stage are done, parts of keys included."""

    def __init__(self, work: StageWork) -> None:
        self._weights = {asset: _WEIGHT.get(asset, 1.0) for asset in work.assets}
        self._shares = {key: dict.fromkeys(work.assets, 0.0) for key in work.keys}
        self._lock = Lock()

    def after(self, step: Step) -> float:
        with self._lock:
            shares = self._shares.get(step.key, {})
            if step.asset in shares:
                # Steps of threads may come out of order.
                shares[step.asset] = max(shares[step.asset], step.share)
            whole = sum(self._weights.values())
            done = sum(
                self._weights[asset] * share
                for of_key in self._shares.values()
                for asset, share in of_key.items()
            )
            return done / whole if whole else 0.0


class _Months:
    """A bar for each month that is being searched, with its trials."""

    def __init__(self, rich: RichProgress) -> None:
        self._rich = rich
        self._tasks: dict[str, TaskID] = {}
        self._lock = Lock()

    def hear(self, step: Step) -> None:
        with self._lock:
            if step.of:
                if step.key not in self._tasks:
                    name = f" {step.key}"
                    self._tasks[step.key] = self._rich.add_task(name, total=step.of, what="trials")
                self._rich.update(self._tasks[step.key], completed=step.done)
            elif step.asset == Asset.TUNED_MODEL and step.key in self._tasks:
                self._rich.remove_task(self._tasks.pop(step.key))

    def clear(self) -> None:
        with self._lock:
            while self._tasks:
                self._rich.remove_task(self._tasks.popitem()[1])


class _Count(ProgressColumn):
    def render(self, task: Task) -> Text:
        if not task.total or not task.fields.get("what"):
            return Text("")
        return Text(f"{int(task.completed)}/{int(task.total)} {task.fields['what']}", no_wrap=True)


class _Rate(ProgressColumn):
    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        elapsed = _elapsed(task)
        if not task.completed or not elapsed or not task.fields.get("what"):
            return Text("")
        per_second = task.completed / elapsed
        rate = f"{per_second:.1f}/s" if per_second >= 1 else f"{60 * per_second:.1f}/min"
        return Text(rate, style="dim", no_wrap=True)


class _Left(ProgressColumn):
    """Time left; of what is done, how long it took."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        elapsed = _elapsed(task)
        if task.finished or not task.total or not task.completed:
            return Text(_lasting(elapsed), no_wrap=True)
        left = elapsed * (task.total - task.completed) / task.completed
        return Text(f"{_lasting(left)} left", style="cyan", no_wrap=True)


def _elapsed(task: Task) -> float:
    """Seconds since its start; of what is done, to its end."""
    return task.finished_time or task.elapsed or 0.0


def _lasting(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
