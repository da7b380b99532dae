"""The `stock-assets` command: reads arguments and calls `commands`.

Results go to standard output, progress and logs to standard error.
"""

import os
import sys
import warnings
from datetime import date
from pathlib import Path

import click

from stock_assets import __version__
from stock_assets.cli_judging import judging
from stock_assets.cli_options import (
    DATE,
    FAMILY,
    OneLineGroup,
    at_work,
    chosen_component,
    chosen_settings,
    component_option,
    json_option,
    print_found,
    print_json,
    range_options,
    refuse_empty_range,
    reported,
    settings_of,
    some_tickers,
    verbosity_options,
)
from stock_assets.cli_serving import serving

_COMPLETION = """\b
Completion by the Tab key: put the line of your shell into its start file.
  bash  eval "$(_STOCK_ASSETS_COMPLETE=bash_source stock-assets)"
  zsh   eval "$(_STOCK_ASSETS_COMPLETE=zsh_source stock-assets)"
  fish  _STOCK_ASSETS_COMPLETE=fish_source stock-assets | source
"""


@click.group(
    cls=OneLineGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=_COMPLETION,
)
@click.version_option(__version__, prog_name="stock-assets", message="%(prog)s %(version)s")
@component_option
@verbosity_options
def main() -> None:
    """Daily stock forecasts as Dagster assets. docs/settings.md lists the settings."""
    # Dagster marks parts that we use as beta; one line per part and process hides real warnings.
    warnings.filterwarnings("ignore", message=r".*is currently in (beta|preview)")
    # Fewer, larger writes to Dagster's database: a fifth less time per partition.
    os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", "500")


for _group in (judging, serving):
    for _command in _group.commands.values():
        main.add_command(_command)


@main.command()
@range_options
@reported
def run(
    first: date | None,
    last: date | None,
    source: str | None,
    tickers: str | None,
    as_json: bool,
    fresh: bool,
) -> None:
    """Makes what is due of a range: prices, features, models, forecasts, errors; and a report."""
    with at_work("at work"):
        from stock_assets.commands.run import run as run_range

        settings = settings_of(source, tickers)
        refuse_empty_range(settings, first, last)
        result = run_range(settings, first, last, fresh, report=True)
    from stock_assets.commands.run import show
    from stock_assets.commands.tables import forecast_rows

    if as_json:
        print_json(result | {"newest_forecasts": forecast_rows(result["newest_forecasts"])})
    else:
        show(result)
        click.echo(f"Report: {result['report']}")
        if chosen_component() is None:
            click.echo(
                "Pages: `make ui` (Dagster and MLflow). More: `stock-assets --help`, README.md."
            )


@main.command()
@range_options
@click.option(
    "--family", type=FAMILY, help="Point model, such as ridge; each has versions of its own."
)
@reported
def backtest(
    first: date | None,
    last: date | None,
    source: str | None,
    tickers: str | None,
    as_json: bool,
    fresh: bool,
    family: str | None,
) -> None:
    """Makes what is due of a range and prints its scores by month and ticker."""
    with at_work("at work"):
        from stock_assets.commands.run import run as run_range

        settings = settings_of(source, tickers, family)
        refuse_empty_range(settings, first, last)
        result = run_range(settings, first, last, fresh)
    from stock_assets.commands.tables import print_table, score_lines, score_table

    del result["newest_forecasts"]
    if as_json:
        print_json(result)
        return
    for of in ("month", "ticker"):
        scores = result[f"by_{of}"]
        print_table(score_table(of, scores), score_table(of, scores, narrow=True))
    click.echo("\n".join(score_lines(result)))


@main.command()
@click.option("--session", type=DATE, help="Forecast from this session's close (default: newest).")
@json_option
@reported
def forecast(session: date | None, as_json: bool) -> None:
    """The newest stored forecasts, as a table."""
    with at_work("reading"):
        from stock_assets.commands.forecast import stored_forecasts
        from stock_assets.commands.tables import (
            forecast_rows,
            forecast_table,
            narrow_forecast_table,
            print_table,
        )

        forecasts = stored_forecasts(chosen_settings(), session)
    if as_json:
        print_json({"forecasts": forecast_rows(forecasts)})
    else:
        print_table(forecast_table(forecasts), narrow_forecast_table(forecasts))


