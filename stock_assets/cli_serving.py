"""The commands that serve until Ctrl-C, and the one that ends what they left."""

import errno

import click

from stock_assets.cli_options import OneLineGroup, checkout_settings, chosen_settings, reported

serving = OneLineGroup()
"""Its commands are those of `stock-assets`, too."""


@serving.command()
@reported
def ui() -> None:
    """Dagster's and MLflow's pages on this machine, until Ctrl-C."""
    from stock_assets.commands.pages import serve_pages

    serve_pages(checkout_settings())


@serving.command()
@click.option("--host", default="127.0.0.1", help="Address to listen on.", show_default=True)
@click.option(
    "--port", type=int, help="Port to listen on (default: STOCK_ASSETS_EXPORTER_PORT, 9108)."
)
@reported
def exporter(host: str, port: int | None) -> None:
    """Dagster's health for Prometheus to scrape, until Ctrl-C."""
    from stock_assets.commands.exporter import serve_metrics

    settings = chosen_settings()
    port = port or settings.exporter_port
    try:
        serve_metrics(settings, host, port)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise click.ClickException(f"{host}:{port} is taken; give another with --port") from error


@serving.command()
@reported
def monitor() -> None:
    """Prometheus, Pushgateway, Alertmanager and the exporter on this machine, until Ctrl-C."""
    from stock_assets.commands.monitor import serve_monitor

    serve_monitor(checkout_settings())


@serving.command()
@reported
def down() -> None:
    """Ends pages and monitor, and what a killed run, page or monitor left behind."""
    from stock_assets.commands.down import stop_all

    stopped = stop_all(checkout_settings())
    click.echo(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")
