"""The commands that judge: the record of forecasts, anybody's forecasts, and looking ahead.

They store nothing in the dataset.
"""

import sys
from datetime import date
from pathlib import Path

import click

from stock_assets.cli_options import (
    DATE,
    FAMILY,
    SOURCE,
    OneLineGroup,
    at_work,
    chosen_settings,
    json_option,
    print_found,
    print_json,
    refuse_empty_range,
    reported,
    settings_of,
    some_tickers,
)

judging = OneLineGroup()
"""Its commands are those of `stock-assets`, too."""


@judging.command()
@click.option("--kept", help="A hash that `verify` printed before: it must be there still.")
@json_option
@reported
def verify(kept: str | None, as_json: bool) -> None:
    """Whether issued forecasts are what was issued; exits with 1 where one is not."""
    with at_work("reading"):
        from stock_assets.commands.verify import lines, verify_record

        found = verify_record(chosen_settings(), kept)
    print_found(found, lines, as_json)
    if not found["ok"]:
        sys.exit(1)


@judging.command()
@click.option("--at", "target", type=DATE, required=True, help="The target session.")
@json_option
@reported
def served(target: date, as_json: bool) -> None:
    """Which versions' points and intervals users had for a session, by the record."""
    with at_work("reading"):
        from stock_assets.commands.served import lines, served_at

        found = served_at(chosen_settings(), target)
    print_found(found, lines, as_json)


@judging.command()
@click.option("--from", "first", type=DATE, help="First target session (default: of all).")
@click.option("--to", "last", type=DATE, help="Last target session (default: of all).")
@json_option
@reported
def reconcile(first: date | None, last: date | None, as_json: bool) -> None:
    """Issued forecasts beside hindsight: each difference with its cause."""
    with at_work("at work"):
        from stock_assets.commands.reconcile import lines, reconcile_record

        settings = chosen_settings()
        refuse_empty_range(settings, first, last)

        found = reconcile_record(settings, first, last)
    print_found(found, lines, as_json)


@judging.command()
@click.option(
    "--forecasts",
    "file",
    type=click.Path(path_type=Path),
    required=True,
    help="CSV or Parquet, a file or a folder of them; docs/score.md has the format.",
)
@click.option(
    "--unit",
    type=click.Choice(["price", "return"]),
    help="Of the values: as-traded prices or log returns (default: as the file says, or prices).",
)
@click.option("--from", "first", type=DATE, help="First target session (default: of the file).")
@click.option("--to", "last", type=DATE, help="Last target session (default: of the file).")
@click.option("--tickers", help="Comma-separated (default: all of the file).")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Writes the scores of each forecast to this CSV or Parquet file.",
)
@json_option
@reported
def score(
    file: Path,
    unit: str | None,
    first: date | None,
    last: date | None,
    tickers: str | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Judges anybody's forecasts beside ours and the random walk's. Stores nothing."""
    with at_work("reading"):
        from stock_assets.commands.score import comparison_table, heading, lines, score_file
        from stock_assets.commands.tables import print_table

        settings = chosen_settings()
        refuse_empty_range(settings, first, last)
        found = score_file(settings, file, unit, some_tickers(tickers), (first, last), output)
    if as_json:
        print_json(found)
        return
    click.echo("\n".join(heading(found)))
    print_table(comparison_table(found))
    click.echo("\n".join(lines(found)))


@judging.command("export-forecasts")
@click.option("--from", "first", type=DATE, help="First target session (default: of all).")
@click.option("--to", "last", type=DATE, help="Last target session (default: of all).")
@click.option("--tickers", help="Comma-separated (default: all with a forecast).")
@click.option("--grid", is_flag=True, help="The 50 quantiles of the CRPS, not seven.")
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder of the hub: model-output/ and target-data/ are written in it.",
)
@reported
def export_forecasts(
    first: date | None, last: date | None, tickers: str | None, grid: bool, folder: Path
) -> None:
    """Writes stored forecasts and their outcomes in the quantile format of hubverse."""
    with at_work("reading"):
        from stock_assets.commands.export_forecasts import export_forecasts as export

        settings = chosen_settings()
        refuse_empty_range(settings, first, last)
        told = export(settings, (first, last), some_tickers(tickers), folder, grid=grid)
    click.echo(told)


@judging.command("audit-leaks")
@click.option("--from", "first", type=DATE, help="First session (default: five years back).")
@click.option("--to", "last", type=DATE, help="Last session (default: the newest).")
@click.option("--tickers", help="Comma-separated (default: of the settings or the source).")
@click.option("--source", type=SOURCE, help="sample, yahoo, files or http.")
@click.option("--family", type=FAMILY, help="Point model (default: of the settings).")
@click.option(
    "--sessions",
    "cuts",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="At how many sessions the future is taken away.",
)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Of the choice.")
@click.option("--zoo", is_flag=True, help="Plants fifteen leaks and says which are found.")
@json_option
@reported
def audit_leaks(
    first: date | None,
    last: date | None,
    tickers: str | None,
    source: str | None,
    family: str | None,
    cuts: int,
    seed: int,
    zoo: bool,
    as_json: bool,
) -> None:
    """Whether features, models or forecasts know the future; exits with 1 where one does."""
    with at_work("at work"):
        from stock_assets.commands.audit_leaks import audit_source, lines, visit_zoo, zoo_lines

        settings = settings_of(source, tickers, family)
        refuse_empty_range(settings, first, last)
        found = (visit_zoo if zoo else audit_source)(settings, first, last, cuts, seed)
    print_found(found, zoo_lines if zoo else lines, as_json)
    if not found["ok"]:
        sys.exit(1)
