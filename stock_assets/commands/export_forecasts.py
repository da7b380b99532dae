"""`stock-assets export-forecasts`: stored forecasts and outcomes as a hubverse hub has them."""

from datetime import date
from pathlib import Path

from stock_assets.commands.score import write_table
from stock_assets.errors import MissingPartitionsError
from stock_assets.forecasting.forecast_schema import FORECAST_SCHEMA
from stock_assets.forecasting.intervals import GRID
from stock_assets.read import open_dataset
from stock_assets.scoring.forecast_files import MODEL_OUTPUT
from stock_assets.scoring.hub import (
    MEDIAN_AND_BOUNDS,
    hub_name,
    model_output,
    oracle_output,
)
from stock_assets.settings import Settings

_TEAM = "stock_assets"


def export_forecasts(
    settings: Settings,
    span: tuple[date | None, date | None],
    tickers: tuple[str, ...],
    folder: Path,
    *,
    grid: bool,
) -> str:
    """Writes a file per session under `model-output`, and what came true under `target-data`.

    Args:
        settings: Name the dataset.
        span: First and last target session.
        tickers: Some; none are all.
        folder: Of the hub.
        grid: Whether at the 50 levels of GRID, not at the median and the bounds of the intervals.

    Returns:
        What was written, in words.

    Raises:
        MissingPartitionsError: No forecast of the range is stored.
        SettingsError: A file can't be written.
    """
    with open_dataset(settings) as dataset:
        forecasts = dataset.forecasts(*span, tickers, FORECAST_SCHEMA)
        try:
            outcomes = dataset.scores(*span, tickers)
        except MissingPartitionsError:
            outcomes = None  # the newest target is not over
    model = f"{_TEAM}-{hub_name(settings.dataset_name)}"
    rows = model_output(forecasts, GRID if grid else MEDIAN_AND_BOUNDS, settings.horizon)
    rounds = rows.partition_by("reference_date", maintain_order=True)
    for one in rounds:
        write_table(one, folder / MODEL_OUTPUT / model / f"{one[0, 0]}-{model}.csv")
    said = f"{len(rounds)} files in {folder / MODEL_OUTPUT / model}"
    if outcomes is not None:
        truth = folder / "target-data" / "oracle-output.csv"
        write_table(oracle_output(outcomes), truth)
        said += f", outcomes in {truth}"
    return said
