"""`stock-assets exporter`: Dagster's health and what is due, for Prometheus, until Ctrl-C."""

import time

import click

from stock_assets.backfill.project import open_instance
from stock_assets.commands.pages import terminated_like_interrupted
from stock_assets.settings import Settings


def serve_metrics(settings: Settings, host: str, port: int) -> None:
    """Answers on `host:port` until interrupted.

    Raises:
        OSError: The port is taken.
    """
    from prometheus_client import CollectorRegistry, start_http_server

    from stock_assets.alerting.due import DueKeys
    from stock_assets.alerting.health import DagsterHealth

    with terminated_like_interrupted(), open_instance(settings) as instance:
        registry = CollectorRegistry()
        registry.register(DagsterHealth(instance, settings.dataset_name))
        registry.register(DueKeys(instance, settings))
        server, thread = start_http_server(port, addr=host, registry=registry)
        click.echo(f"http://{host}:{port}/metrics (Ctrl-C ends it)", err=True)
        try:
            # Polars has system calls go on after Ctrl-C: a wait without an end would not notice.
            while True:
                time.sleep(1)
        except KeyboardInterrupt:
            server.shutdown()
            thread.join()
            server.server_close()
