"""The order in which months are trained and stored; what training does is tested elsewhere."""

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from stock_assets.assets import studies as body
from stock_assets.forecasting.features import build_features
from stock_assets.forecasting.splits import labelled_rows
from stock_assets.forecasting.study import SkippedMonth, Study
from stock_assets.local.locks import one_at_a_time
from stock_assets.market.sessions import load_calendar
from stock_assets.settings import Settings
from stock_assets_tests.conftest import QUICK
from stock_assets_tests.simulated_prices import Law, simulated_bars

SECONDS = 20
ANY: Any = None


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def studies(settings: Settings, months: list[str]) -> list[str]:
    frames: Any = dict.fromkeys(months)
    return [s.month for s in body.studies(*given(settings, frames))]


def given(settings: Settings, frames: Any) -> Any:
    """Arguments of `studies`: a log that nobody reads, and nobody who trains elsewhere."""
    context = SimpleNamespace(log=logging.getLogger(__name__))
    return context, settings, str, ANY, ANY, frames, frames, nullcontext


def replace_training(
    monkeypatch: pytest.MonkeyPatch, train: Callable[[str], Callable[[], SkippedMonth]]
) -> None:
    def train_or_reuse(*arguments: Any):
        return train(arguments[-3])

    monkeypatch.setattr(body, "train_or_reuse", train_or_reuse)


def test_a_month_is_stored_while_the_next_is_trained(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    second_begun = threading.Event()

    def train(month: str) -> Callable[[], SkippedMonth]:
        if month == "2020-03":
            second_begun.set()

        def store() -> SkippedMonth:
            assert second_begun.wait(SECONDS)
            return SkippedMonth(month, "", {})

        return store

    replace_training(monkeypatch, train)
    assert studies(settings, ["2020-03", "2020-02"]) == ["2020-02", "2020-03"]


def test_a_month_that_fails_leaves_those_before_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    def train(month: str) -> Callable[[], SkippedMonth]:
        if month == "2020-03":
            raise RuntimeError("on purpose")
        return lambda: SkippedMonth(month, "", {})

    replace_training(monkeypatch, train)
    frames: Any = dict.fromkeys(["2020-02", "2020-03"])
    found = body.studies(*given(settings, frames))
    assert next(found).month == "2020-02"
    with pytest.raises(RuntimeError, match="on purpose"):
        next(found)


def test_what_cannot_be_stored_fails_the_run(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    def train(_month: str) -> Callable[[], SkippedMonth]:
        def store() -> SkippedMonth:
            raise RuntimeError("MLflow is away")

        return store

    replace_training(monkeypatch, train)
    with pytest.raises(RuntimeError, match="MLflow is away"):
        studies(settings, ["2020-02"])


def test_months_and_the_machine_are_free_again_however_slow_the_reader_is(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    """A command that waits for them may hold the right to write that the reader waits for."""
    held: list[str] = []

    @contextmanager
    def once(month: str) -> Iterator[None]:
        held.append(month)
        yield
        held.remove(month)

    replace_training(monkeypatch, lambda month: lambda: SkippedMonth(month, "", {}))
    months = ["2020-02", "2020-03", "2020-04", "2020-05", "2020-06", "2020-07", "2020-08"]
    found = body.studies(*given(settings, dict.fromkeys(months))[:-1], once)
    assert next(found).month == months[0]

    def train_another() -> None:
        with one_at_a_time(settings, f"training-{settings.dataset_name}"):
            assert held == []

    with ThreadPoolExecutor(1) as pool:
        pool.submit(train_another).result(SECONDS)
    assert [study.month for study in found] == months[1:]


class Logged:
    """MLflow, but for the waiting: it finds nothing and keeps what it is given."""

    def __init__(self) -> None:
        self.logged: list[tuple[Study, bytes]] = []

    def find(self, *_: Any) -> None:
        return None

    def log(self, study: Study, trained: Any, example: Any, _in_place_of: None) -> dict[str, str]:
        self.logged.append((study, trained.model.predict(example).tobytes()))
        return {"mlflow_run_id": study.month, "mlflow_model_id": study.fingerprint}


def test_months_side_by_side_are_those_one_after_the_other_to_the_last_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    calendar = load_calendar("XNYS")
    bars = simulated_bars(calendar, "2019-01-02", 420, 8, seed=2, law=Law(signal=0.25))
    rows = labelled_rows(build_features(bars, calendar), calendar)
    cuts = {f"2021-{n:02d}": 200 + 20 * n for n in range(1, 6)}
    days = rows["session"].unique().sort().to_list()
    train = {m: rows.filter(pl.col("session") < days[n - 21]) for m, n in cuts.items()}
    test = {
        m: rows.filter(pl.col("session").is_between(days[n - 20], days[n])) for m, n in cuts.items()
    }
    found = []
    for cores in (1, 3):
        monkeypatch.setattr("os.cpu_count", lambda cores=cores: cores)
        logged: Any = Logged()
        context: Any = SimpleNamespace(log=logging.getLogger("studies"))
        settings = Settings(home=tmp_path / str(cores), **QUICK)
        lender = dict.fromkeys(cuts, "2021-01") | dict.fromkeys(["2021-04", "2021-05"], "2021-04")
        arguments = (context, settings, lender.__getitem__, logged, ANY, train, test, nullcontext)
        made = list(body.studies(*arguments))
        assert [s.month for s in made] == list(cuts)
        logged.logged.sort(key=lambda one: one[0].month)  # each as soon as it is trained
        found.append((made, logged.logged))
    assert found[0] == found[1]
    params_from = [s.params_from for s in found[0][0]]
    assert params_from == ["2021-01", "2021-01", "2021-01", "2021-04", "2021-04"]
    assert any(s.slope > 0 for s in found[0][0])
