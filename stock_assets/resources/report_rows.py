"""What the forecast report is made of, read from the store and from MLflow."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import polars as pl

from stock_assets.asset_keys import Asset
from stock_assets.errors import MissingPartitionsError
from stock_assets.forecasting.evaluation import SCORE_SCHEMA
from stock_assets.forecasting.fingerprint import code_hash
from stock_assets.forecasting.forecast_schema import FORECAST_SCHEMA
from stock_assets.forecasting.promotion import ModelVersion
from stock_assets.market.months import months_before
from stock_assets.market.plausibility import JUDGING_SESSIONS, judge_bars
from stock_assets.market.sessions import ExchangeCalendar
from stock_assets.monitoring.live_scores import live_scores
from stock_assets.report.fans import SESSIONS as FAN_SESSIONS
from stock_assets.report.rows import About, ReportRows
from stock_assets.resources.alert_settings import rules_of, thresholds_of
from stock_assets.resources.model_registry import ModelRegistry
from stock_assets.resources.model_settings import settings_key
from stock_assets.resources.object_store import ObjectStore, StoredObject
from stock_assets.resources.partition_objects import stored_partitions
from stock_assets.resources.price_history import PriceHistory
from stock_assets.resources.read_cache import read_rows
from stock_assets.resources.stored_values import read_values
from stock_assets.settings import Settings

_MONTHS = 6
_MOST_FORECASTS = 1_000_000
"""Of 5,000 tickers some 200 sessions: more would take minutes and gigabytes, and show no more."""
_MOST_GRIDS = 100_000
_NO_QUANTILES = {n: t for n, t in FORECAST_SCHEMA.items() if n != "quantile_returns"}
_IMPORTANCE_FILE = "importance.json"


@dataclass(frozen=True)
class Asked:
    """What a report is to be of; what is left out has a default.

    Args:
        first: First target session; else the newest month's and the five before it.
        last: Last target session; else the newest there is.
        tickers: Else those of the settings, else every ticker with a forecast.
    """

    first: date | None = None
    last: date | None = None
    tickers: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        options = {"--from": self.first, "--to": self.last, "--tickers": ",".join(self.tickers)}
        given = (f"{name} {value}" for name, value in options.items() if value)
        return " ".join(["stock-assets report", *given])


@dataclass(frozen=True)
class Sessions:
    """A deployment's calendar, the newest session due by now, and whether more will come."""

    calendar: ExchangeCalendar
    newest_due: date
    goes_on: bool


