"""Every knob, typed. `environment` reads them; the pure core is handed plain values instead."""

import hashlib
import math
import re
from collections.abc import Iterable
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

from pydantic import (
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from stock_assets.errors import SettingsError
from stock_assets.extensions import FAMILIES_GROUP, names_of
from stock_assets.setting_values import (
    ArtifactUri,
    ByColumn,
    ByTicker,
    DatasetName,
    OpenAddress,
    OwnFiles,
    PostgresUrl,
    StoreUri,
    TrackingUri,
)

SourceName = Literal["sample", "yahoo", "files", "http"]
_FAMILIES = (
    "extra_trees", "random_forest", "lightgbm", "hist_gradient_boosting", "ridge", "random_walk"
)  # fmt: skip
if TYPE_CHECKING:
    FamilyName = str
else:
    FamilyName = Literal[(*_FAMILIES, *names_of(FAMILIES_GROUP, _FAMILIES))]
"""A family of ours, or of a package that is installed."""

PREFIX = "STOCK_ASSETS_"
DOTENV = ".env"


def refusal(error: ValidationError) -> SettingsError:
    """Of values that can't be used: names the first one's variable, the reason and the value."""
    first = error.errors()[0]
    name = "_".join(str(part) for part in first["loc"]).upper()
    where = f"{PREFIX}{name}: " if name else ""
    reason = first["msg"].removeprefix("Value error, ")
    is_told = name and name.lower() not in secret_names()
    # A whole URL may have been written where another setting belongs.
    got = re.sub(r"://\S*@", "://***@", repr(first["input"]))
    given = f" (got {got})" if is_told else ""
    return SettingsError(f"{where}{reason}{given}")


def distinct(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip().upper() for name in names if name.strip()))


