"""The journal of searches in every state that a kill, a full disk or a stray hand leaves it in."""

from pathlib import Path

import optuna
import pytest

from stock_assets.errors import SettingsError
from stock_assets.resources.search_journal import open_journal
from stock_assets.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, dataset="same")


def trials(settings: Settings, said: list[str]) -> int:
    """How many trials there are after one more, in the manner of a search that resumes."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=open_journal(settings, said.append), study_name="2020-01", load_if_exists=True
    )
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    return len(study.trials)


def test_a_whole_journal_resumes(settings: Settings):
    said: list[str] = []
    assert [trials(settings, said) for _ in range(2)] == [1, 2]
    (settings.studies / "same.journal").write_bytes(b"")  # a kill before its first line
    assert trials(settings, said) == 1
    assert said == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"op_code":0,"worker', "its last line is cut off"),
        (b'{"op_code":0,"worker{"op_code":4}\n{"op_code":4}\n', "delimiter"),
        (b"garb\xffage\n", "codec can't decode"),
        (b"1\n", "'int' object is not subscriptable"),
        (b"{}\n", "op_code"),
        (None, "Is a directory"),
    ],
)
def test_a_damaged_journal_is_moved_aside(settings: Settings, content: bytes | None, reason: str):
    file = settings.studies / "same.journal"
    settings.studies.mkdir(parents=True)
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content)
    said: list[str] = []
    assert [trials(settings, said) for _ in range(2)] == [1, 2]
    (line,) = said
    (aside,) = settings.studies.glob("same.journal.damaged-*")
    assert line.startswith(f"{file} can't be read (")
    assert reason in line
    assert line.endswith(f"): moved to {aside.name}, searching anew")
    assert content is None or aside.read_bytes() == content


def test_a_lock_that_a_kill_left_holds_up_nobody(settings: Settings):
    trials(settings, [])
    lock = settings.studies / "same.journal.lock"
    lock.symlink_to(settings.studies / "same.journal")
    assert trials(settings, []) == 2  # within the test's time: Optuna alone waits for 30 s
    assert not lock.is_symlink()


def test_a_folder_that_is_none_is_named(settings: Settings):
    settings.state_folder.mkdir()
    settings.studies.write_text("a file")
    with pytest.raises(SettingsError, match=r"studies.*with STOCK_ASSETS_STUDIES_FOLDER$"):
        open_journal(settings, print)