def read_report(
    settings: Settings,
    store: ObjectStore,
    registry: ModelRegistry,
    sessions: Sessions,
    asked: Asked,
) -> ReportRows:
    """Rows of the range that are stored.

    Raises:
        MissingPartitionsError: No forecast is stored for it, or none of the tickers.
    """
    calendar, horizon = sessions.calendar, settings.horizon
    wanted = asked.tickers or settings.wanted_tickers
    due = min(sessions.newest_due, asked.last or sessions.newest_due)
    forecast = _stored_forecasts(settings, store, due, asked)
    newest = date.fromisoformat(max(forecast))
    tickers = read_rows(store, [forecast[str(newest)]], "ticker").height or 1
    first = asked.first or months_before(newest, _MONTHS - 1)
    targets = calendar.between(first, max(due, newest))
    shown = targets[-max(_MOST_FORECASTS // tickers, 1) :]
    as_of = calendar.offset(shown[0], -horizon)
    forecasts = _of_tickers(
        _read(store, [o for k, o in forecast.items() if k >= str(as_of)], _NO_QUANTILES), wanted
    )
    if forecasts.is_empty():
        raise MissingPartitionsError(
            f"no forecast of {', '.join(wanted[:5]) or settings.dataset_name} from {newest} is"
            f" stored; see what is with `stock-assets forecast`"
        )
    of_grids = [o for k, o in forecast.items() if k >= str(as_of)]
    of_grids = of_grids[-max(_MOST_GRIDS // tickers, 1) :]
    score = stored_partitions(store, Asset.FORECAST_RMSE, "session", str(shown[0]))
    scored = [o for k, o in score.items() if k <= str(shown[-1])]
    scores = _of_tickers(_read(store, scored, SCORE_SCHEMA), wanted)
    registered = _json_values(store, Asset.REGISTERED_VERSION, newest)
    about = About(
        settings.dataset_name,
        datetime.now(UTC),
        horizon,
        settings.rmse_window,
        due,
        sessions.goes_on,
        shown,
        len(targets) - len(shown),
        code_hash(),
        settings_key(settings),
        asked.command,
    )
    return ReportRows(
        about,
        forecasts,
        _of_tickers(
            read_rows(store, of_grids, "ticker", "target_session", "quantile_returns"), wanted
        ),
        scores,
        _of_tickers(_bars(store, calendar, as_of, shown[-1]), wanted),
        _of_tickers(_returns(store, newest), wanted),
        registered,
        _json_values(store, Asset.TUNED_MODEL, newest),
        *_from_registry(registry, registered),
        {
            score.session: score.readings()
            for score in live_scores(
                scores, settings.dataset_name, sorted(scores["session"].unique())
            )
        },
        thresholds_of(settings),
        rules_of(settings),
    )


def _stored_forecasts(
    settings: Settings, store: ObjectStore, due: date, asked: Asked
) -> dict[str, StoredObject]:
    """By session forecast from; those whose target is past the range are left out but the next."""
    every = stored_partitions(store, Asset.DAILY_FORECAST)
    stored = {key: found for key, found in every.items() if key <= str(due)}
    if not stored or (asked.first and max(stored) < str(asked.first)):
        there = f"there are {min(every)}..{max(every)}" if every else "there is none"
        raise MissingPartitionsError(
            f"no forecast of {settings.dataset_name} is stored for"
            f" {asked.first or ''}..{asked.last or ''}; {there}; make some with `stock-assets run`"
        )
    return stored


def _read(store: ObjectStore, objects: list[StoredObject], schema: Any) -> pl.DataFrame:
    return read_rows(store, objects, *schema) if objects else pl.DataFrame(schema=schema)


def _of_tickers(rows: pl.DataFrame, wanted: tuple[str, ...]) -> pl.DataFrame:
    return rows.filter(pl.col("ticker").is_in(wanted)) if wanted else rows


def _bars(store: ObjectStore, calendar: ExchangeCalendar, first: date, last: date) -> pl.DataFrame:
    """Stored bars with the verdict of those before them, and enough of them for a fan."""
    before = calendar.between(calendar.first, first)[-(JUDGING_SESSIONS + FAN_SESSIONS) :]
    bars = PriceHistory(store).bars([*before, *calendar.between(first, last)[1:]])
    judged = judge_bars(bars, calendar).select("ticker", "session", judged="quarantine_reason")
    return bars.join(judged, on=["ticker", "session"], how="left").with_columns(
        quarantine_reason=pl.coalesce("quarantine_reason", pl.col("judged").cast(pl.String))
    )


def _returns(store: ObjectStore, newest: date) -> pl.DataFrame:
    stored = stored_partitions(store, Asset.FEATURES)
    known = [one for key, one in stored.items() if key <= str(newest)]
    return read_rows(store, known, "ticker", "session", "return_1d")


def _json_values(store: ObjectStore, asset: str, newest: date) -> dict[str, dict[str, Any]]:
    """Values by month, up to that of the newest forecast."""
    stored = {k: o for k, o in stored_partitions(store, asset).items() if k <= str(newest)}
    values = read_values(store, [one.path for one in stored.values()], dict)
    return dict(zip(stored, values, strict=True))


def _from_registry(
    registry: ModelRegistry, registered: dict[str, dict[str, Any]]
) -> tuple[Sequence[ModelVersion], pl.DataFrame]:
    """The versions with their promotions, and what the newest one's model listens to."""
    importance = pl.DataFrame(schema={"feature": pl.String(), "mse_increase": pl.Float64()})
    runs = [value["mlflow_run_id"] for value in registered.values() if value["mlflow_run_id"]]
    if not runs:
        return [], importance
    versions = registry.versions()
    with registry.tracking.client():
        import mlflow
        from mlflow.exceptions import MlflowException

        try:
            found = mlflow.artifacts.load_dict(f"runs:/{runs[-1]}/{_IMPORTANCE_FILE}")
        except (MlflowException, OSError, ValueError):
            # It is the random walk's, or somebody deleted the run: the page goes without.
            return versions, importance
    return versions, pl.DataFrame(found, schema=importance.schema)
