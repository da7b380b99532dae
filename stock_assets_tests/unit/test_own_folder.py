"""Folders of state: their owner's, and what is not is found."""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from stock_assets.commands.doctor import _state
from stock_assets.errors import LocalStackError
from stock_assets.local.own_folder import first_unwritable, own_folder
from stock_assets.settings import Settings

NOBODY = 65_534


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that everybody can enter: those of pytest are their owner's alone."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_a_folder_is_made_for_its_owner_with_those_above_and_left_as_it_is(tmp_path: Path):
    own_folder(tmp_path / "var" / "store" / "data")
    for name in ("var", "var/store", "var/store/data"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o700
    (tmp_path / "var").chmod(0o755)
    own_folder(tmp_path / "var")
    assert stat.S_IMODE((tmp_path / "var").stat().st_mode) == 0o755


def test_doctor_names_a_file_of_another_user(home: Path):
    file = home / "var" / "mlflow" / "mlflow.db"
    file.parent.mkdir(parents=True)
    file.touch()
    file.chmod(0o444)
    for folder in (file.parent, home / "var"):
        folder.chmod(0o777)
    settings, user = Settings(home=home), os.geteuid()
    if user == 0:  # who may write everything
        os.seteuid(NOBODY)
    try:
        assert first_unwritable(home / "var") == file
        with pytest.raises(LocalStackError, match=f"^{file}: Permission denied; your user must"):
            _state(settings)
    finally:
        os.seteuid(user)
    file.chmod(0o644)
    assert _state(settings) == "dataset sample, state in var/"
