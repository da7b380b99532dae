"""Celery's app of the settings, for workers: `celery -A stock_assets.automation.celery_worker`.

dagster-celery's own app takes its addresses from a file, or from arguments that every user of the
machine can read.
"""

from dagster_celery.executor import CeleryExecutor
from dagster_celery.make_app import make_app
from dagster_celery.tasks import create_task

from stock_assets.automation.executors import celery_addresses
from stock_assets.environment import load_settings

_broker, _backend = celery_addresses(load_settings())
app = make_app(CeleryExecutor.for_cli(broker=_broker, backend=_backend).app_args())
execute_plan = create_task(app)
