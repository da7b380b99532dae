"""The `stock-assets` command: reads arguments and calls `commands`.

Results go to standard output, progress and logs to standard error.
"""

import errno
import os
import sys
import warnings
from datetime import datetime
from pathlib import Path

import click

from stock_assets.cli_options import (
    DATE,
    day,
    print_found,
    print_json,
    range_options,
    reported,
    settings_of,
)
from stock_assets.environment import load_checkout_settings


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def main() -> None:
    """Daily stock forecasts as Dagster assets. docs/settings.md lists the settings."""
    # Dagster marks parts that we use as beta; one line per part and process hides real warnings.
    warnings.filterwarnings("ignore", message=r".*is currently in (beta|preview)")
    # Fewer, larger writes to Dagster's database: a fifth less time per partition.
    os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", "500")


@main.command()
@range_options
@reported
def run(
    first: datetime | None,
    last: datetime | None,
    source: str | None,
    tickers: str | None,
    as_json: bool,
    fresh: bool,
) -> None:
    """Makes what is due of a range: prices, features, models, forecasts, errors; and a report."""
    from stock_assets.commands.run import run as run_range
    from stock_assets.commands.run import show
    from stock_assets.commands.tables import forecast_rows

    result = run_range(settings_of(source, tickers), day(first), day(last), fresh, report=True)
    if as_json:
        print_json(result | {"newest_forecasts": forecast_rows(result["newest_forecasts"])})
    else:
        show(result)
        click.echo(f"Report: {result['report']}")
        click.echo("Pages: `make ui` (Dagster and MLflow). More: `stock-assets --help`, README.md.")


@main.command()
@range_options
@click.option("--family", help="Point model, such as ridge; each has versions of its own.")
@reported
def backtest(
    first: datetime | None,
    last: datetime | None,
    source: str | None,
    tickers: str | None,
    as_json: bool,
    fresh: bool,
    family: str | None,
) -> None:
    """Makes what is due of a range and prints its scores by month and ticker."""
    from stock_assets.commands.run import run as run_range
    from stock_assets.commands.tables import print_table, score_lines, score_table

    result = run_range(settings_of(source, tickers, family), day(first), day(last), fresh)
    del result["newest_forecasts"]
    if as_json:
        print_json(result)
        return
    print_table(score_table("month", result["by_month"]))
    print_table(score_table("ticker", result["by_ticker"]))
    click.echo("\n".join(score_lines(result)))


@main.command()
@click.option("--session", type=DATE, help="Forecast from this session's close (default: newest).")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@reported
def forecast(session: datetime | None, as_json: bool) -> None:
    """The newest stored forecasts, as a table."""
    from stock_assets.commands.forecast import stored_forecasts
    from stock_assets.commands.tables import forecast_rows, forecast_table, print_table

    forecasts = stored_forecasts(load_checkout_settings(), day(session))
    if as_json:
        print_json({"forecasts": forecast_rows(forecasts)})
    else:
        print_table(forecast_table(forecasts))


@main.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@reported
def status(as_json: bool) -> None:
    """What is stored and what is due, with reasons; what the next run will do. Changes nothing."""
    from stock_assets.commands.status import dataset_status, lines

    found = dataset_status(load_checkout_settings())
    print_found(found, lines, as_json)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@reported
def alerts(as_json: bool) -> None:
    """What fires now, by Prometheus, the sensor, runs and what is due, and what to do about it."""
    from stock_assets.commands.alerts import alerts_now, lines

    found = alerts_now(load_checkout_settings())
    print_found(found, lines, as_json)


