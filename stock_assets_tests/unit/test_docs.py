"""README and docs are held to the project: links, anchors, commands, options, names of tests."""

import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from stock_assets.cli import main
from stock_assets.environment import load_settings
from stock_assets_tests.conftest import CHECKOUT
from stock_assets_tests.documented import (
    README,
    SETTINGS,
    commands,
    pages,
    settings_page,
    shell_blocks,
)

TESTS = CHECKOUT / "stock_assets_tests"
PAGES = [*pages(), CHECKOUT / "monitor" / "README.md", CHECKOUT / "CHANGELOG.md"]
MOST_LINES = 170

RUN_BY = {
    "make run": "services/test_readme.py::test_readme_shows_what_make_run_prints",
    "make test": ".ci/run",
    "stock-assets run --source yahoo --tickers AAPL,BRK-B,^GSPC ": (
        "integration/test_yahoo_source.py::test_class_shares_and_indices_are_found_under_their_symbols"
    ),
    "stock-assets --component ": (
        "services/test_component_project.py::test_what_dg_scaffolds_is_sound_and_forecasts"
    ),
    "stock-assets ": "services/test_documented_commands.py::test_every_command_does_what_it_says",
    "dg launch ": (
        "services/test_component_project.py::test_two_instances_forecast_beside_each_other"
    ),
    "dg ": ("services/test_component_project.py::test_what_dg_scaffolds_is_sound_and_forecasts"),
    "python -m stock_assets.market.calendars ": (
        "contracts/test_calendars.py::test_another_exchange_is_added_by_the_documented_command"
    ),
    "export STOCK_ASSETS_EXECUTOR": (
        "services/test_executors.py::test_two_workers_of_celery_make_the_same"
    ),
    "export STOCK_ASSETS_CELERY": (
        "services/test_executors.py::test_two_workers_of_celery_make_the_same"
    ),
    "celery ": "services/test_executors.py::test_two_workers_of_celery_make_the_same",
    "export ": "services/test_production.py::test_two_machines_start_at_once_on_empty_databases",
    "(umask 077; ": "unit/test_docs.py::test_lines_for_the_settings_are_settings",
    "echo ": "unit/test_docs.py::test_lines_for_the_settings_are_settings",
}
"""By how a documented command begins, which test runs it; the first that fits counts."""

_FENCE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_OPTION = re.compile(r"(?<!\S)--?[a-z][a-z-]*")


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> list[str]:
    """Of the headings, as pages of repositories make them."""
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in _HEADING.findall(prose(page)))
    return [name.strip().replace(" ", "-") for name in plain]


def said_commands(page: Path) -> Iterator[str]:
    """What stands as code in a page's text and blocks: each may be a command."""
    text = page.read_text(encoding="utf-8")
    yield from _CODE.findall(_FENCE.sub("", text).replace("\n", " "))
    yield from (line for block in shell_blocks(page) for line in block)


def by_name(page: Path) -> str:
    return str(page.relative_to(CHECKOUT))


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_every_link_and_anchor_leads_somewhere(page: Path):
    dead = []
    for link in _LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.is_file() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    assert dead == []


@pytest.mark.parametrize("page", pages(), ids=by_name)
def test_no_two_headings_share_an_anchor(page: Path):
    found = anchors(page)
    assert sorted(set(found)) == sorted(found)


def test_readme_is_read_in_a_minute_and_begins_with_the_report():
    lines = README.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= MOST_LINES
    assert "](docs/report.png)" in lines[2]
    assert next(shell_blocks(README)) == ["make run", "make test"]


def test_readme_leads_to_every_page():
    linked = {link.partition("#")[0] for link in _LINK.findall(README.read_text(encoding="utf-8"))}
    assert [by_name(page) for page in pages()[1:] if by_name(page) not in linked] == []


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_every_make_target_exists(page: Path):
    known = targets()
    unknown = [
        said
        for said in said_commands(page)
        if re.match(r"make\b", said)
        for word in said.split()[1:]
        if "=" not in word and word not in known
    ]
    assert unknown == []


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_every_command_and_option_exists(page: Path):
    wrong = []
    for said in said_commands(page):
        _, ours, rest = re.sub("--component [a-zA-Z0-9_]+ ", "", said).partition("stock-assets ")
        name, *_ = rest.split() or [""]
        if not ours or not re.fullmatch(r"[a-z-]+", name):
            continue
        command = main if name.startswith("-") else main.commands.get(name)
        options = [o for p in command.params for o in p.opts] if command else []
        used = _OPTION.findall(rest.partition("$(")[0])
        if command is None or not set(used) <= {*options, "-h", "--help"}:
            wrong.append(said)
    assert wrong == []


def test_every_command_has_a_heading_and_an_example():
    page = next(page for page in pages() if page.name == "commands.md")
    examples = {line.split()[1] for block in shell_blocks(page) for line in block}
    assert examples == set(main.commands)
    assert set(main.commands) <= set(anchors(page))


def test_every_command_explains_itself_and_its_options():
    for name, command in main.commands.items():
        assert (command.help or "").endswith("."), name
        for option in command.params:
            if isinstance(option, click.Option):
                assert option.help, f"{name} {option.name}"


def test_every_documented_command_is_run_by_a_test_that_exists():
    """A new one fails here until RUN_BY says how it begins, and which test runs it."""
    for said in commands():
        test = next((run for start, run in RUN_BY.items() if said.line.startswith(start)), None)
        assert test, said
        if test == ".ci/run":
            assert said.line in (CHECKOUT / test).read_text().splitlines()
        else:
            file, _, function = test.partition("::")
            assert f"\ndef {function}(" in (TESTS / file).read_text(encoding="utf-8"), said


def test_nothing_is_said_to_be_run_that_nobody_is_told_to_run():
    lines = [said.line for said in commands()]
    assert [start for start in RUN_BY if not any(line.startswith(start) for line in lines)] == []


@pytest.mark.parametrize("page", pages(), ids=by_name)
def test_lines_for_the_settings_are_settings(page: Path, tmp_path: Path):
    """Run as they stand: the file that they write is read, and no name in it is unknown."""
    lines = [
        line
        for block in shell_blocks(page)
        for line in block
        if line.startswith(("echo ", "(umask "))
    ]
    subprocess.run(["bash", "-euc", "\n".join(lines)], cwd=tmp_path, check=True)
    written = tmp_path / ".env"
    names = [line.partition("=")[0] for line in written.read_text().splitlines()] if lines else []
    assert all(name.startswith("STOCK_ASSETS_") for name in names)
    settings = load_settings()
    given = {f"STOCK_ASSETS_{name.upper()}" for name in settings.model_fields_set}
    assert given == set(names)
    if settings.notify_urls_file:
        assert settings.notify_urls_file.stat().st_mode & 0o077 == 0
        assert len(settings.notification_urls) == 1


def test_the_page_of_settings_has_every_setting_with_its_meaning():
    assert "None" not in settings_page()
    assert SETTINGS.read_text(encoding="utf-8") == settings_page()


def test_the_layers_are_those_that_lint_enforces():
    contracts = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = [name for layer in contracts["contracts"][0]["layers"] for name in layer.split(" | ")]
    page = (CHECKOUT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = page.split("| layer | holds |")[1].split("\n\n")[0]
    said = [cell for row in table.splitlines()[2:] for cell in _CODE.findall(row.split("|")[1])]
    named = [f"stock_assets.{cell.removesuffix('.py').rstrip('/')}" for cell in said]
    assert sorted(named) == sorted(layers)
    assert named[:-4] == layers[: len(named) - 4]
