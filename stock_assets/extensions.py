"""Features and families of other packages: what is installed says so by entry points.

Names are read at once, as part of what is installed; code is loaded when it is first used. This
module knows nothing of what a feature or a family is.
"""

from collections.abc import Iterable, Iterator
from functools import cache
from importlib import metadata, util
from pathlib import Path
from typing import Any

from stock_assets.errors import SettingsError

FEATURES_GROUP = "stock_assets.features"
FAMILIES_GROUP = "stock_assets.families"


@cache
def installed(group: str) -> dict[str, metadata.EntryPoint]:
    """The entry points of a group by name, ascending.

    Raises:
        SettingsError: Two packages have one of the same name.
    """
    found: dict[str, metadata.EntryPoint] = {}
    # The same package may be found twice on the path, with the same entry points.
    for entry in sorted(set(metadata.entry_points(group=group)), key=lambda one: one.name):
        if entry.name in found and found[entry.name].value != entry.value:
            raise SettingsError(
                f"two packages have a {entry.name} among {group}: {found[entry.name].value} and"
                f" {entry.value}; uninstall one of them"
            )
        found[entry.name] = entry
    return found


def names_of(group: str, taken: Iterable[str]) -> tuple[str, ...]:
    """The names of a group's entry points, ascending.

    Raises:
        SettingsError: One is no lower-case identifier, or is among `taken`.
    """
    own = set(taken)
    for name, entry in installed(group).items():
        if name in own or not name.isidentifier() or name != name.lower():
            why = "is one of ours" if name in own else "is no lower-case identifier"
            raise SettingsError(f"{name} ({entry.value}) among {group} {why}; give it another name")
    return tuple(installed(group))


@cache
def loaded(group: str, name: str) -> Any:
    """What an entry point names.

    Raises:
        SettingsError: It can't be imported.
    """
    entry = installed(group)[name]
    try:
        return entry.load()
    except (ImportError, AttributeError) as error:
        raise SettingsError(
            f"{name} among {group} can't be loaded from {entry.value}: {error}; install its package"
            " again, or uninstall it"
        ) from error


def sources(group: str) -> Iterator[tuple[str, str]]:
    """Name and text of each module of the packages that a group's entry points are in."""
    for top in sorted({entry.module.partition(".")[0] for entry in installed(group).values()}):
        spec = util.find_spec(top)
        if spec is None:
            continue  # loading it says so
        origin = Path(spec.origin or "")
        folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
        if not folders and origin.suffix == ".py":
            yield top, origin.read_text(encoding="utf-8")
        for folder in folders:
            for file in sorted(folder.rglob("*.py")):
                yield f"{top}/{file.relative_to(folder)}", file.read_text(encoding="utf-8")
