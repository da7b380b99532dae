import os
from datetime import date
from pathlib import Path
from typing import get_args

import pytest
from click.testing import CliRunner

from stock_assets.backfill.project import open_instance
from stock_assets.cli import main
from stock_assets.commands.init import write_files
from stock_assets.environment import load_checkout_settings, load_settings
from stock_assets.errors import SettingsError
from stock_assets.forecasting.families import FAMILIES
from stock_assets.settings import FamilyName, Settings, secret_names


def test_environment_and_dotenv_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / ".env").write_text(
        "STOCK_ASSETS_TICKERS=aapl, brk-b,^gspc,AAPL\nSTOCK_ASSETS_SEED=1\n"
    )
    monkeypatch.setenv("STOCK_ASSETS_SEED", "2")
    monkeypatch.setenv("STOCK_ASSETS_FIRST_SESSION", "2012-01-03")
    settings = load_settings()
    assert settings.tickers == ("AAPL", "BRK-B", "^GSPC")
    assert settings.seed == 2  # the environment wins
    assert settings.first_session == date(2012, 1, 3)


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("SOURCE", "bloomberg", "STOCK_ASSETS_SOURCE: Input should be 'sample', 'yahoo', 'fi"),
        (
            "TUNING_TRIALS",
            "0",
            r"STOCK_ASSETS_TUNING_TRIALS: .*greater than or equal to 1 \(got '0'",
        ),
        ("STORE_URI", "gs://x", "STOCK_ASSETS_STORE_URI: must start with s3:// or file://"),
        ("FIRST_SESSION", "01/02/2012", "STOCK_ASSETS_FIRST_SESSION: "),
        ("SOURCE", "files", "source=files needs STOCK_ASSETS_FILES_URI"),
    ],
)
def test_a_setting_that_cannot_be_used_is_one_line(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
):
    monkeypatch.setenv(f"STOCK_ASSETS_{variable}", value)
    with pytest.raises(SettingsError, match=message) as error:
        load_settings()
    assert "\n" not in str(error.value)


def test_datasets_of_other_sources_and_files_never_share_a_name():
    names = {
        load_settings().dataset_name,
        load_settings(source="yahoo").dataset_name,
        load_settings(source="files", files_uri="/a").dataset_name,
        load_settings(source="files", files_uri="/b").dataset_name,
    }
    assert len(names) == 4
    assert load_settings(dataset="mine", source="yahoo").dataset_name == "mine"


def test_the_default_threshold_grows_as_a_random_walks_error_does():
    assert load_settings().rmse_threshold == 0.04
    assert load_settings(horizon=4).rmse_threshold == 0.08
    assert load_settings(horizon=4, rmse_threshold=0.05).rmse_threshold == 0.05


def test_forecasts_of_two_horizons_never_share_a_name():
    assert load_settings(horizon=5).dataset_name == "sample-5-sessions"
    assert load_settings(dataset="mine", horizon=2).dataset_name == "mine-2-sessions"
    with pytest.raises(SettingsError, match=r"STOCK_ASSETS_HORIZON: .* less than or equal to 5"):
        load_settings(horizon=6)


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_a_password_is_never_shown_wherever_it_is_written(
    monkeypatch: pytest.MonkeyPatch, name: str
):
    """A secret's own setting, or a URL with a password in any other by mistake."""
    secret = name in secret_names()
    for value in ("hunter2", "http://me:hunter2@host/a,b", "s3://me:hunter2@bucket"):
        monkeypatch.setenv(f"STOCK_ASSETS_{name.upper()}", value)
        try:
            told = repr(load_settings()) if secret else ""
        except SettingsError as error:
            told = str(error)
        assert "me:" not in told
        assert not (secret and "hunter2" in told)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("store_uri", "s3://me:hunter2@bucket/x"),
        ("s3_endpoint_url", "http://me:hunter2@host"),
        ("files_uri", "s3://me:hunter2@bucket"),
        ("members_uri", "s3://me:hunter2@bucket"),
        ("mlflow_artifact_uri", "sftp://me:hunter2@host/x"),
        ("pushgateway_url", "http://me:hunter2@host:9091"),
    ],
)
def test_an_address_that_is_shown_takes_no_password(name: str, value: str):
    with pytest.raises(SettingsError, match=r"must have no .* \(got '\w+://\*\*\*@") as error:
        load_settings(**{name: value})
    assert "hunter2" not in str(error.value)
    kept = "s3://bucket/a@b" if "s3:" in value else "http://host/a@b"
    assert kept in repr(load_settings(source="files", **{"files_uri": "/a", name: kept}))


