"""Reading what is stored, in a notebook or script: forecasts, scores, features, prices, versions.

    from stock_assets import read

    dataset = read.open_dataset()                        # settings as of the commands
    dataset.forecasts(first="2013-01-02", tickers="IBM")  # a Polars frame
    dataset.scores().to_pandas()                         # the same for pandas

Nothing here computes, trains or writes: what is missing is told, with the command that makes it.

Frames are of Polars, as everything inside is, for three reasons. A version that made no forecast
stays a null among integers, where pandas would turn the column into floats with NaN; dates stay
dates; and a year of 5,000 tickers is not copied. `to_pandas()` is one call away, and needs nothing
that is not installed.
"""

from stock_assets.environment import load_checkout_settings
from stock_assets.forecasting.features import FEATURES
from stock_assets.read.dataset import Dataset
from stock_assets.read.version import RegisteredVersion
from stock_assets.settings import Settings

__all__ = ["FEATURES", "Dataset", "RegisteredVersion", "open_dataset"]


def open_dataset(settings: Settings | None = None, **overrides: object) -> Dataset:
    """Opens the dataset that the settings name; starts the local store where it is not up.

    Args:
        settings: Explicit ones; left out: those of the environment and of `.env`, as a command in
            the present folder has them.
        **overrides: Settings by name in place of those of the environment: `source="yahoo"`,
            `horizon=5`; `home=".."` where the present folder is not the checkout (its `.env` counts
            then). They have no effect on explicit settings.

    Returns:
        The dataset. It keeps the local store up until `close()`, until the end of a `with` block,
        or until Python ends, whichever comes first.

    Raises:
        SettingsError: A setting can't be used, or there is no checkout.
        LocalStackError: The local store does not start.

    Example:
        >>> with open_dataset(source="sample") as dataset:
        ...     newest = dataset.forecasts().filter(pl.col("target_session") == date(2013, 3, 4))
    """
    return Dataset(settings or load_checkout_settings(**overrides))
