"""What the commands of `cli` share: options, what becomes of errors, how results are printed.

It imports little: each press of the Tab key starts the program, and so does a mistyped option.
"""

import json
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, get_args

import click
from click.shell_completion import CompletionItem

from stock_assets.backfill.interrupts import noted_interrupts
from stock_assets.backfill.progress import Silence, is_watched, showing
from stock_assets.errors import SettingsError, StockAssetsError, spelled_for
from stock_assets.local.own_folder import refusal

if TYPE_CHECKING:
    from stock_assets.settings import Settings

P = ParamSpec("P")
R = TypeVar("R")


class _Date(click.ParamType[date]):
    name = "YYYY-MM-DD"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        try:
            return value if isinstance(value, date) else date.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no date; write it like 2013-02-28", param, ctx)


class _NameOf(click.ParamType[str]):
    """A value of a setting: the shell completes it, and the settings refuse any other."""

    name = "text"

    def __init__(self, names: str) -> None:
        self._names = names

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002  # click's signature
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        from stock_assets import settings

        names = get_args(getattr(settings, self._names))
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


DATE = _Date()
SOURCE, FAMILY = _NameOf("SourceName"), _NameOf("FamilyName")


class _OneLine(click.ClickException):
    """A mistake in a command's words, without the two lines of usage before it."""

    exit_code = 2

    def __init__(self, error: click.UsageError) -> None:
        command = error.ctx.command_path if error.ctx else "stock-assets"
        said = error.format_message().rstrip(".")
        super().__init__(f"{said}; see `{command} --help`")


class OneLineCommand(click.Command):
    """A command that refuses wrong words in one line."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        try:
            return super().make_context(*args, **kwargs)
        except click.UsageError as error:
            raise _OneLine(error) from error


class OneLineGroup(click.Group):
    """A group of such commands."""

    command_class = OneLineCommand

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        try:
            return super().make_context(*args, **kwargs)
        except click.exceptions.NoArgsIsHelpError:
            raise
        except click.UsageError as error:
            raise _OneLine(error) from error

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            raise _OneLine(error) from error


_VERBOSITY = "stock_assets.verbosity"
_QUIET, _VERBOSE = "quiet", "verbose"


def _note_verbosity(ctx: click.Context, param: click.Parameter, given: bool) -> None:
    if given and param.name:
        ctx.find_root().meta[_VERBOSITY] = param.name


def _verbosity() -> str:
    return str(click.get_current_context().find_root().meta.get(_VERBOSITY, ""))


def verbosity_options(command: Callable[P, R]) -> Callable[P, R]:
    """`-v` and `-q`, before a command's name or after it."""
    for short, name, words in (
        ("-q", _QUIET, "Shows no progress: results, warnings and errors alone."),
        ("-v", _VERBOSE, "Shows what each asset says, and an error's stack trace."),
    ):
        command = click.option(
            short,
            f"--{name}",
            name,
            is_flag=True,
            expose_value=False,
            callback=_note_verbosity,
            help=words,
        )(command)
    return command


@contextmanager
def at_work(doing: str) -> Iterator[None]:
    """Shows how far the work within the block is: by bars at a terminal, else by lines.

    Results are printed after it. `doing`: what is shown where the work has no stages.
    """
    if _verbosity() == _QUIET:
        with showing(Silence()):
            yield
    elif is_watched():
        from stock_assets.backfill.bars import Bars

        bars = Bars(verbose=_verbosity() == _VERBOSE)
        with bars.shown(doing), showing(bars):
            yield
    else:
        yield


def reported(command: Callable[P, R]) -> Callable[P, R]:
    """Our own errors, and files that the system refuses, end in one line and exit code 1.

    Also from within a Dagster step.
    """

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with noted_interrupts(), spelled_for(_spelled):
                return command(*args, **kwargs)
        except StockAssetsError as error:
            _trace(error)
            raise click.ClickException(str(error)) from error
        except (
            PermissionError,
            FileExistsError,
            NotADirectoryError,
            IsADirectoryError,
        ) as error:
            _trace(error)
            raise click.ClickException(refusal(error)) from error
        except KeyboardInterrupt:
            if is_watched():
                click.echo(err=True)  # the terminal has put ^C there
            raise click.ClickException("interrupted; what was stored stays, run again") from None

    return verbosity_options(wrapped)


