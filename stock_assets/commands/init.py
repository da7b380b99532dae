"""`stock-assets init`: what a folder has to hold to be run in, where there is no checkout."""

from collections.abc import Iterator
from pathlib import Path

from pydantic_core import PydanticUndefined

from stock_assets.errors import SettingsError
from stock_assets.settings import PREFIX, Settings

_SHIPPED = Path(__file__).parents[1] / "checkout"
"""Links to the checkout's own files; a wheel has copies of them."""
_EXAMPLE = """\
# Settings of `stock-assets`. Copy what you change to a file `.env` in this folder.
"""


def write_files(folder: Path) -> dict[str, bool]:
    """Writes the files that a folder lacks; each file's name, and whether it was written.

    Raises:
        SettingsError: One can't be written. Those before it stay.
    """
    return {name: _written(folder / name, text) for name, text in _files()}


def _files() -> Iterator[tuple[str, str]]:
    for name in ("workspace.yaml", "dagster.yaml"):
        yield name, (_SHIPPED / name).read_text(encoding="utf-8")
    lines = [
        f"# {field.description}\n# {PREFIX}{name.upper()}={_shown(field.default)}\n"
        for name, field in Settings.model_fields.items()
    ]
    yield ".env.example", "\n".join((_EXAMPLE, *lines))


def _shown(default: object) -> str:
    """Nothing where a setting is unset, or where its description says what it is made of."""
    unset = default in (None, (), {}, "") or default is PydanticUndefined
    return "" if unset else str(default)


def _written(file: Path, text: str) -> bool:
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except FileExistsError:
        return False
    except OSError as error:
        raise SettingsError(
            f"can't write {file}: {error.strerror}; run in a folder where you can"
        ) from error
    return True
