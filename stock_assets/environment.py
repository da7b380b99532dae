"""The settings of this process, from environment variables `STOCK_ASSETS_*` and a `.env` file.

Every process of ours begins here, before the first client is made: proxies are kept from what is on
this machine.
"""

import difflib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from dotenv import dotenv_values
from pydantic import ValidationError

from stock_assets.errors import SettingsError
from stock_assets.settings import DOTENV, PREFIX, Settings, refusal


def load_settings(**overrides: object) -> Settings:
    """Reads the settings; a value that can't be used becomes one readable line.

    The file `.env` is that of `home` where it is among the overrides, else that of this folder.

    Raises:
        SettingsError: Names the variable, the reason and the value.
    """
    keep_proxies_from_loopback()
    dotenv = Path(str(overrides.get("home", "."))).expanduser() / DOTENV
    _refuse_unknown_names(dotenv)
    try:
        # pydantic checks the values, and pydantic-settings takes the file.
        return Settings(_env_file=dotenv, **overrides)  # type: ignore[arg-type, call-arg]
    except ValidationError as error:
        raise refusal(error) from None


def _refuse_unknown_names(dotenv: Path) -> None:
    """A typo would leave the default in force, and nobody would notice."""
    known = [name.upper() for name in Settings.model_fields]
    try:
        in_file = dotenv_values(dotenv)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"can't read {dotenv.resolve()}: {error}; mend it") from error
    for where, names in (("the environment", os.environ), (DOTENV, in_file)):
        for name in map(str.upper, names):
            given = name.removeprefix(PREFIX)
            if given != name and given not in known:
                nearest = difflib.get_close_matches(given, known, n=1)
                meant = f"did you mean {PREFIX}{nearest[0]}?" if nearest else "README lists them"
                raise SettingsError(f"{name} in {where} is no setting; {meant}")


def load_checkout_settings(**overrides: object) -> Settings:
    """The settings of a command, which keeps its state in a checkout and nowhere else.

    Raises:
        SettingsError: As above, or there is no checkout: nothing was written.
    """
    settings = load_settings(**overrides)
    homes = [settings.home]
    if settings.home.is_dir() and "home" in settings.model_fields_set:
        # Who names both folders may keep Dagster's configuration apart from the state.
        homes += [Path(os.environ.get("DAGSTER_HOME", settings.home))]
    if not any((home / "dagster.yaml").is_file() for home in homes):
        raise SettingsError(
            f"no dagster.yaml in {settings.home}: that is no checkout; change to one, or set"
            " STOCK_ASSETS_HOME to it"
        )
    return settings


@contextmanager
def variables_set(wanted: Mapping[str, str]) -> Iterator[None]:
    """Sets environment variables for the block, for libraries that take nothing else."""
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def keep_proxies_from_loopback() -> None:
    """Where a proxy is set, NO_PROXY names this machine too, for us and for what we start.

    Clients differ in which of the two spellings they read, so both say the same.
    """
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return
    given = ",".join(filter(None, (os.environ.get("NO_PROXY"), os.environ.get("no_proxy"))))
    names = [name.strip() for name in given.split(",") if name.strip()]
    if "*" not in names:
        os.environ["NO_PROXY"] = os.environ["no_proxy"] = ",".join(
            dict.fromkeys([*names, "127.0.0.1", "localhost", "::1"])
        )