def test_a_tracking_server_is_one_that_mlflow_knows():
    for known in ("https://h", "postgresql+psycopg2://h/d", "postgres://h/d", "sqlite:////a/b.db",
                  "databricks", "databricks://profile"):  # fmt: skip
        assert load_settings(mlflow_tracking_uri=known).mlflow_tracking_uri
    for unknown in ("postgressql://me:hunter2@h/d", "hunter2", "htp://me:hunter2@h"):
        with pytest.raises(SettingsError, match="MLFLOW_TRACKING_URI: must be http") as error:
            load_settings(mlflow_tracking_uri=unknown)
        assert "hunter2" not in str(error.value)


def test_tickers_come_from_the_list_then_the_file_then_the_source(tmp_path: Path):
    file = tmp_path / "tickers.txt"
    file.write_text("# mine\naapl\n\nBRK-B  # class share\n^gspc\nAAPL\n")
    assert load_settings(tickers_file=file).wanted_tickers == ("AAPL", "BRK-B", "^GSPC")
    assert load_settings(tickers_file=file, tickers="ibm").wanted_tickers == ("IBM",)
    assert load_settings().wanted_tickers == ()


def test_a_ticker_file_that_names_nothing_is_refused(tmp_path: Path):
    (tmp_path / "empty.txt").write_text("# none\n")
    with pytest.raises(SettingsError, match=r"STOCK_ASSETS_TICKERS_FILE: .*names no ticker"):
        _ = load_settings(tickers_file=tmp_path / "empty.txt").wanted_tickers
    with pytest.raises(SettingsError, match=r"STOCK_ASSETS_TICKERS_FILE: can't read .*none\.txt"):
        _ = load_settings(tickers_file=tmp_path / "none.txt").wanted_tickers


def test_a_ticker_may_have_a_threshold_of_its_own(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STOCK_ASSETS_RMSE_THRESHOLD_BY_TICKER", "aapl=0.05, ^GSPC = 0.02,")
    assert load_settings().rmse_threshold_by_ticker == {"AAPL": 0.05, "^GSPC": 0.02}


@pytest.mark.parametrize("value", ["AAPL", "AAPL=", "=1", "AAPL=x", "AAPL=-1"])
def test_a_threshold_that_can_not_be_read_is_refused(monkeypatch: pytest.MonkeyPatch, value: str):
    monkeypatch.setenv("STOCK_ASSETS_RMSE_THRESHOLD_USD_BY_TICKER", value)
    with pytest.raises(SettingsError, match="STOCK_ASSETS_RMSE_THRESHOLD_USD_BY_TICKER"):
        load_settings()


def test_a_table_of_members_makes_a_dataset_of_its_own(tmp_path: Path):
    plain = load_settings(source="files", files_uri="/a")
    # Of sha256("/a"): what was stored before there were tables stays where it is.
    assert plain.dataset_name == "files-6a50dc85"
    names = {
        load_settings(source="files", files_uri="/a", members_uri=uri).dataset_name
        for uri in ("/m.csv", "/n.csv")
    }
    assert len(names | {plain.dataset_name}) == 3
    relative = load_settings(source="files", files_uri="/a", members_uri="m.csv")
    assert relative.members_uri == str(tmp_path / "m.csv")


def test_a_table_of_members_is_never_left_out_in_silence():
    with pytest.raises(
        SettingsError, match="STOCK_ASSETS_MEMBERS_URI needs STOCK_ASSETS_SOURCE=fi"
    ):
        load_settings(source="yahoo", members_uri="/m.csv")


@pytest.mark.parametrize(
    "name", ["../../escape", "a/b", "..", ".", " ", "a b", "a\n", "a\x00b", "-a", "é", "x" * 65]
)
def test_a_dataset_is_a_plain_name(name: str):
    with pytest.raises(SettingsError, match="STOCK_ASSETS_DATASET: must be a name of at most 64"):
        load_settings(dataset=name)


def test_usual_names_of_datasets_are_taken():
    for name in ("mine", "sp500-2024", "files-6a50dc85", "v1.2_b", "x" * 64):
        assert load_settings(dataset=name).dataset_name == name


def test_a_misspelt_variable_is_refused_with_the_nearest_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    (tmp_path / ".env").write_text("OTHERS_SECRET=1\nexport STOCK_ASSETS_TICKER_FILE=x\n")
    with pytest.raises(
        SettingsError,
        match=r"STOCK_ASSETS_TICKER_FILE in \.env is no .* mean STOCK_ASSETS_TICKERS_FILE\?",
    ):
        load_settings()
    (tmp_path / ".env").unlink()
    monkeypatch.setenv("STOCK_ASSETS_ZZZ", "secret")
    with pytest.raises(
        SettingsError, match="STOCK_ASSETS_ZZZ in the environment is no setting"
    ) as e:
        load_settings()
    assert "secret" not in str(e.value)
    assert "did you mean" not in str(e.value)
    monkeypatch.delenv("STOCK_ASSETS_ZZZ")
    monkeypatch.setenv("stock_assets_seed", "7")  # pydantic reads names in any case
    assert load_settings().seed == 7


def test_a_dotenv_file_that_is_no_text_is_one_line(tmp_path: Path):
    (tmp_path / ".env").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match=r"can't read .*/\.env: 'utf-8' codec can't decode"):
        load_settings()


