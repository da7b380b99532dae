"""Pictures of a study, as PNG: how it searched, what it leans on, whether its law is right.

They are drawn from what is stored of a study, so they can wait until somebody looks.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from stock_assets.forecasting.intervals import COVERAGES, IntervalModel, target_words

_BLUE, _GREY, _RED = "#1f5a94", "#8a8f98", "#b4452f"
_PIT_EDGES = np.linspace(0, 1, 11)
_FAN_SESSIONS = 60


@dataclass(frozen=True)
class Drawable:
    """What pictures show of a study.

    Args:
        trials: `trial`, `mse`, a row per trial of the search.
        mse_random_walk: Beside them.
        importance: `feature`, `mse_increase`; None where nothing was fitted.
        pit_counts: See `pit_counts`.
        intervals: That serve.
    """

    trials: pl.DataFrame
    mse_random_walk: float
    importance: pl.DataFrame | None
    pit_counts: Sequence[int]
    intervals: IntervalModel


def pit_counts(pit: np.ndarray) -> list[int]:
    """How many of the levels, shape (n,), lie in each tenth of 0..1."""
    return [int(count) for count in np.histogram(pit, _PIT_EDGES)[0]]


def study_pictures(study: Drawable, rows: pl.DataFrame) -> dict[str, bytes]:
    """PNG files by name.

    Args:
        study: Of the month.
        rows: Its labelled rows, train and test: the fan chart shows its last ticker and sessions.
    """
    own = rows.filter(pl.col("ticker") == rows["ticker"].max()).tail(_FAN_SESSIONS)
    drawn = {
        "optimisation_history.png": lambda axes: _history(axes, study),
        "pit_histogram.png": lambda axes: _pit(axes, study.pit_counts),
        "fan_chart.png": lambda axes: _fan(axes, study.intervals, own),
    }
    importance = study.importance
    if importance is not None:
        drawn["permutation_importance.png"] = lambda axes: _importance(axes, importance)
    return {name: _drawn(draw) for name, draw in drawn.items()}


def _drawn(draw: Callable[[Any], None]) -> bytes:
    # Without pyplot: no global state, no window, no backend to choose.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), dpi=100)
    FigureCanvasAgg(figure)
    # A layout that fits itself draws everything three times.
    figure.subplots_adjust(left=0.12, right=0.97, bottom=0.18, top=0.92)
    draw(figure.subplots())
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _history(axes: Any, study: Drawable) -> None:
    trials = study.trials
    axes.plot(trials["trial"], trials["mse"], "o", color=_BLUE, label="trial")
    axes.plot(trials["trial"], trials["mse"].cum_min(), color=_BLUE, label="best so far")
    axes.axhline(study.mse_random_walk, color=_GREY, linestyle="--", label="random walk")
    axes.set(
        title="Search: squared error out of fold, unshrunk",
        xlabel="trial",
        ylabel="squared units of volatility",
    )
    axes.legend()


def _importance(axes: Any, importance: pl.DataFrame) -> None:
    shown = importance.reverse()
    axes.barh(shown["feature"], shown["mse_increase"], color=_BLUE)
    axes.tick_params(axis="y", labelsize=7)
    axes.figure.subplots_adjust(left=0.2)
    axes.axvline(0, color=_GREY)
    axes.set(
        title="Permutation importance on the test set (unshrunk model)",
        xlabel="rise of the squared error, squared units of volatility",
    )


def _pit(axes: Any, counts: Sequence[int]) -> None:
    middles, width = (_PIT_EDGES[1:] + _PIT_EDGES[:-1]) / 2, _PIT_EDGES[1]
    density = np.array(counts) / (sum(counts) * width)
    axes.bar(middles, density, width, color=_BLUE, edgecolor="white")
    axes.axhline(1, color=_GREY, linestyle="--", label="a right law")
    axes.set(
        title=f"Calibration on the test set: {sum(counts)} realised returns",
        xlabel="level of the realised return under its forecast",
        ylabel="density",
    )
    axes.legend()


def _fan(axes: Any, intervals: IntervalModel, rows: pl.DataFrame) -> None:
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
