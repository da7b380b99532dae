"""What a terminal shows while a command works."""

import io

import pytest
from rich.console import Console

from stock_assets.asset_keys import Asset
from stock_assets.backfill import progress
from stock_assets.backfill.bars import Bars
from stock_assets.backfill.progress import Progress, Silence, showing
from stock_assets.local.steps import Step, tell
from stock_assets.planning.lineage import MONTH_ASSETS

DAYS = ["2013-02-27", "2013-02-28", "2013-03-01"]


class Screen:
    """Bars on a console whose lines can be read."""

    def __init__(self, width: int = 60, *, verbose: bool = False) -> None:
        self._file = io.StringIO()
        console = Console(file=self._file, width=width, force_terminal=True, color_system=None)
        self.bars = Bars(verbose=verbose, console=console)

    def lines(self) -> list[str]:
        """As they would be drawn now."""
        drawn = Console(file=io.StringIO(), width=self.bars._console.width, color_system=None)
        drawn.print(self.bars._rich.get_renderable())
        return [line.rstrip() for line in drawn.file.getvalue().splitlines()]

    def written(self) -> str:
        return self._file.getvalue()


def words(line: str) -> list[str]:
    return [word for word in line.split() if set(word) - set("━╸╺")]


def test_a_stage_is_a_bar_with_its_rate_and_the_time_left():
    screen = Screen()
    with screen.bars.shown("at work"), showing(screen.bars):
        assert words(screen.lines()[0])[:2] == ["at", "work"]
        with Progress().stage("features", "3 sessions: missing", [Asset.FEATURES], DAYS):
            tell(Step(Asset.FEATURES, DAYS[1]))
            tell(Step(Asset.RAW_PRICES, DAYS[0]))  # another's
            tell(Step(Asset.FEATURES, DAYS[1]))  # once more
            (line,) = screen.lines()
            assert words(line)[:3] == ["features", "1/3", "sessions"]
            assert line.split()[-1] == "left"
            assert "/s" in line
            assert len(line) <= 60
        done, idle = screen.lines()
    assert words(done)[:3] == ["features", "3/3", "sessions"]
    assert "left" not in done
    assert words(idle)[:2] == ["at", "work"]


def test_a_month_in_search_has_a_bar_of_its_trials():
    screen, month = Screen(), ["2013-02", "2013-03"]
    with screen.bars.shown("at work"), showing(screen.bars):
        with Progress().stage("training", "2 months: missing", MONTH_ASSETS, month):
            tell(Step(Asset.TRAIN_SET, "2013-02"))
            tell(Step(Asset.TUNED_MODEL, "2013-02", 3 / 9, 3, 8))
            training, trials = screen.lines()
            assert words(training)[:3] == ["training", "0/2", "months"]
            assert words(trials)[:3] == ["2013-02", "3/8", "trials"]
            assert max(map(len, (training, trials))) <= 60
            before = screen.bars._rich.tasks[-2].completed
            tell(Step(Asset.TUNED_MODEL, "2013-02", 2 / 9, 2, 8))  # late, of another thread
            assert screen.bars._rich.tasks[-2].completed == before
            tell(Step(Asset.TUNED_MODEL, "2013-02"))
            (training,) = screen.lines()
            for asset in MONTH_ASSETS:
                tell(Step(asset, "2013-02"))
            assert words(screen.lines()[0])[:3] == ["training", "1/2", "months"]
        assert len(screen.lines()) == 2


def test_a_step_nobody_listens_to_is_lost():
    tell(Step(Asset.FEATURES, DAYS[0]))


def test_an_interrupt_wipes_the_bars_and_an_error_leaves_them():
    for error, left in ((KeyboardInterrupt, False), (ValueError, True)):
        screen = Screen()
        with (
            pytest.raises(error),
            screen.bars.shown("at work"),
            showing(screen.bars),
            Progress().stage("prices", "3 sessions: missing", [Asset.RAW_PRICES], DAYS),
        ):
            raise error
        # To wipe is to go up a line and clear it, after the last that was drawn.
        last = screen.written().rpartition("0/3 sessions")[2]
        assert ("\x1b[1A\x1b[2K" not in last) is left


def test_what_is_said_stands_above_the_bars_and_messages_only_where_asked_for():
    screen = Screen()
    with screen.bars.shown("at work"), showing(screen.bars):
        progress.shown().say("waiting for [another] one")
    assert "waiting for [another] one\n" in screen.written()
    assert (screen.bars.log_level, Screen(verbose=True).bars.log_level) == ("WARNING", "INFO")


def test_lines_are_for_logs_and_silence_is_silent(capsys: pytest.CaptureFixture[str]):
    def work() -> None:
        stages = Progress()
        with stages.stage("prices", "4 sessions: missing", [Asset.RAW_PRICES], DAYS):
            stages.of(4)(2)
        assert stages.seconds["prices"] > 0

    work()
    assert capsys.readouterr().err.splitlines() == [
        "prices     4 sessions: missing",
        "           2 of 4, about 0 s left",
        "           done in 0.0 s",
    ]
    with showing(Silence()):
        work()
    assert capsys.readouterr().err == ""
