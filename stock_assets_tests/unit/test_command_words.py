"""What a person types: wrong words are refused in one line, before anything is opened."""

from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from stock_assets import __version__
from stock_assets.cli import main
from stock_assets.settings import Settings
from stock_assets_tests.conftest import make_home

RANGED = {
    "run": (),
    "backtest": (),
    "reconcile": (),
    "report": (),
    "score": ("--forecasts", "mine.csv"),
    "export-forecasts": ("-o", "hub"),
}
"""Commands over a range, with the options that each must be given."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = make_home(tmp_path / "checkout")
    monkeypatch.chdir(folder)
    return folder


def refused(*words: str, code: int = 1) -> str:
    """The one line that a command ends with."""
    done = CliRunner().invoke(main, list(words))
    assert done.exit_code == code, done.output
    assert (done.stdout, done.stderr.count("\n")) == ("", 1), done.output
    assert done.stderr.startswith("Error: ")
    return done.stderr.removeprefix("Error: ").strip()


def test_reversed_dates(home: Path):
    for command, options in RANGED.items():
        said = refused(command, *options, "--from", "2013-03-01", "--to", "2013-02-01")
        assert said == "--from 2013-03-01 is after --to 2013-02-01; give the earlier date first"
    assert [path.name for path in home.iterdir()] == ["dagster.yaml"]


def test_a_range_without_a_session(home: Path):
    for command, options in RANGED.items():
        said = refused(command, *options, "--from", "2013-02-16", "--to", "2013-02-18")
        assert said == (
            "no session to run in 2013-02-16..2013-02-18: XNYS did not trade; the nearest are"
            " 2013-02-15 and 2013-02-19"
        )
    assert [path.name for path in home.iterdir()] == ["dagster.yaml"]


@pytest.mark.parametrize("words", [("forecast", "--session"), ("served", "--at")])
def test_a_holiday_where_a_session_is_needed(home: Path, words: tuple[str, str]):
    beside = "the nearest are 2013-02-15 and 2013-02-19"
    assert refused(*words, "2013-02-18") == (
        f"2013-02-18 is not a session of XNYS but a holiday; {beside}"
    )
    assert refused(*words, "2013-02-16") == (
        f"2013-02-16 is not a session of XNYS but a Saturday; {beside}"
    )
    assert [path.name for path in home.iterdir()] == ["dagster.yaml"]


@pytest.mark.parametrize("given", ["", " , "])
def test_an_empty_list_of_tickers_is_not_all_of_them(home: Path, given: str):
    for command in ("run", "backtest", "report", "score", "export-forecasts"):
        assert refused(command, *RANGED[command], "--tickers", given) == (
            f"--tickers {given!r} names no ticker; name some, like AAPL,IBM, or leave it out for"
            " all"
        )
    assert [path.name for path in home.iterdir()] == ["dagster.yaml"]


def test_an_option_is_called_by_its_name(home: Path):
    families = (
        "Input should be 'extra_trees', 'random_forest', 'lightgbm', 'hist_gradient_boosting',"
        " 'ridge' or 'random_walk'"
    )
    assert refused("backtest", "--family", "foo") == f"--family: {families} (got 'foo')"
    assert refused("backtest", "--family", "") == f"--family: {families} (got '')"
    assert refused("run", "--source", "bloomberg").startswith("--source: Input should be 'sample'")
    assert [path.name for path in home.iterdir()] == ["dagster.yaml"]


@pytest.mark.usefixtures("home")
def test_the_same_value_in_the_environment_is_called_by_the_variable(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("STOCK_ASSETS_MODEL_FAMILY", "foo")
    assert refused("run").startswith("STOCK_ASSETS_MODEL_FAMILY: Input should be 'extra_trees'")


def test_mistyped_words_are_one_line_each():
    assert refused("run", "--from", "2013-02-31", code=2) == (
        "Invalid value for '--from': '2013-02-31' is no date; write it like 2013-02-28; see"
        " `stock-assets run --help`".replace("stock-assets run", "main run")
    )
    assert refused("rollbak", code=2).startswith("No such command 'rollbak'")
    assert refused("run", "--form", "2013-02-28", code=2).startswith("No such option '--form'")
    assert refused("promote", code=2).startswith("Missing argument 'VERSION'; see `main promote")


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_a_misspelt_variable_is_answered_with_the_one_that_was_meant(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    right = f"STOCK_ASSETS_{name.upper()}"
    wrong = f"STOCK_ASSETS_{name[1:].upper()}"
    monkeypatch.setenv(wrong, "1")
    said = refused("status")
    assert said == (f"{wrong} in the environment is no setting; did you mean {right}?")
    assert [path.name for path in home.iterdir()] == ["dagster.yaml"]


def test_the_version():
    assert CliRunner().invoke(main, ["--version"]).output == f"stock-assets {__version__}\n"


def test_the_shell_completes_commands_options_and_names():
    told = CliRunner().invoke(main, ["--help"]).output
    assert 'eval "$(_STOCK_ASSETS_COMPLETE=bash_source stock-assets)"' in told
    shell = ShellComplete(main, {}, "stock-assets", "_STOCK_ASSETS_COMPLETE")

    def completions(words: list[str], begun: str) -> list[str]:
        return [item.value for item in shell.get_completions(words, begun)]

    assert completions([], "ro") == ["rollback"]
    assert completions(["rollback"], "--d") == ["--dry-run"]
    assert completions(["backtest", "--family"], "r") == ["random_forest", "ridge", "random_walk"]
    assert completions(["run", "--source"], "") == ["sample", "yahoo", "files", "http"]


def test_every_command_refuses_in_one_line():
    assert {type(command).__name__ for command in main.commands.values()} == {"OneLineCommand"}
    assert all(isinstance(command, click.Command) for command in main.commands.values())
