"""`stock-assets report`: a page about what is stored; and the page at the end of a run."""

from datetime import date
from pathlib import Path

from stock_assets.asset_keys import Asset
from stock_assets.automation.jobs import COMMAND_TAG, REPORT_JOB, config_of
from stock_assets.backfill.command_runs import execute_job
from stock_assets.backfill.project import Project
from stock_assets.deployment import load_partitions
from stock_assets.errors import DamagedObjectError, SettingsError
from stock_assets.forecasting.fingerprint import code_hash
from stock_assets.report.page import made_of, render
from stock_assets.resources.model_registry import ModelRegistry
from stock_assets.resources.object_store import ObjectStore, open_store
from stock_assets.resources.page_io_manager import page_object
from stock_assets.resources.report_rows import Asked, Sessions, read_report
from stock_assets.resources.seal import is_sealed
from stock_assets.settings import Settings

_NAMED = 20


def default_file(settings: Settings) -> Path:
    return settings.state_folder / "reports" / f"{settings.dataset_name}.html"


def write_report(settings: Settings, asked: Asked, file: Path | None) -> Path:
    """Makes the page of what is stored; the file that it was written to.

    Raises:
        MissingPartitionsError: No forecast of the range is stored.
        SettingsError: The file can't be written.
    """
    partitions = load_partitions(settings)
    sessions = Sessions(partitions.calendar, partitions.newest, partitions.is_live)
    with open_store(settings) as store:
        rows = read_report(settings, store, ModelRegistry(settings, store), sessions, asked)
    return _written(render(rows).encode(), file or default_file(settings))


def asked_by_run(settings: Settings, first: date, last: date) -> Asked:
    """The range of a run. Its tickers are named where a command line can hold them."""
    few = settings.wanted_tickers if len(settings.wanted_tickers) <= _NAMED else ()
    return Asked(first, last, few)


def newest_report(project: Project, asked: Asked, changed: bool) -> Path:
    """The asset in Dagster, and a copy of its page where a person finds it.

    Args:
        project: Where.
        asked: The range.
        changed: Whether anything was made since. Nothing was: a page of this range that is stored
            is taken as it is, since reading MLflow alone costs seconds.
    """
    store, key = project.store, page_object(Asset.FORECAST_REPORT)
    page = b"" if changed else _stored_page(store, key)
    if not is_page_of(page.decode(), asked):
        config = {
            "first": str(asked.first or ""),
            "last": str(asked.last or ""),
            "tickers": list(asked.tickers),
        }
        execute_job(
            project.instance,
            project.settings.code_location,
            project.definitions.resolve_job_def(project.settings.named(REPORT_JOB)),
            {COMMAND_TAG: project.command},
            run_config={
                # The command has said all of it already.
                "loggers": {"console": {"config": {"log_level": "WARNING"}}},
                **config_of(project.settings, {Asset.FORECAST_REPORT: config}),
            },
        )
        page = store.get(key)
    return _written(page, default_file(project.settings))


def _stored_page(store: ObjectStore, key: str) -> bytes:
    """Nothing where there is none, or one that is not what was stored: it is made anew."""
    try:
        page = store.get(key) if store.keys(Asset.FORECAST_REPORT) else b""
    except DamagedObjectError:
        return b""
    return page if is_sealed(key, page) else b""


def is_page_of(page: str, asked: Asked) -> bool:
    """Whether this code made a page for this range."""
    return made_of(asked.command, code_hash()) in page


def _written(page: bytes, file: Path) -> Path:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(page)
    except OSError as error:
        raise SettingsError(
            f"can't write the report to {file}: {error.strerror or error}; choose another file"
            " with -o"
        ) from error
    return file
