"""README and docs as tests read them: their pages, and the commands that people are told to run."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stock_assets_tests.conftest import CHECKOUT

README = CHECKOUT / "README.md"
DOCS = CHECKOUT / "docs"
_SHELL = re.compile(r"^( *)```sh\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_REMARK = re.compile(r"(^|\s{2,})#.*")


@dataclass(frozen=True)
class Command:
    """One line of a block of shell commands, and the page that it stands on."""

    page: Path
    line: str


def pages() -> list[Path]:
    """README first, then the pages of docs by name."""
    return [README, *sorted(DOCS.glob("*.md"))]


def shell_blocks(page: Path) -> Iterator[list[str]]:
    """The commands of each block, without remarks, indentation and empty lines."""
    for _, text in _SHELL.findall(page.read_text(encoding="utf-8")):
        lines = (_REMARK.sub("", line).strip() for line in text.splitlines())
        yield [line for line in lines if line]


def commands() -> list[Command]:
    """Every command of every page, in their order."""
    return [
        Command(page, line) for page in pages() for block in shell_blocks(page) for line in block
    ]