@main.command()
@json_option
@reported
def status(as_json: bool) -> None:
    """What is stored and what is due, with reasons; what the next run will do. Changes nothing."""
    with at_work("looking"):
        from stock_assets.commands.status import dataset_status, lines

        found = dataset_status(chosen_settings())
    print_found(found, lines, as_json)


@main.command()
@json_option
@reported
def alerts(as_json: bool) -> None:
    """What fires now, by Prometheus, the sensor, runs and what is due, and what to do about it."""
    from stock_assets.commands.alerts import alerts_now, lines

    found = alerts_now(chosen_settings())
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
def report(first: date | None, last: date | None, tickers: str | None, output: Path | None) -> None:
    """A page about what is stored: the newest forecasts, and how past ones did."""
    with at_work("at work"):
        from stock_assets.commands.report import write_report
        from stock_assets.resources.report_rows import Asked

        settings = chosen_settings()
        refuse_empty_range(settings, first, last)
        asked = Asked(first, last, some_tickers(tickers))

        told = write_report(settings, asked, output)
    click.echo(told)


@main.command()
@json_option
@reported
def doctor(as_json: bool) -> None:
    """Checks settings, source, store, registry, metrics, channels; exits with 1 if one fails."""
    with at_work("looking"):
        from stock_assets.commands.doctor import diagnose

        findings = diagnose(chosen_settings())
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
    with at_work("at work"):
        from stock_assets.commands.mend import mend as mend_objects

        told = mend_objects(chosen_settings())
    click.echo(told)


@main.command("notify-test")
@reported
def notify_test() -> None:
    """Sends a test message to every channel of STOCK_ASSETS_NOTIFY_URLS."""
    from stock_assets.commands.notify import send_test

    for name in send_test(chosen_settings()):
        click.echo(f"{name} took the message")


@main.command()
@click.argument("name", type=click.Choice(["prepare", "train", "register", "forecast", "evaluate"]))
@reported
def stage(name: str) -> None:
    """One stage by hand, for the newest session or month."""
    with at_work("at work"):
        from stock_assets.commands.stage import run_stage

        told = run_stage(chosen_settings(), name)
    click.echo(told)


@main.command()
@click.argument("version", type=int)
@reported
def promote(version: int) -> None:
    """Lets a version forecast from now on, until a newer one is approved."""
    with at_work("at work"):
        from stock_assets.commands.promotion import promote_version

        told = promote_version(chosen_settings(), version)
    click.echo(told)


@main.command()
@click.option("--dry-run", is_flag=True, help="Says what would change.")
@reported
def rollback(dry_run: bool) -> None:
    """Takes back the version that came to serve last; the one before it serves again."""
    with at_work("at work"):
        from stock_assets.commands.promotion import roll_back

        told = roll_back(chosen_settings(), dry_run=dry_run)
    click.echo(told)


@main.command()
@click.option(
    "--keep-days",
    type=click.IntRange(1),
    default=90,
    show_default=True,
    help="Deletes what is older than this many days.",
)
@click.option("--dry-run", is_flag=True, help="Says what would be deleted, and deletes nothing.")
@json_option
@reported
def prune(keep_days: int, dry_run: bool, as_json: bool) -> None:
    """Deletes logs of old runs, ticks, searches and damaged files that were moved aside."""
    with at_work("looking"):
        from stock_assets.commands.prune import prune as prune_old

        found = prune_old(chosen_settings(), keep_days, dry_run=dry_run)
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
def init() -> None:
    """Writes what the present folder lacks to be run in; no file that is there is changed."""
    from stock_assets.commands.init import write_files

    for name, written in write_files(Path.cwd()).items():
        click.echo(f"{name}: {'written' if written else 'is there, left as it is'}")


if __name__ == "__main__":
    main()