@main.command()
@click.option("--kept", help="A hash that `verify` printed before: it must be there still.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@reported
def verify(kept: str | None, as_json: bool) -> None:
    """Whether issued forecasts are what was issued; exits with 1 where one is not."""
    from stock_assets.commands.verify import lines, verify_record

    found = verify_record(load_checkout_settings(), kept)
    print_found(found, lines, as_json)
    if not found["ok"]:
        sys.exit(1)


@main.command()
@click.option("--at", "target", type=DATE, required=True, help="The target session.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@reported
def served(target: datetime, as_json: bool) -> None:
    """Which versions' points and intervals users had for a session, by the record."""
    from stock_assets.commands.served import lines, served_at

    found = served_at(load_checkout_settings(), target.date())
    print_found(found, lines, as_json)


@main.command()
@click.option("--from", "first", type=DATE, help="First target session (default: of all).")
@click.option("--to", "last", type=DATE, help="Last target session (default: of all).")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@reported
def reconcile(first: datetime | None, last: datetime | None, as_json: bool) -> None:
    """Issued forecasts beside hindsight: each difference with its cause."""
    from stock_assets.commands.reconcile import lines, reconcile_record

    found = reconcile_record(load_checkout_settings(), day(first), day(last))
    print_found(found, lines, as_json)


@main.command()
@click.option("--from", "first", type=DATE, help="First target session (default: six months back).")
@click.option("--to", "last", type=DATE, help="Last target session (default: the newest).")
@click.option("--tickers", help="Comma-separated (default: all with a forecast).")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write (default: var/reports/<dataset>.html).",
)
@reported
def report(
    first: datetime | None, last: datetime | None, tickers: str | None, output: Path | None
) -> None:
    """A page about what is stored: the newest forecasts, and how past ones did."""
    from stock_assets.commands.report import write_report
    from stock_assets.resources.report_rows import Asked
    from stock_assets.settings import distinct

    asked = Asked(day(first), day(last), distinct((tickers or "").split(",")))
    click.echo(write_report(load_checkout_settings(), asked, output))


@main.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@reported
def doctor(as_json: bool) -> None:
    """Checks settings, source, store, registry, metrics, channels; exits with 1 if one fails."""
    from stock_assets.commands.doctor import diagnose

    findings = diagnose(load_checkout_settings())
    well = all(finding.ok for finding in findings)
    if as_json:
        print_json({"ok": well, "findings": [vars(finding) for finding in findings]})
    else:
        for finding in findings:
            click.echo(f"{'ok' if finding.ok else 'WRONG':<6} {finding.part:<9} {finding.detail}")
    if not well:
        sys.exit(1)


@main.command()
@reported
def mend() -> None:
    """Looks at every stored object; sets aside what is damaged and makes it again."""
    from stock_assets.commands.mend import mend as mend_objects

    click.echo(mend_objects(load_checkout_settings()))


@main.command("notify-test")
@reported
def notify_test() -> None:
    """Sends a test message to every channel of STOCK_ASSETS_NOTIFY_URLS."""
    from stock_assets.commands.notify import send_test

    for name in send_test(load_checkout_settings()):
        click.echo(f"{name} took the message")


@main.command()
@click.argument("name", type=click.Choice(["prepare", "train", "register", "forecast", "evaluate"]))
@reported
def stage(name: str) -> None:
    """One stage by hand, for the newest session or month."""
    from stock_assets.commands.stage import run_stage

    click.echo(run_stage(load_checkout_settings(), name))


@main.command()
@click.argument("version", type=int)
@reported
def promote(version: int) -> None:
    """Lets a version forecast from now on, until a newer one is approved."""
    from stock_assets.commands.promotion import promote_version

    click.echo(promote_version(load_checkout_settings(), version))


@main.command()
@reported
def rollback() -> None:
    """Takes back the version that came to serve last; the one before it serves again."""
    from stock_assets.commands.promotion import roll_back

    click.echo(roll_back(load_checkout_settings()))


@main.command()
@click.option(
    "--keep-days",
    type=click.IntRange(1),
    default=90,
    show_default=True,
    help="Deletes what is older than this many days.",
)
@click.option("--dry-run", is_flag=True, help="Says what would be deleted, and deletes nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@reported
def prune(keep_days: int, dry_run: bool, as_json: bool) -> None:
    """Deletes logs of old runs, ticks, journals and damaged files that were moved aside."""
    from stock_assets.commands.prune import prune as prune_old

    found = prune_old(load_checkout_settings(), keep_days, dry_run=dry_run)
    if as_json:
        print_json(found)
    else:
        click.echo(
            f"{'would delete' if dry_run else 'deleted'} of before {found['before']}: logs of"
            f" {found['runs']} runs ({found['forgotten']} of them altogether), {found['events']}"
            f" superseded events, {found['files']} files; {found['freed_bytes'] / 1e6:.1f} MB freed"
        )


@main.command()
@reported
def ui() -> None:
    """Dagster's and MLflow's pages on this machine, until Ctrl-C."""
    from stock_assets.commands.pages import serve_pages

    serve_pages(load_checkout_settings())


@main.command()
@click.option("--host", default="127.0.0.1", help="Address to listen on.", show_default=True)
@click.option(
    "--port", type=int, help="Port to listen on (default: STOCK_ASSETS_EXPORTER_PORT, 9108)."
)
@reported
def exporter(host: str, port: int | None) -> None:
    """Dagster's health for Prometheus to scrape, until Ctrl-C."""
    from stock_assets.commands.exporter import serve_metrics

    settings = load_checkout_settings()
    port = port or settings.exporter_port
    try:
        serve_metrics(settings, host, port)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise click.ClickException(f"{host}:{port} is taken; give another with --port") from error


@main.command()
@reported
def monitor() -> None:
    """Prometheus, Pushgateway, Alertmanager and the exporter on this machine, until Ctrl-C."""
    from stock_assets.commands.monitor import serve_monitor

    serve_monitor(load_checkout_settings())


@main.command()
@reported
def down() -> None:
    """Ends pages and monitor, and what a killed run, page or monitor left behind."""
    from stock_assets.commands.down import stop_all

    stopped = stop_all(load_checkout_settings())
    click.echo(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")


if __name__ == "__main__":
    main()
