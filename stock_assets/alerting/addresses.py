"""Where pages of this machine listen now: found by what runs, on whatever port it was free."""

import psutil

from stock_assets.local.processes import HOST, own_processes
from stock_assets.settings import Settings

_PAGE_MODULE = "stock_assets.local.dagster_page"
_ADDRESS = "--web.external-url="
_COMPOSE_PROMETHEUS = f"http://{HOST}:9090"


def dagster_page(settings: Settings) -> str | None:
    """Dagster's page of `stock-assets ui` in this checkout; None while it does not run."""

    def serves(process: psutil.Process) -> bool:
        arguments = process.cmdline()
        return _PAGE_MODULE in arguments and arguments[-1].startswith(f"{settings.state_folder}/")

    ports = [process.cmdline()[-2] for process in own_processes(serves)]
    return f"http://{HOST}:{ports[0]}" if ports else None


def run_page(settings: Settings, run_id: str) -> str | None:
    """A run on that page."""
    page = dagster_page(settings)
    return f"{page}/runs/{run_id}" if page else None


def prometheus(settings: Settings) -> str:
    """Prometheus of `stock-assets monitor` in this checkout, else where containers publish it."""
    own = f"--config.file={settings.state_folder / 'monitor' / 'prometheus.yaml'}"
    for process in own_processes(lambda process: own in process.cmdline()):
        for argument in process.cmdline():
            if argument.startswith(_ADDRESS):
                return argument.removeprefix(_ADDRESS)
    return _COMPOSE_PROMETHEUS
