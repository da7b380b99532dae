"""What the system refuses is one line with the command that mends it."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from stock_assets.errors import DatabaseFileError, LocalStackError, ObjectStoreError
from stock_assets.local import own_folder
from stock_assets.local.own_folder import writable_state
from stock_assets.local.sqlite_files import refuse_unusable
from stock_assets.resources import object_store
from stock_assets.resources.object_store import ObjectStore
from stock_assets.resources.s3_connection import S3Connection
from stock_assets_tests.loopback import inbox


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


def test_a_local_server_that_cannot_give_what_it_took_has_damaged_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(object_store, "_RETRIES", 0)
    files = tmp_path / "data"
    files.mkdir()
    with inbox() as server:
        server.status = 500
        connection = S3Connection("us-east-1", server.url, "id", "secret")
        of_its_own = ObjectStore("s3://bucket/set", connection, files=files)
        with pytest.raises(ObjectStoreError) as refused:
            of_its_own.get("key")
        named = f"if that stays so, `mv {files} {files}.damaged-1` and run again: what it held"
        assert named in str(refused.value)
        Path(f"{files}.damaged-1").mkdir()
        with pytest.raises(ObjectStoreError, match=rf"`mv {files} {files}\.damaged-2`"):
            of_its_own.get("key")
        elsewhere = ObjectStore("s3://bucket/set", connection)
        with pytest.raises(ObjectStoreError, match="; `stock-assets doctor` looks into it"):
            elsewhere.get("key")
    # One that does not answer at all may be on its way back.
    with pytest.raises(ObjectStoreError, match="; `stock-assets doctor` looks into it"):
        of_its_own.get("key")


def test_a_sqlite_file_in_anothers_place_is_refused(tmp_path: Path):
    file = tmp_path / "runs.db"
    refuse_unusable(file, "do this", "runs")  # made by whom it belongs to
    with closing(sqlite3.connect(file)) as opened:
        opened.execute("create table experiments (id)")
    refuse_unusable(file, "do this", "experiments")
    said = f"{file} can't be used: it is another database, without the table runs; do this"
    with pytest.raises(DatabaseFileError, match=re.escape(said)):
        refuse_unusable(file, "do this", "runs")
