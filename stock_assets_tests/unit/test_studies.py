"""The order in which months are trained and stored; what training does is tested elsewhere."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stock_assets.assets import study
from stock_assets.settings import Settings

SECONDS = 20


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def studies(settings: Settings, months: list[str]) -> list[str]:
    frames: Any = dict.fromkeys(months)
    nothing: Any = None
    return [s["month"] for s in study.studies(nothing, settings, nothing, frames, frames)]


def replace_training(
    monkeypatch: pytest.MonkeyPatch, train: Callable[[str], Callable[[], dict[str, Any]]]
) -> None:
    def train_or_reuse(*arguments: Any):
        return train(arguments[-3])

    monkeypatch.setattr(study, "train_or_reuse", train_or_reuse)


def test_a_month_is_stored_while_the_next_is_trained(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    second_begun = threading.Event()

    def train(month: str) -> Callable[[], dict[str, Any]]:
        if month == "2020-03":
            second_begun.set()

        def store() -> dict[str, Any]:
            assert second_begun.wait(SECONDS)
            return {"month": month}

        return store

    replace_training(monkeypatch, train)
    assert studies(settings, ["2020-03", "2020-02"]) == ["2020-02", "2020-03"]


def test_a_month_that_fails_leaves_those_before_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    def train(month: str) -> Callable[[], dict[str, Any]]:
        if month == "2020-03":
            raise RuntimeError("on purpose")
        return lambda: {"month": month}

    replace_training(monkeypatch, train)
    frames: Any = dict.fromkeys(["2020-02", "2020-03"])
    nothing: Any = None
    found = study.studies(nothing, settings, nothing, frames, frames)
    assert next(found)["month"] == "2020-02"
    with pytest.raises(RuntimeError, match="on purpose"):
        next(found)


def test_what_cannot_be_stored_fails_the_run(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    def train(_month: str) -> Callable[[], dict[str, Any]]:
        def store() -> dict[str, Any]:
            raise RuntimeError("MLflow is away")

        return store

    replace_training(monkeypatch, train)
    with pytest.raises(RuntimeError, match="MLflow is away"):
        studies(settings, ["2020-02"])
