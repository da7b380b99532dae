"""README and docs as tests read them: their pages, and the commands that people are told to run.

`python -m stock_assets_tests.documented` writes docs/settings.md, which a test compares.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic.fields import FieldInfo

from stock_assets.settings import PREFIX, Settings
from stock_assets_tests.conftest import CHECKOUT

README = CHECKOUT / "README.md"
DOCS = CHECKOUT / "docs"
SETTINGS = DOCS / "settings.md"
_OF_SETTINGS = """# Settings

Every setting is an environment variable, or a line of a file `.env` in the checkout. Where both
are given, the variable counts. Any other name that begins with `STOCK_ASSETS_` is refused, and the
message names the nearest that exists. In [your own Dagster](component.md) each is a line of YAML.

| variable | default | meaning |
|---|---|---|
"""
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


def settings_page() -> str:
    """docs/settings.md, from the settings themselves."""
    rows = [
        f"| `{PREFIX}{name.upper()}` | {_shown(field)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    return _OF_SETTINGS + "\n".join(rows) + "\n"


def _shown(field: FieldInfo) -> str:
    """The default; nothing where it is unset, or where the meaning says what it is made of."""
    if field.default_factory or not field.default:
        return ""
    return f"`{field.default}`"


if __name__ == "__main__":
    SETTINGS.write_text(settings_page(), encoding="utf-8")