def test_every_family_that_may_be_set_can_be_trained():
    assert list(get_args(FamilyName)) == list(FAMILIES)
    with pytest.raises(SettingsError, match="STOCK_ASSETS_MODEL_FAMILY: Input should be 'extra_tr"):
        load_settings(model_family="lstm")


def test_a_command_needs_a_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    refused = pytest.raises(SettingsError, match=r"no dagster\.yaml in .*STOCK_ASSETS_HOME to it")
    with refused:
        load_checkout_settings()
    with refused:
        load_checkout_settings(home=elsewhere)
    (elsewhere / "dagster.yaml").touch()
    assert load_checkout_settings(home=elsewhere).home == elsewhere
    # DAGSTER_HOME in somebody's profile makes no checkout of any folder that they are in.
    monkeypatch.setenv("DAGSTER_HOME", str(elsewhere))
    with refused:
        load_checkout_settings()
    with refused:
        load_checkout_settings(home=tmp_path / "misspelt")
    assert load_checkout_settings(home=tmp_path).home == tmp_path


def test_no_command_writes_where_there_is_no_checkout(tmp_path: Path):
    arguments = {
        "stage": ["train"],
        "promote": ["1"],
        "served": ["--at", "2013-03-01"],
        "score": ["--forecasts", "mine.csv"],
        "export-forecasts": ["-o", "hub"],
    }
    for name in main.commands.keys() - {"init"}:
        done = CliRunner().invoke(main, [name, *arguments.get(name, [])])
        assert (done.exit_code, done.output.count("\n")) == (1, 1), done.output
        assert done.output.startswith(f"Error: no dagster.yaml in {tmp_path}: that is no checkout")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({}, None),
        ({"HTTP_PROXY": "http://proxy:1"}, "127.0.0.1,localhost,::1"),
        (
            {"https_proxy": "http://proxy:1", "no_proxy": "a.b,localhost"},
            "a.b,localhost,127.0.0.1,::1",
        ),
        (
            {"ALL_PROXY": "http://proxy:1", "NO_PROXY": "a", "no_proxy": "b"},
            "a,b,127.0.0.1,localhost,::1",
        ),
        ({"ALL_PROXY": "http://proxy:1", "NO_PROXY": "*"}, "*"),
    ],
)
def test_proxies_are_kept_from_loopback(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], kept: str | None
):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        for spelling in (name, name.lower()):
            monkeypatch.setenv(spelling, "")  # put back after the test, whatever is set in it
            monkeypatch.delenv(spelling)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    load_settings()
    load_settings()
    assert os.environ.get("NO_PROXY") == kept
    assert os.environ.get("no_proxy") in {kept, given.get("no_proxy")}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("storage: {sqlite: {base_dir: {env: NOT_SET}}}", 'variable "NOT_SET" which is not set'),
        ("storages: {}", 'Received unexpected config entry "storages" at the root.; mend it'),
        ("storage: {", "expected the node content"),
        ("concurrency: {pools: {granularity: day}}", "Found value `day` for `granularity`"),
    ],
)
def test_a_dagster_yaml_that_can_not_be_used_is_one_line(tmp_path: Path, text: str, message: str):
    (tmp_path / "dagster.yaml").write_text(text)
    with pytest.raises(SettingsError) as error, open_instance(load_settings()):
        pass
    assert str(error.value).startswith(f"{tmp_path}/dagster.yaml: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_the_example_that_init_writes_has_every_setting_with_its_default(tmp_path: Path):
    assert list(write_files(tmp_path).values()) == [True, True, True]
    text = (tmp_path / ".env.example").read_text()
    lines = [line[2:] for line in text.splitlines() if line.startswith("# STOCK_ASSETS_")]
    assert len(lines) == len(Settings.model_fields)
    (tmp_path / ".env").write_text("\n".join(line for line in lines if not line.endswith("=")))
    assert load_settings(home=tmp_path).model_dump() == Settings(home=tmp_path).model_dump()


def test_init_leaves_what_is_there_and_says_why_it_can_not_write(tmp_path: Path):
    (tmp_path / "dagster.yaml").write_text("mine")
    assert write_files(tmp_path) == {
        "workspace.yaml": True, "dagster.yaml": False, ".env.example": True
    }  # fmt: skip
    assert (tmp_path / "dagster.yaml").read_text() == "mine"
    with pytest.raises(SettingsError, match=r"can't write .*/absent/workspace\.yaml: No such file"):
        write_files(tmp_path / "absent")
