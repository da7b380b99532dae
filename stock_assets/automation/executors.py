"""Where the steps of a run are done, by the settings.

Steps hand each other nothing but what lies in the store, and each holds the dataset's lease while
it writes: of two in other processes one waits.
"""

import warnings

import dagster as dg

from stock_assets.errors import MissingLibraryError
from stock_assets.settings import Settings

_IMPORTED = "stock_assets.graph"


def executor_of(settings: Settings) -> dg.ExecutorDefinition:
    """The executor of runs that Dagster starts.

    Raises:
        MissingLibraryError: Celery is wanted and not installed.
    """
    if settings.executor == "multiprocess":
        # Steps are forks of a process that has imported what each would import for seconds.
        forks: dg.ExecutorDefinition = dg.multiprocess_executor.configured(
            {"start_method": {"forkserver": {"preload_modules": [_IMPORTED]}}}, "multiprocess"
        )
        return forks
    if settings.executor == "in_process":
        return dg.in_process_executor
    broker, backend = celery_addresses(settings)
    try:
        from dagster_celery import celery_executor
    except ImportError as error:
        raise MissingLibraryError(
            "STOCK_ASSETS_EXECUTOR=celery needs dagster-celery: pip install 'stock-assets[celery]'"
        ) from error
    # It makes its task anew for each step, of which Celery 5.7 warns.
    warnings.filterwarnings("ignore", message="Task name 'execute_plan' is already registered")
    # Here, and not in the configuration of runs, which Dagster shows.
    configured: dg.ExecutorDefinition = celery_executor.configured(
        {"broker": broker, "backend": backend}, "celery"
    )
    return configured


def celery_addresses(settings: Settings) -> tuple[str, str]:
    """Broker and backend; both may hold a password."""
    broker = settings.celery_broker_url.get_secret_value() if settings.celery_broker_url else ""
    if settings.celery_backend_url:
        return broker, settings.celery_backend_url.get_secret_value()
    return broker, broker if broker.startswith(("redis://", "rediss://")) else "rpc://"