class Settings(BaseSettings):
    """What a deployment may choose. Defaults run on one machine with no network."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=DOTENV, extra="ignore", frozen=True
    )

    # --- prices
    source: SourceName = Field(
        "sample", description="Where prices come from: sample, yahoo, files or http."
    )
    second_source: SourceName | None = Field(
        None,
        description="A second vendor of the same prices, another one of these: both are asked, and"
        " held against each other; unset: none.",
    )
    tickers: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Tickers, comma-separated; unset: those of the file of tickers, else the"
        " source's own.",
    )
    tickers_file: Path | None = Field(
        None, description="A file with one ticker per line; what follows a # is left out."
    )
    files_uri: OwnFiles = Field(
        None, description="Of the files source: a file, a folder, or an s3:// prefix."
    )
    members_uri: OwnFiles = Field(
        None,
        description="Of the files source: a CSV or Parquet file (ticker, first, last) of who was a"
        " member when; unset: every ticker, always.",
    )
    http_url: SecretStr | None = Field(
        None,
        description="Of the http source: URL of one ticker's bars in CSV or JSON, with {ticker},"
        " {first}, {last} and {key}; dates take a format, {first:%Y%m%d}.",
    )
    http_key: SecretStr | None = Field(None, description="What {key} in that URL stands for.")
    http_columns: ByColumn = Field(
        {},
        description="The vendor's names of our columns, like close=Last,dividend=divCash; a number"
        " stands for itself (dividend=0). Unset: date, open, high, low, close, volume.",
    )
    http_records: str = Field(
        "", description="Where in a JSON answer the list of bars is, like data.prices."
    )
    http_adjusted: Literal["none", "splits"] = Field(
        "none",
        description="What the vendor has adjusted its prices for: none (they are as traded) or"
        " splits, which a column split_ratio must name to undo it.",
    )
    calendar: str = Field("XNYS", description="Exchange whose sessions key the assets (ISO 10383).")
    first_session: date | None = Field(None, description="First partition; default: the source's.")
    last_session: date | None = Field(None, description="Last partition, for sources that end.")
    dataset: DatasetName = Field(
        "", description="Name under which objects and models live; default: from the source."
    )

    # --- storage
    home: Path = Field(
        default_factory=Path.cwd,
        description="Folder of the checkout; its var/ holds all state. Default: the current one.",
    )
    store_uri: StoreUri = Field(
        None, description="s3://bucket/prefix or file:///folder; unset: the local SeaweedFS."
    )
    s3_endpoint_url: OpenAddress = Field(
        None, description="Address of an S3 server other than AWS."
    )
    s3_region: str = Field("us-east-1", description="Region of the bucket.")
    s3_addressing: Literal["path", "virtual"] = Field(
        "path",
        description="Where the bucket stands in addresses: path (https://server/bucket/key) or"
        " virtual (https://bucket.server/key), which some servers insist on.",
    )
    s3_encryption: Literal["AES256", "aws:kms"] | None = Field(
        None,
        description="What the server is asked to encrypt each object with: AES256 (SSE-S3) or"
        " aws:kms (SSE-KMS); unset: what the bucket does by itself.",
    )
    s3_kms_key_id: str | None = Field(
        None,
        description="Key of aws:kms, as its ID or ARN; unset: the one that the account has for S3.",
    )
    s3_access_key_id: str | None = Field(
        None, description="Access key; unset: AWS's usual chain of credentials."
    )
    s3_secret_access_key: SecretStr | None = Field(
        None, description="Secret key; unset: AWS's usual chain of credentials."
    )
    read_cache_gb: float = Field(
        4,
        ge=0,
        description="Gigabytes of disk under var/ for copies of what was read, which make long"
        " ranges quick to read; 0: none.",
    )
    local_s3_port: int = Field(8333, ge=1024, le=55000, description="Preferred port of SeaweedFS.")
    dagster_port: int = Field(
        3000, description="Preferred port of Dagster's page; the next free one if it is taken."
    )
    mlflow_port: int = Field(
        5000, description="Preferred port of MLflow's page; the next free one if it is taken."
    )
    postgres_url: PostgresUrl = Field(
        None,
        description="postgresql://user:password@host/database: Dagster's instance, MLflow's runs"
        " and versions, and the searches, each in a schema of its own; unset: files under var/.",
    )
    dagster_url: PostgresUrl = Field(
        None,
        description="Another such database for Dagster's instance alone, whose tables go where its"
        " user's tables go.",
    )
    mlflow_tracking_uri: TrackingUri = Field(
        None,
        description="A tracking server, or another such database for MLflow alone; unset: that of"
        " `postgres_url`, else SQLite under var/.",
    )
    mlflow_artifact_uri: ArtifactUri = Field(
        None,
        description="Where MLflow keeps files; unset: in the object store, or where a tracking"
        " server keeps them.",
    )

    # --- forecasts
    horizon: int = Field(
        1,
        ge=1,
        le=5,
        description="Sessions from a forecast's own to its target. Each horizon other than 1 has a"
        " dataset of its own, with its models, forecasts and scores.",
    )

    # --- training
    train_months: int = Field(36, ge=3, description="Calendar months of history a model sees.")
    min_train_sessions: int = Field(
        120, ge=30, description="A month with fewer sessions before it is left to the random walk."
    )
    test_sessions: int = Field(30, ge=5, description="Held-out sessions before a month starts.")
    model_family: FamilyName = Field(
        "extra_trees",
        description="The point model: extra_trees, random_forest, lightgbm (needs the system's"
        " libgomp), hist_gradient_boosting, ridge, random_walk, or one of a package of yours.",
    )
    retune_months: int = Field(
        3, ge=1, description="Months from a search to the next; those between use its parameters."
    )
    studies_url: PostgresUrl = Field(
        None, description="Another such database for the searches alone."
    )
    studies_folder: Path | None = Field(
        None,
        description="Folder of the searches' journals, which resume; unset: in the database, or"
        " var/studies.",
    )
    tuning_trials: int = Field(
        4, ge=1, description="Trials of a search; at most one per 10,000 rows to train on."
    )
    tuning_folds: int = Field(4, ge=2, description="Walk-forward folds of a search.")
    tuning_trees: int = Field(40, ge=1, description="Trees per forest while searching.")
    trees: int = Field(200, ge=1, description="Trees of the forest that serves.")
    sample_cap: int = Field(5_000, ge=100, description="Rows that each tree may draw.")
    seed: int = Field(20_130_301, description="Seed of everything that is drawn at random.")

    # --- runs over ranges: what one failure can lose, and what must fit into memory at once
    sessions_per_run: int = Field(
        250, ge=1, description="Sessions of one run of a backfill; about a year."
    )
    refetch_sessions: int = Field(
        5, ge=1, description="The newest sessions that the schedule `refetch` fetches again."
    )
    months_per_run: int = Field(
        12, ge=1, description="Months of one run of a backfill; each is stored when it is done."
    )

    executor: Literal["in_process", "multiprocess", "celery"] = Field(
        "in_process",
        description="Where the steps of a run that Dagster starts are done: in its process, in one"
        " for each step, or by Celery's workers on any machine. Commands do theirs in their own.",
    )
    celery_broker_url: SecretStr | None = Field(
        None, description="Celery's broker, like redis://:password@host:6379/0."
    )
    celery_backend_url: SecretStr | None = Field(
        None,
        description="Where Celery's workers leave results; unset: with a broker that is Redis"
        " there, else rpc://.",
    )

    # --- when things run by themselves
    daily_schedule: str | None = Field(
        None,
        description="Cron expression of the schedule `daily`, in the exchange's time zone; unset:"
        " every half hour from 06:30 to noon.",
    )
    monthly_schedule: str | None = Field(
        None,
        description="Cron expression of the schedule `monthly`, at other times than `daily`;"
        " unset: every half hour from 08:00 to noon.",
    )
    schedules_on: bool = Field(
        False,
        description="Whether schedules and sensors are on until turned off; else each is off until"
        " turned on in Dagster's page.",
    )

    # --- promotion and alerts
    gate_margin: float = Field(
        0.02,
        ge=0,
        description="A version must be shown to be no worse than the random walk and the champion"
        " by more than this share of mean squared error; its intervals, of CRPS (eight times of the"
        " 95 % interval score).",
    )
    rmse_window: int = Field(20, ge=2, description="Sessions of the rolling RMSE.")
    rmse_threshold: float = Field(
        # A random walk's error grows with the square root of the horizon.
        default_factory=lambda known: 0.04 * math.sqrt(known.get("horizon", 1)),
        gt=0,
        description="Rolling RMSE (log return) of a ticker above which an alert is sent; default:"
        " 0.04 times the square root of the horizon.",
    )
    rmse_threshold_usd: float | None = Field(
        None, gt=0, description="Such a limit in dollars per share; unset: dollars are not watched."
    )
    rmse_threshold_ratio: float | None = Field(
        1.1,
        gt=0,
        description="Such a limit as a multiple of the random walk's RMSE over the same window.",
    )
    rmse_threshold_by_ticker: ByTicker = Field(
        {},
        description="Limits of some tickers instead of that for all: AAPL=0.05,^GSPC=0.02; POOLED"
        " means all tickers as one.",
    )
    rmse_threshold_usd_by_ticker: ByTicker = Field(
        {}, description="Limits of some tickers in dollars."
    )
    rmse_threshold_ratio_by_ticker: ByTicker = Field(
        {}, description="Limits of some tickers as a multiple of the random walk's."
    )
    rmse_hysteresis: float = Field(
        0.1, ge=0, lt=1, description="A breach is over this share below its threshold."
    )
    rmse_recovery_sessions: int = Field(
        3, ge=1, description="Sessions in a row below it that end a breach."
    )
    retrain_cooldown_sessions: int = Field(
        5, ge=0, description="Sessions between two retrains that breaches may ask for."
    )
    forecast_due_hour: int = Field(
        9,
        ge=0,
        le=23,
        description="Hour of the day after a session, in the exchange's time zone, by which a live"
        " source's forecasts from it are due.",
    )
    most_unscored_sessions: int = Field(
        2, ge=0, description="Due sessions that may lack an RMSE before an alert is sent."
    )
    sensor_interval_seconds: int = Field(
        30, ge=1, description="Seconds between two looks of the sensor."
    )
    notify_urls: SecretStr | None = Field(
        None,
        description="Where messages go: apprise URLs, comma-separated; unset: only Dagster's page.",
    )
    notify_urls_file: Path | None = Field(
        None,
        description="A file of such URLs, one per line; a line that starts with # is a comment.",
    )
    exporter_port: int = Field(9108, description="Preferred port of `stock-assets exporter`.")
    pushgateway_url: OpenAddress = Field(
        None, description="Pushgateway that metrics are pushed to; unset: none."
    )

    @field_validator("tickers", mode="before")
    @classmethod
    def _split_tickers(cls, value: object) -> object:
        return distinct(value.split(",")) if isinstance(value, str) else value

    @field_validator("home", "tickers_file", "notify_urls_file")
    @classmethod
    def _absolute_path_of_file(cls, value: Path | None) -> Path | None:
        return value.expanduser().resolve() if value else None

    @field_validator("http_adjusted", mode="before")
    @classmethod
    def _can_be_undone(cls, value: object) -> object:
        if value == "all":
            raise ValueError(
                "prices that are adjusted for dividends too can't be turned back into prices as"
                " traded; name the vendor's unadjusted columns in STOCK_ASSETS_HTTP_COLUMNS"
            )
        return value

    @model_validator(mode="after")
    def _needs_are_met(self) -> "Settings":
        if "files" in (self.source, self.second_source) and not self.files_uri:
            raise ValueError("source=files needs STOCK_ASSETS_FILES_URI (a file, folder or s3://…)")
        if self.second_source == self.source:
            raise ValueError(
                f"STOCK_ASSETS_SECOND_SOURCE is the first one, {self.source}; name another vendor"
            )
        if self.executor == "celery" and not self.celery_broker_url:
            raise ValueError(
                "STOCK_ASSETS_EXECUTOR=celery needs STOCK_ASSETS_CELERY_BROKER_URL"
                " (redis://host:6379/0)"
            )
        if self.s3_kms_key_id and self.s3_encryption != "aws:kms":
            raise ValueError("STOCK_ASSETS_S3_KMS_KEY_ID needs STOCK_ASSETS_S3_ENCRYPTION=aws:kms")
        if self.members_uri and self.source != "files":
            raise ValueError("STOCK_ASSETS_MEMBERS_URI needs STOCK_ASSETS_SOURCE=files; unset one")
        return self

    @cached_property
    def wanted_tickers(self) -> tuple[str, ...]:
        """The tickers of the list, else of the file, else none: then the source decides.

        Raises:
            SettingsError: The file can't be read or names no ticker.
        """
        if self.tickers or self.tickers_file is None:
            return self.tickers
        path = self.tickers_file
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"STOCK_ASSETS_TICKERS_FILE: can't read {path}: {error}") from error
        tickers = distinct(line.partition("#")[0] for line in lines)
        if not tickers:
            raise SettingsError(f"STOCK_ASSETS_TICKERS_FILE: {path} names no ticker")
        return tickers

    @property
    def notification_urls(self) -> tuple[str, ...]:
        """Where to tell people, each URL a secret: of the variable, then of the file.

        Raises:
            SettingsError: The file can't be read; the message holds nothing of its content.
        """
        given = [self.notify_urls.get_secret_value()] if self.notify_urls else []
        if path := self.notify_urls_file:
            try:
                lines = path.read_text(encoding="utf-8").splitlines()
            except (OSError, UnicodeDecodeError) as error:
                raise SettingsError(
                    f"STOCK_ASSETS_NOTIFY_URLS_FILE: can't read {path}: {type(error).__name__}"
                ) from None
            # Only at a line's start: within one it is part of a URL, slack://…/#channel.
            given += [line for line in lines if not line.lstrip().startswith("#")]
        # A comma ends a URL only where another one follows: mailto://…?to=a,b is one.
        split = (re.split(r"[\s,]+(?=[A-Za-z][A-Za-z0-9+]*://)", text.strip()) for text in given)
        return tuple(url.strip(" ,") for urls in split for url in urls if url.strip(" ,"))

    @cached_property
    def dataset_name(self) -> str:
        """Prices of two sources never mix: each has its own objects, registry name and versions.

        Nor do forecasts of two horizons, nor of two tables of members.
        """
        name = self.dataset or self.source
        if not self.dataset and self.source == "files":
            given = "\n".join(filter(None, (self.files_uri, self.members_uri)))
            name = f"files-{hashlib.sha256(given.encode()).hexdigest()[:8]}"
        if not self.dataset and self.source == "http" and self.http_url:
            url = self.http_url.get_secret_value()
            name = f"http-{hashlib.sha256(url.encode()).hexdigest()[:8]}"
        return name if self.horizon == 1 else f"{name}-{self.horizon}-sessions"

    def named(self, name: str) -> str:
        """What a job, schedule, sensor, resource, group or operation of this dataset is called.

        By its bare name: a checkout has one dataset.
        """
        return name

    def spelled(self, message: str) -> str:
        """A message that names settings by their variables, in the words of whoever chose them."""
        return message

    @property
    def code_location(self) -> str:
        """What Dagster calls that which the runs of commands belong to, as in workspace.yaml."""
        return "stock_assets"

    @property
    def working_folder(self) -> Path:
        """Whose relative paths Dagster's configuration may have."""
        return self.home

    @property
    def state_folder(self) -> Path:
        """Where everything lives that this machine keeps: databases, objects, logs."""
        return self.home / "var"

    @property
    def studies(self) -> Path:
        """Folder of the searches' journals."""
        return self.studies_folder or self.state_folder / "studies"

    @property
    def uses_local_store(self) -> bool:
        return self.store_uri is None


def secret_names() -> tuple[str, ...]:
    """The settings that no message shows."""
    fields = Settings.model_fields.items()
    return tuple(name for name, field in fields if SecretStr in get_args(field.annotation))