def _spelled(message: str) -> str:
    """Settings as whoever called wrote them."""
    if chosen_component() is None:
        return message
    from stock_assets.component import as_attributes

    return as_attributes(message)


def _trace(error: Exception) -> None:
    if _verbosity() == _VERBOSE:
        traceback.print_exception(error)


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


json_option = click.option(
    "--json", "as_json", is_flag=True, help="One JSON object on standard output."
)


def range_options(command: Callable[P, R]) -> Callable[P, R]:
    for option in (
        json_option,
        click.option("--to", "last", type=DATE, help="Last target session (default: the newest)."),
        click.option(
            "--from", "first", type=DATE, help="First target session (default: six months back)."
        ),
        click.option("--tickers", help="Comma-separated (default: of the settings or the source)."),
        click.option("--source", type=SOURCE, help="sample, yahoo, files or http."),
        click.option("--fresh", is_flag=True, help="Makes models, forecasts and scores again."),
    ):
        command = option(command)
    return command


_COMPONENT = "stock_assets.component"


def _note_component(ctx: click.Context, param: click.Parameter, given: str | None) -> None:  # noqa: ARG001
    ctx.meta[_COMPONENT] = given


component_option = click.option(
    "--component",
    metavar="PREFIX",
    expose_value=False,
    callback=_note_component,
    help="Works on this instance of stock_assets.StockForecasts in the Dagster project of this"
    " folder, which its asset keys begin with.",
)


def chosen_component() -> str | None:
    """The key prefix of `--component`."""
    given = click.get_current_context().find_root().meta.get(_COMPONENT)
    return None if given is None else str(given)


def chosen_settings(**changed: object) -> "Settings":
    """The settings of a command: of the component that is named, else of the checkout.

    They are loaded here, since that takes most of a second.
    """
    if (prefix := chosen_component()) is not None:
        from stock_assets.component import instance_of_project

        return instance_of_project(prefix, changed)
    from stock_assets.environment import load_checkout_settings

    return load_checkout_settings(**changed)


def checkout_settings() -> "Settings":
    """The same of a command that a Dagster project has its own ways for.

    Raises:
        SettingsError: A component is named.
    """
    if chosen_component() is not None:
        raise SettingsError(
            "--component: this command serves the pages of a checkout; your project has `dg dev`"
        )
    return chosen_settings()


def settings_of(source: str | None, tickers: str | None, family: str | None = None) -> "Settings":
    """The settings, some of them given as options.

    Raises:
        SettingsError: An option has a value that can't be used; it is called by the option's name.
    """
    some_tickers(tickers)
    options = {"source": source, "tickers": tickers, "model_family": family}
    given = {name: value for name, value in options.items() if value is not None}
    try:
        return chosen_settings(**given)
    except SettingsError as error:
        for setting, option in (("SOURCE", "source"), ("MODEL_FAMILY", "family")):
            prefix = f"STOCK_ASSETS_{setting}: "
            if options.get(setting.lower()) is not None and str(error).startswith(prefix):
                raise SettingsError(f"--{option}: {str(error).removeprefix(prefix)}") from None
        raise


def some_tickers(given: str | None) -> tuple[str, ...]:
    """The tickers of `--tickers`; none where it was left out.

    Raises:
        SettingsError: It was given and names none: a script's empty variable would mean all.
    """
    if given is None:
        return ()
    from stock_assets.settings import distinct

    tickers = distinct(given.split(","))
    if not tickers:
        raise SettingsError(
            f"--tickers {given!r} names no ticker; name some, like AAPL,IBM, or leave it out for"
            " all"
        )
    return tickers


def refuse_empty_range(settings: "Settings", first: date | None, last: date | None) -> None:
    """Refuses a range that holds no session, before anything is opened.

    Raises:
        SettingsError: The dates are reversed, or the exchange did not trade between them.
    """
    if not first or not last:
        return
    if first > last:
        raise SettingsError(f"--from {first} is after --to {last}; give the earlier date first")
    from stock_assets.market.sessions import load_calendar

    calendar = load_calendar(settings.calendar)
    if not calendar.between(first, last):
        raise SettingsError(
            f"no session to run in {first}..{last}: {calendar.exchange} did not trade;"
            f" {calendar.neighbours(first)}"
        )
