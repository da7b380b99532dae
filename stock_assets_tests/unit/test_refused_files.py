"""What the system refuses is one line with the command that mends it."""

import re
from pathlib import Path

import pytest

from stock_assets.errors import LocalStackError
from stock_assets.local import own_folder
from stock_assets.local.own_folder import writable_state


def test_a_file_where_a_folder_belongs_is_to_be_moved_aside(tmp_path: Path):
    state = tmp_path / "var"
    state.mkdir()
    (state / "commands").write_text("")
    command = f"`mv {state}/commands {state}/commands.damaged-1` and run again"
    for path in ("commands", "commands/x.lock"):
        with pytest.raises(LocalStackError, match=re.escape(command)), writable_state(state):
            (state / path).mkdir()
    (state / "x.lock").mkdir()
    command = f"`mv {state}/x.lock {state}/x.lock.damaged-1` and run again"
    with pytest.raises(LocalStackError, match=re.escape(command)), writable_state(state):
        (state / "x.lock").open("a")


@pytest.mark.parametrize(
    ("closed", "named"),
    [("var", "var"), ("var/store", "var/store"), ("var/store/a b", "'{}/var/store/a b'")],
)
def test_the_outermost_folder_that_is_closed_is_to_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed: str, named: str
):
    file = tmp_path / "var" / "store" / "a b"
    file.parent.mkdir(parents=True)
    file.touch()

    def may(path: Path, _mode: int, *, effective_ids: bool) -> bool:
        assert effective_ids
        # Root may everything: what another user may is told here.
        return not path.is_relative_to(tmp_path / closed)

    monkeypatch.setattr(own_folder.os, "access", may)
    wanted = named.format(tmp_path) if "'" in named else f"{tmp_path}/{named}"
    with (
        pytest.raises(LocalStackError, match=re.escape(f"(`chmod -R u+rwX {wanted}`, as its")),
        writable_state(tmp_path),
    ):
        raise PermissionError(13, "Permission denied", str(file))
