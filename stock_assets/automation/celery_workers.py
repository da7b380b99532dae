"""What Celery's workers are at: asked by run monitoring and by `stock-assets doctor`.

A worker must be one of Celery's usual kind, whose main process answers while a child does a step.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stock_assets.automation.executors import celery_addresses
from stock_assets.errors import BrokerError
from stock_assets.settings import Settings

QUEUE = "dagster"
_ANSWER_SECONDS = 2.0
_CONNECT_SECONDS = 5.0
_START = "celery --app stock_assets.automation.celery_worker worker --queues dagster"
NO_WORKER = f"no worker of Celery answers; start one: {_START}"


@dataclass(frozen=True)
class CeleryWorkers:
    """What was seen at one look.

    `busy`: by the name of each worker that answered, the processes that do a step.
    `waiting`: steps that the queue or a worker keeps until there is room.
    """

    busy: Mapping[str, Sequence[int]]
    waiting: int


def look_at_workers(settings: Settings) -> CeleryWorkers:
    """Asks the broker and all workers.

    Raises:
        BrokerError: The broker does not answer; the message has no password.
    """
    from celery import Celery
    from kombu.exceptions import ChannelError, OperationalError

    broker, _ = celery_addresses(settings)
    limits = {"socket_connect_timeout": _CONNECT_SECONDS, "socket_timeout": _CONNECT_SECONDS}
    app = Celery("look", broker=broker, broker_transport_options=limits)
    try:
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, timeout=_CONNECT_SECONDS)
            # In the order in which a step goes from one to the next, so that none is overlooked.
            try:
                waiting = connection.default_channel.queue_declare(QUEUE, passive=True)
                queued = int(waiting.message_count)
            except ChannelError:
                queued = 0  # Redis has no queue that is empty
            inspect = app.control.inspect(timeout=_ANSWER_SECONDS, connection=connection)
            reserved: dict[str, list[Any]] = inspect.reserved() or {}
            active: dict[str, list[Any]] = inspect.active() or {}
    except (OperationalError, OSError) as error:
        raise BrokerError(
            f"the broker {connection.as_uri()} of STOCK_ASSETS_CELERY_BROKER_URL does not answer"
            f" ({_first_line(error)}); start it, or mend the URL"
        ) from None
    finally:
        app.close()
    busy = {
        name: [int(task["worker_pid"]) for task in tasks if task.get("worker_pid")]
        for name, tasks in active.items()
    }
    # A step that was taken out of the queue and is not begun yet has no process.
    unbegun = sum(not task.get("worker_pid") for tasks in active.values() for task in tasks)
    return CeleryWorkers(busy, queued + sum(map(len, reserved.values())) + unbegun)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
