"""The program as a person runs it: what is printed, what it ends with, what is left."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from stock_assets_tests.conftest import CHECKOUT, QUICK, make_home
from stock_assets_tests.notebooks import run_notebook

COMMAND = str(Path(sys.executable).with_name("stock-assets"))
RANGE = ("--from", "2013-02-25", "--to", "2013-03-01")
KEYS = [
    "sessions", "tickers", "forecasts", "rmse_return", "rmse_return_random_walk", "skill", "dm_t",
    "rmse_usd", "rmse_usd_random_walk", "coverage", "crps", "interval_score_95", "fallback_share",
    "versions",
]  # fmt: skip


def environment(home: Path, **settings: Any) -> dict[str, str]:
    ours = {f"STOCK_ASSETS_{k}".upper(): str(v) for k, v in (QUICK | settings).items()}
    return {**os.environ, **ours, "HOME": str(home)}


def stock_assets(home: Path, *arguments: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *arguments],
        cwd=home,
        env=environment(home, **settings),
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )


def left_running(home: Path) -> list[str]:
    lines = (" ".join(p.info["cmdline"] or ()) for p in psutil.process_iter(["cmdline"]))
    return [line for line in lines if str(home) in line]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout in which `run` has been called once, with a dead proxy and without any program."""
    folder = make_home(tmp_path_factory.mktemp("checkout"))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            patch.setenv(name, "http://127.0.0.1:9")
        for name in ("NO_PROXY", "no_proxy"):
            patch.delenv(name, raising=False)
        patch.setenv("PATH", str(folder / "nothing"))
        first = stock_assets(folder, "run", *RANGE)
    assert first.returncode == 0, first.stderr
    (folder / "first.out").write_text(first.stdout)
    (folder / "first.err").write_text(first.stderr)
    return folder


def test_run_prints_forecasts_the_error_and_the_random_walks(home: Path):
    out, err = (home / "first.out").read_text(), (home / "first.err").read_text()
    assert "Forecasts of 2013-03-04 from the close of 2013-03-01" in out
    assert "2013-02-25 .. 2013-03-01: 25 forecasts of 5 tickers, 5 sessions" in out
    for word in ("AAPL", "MSFT", "random walk", "skill", "95 % interval", "Stages: prices"):
        assert word in out
    for stage in ("prices ", "features ", "training ", "forecasts ", "scores "):
        assert stage in err


def test_run_ends_with_the_report(home: Path):
    file = home / "var" / "reports" / "sample.html"
    assert f"Report: {file}\n" in (home / "first.out").read_text()
    page = file.read_text()
    assert "<h1>Forecasts of 2013-03-04</h1>" in page
    assert "stock-assets report --from 2013-02-25 --to 2013-03-01" in page
    made = file.stat().st_mtime_ns
    assert stock_assets(home, "backtest", *RANGE).returncode == 0
    assert file.stat().st_mtime_ns == made


