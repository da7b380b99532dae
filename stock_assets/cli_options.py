"""What the commands of `cli` share: options, what becomes of errors, how results are printed."""

import json
from collections.abc import Callable
from datetime import date, datetime
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import click

from stock_assets.backfill.interrupts import noted_interrupts
from stock_assets.environment import load_checkout_settings
from stock_assets.errors import StockAssetsError
from stock_assets.local.own_folder import refusal
from stock_assets.settings import Settings

P = ParamSpec("P")
R = TypeVar("R")
DATE = click.DateTime(["%Y-%m-%d"])


def day(value: datetime | None) -> date | None:
    return value.date() if value else None


def reported(command: Callable[P, R]) -> Callable[P, R]:
    """Our own errors, and files that the system refuses, end in one line and exit code 1.

    Also from within a Dagster step.
    """

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with noted_interrupts():
                return command(*args, **kwargs)
        except StockAssetsError as error:
            raise click.ClickException(str(error)) from error
        except (
            PermissionError,
            FileExistsError,
            NotADirectoryError,
            IsADirectoryError,
        ) as error:
            raise click.ClickException(refusal(error)) from error
        except KeyboardInterrupt:
            raise click.ClickException("interrupted; what was stored stays, run again") from None

    return wrapped


def print_json(value: dict[str, Any]) -> None:
    click.echo(json.dumps(value, default=str, allow_nan=False))


def print_found(
    found: dict[str, Any], lines: Callable[[dict[str, Any]], list[str]], as_json: bool
) -> None:
    """As JSON, or for a person."""
    if as_json:
        print_json(found)
    else:
        click.echo("\n".join(lines(found)))


def range_options(command: Callable[P, R]) -> Callable[P, R]:
    for option in (
        click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output."),
        click.option("--to", "last", type=DATE, help="Last target session (default: the newest)."),
        click.option(
            "--from", "first", type=DATE, help="First target session (default: six months back)."
        ),
        click.option("--tickers", help="Comma-separated (default: of the settings or the source)."),
        click.option("--source", help="sample, yahoo or files."),
        click.option("--fresh", is_flag=True, help="Makes models, forecasts and scores again."),
    ):
        command = option(command)
    return command


def settings_of(source: str | None, tickers: str | None, family: str | None = None) -> Settings:
    given = {"source": source, "tickers": tickers, "model_family": family}
    return load_checkout_settings(**{name: value for name, value in given.items() if value})
