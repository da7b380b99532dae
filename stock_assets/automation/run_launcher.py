"""Dagster's launcher of runs, and a look whether somebody still does them: `run_launcher:`.

Run monitoring ends a run whose launcher says that nobody does it. Dagster's default launcher can't
say: a run whose code server died with it stays "started" for good, and so does one that waits for a
worker of Celery that is gone. Runs of commands are watched by their lock (`backfill.killed`).
"""

import json
import time

import dagster as dg
import psutil

from stock_assets.automation.celery_workers import NO_WORKER, look_at_workers
from stock_assets.automation.lost_steps import LOOKED_AT, submitted_steps, why_lost
from stock_assets.environment import load_settings
from stock_assets.errors import BrokerError
from stock_assets.local.dagster_private.launcher import (
    GRPC_INFO_TAG,
    CheckRunHealthResult,
    DefaultRunLauncher,
    WorkerStatus,
)
from stock_assets.local.dagster_private.runs import ConfigurableClassData
from stock_assets.local.processes import LOOPBACK

_HERE = (*LOOPBACK, "")
# Of the processes that a code server starts for runs; another one may have the number by now.
_OF_A_RUN = "multiprocessing"
_ALIVE = CheckRunHealthResult(WorkerStatus.RUNNING)


class WatchedRunLauncher(DefaultRunLauncher):
    """The default launcher; it also tells run monitoring which runs nobody does any more."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(inst_data)
        self._told: dict[str, str] = {}
        self._suspected: dict[str, str] = {}

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether the run's process lives, and somebody is at the steps that Celery was given."""
        server = run.tags.get(GRPC_INFO_TAG)
        if server is None:
            return _ALIVE  # a command's
        # Of a code server on another machine only what Celery knows can be asked.
        is_here = str(json.loads(server).get("host") or "") in _HERE
        process = self._process_of(run) if is_here else None
        if process is not None and not _does_a_run(process):
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND, f"process {process} is gone")
        lost = self._lost_step_of(run)
        # A worker that is busy may miss a question. Who misses two in a row is gone.
        before = self._suspected.pop(run.run_id, None)
        if lost and lost == before:
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND, lost)
        if lost:
            self._suspected[run.run_id] = lost
        return _ALIVE

    def _process_of(self, run: dg.DagsterRun) -> int | None:
        started = self._instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_START)
        return next((one.dagster_event.pid for one in started if one.dagster_event), None)

    def _lost_step_of(self, run: dg.DagsterRun) -> str | None:
        settings = load_settings()
        if settings.executor != "celery":
            return None
        try:
            workers = look_at_workers(settings)
        except BrokerError as error:
            self._tell(run, str(error))
            return None
        # Read after the look: a step that ends in between is over in the log.
        steps = submitted_steps(self._instance.all_logs(run.run_id, of_type=LOOKED_AT))
        if steps and not workers.busy:
            self._tell(run, NO_WORKER)
        return why_lost(steps, workers, time.time())

    def _tell(self, run: dg.DagsterRun, text: str) -> None:
        """Says it in the run's log, once until there is something else to say."""
        if self._told.get(run.run_id) != text:
            self._told[run.run_id] = text
            self._instance.report_engine_event(f"The run waits: {text}", run)


def _does_a_run(process: int) -> bool:
    try:
        found = psutil.Process(process)
        return found.status() != psutil.STATUS_ZOMBIE and any(
            _OF_A_RUN in argument for argument in found.cmdline()
        )
    except psutil.NoSuchProcess:
        return psutil.pid_exists(process)  # another user's may be hidden
    except psutil.Error:
        return True