def test_a_report_of_some_tickers_in_a_file_of_ones_own(home: Path, tmp_path: Path):
    file = tmp_path / "pages" / "mine.html"
    done = stock_assets(home, "report", "--tickers", "ibm,MSFT", "-o", str(file))
    assert (done.returncode, done.stdout) == (0, f"{file}\n"), done.stderr
    page = file.read_text()
    assert re.findall(r'<tr data-ticker="(\w+)">', page) == ["IBM", "MSFT"]
    assert "stock-assets report --tickers IBM,MSFT" in page


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--from", "2014-01-02"), "no forecast of sample is stored for 2014-01-02..; there are 2"),
        (("--tickers", "XYZ"), "no forecast of XYZ from 2013-03-01 is stored; see what is with `s"),
        (("-o", "/proc/report.html"), "can't write the report to /proc/report.html: "),
    ],
)
def test_a_report_that_cannot_be_made_is_one_line(
    home: Path, arguments: tuple[str, ...], said: str
):
    done = stock_assets(home, "report", *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: {said}")
    assert done.stderr.count("\n") == 1


def test_the_notebook_reads_what_the_run_has_stored(home: Path):
    folder = home / "docs"
    folder.mkdir()
    done = run_notebook(
        CHECKOUT / "docs" / "read.ipynb", folder, environment(home) | {"MPLBACKEND": "agg"}
    )
    folder.rmdir()  # nothing was written beside it
    assert done.returncode == 0, done.stderr
    assert "[1] <Dataset sample>\n" in done.stdout
    # The first table is of pandas: the closes of 2013-03-01 as README has them.
    assert re.search(r"^0 +AAPL +2013-03-04 +430.47 ", done.stdout, re.MULTILINE)
    # $2.65 on the close of 2013-02-07, 468.22: the days before are worth 0.56 % less by now.
    (then, now) = re.findall(r"2013-01-31 +┆ 455.49 +┆ (\d+\.\d+)", done.stdout)
    assert (float(then), float(now)) == (455.49, pytest.approx(455.49 * 468.22 / 470.87, rel=1e-6))
    assert left_running(home) == []


def test_a_second_run_does_nothing_and_says_the_same(home: Path):
    again = stock_assets(home, "run", *RANGE)
    assert again.returncode == 0
    assert "nothing to do: every partition of the range is there" in again.stderr
    assert again.stdout.splitlines()[:16] == (home / "first.out").read_text().splitlines()[:16]


def test_nothing_is_left_running_or_written_elsewhere(home: Path):
    assert left_running(home) == []
    assert {p.name for p in home.iterdir()} == {"dagster.yaml", "first.err", "first.out", "var"}


def test_backtest_prints_one_json_object_with_every_field(home: Path):
    done = stock_assets(home, "backtest", *RANGE, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert [key for key in KEYS if result.get(key) is None] == []
    assert (result["sessions"], result["tickers"], result["forecasts"]) == (5, 5, 25)
    assert list(result["coverage"]) == ["50", "80", "95"]
    assert set(result["seconds"]) == {"prices", "features", "training", "forecasts", "scores"}
    assert sorted(result["by_ticker"]) == ["AAPL", "FB", "GOOG", "IBM", "MSFT"]
    assert [key for key in KEYS if key not in result["by_ticker"]["AAPL"]] == []
    assert sum(t["forecasts"] for t in result["by_ticker"].values()) == 25
    for group in (result, *result["by_ticker"].values(), *result["by_month"].values()):
        for rule in ("expanding_normal", "ewma_normal", "split_conformal"):
            assert group["interval_baselines"][rule]["forecasts"] == group["forecasts"]
        assert (group["unscored"], group["unscored_reasons"]) == (0, {})
        assert group["coverage_with_unscored"] == group["coverage"]
    # Five sessions and forecasts a ticker are too few for error bars and tests, not for the rest.
    assert result["skill_confidence"] is result["coverage_confidence"]["95"] is None
    assert result["kupiec"]["95"] == {"tickers": 0, "rejected": 0, "expected_by_chance": 0.0}
    assert result["coverage_by_regime"] == {}
    assert [week["monday"] for week in result["worst_weeks"]] == ["2013-02-25"]
    assert len(result["worst_sessions"]) == 5
    assert result["joint"]["95"]["sd_if_independent"] is not None
    assert (result["basket"]["sessions"], result["coverage_after_gaps"]["forecasts"]) == (5, 0)
    assert result["basket"]["next"]["as_of_session"] == "2013-03-01"


def test_backtest_of_some_tickers_speaks_of_these_only(home: Path):
    done = stock_assets(home, "backtest", *RANGE, "--json", "--tickers", "ibm,MSFT")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert sorted(result["by_ticker"]) == ["IBM", "MSFT"]
    assert result["forecasts"] == 10
    assert not any(result["seconds"].values())


def test_backtest_prints_scores_by_month_and_ticker(home: Path):
    said = stock_assets(home, "backtest", *RANGE).stdout
    lines = [line.strip() for line in said.splitlines()]
    assert lines.index("By month") < lines.index("By ticker")
    assert [line.split()[1] for line in lines if line.startswith("│ 2013-")] == [
        "2013-02",
        "2013-03",
    ]


def test_forecast_shows_what_is_stored(home: Path):
    newest = json.loads(stock_assets(home, "forecast", "--json").stdout)["forecasts"]
    assert [row["ticker"] for row in newest] == ["AAPL", "FB", "GOOG", "IBM", "MSFT"]
    assert {row["target_session"] for row in newest} == {"2013-03-04"}
    table = stock_assets(home, "forecast", "--session", "2013-02-27").stdout
    assert "Forecasts of 2013-02-28 from the close of 2013-02-27" in table


def test_the_stages_by_hand_redo_the_newest_partition(home: Path):
    for stage, done in (
        ("prepare", "prepare: raw_prices, features, train_set, test_set of 2013-03-01 and 2013-03"),
        ("train", "train: tuned_model of 2013-03"),
        ("register", "register: registered_version of 2013-03"),
        ("forecast", "forecast: daily_forecast of 2013-03-01"),
        ("evaluate", "evaluate: forecast_rmse of 2013-03-01"),
    ):
        result = stock_assets(home, "stage", stage)
        assert (result.returncode, result.stdout.strip()) == (0, done), result.stderr


def test_the_doctor_finds_everything_well(home: Path):
    done = stock_assets(home, "doctor", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 0
    assert [f["part"] for f in found["findings"]] == [
        "settings", "source", "store", "objects", "registry", "dagster", "metrics", "notify",
    ]  # fmt: skip
    registry = found["findings"][4]["detail"]
    assert registry == (
        "sqlite: stock_assets_sample has 3 versions of these settings, 2 with approved point"
        " forecasts, 2 with approved intervals; 0 of other settings"
    )


def test_the_doctor_says_what_is_wrong_and_fails(home: Path):
    done = stock_assets(
        home,
        "doctor",
        store_uri="s3://elsewhere",
        s3_endpoint_url="http://127.0.0.1:9",
        s3_access_key_id="a",
        s3_secret_access_key="topsecret",
        pushgateway_url="http://127.0.0.1:9",
        notify_urls="nothing://topsecret",
    )
    assert done.returncode == 1
    assert "WRONG  notify    notification URL 1 of 1 is none that apprise knows" in done.stdout
    assert "WRONG  store" in done.stdout
    assert "WRONG  metrics   http://127.0.0.1:9: " in done.stdout
    assert "topsecret" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        (("run", "--from", "2013-03-02", "--to", "2013-03-03"), {}, "no session to run in 2013-03"),
        (("run", "--tickers", "NVDA"), {"dataset": "x"}, "the sample has no NVDA; it has AAPL"),
        (("run", "--source", "bloomberg"), {}, "--source: Input should be"),
        (("run", "--source", "files"), {}, "source=files needs STOCK_ASSETS_FILES_URI"),
        (("run",), {"dataset": "../../escape"}, "STOCK_ASSETS_DATASET: must be a name of at most"),
        (("run",), {"ticker": "IBM"}, "STOCK_ASSETS_TICKER in the environment is no setting; did"),
        (("forecast", "--session", "2012-01-03"), {}, "no forecast from 2012-01-03 is stored"),
        (("forecast",), {"dataset": "x"}, "no forecast of x is stored yet; make some"),
    ],
)
def test_a_failure_is_one_line_that_says_what_to_do(
    home: Path, arguments: tuple[str, ...], settings: dict[str, Any], message: str
):
    done = stock_assets(home, *arguments, **settings)
    assert done.returncode == 1
    assert done.stdout == ""
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith("Error: ")
    assert message in line
    assert "Traceback" not in done.stderr


def test_from_a_folder_that_is_no_checkout_nothing_is_written(tmp_path: Path):
    done = stock_assets(tmp_path, "doctor")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"Error: no dagster.yaml in {tmp_path}: that is no checkout; change to one, or set"
        " STOCK_ASSETS_HOME to it\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_stops_the_store_and_keeps_what_was_stored(tmp_path: Path):
    home = make_home(tmp_path / "home")
    # Before a stage's run, early in it, late in it: each meets other code, none may be forgotten.
    for stage, seconds in (("prices", 0.0), ("prices", 0.7), ("features", 0.5), ("features", 1.5)):
        process = subprocess.Popen(
            [COMMAND, "run", *RANGE],
            cwd=home,
            env=environment(home),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert process.stderr
        for line in process.stderr:
            if line.startswith(stage):
                break
        time.sleep(seconds)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 1
        last = err.strip().splitlines()[-1]
        assert last == "Error: interrupted; what was stored stays, run again"
        assert left_running(home) == []
    again = stock_assets(home, "run", *RANGE)
    assert again.returncode == 0, again.stderr
    assert not any(line.startswith("prices") for line in again.stderr.splitlines())


def test_dg_finds_the_definitions_sound_and_writes_nothing_at_home(tmp_path: Path):
    done = subprocess.run(
        [str(Path(COMMAND).with_name("dg")), "check", "defs"],
        cwd=CHECKOUT,
        # Without DAGSTER_HOME dg does not see that dagster.yaml switches telemetry off.
        env={**os.environ, "HOME": str(tmp_path), "DAGSTER_HOME": str(CHECKOUT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All definitions loaded successfully." in done.stdout + done.stderr
    assert [str(file) for file in tmp_path.rglob("*") if file.is_file()] == []
