"""Pictures of a training, as PNG: how it searched, what it leans on, whether its law is right."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

from stock_assets.forecasting.intervals import COVERAGES, target_words
from stock_assets.forecasting.training import TrainedModel

_BLUE, _GREY, _RED = "#1f5a94", "#8a8f98", "#b4452f"


def study_pictures(
    trained: TrainedModel, train: pl.DataFrame, test: pl.DataFrame
) -> dict[str, bytes]:
    """PNG files by name.

    Args:
        trained: The month's training.
        train: Its labelled rows, for the law at the end of the fan chart.
        test: Its labelled rows: the fan chart shows its last ticker and sessions.
    """
    rows = pl.concat([train, test])
    ticker = test["ticker"].max()
    return {
        "optimisation_history.png": _drawn(lambda axes: _history(axes, trained)),
        "permutation_importance.png": _drawn(lambda axes: _importance(axes, trained)),
        "pit_histogram.png": _drawn(lambda axes: _pit(axes, trained.test.pit)),
        "fan_chart.png": _drawn(
            lambda axes: _fan(axes, trained, rows.filter(pl.col("ticker") == ticker).tail(60))
        ),
    }


def _drawn(draw: Callable[[Any], None]) -> bytes:
    # Without pyplot: no global state, no window, no backend to choose.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    draw(figure.subplots())
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _history(axes: Any, trained: TrainedModel) -> None:
    trials, tuning = trained.tuning.trials, trained.tuning
    axes.plot(trials["trial"], trials["mse"], "o", color=_BLUE, label="trial")
    axes.plot(trials["trial"], trials["mse"].cum_min(), color=_BLUE, label="best so far")
    axes.axhline(tuning.mse_random_walk, color=_GREY, linestyle="--", label="random walk")
    axes.set(
        title="Search: squared error out of fold, unshrunk",
        xlabel="trial",
        ylabel="squared units of volatility",
    )
    axes.legend()


def _importance(axes: Any, trained: TrainedModel) -> None:
    shown = trained.test.importance.reverse()
    axes.barh(shown["feature"], shown["mse_increase"], color=_BLUE)
    axes.tick_params(axis="y", labelsize=7)
    axes.axvline(0, color=_GREY)
    axes.set(
        title="Permutation importance on the test set (unshrunk model)",
        xlabel="rise of the squared error, squared units of volatility",
    )


def _pit(axes: Any, pit: np.ndarray) -> None:
    axes.hist(pit, bins=np.linspace(0, 1, 11), density=True, color=_BLUE, edgecolor="white")
    axes.axhline(1, color=_GREY, linestyle="--", label="a right law")
    axes.set(
        title=f"Calibration on the test set: {len(pit)} realised returns",
        xlabel="level of the realised return under its forecast",
        ylabel="density",
    )
    axes.legend()


def _fan(axes: Any, trained: TrainedModel, rows: pl.DataFrame) -> None:
    intervals = trained.intervals
    volatility = intervals.volatility.volatility(rows)[:, None]
    _, bounds = intervals.quantiles_of(rows["ticker"].to_list())
    day = rows["label_session"].to_list()
    for n, coverage in reversed(list(enumerate(COVERAGES))):
        low, high = (100 * volatility * bounds)[:, 2 * n : 2 * n + 2].T
        axes.fill_between(day, low, high, color=_BLUE, alpha=0.2, lw=0, label=f"{coverage} %")
    axes.plot(day, 100 * rows["return_next"].to_numpy(), ".", color=_RED, label="realised")
    axes.set(
        title=f"{rows['ticker'][0]}: intervals of {target_words(intervals.horizon)}",
        ylabel="log return, %",
    )
    axes.tick_params(axis="x", labelrotation=30)
    axes.legend(ncols=4)
