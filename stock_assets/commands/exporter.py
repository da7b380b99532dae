"""`stock-assets exporter`: Dagster's health and what is due, for Prometheus, until Ctrl-C."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import click

from stock_assets.backfill.project import open_instance
from stock_assets.commands.pages import terminated_like_interrupted
from stock_assets.local.processes import HOST
from stock_assets.settings import Settings

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication


def serve_metrics(settings: Settings, host: str, port: int) -> None:
    """Answers on `host:port`, and on loopback where links of alerts lead, until interrupted.

    Raises:
        OSError: The port is taken.
    """
    from prometheus_client import CollectorRegistry, make_wsgi_app

    from stock_assets.alerting.due import DueKeys
    from stock_assets.alerting.health import DagsterHealth
    from stock_assets.alerting.site import Site

    with terminated_like_interrupted(), open_instance(settings) as instance, ExitStack() as stack:
        registry = CollectorRegistry()
        registry.register(DagsterHealth(instance, settings.dataset_name))
        registry.register(DueKeys(instance, settings))
        names = (host, socket.gethostname())
        site = Site(settings, instance, make_wsgi_app(registry), names)
        for address in _addresses(host):
            stack.enter_context(_serving(site, address, port))
        click.echo(f"http://{host}:{port}/metrics (Ctrl-C ends it)", err=True)
        try:
            # Polars has system calls go on after Ctrl-C: a wait without an end would not notice.
            while True:
                time.sleep(1)
        except KeyboardInterrupt:
            return


def _addresses(host: str) -> list[str]:
    """Loopback too, unless the given address is or contains it."""
    try:
        given = ip_address(host)
        alone = given.is_loopback or given.is_unspecified
    except ValueError:
        alone = host == "localhost"
    return [host] if alone else [host, HOST]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Prometheus asks every minute."""


@contextmanager
def _serving(site: "WSGIApplication", host: str, port: int) -> Iterator[None]:
    server_class = _Server6 if ":" in host else _Server
    with make_server(host, port, site, server_class, _Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
