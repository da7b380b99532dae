"""`stock-assets report`: a page about what is stored; and the page at the end of a run."""

from pathlib import Path

from stock_assets.automation.jobs import FORECAST_REPORT, REPORT_JOB
from stock_assets.commands.project import Project
from stock_assets.errors import SettingsError
from stock_assets.partitions import load_partitions
from stock_assets.report.page import render
from stock_assets.resources.model_registry import ModelRegistry
from stock_assets.resources.object_store import ObjectStore, open_store
from stock_assets.resources.page_io_manager import page_object
from stock_assets.resources.report_rows import Asked, Sessions, read_report
from stock_assets.settings import Settings


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


def materialise_report(project: Project, asked: Asked) -> Path:
    """The asset in Dagster, and a copy of its page where a person finds it."""
    config = {
        "first": str(asked.first or ""),
        "last": str(asked.last or ""),
        "tickers": list(asked.tickers),
    }
    project.definitions.resolve_job_def(REPORT_JOB).execute_in_process(
        instance=project.instance,
        run_config={
            "loggers": {"console": {"config": {"log_level": "WARNING"}}},
            "ops": {FORECAST_REPORT: {"config": config}},
        },
    )
    return copy_report(project.settings, project.store)


def copy_report(settings: Settings, store: ObjectStore) -> Path:
    return _written(store.get(page_object(FORECAST_REPORT)), default_file(settings))


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
