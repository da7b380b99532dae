"""Issued forecasts of a source that goes on, through all that commands and the page can do to them.

Which sessions have opened is set here, so that the test is the same at any hour of the day.
"""

import io
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner

from stock_assets.asset_keys import asset_key
from stock_assets.assets.live_metrics import LIVE_SCORE
from stock_assets.automation.jobs import DAILY_ASSETS, DAILY_JOB
from stock_assets.backfill.project import open_project, run_partitions
from stock_assets.cli import main
from stock_assets.commands.mend import mend
from stock_assets.commands.prune import prune
from stock_assets.commands.run import run
from stock_assets.deployment import load_partitions
from stock_assets.market.sessions import ExchangeCalendar, load_calendar
from stock_assets.market.sources.files import FilesSource
from stock_assets.monitoring.live_scores import LiveScore
from stock_assets.settings import Settings
from stock_assets_tests.conftest import QUICK, make_home
from stock_assets_tests.simulated_prices import simulated_bars

XNYS = load_calendar("XNYS")
TICKERS = 3
# Random walks and the normal distribution are all it takes.
NOTHING_TRAINED = {"min_train_sessions": 1000}


class Live:
    """A dataset of files that go on, with its last four sessions issued and the one before not."""

    def __init__(
        self,
        folder: Path,
        newest: date | None = None,
        history: int = 110,
        **given: Any,
    ) -> None:
        """The newest session left out: of today. `given`: settings."""
        self.prices = folder / "prices.parquet"
        self.objects = folder / "objects" / "live"
        self.home = make_home(folder / "home")
        last = newest or XNYS.last_before(datetime.now(UTC).date())
        first = XNYS.offset(last, -history)
        simulated_bars(XNYS, str(first), history + 1, TICKERS, 5).write_parquet(self.prices)
        self.settings = Settings(
            home=self.home,
            store_uri=f"file://{folder / 'objects'}",
            source="files",
            dataset="live",
            files_uri=str(self.prices),
            first_session=first,
            last_session=newest,
            **QUICK | (given or NOTHING_TRAINED),
        )
        self.newest = load_partitions(self.settings).newest
        self.sessions = [
            str(day) for day in XNYS.between(XNYS.offset(self.newest, -4), self.newest)
        ]
        self.issued = self.sessions[1:]

    def contents(self) -> dict[str, bytes]:
        return {key: self.path(key).read_bytes() for key in self.issued}

    def path(self, session: str, folder: str = "daily_forecast") -> Path:
        return self.objects / folder / f"session={session}" / "part.parquet"

    def forecast(self, session: str, folder: str = "daily_forecast") -> pl.DataFrame:
        return pl.read_parquet(io.BytesIO(self.path(session, folder).read_bytes()))

    def materialise(self, *assets: str) -> None:
        """As the page does: a job's run over a range, whatever is stored."""
        with open_project(self.settings) as project:
            keys = project.partitions.sessions.get_partition_keys()
            run_partitions(project, DAILY_JOB, assets, self.sessions, keys, 100)

    def says(self, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> dict[str, object]:
        given = self.settings.model_dump(exclude_defaults=True, exclude={"home"})
        for name, value in given.items():
            monkeypatch.setenv(f"STOCK_ASSETS_{name.upper()}", str(value))
        monkeypatch.chdir(self.home)
        done = CliRunner().invoke(main, [*arguments, "--json"])
        assert done.exit_code == 0, done.output
        found = json.loads(done.stdout)
        assert isinstance(found, dict)
        return found


@pytest.fixture
def live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Live:
    return going_on(monkeypatch, tmp_path)


def going_on(monkeypatch: pytest.MonkeyPatch, folder: Path, *given: Any, **settings: Any) -> Live:
    """A `Live` on the morning before the second session from its end opened."""
    monkeypatch.setattr(FilesSource, "last_session", lambda _: None)
    made = Live(folder, *given, **settings)
    coming = XNYS.offset(made.newest, -2)

    def opens_at(_: ExchangeCalendar, session: date) -> datetime:
        return datetime(9999 if session >= coming else 1, 1, 1, tzinfo=UTC)

    monkeypatch.setattr(ExchangeCalendar, "opens_at", opens_at)
    return made


def revise(live: Live, session: str) -> None:
    row = (pl.col("ticker") == "T000") & (pl.col("session") == date.fromisoformat(session))
    pl.read_parquet(live.prices).with_columns(
        close=pl.when(row).then(pl.col("low")).otherwise("close")
    ).write_parquet(live.prices)


def says_who_served(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    target = XNYS.next_session(live.newest)  # not over: it was issued for users to have
    found = live.says(monkeypatch, "served", "--at", str(target))
    assert (found["as_of_session"], found["record"]) == (live.issued[-1], "issued")
    assert found["issued_at"] is not None
    (served,) = found["served"]
    assert served == {
        "model": "random_walk",
        "model_version": None,
        "trained_through": None,
        "intervals_version": None,
        "tickers": ["T000", "T001", "T002"],
    }
    found = live.says(monkeypatch, "served", "--at", live.issued[0])
    assert (found["record"], found["issued_at"]) == ("hindsight", None)
    with open_project(live.settings) as project:
        event = project.instance.get_latest_materialization_event(
            asset_key("live", "forecast_rmse")
        )
    assert event
    assert event.asset_materialization
    score = LiveScore.of(event.asset_materialization.metadata[LIVE_SCORE].value)
    assert score.pooled.issued_share == 0.75  # of the four targets, as above


def test_an_issued_forecast_outlives_everything_to_the_byte(
    live: Live, monkeypatch: pytest.MonkeyPatch
):
    first = XNYS.offset(live.newest, -3)
    result = run(live.settings, first, live.newest)
    # Targets: the first of them was forecast in hindsight, the other three by issued forecasts.
    assert result["scored"] == {"issued": 3 * TICKERS, "hindsight": TICKERS}
    assert live.forecast(live.sessions[0])["issued_at"].to_list() == [None] * TICKERS
    numbers = [
        live.forecast(session)["record_number"].unique().to_list() for session in live.issued
    ]
    assert numbers == [[1], [2], [3], [4]]
    before = live.contents()
    verified = live.says(monkeypatch, "verify")
    assert (verified["ok"], verified["issued"], verified["last_session"]) == (
        True,
        4,
        live.issued[-1],
    )
    assert json.loads((live.objects / "record" / "head.json").read_text()) == {
        "number": 4,
        "last_session": live.issued[-1],
        "last_hash": verified["head"],
    }

    says_who_served(live, monkeypatch)

    # The page: the same sessions once more.
    live.materialise("daily_forecast")
    assert live.contents() == before
    beside = live.forecast(live.issued[0], "hindsight_forecast")
    assert beside["record_hash"].to_list() == [None] * TICKERS
    assert not live.path(live.sessions[0], "hindsight_forecast").exists()

    # Prices are revised: as `refetch` does, then what depends on them, then everything.
    revise(live, live.issued[1])
    live.materialise("raw_prices", "features")
    live.materialise(*DAILY_ASSETS)
    run(live.settings, first, live.newest, fresh=True)
    after = live.contents()
    assert {key: after[key] for key in live.issued} == {key: before[key] for key in live.issued}
    revised = live.forecast(live.issued[1], "hindsight_forecast")
    assert revised["close_usd"][0] != live.forecast(live.issued[1])["close_usd"][0]

    # What else is damaged is mended.
    features = live.objects / "features" / f"session={live.issued[2]}" / "part.parquet"
    features.write_bytes(b"garbage")
    assert "1 were damaged" in mend(live.settings)
    prune(live.settings, 1)
    run(live.settings, first, live.newest)
    after = live.contents()
    assert {key: after[key] for key in live.issued} == {key: before[key] for key in live.issued}
    assert live.says(monkeypatch, "verify", "--kept", str(verified["head"]))["ok"]

    found = live.says(monkeypatch, "reconcile")
    assert (found["sessions"], found["forecasts"]) == (4, 4 * TICKERS)
    differences = {(row["as_of_session"], row["ticker"]): row for row in found["differences"]}
    of_revision = differences[live.issued[1], "T000"]
    assert of_revision["cause"] == "revision"
    assert of_revision["because"].startswith(f"T000 of {live.issued[1]}: close ")
    assert (live.issued[0], "T000") not in differences  # of before the revised bar
    assert {row["cause"] for row in differences.values()} == {"revision"}
    after = live.contents()
    assert {key: after[key] for key in live.issued} == {key: before[key] for key in live.issued}
