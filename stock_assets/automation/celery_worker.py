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
# A worker that trains would else keep steps to itself that another one could do. On Redis it takes
# none before it is free; other brokers know of one at a time beside the one that is done.
app.conf.worker_disable_prefetch = _broker.startswith(("redis://", "rediss://"))
app.conf.worker_prefetch_multiplier = 1
execute_plan = create_task(app)
