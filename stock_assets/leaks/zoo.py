"""Fifteen ways to know the future, each planted in one stage of the pipeline.

They are here to be found: an audit that passes over one of them is worth nothing. Each is what
people do by mistake, with its asset and the columns by which the audit has to name it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import polars as pl

from stock_assets.leaks.audit import Audit, audit
from stock_assets.leaks.futures import World
from stock_assets.leaks.stages import (
    STAGES,
    Plan,
    Run,
    Stage,
    fitted_model,
    labelled_between,
    labelled_month,
    train_set_known,
)
from stock_assets.market.bars import PRICES

Spoil = Callable[[Run, pl.DataFrame], pl.DataFrame]
"""Makes an honest stage's rows leaky."""


@dataclass(frozen=True)
class Leak:
    """A planted leak.

    Args:
        name: What it is called.
        meaning: What somebody did wrong.
        asset: The first asset that knows the future by it.
        columns: Those of its columns that have to be named.
        spoil: Its rows from the honest ones.
    """

    name: str
    meaning: str
    asset: str
    columns: tuple[str, ...]
    spoil: Spoil

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The pipeline with this leak in it, up to the asset that has it."""
        at = [stage.asset for stage in STAGES].index(self.asset)
        return (*STAGES[:at], _spoiled(STAGES[at], self))

    def is_named(self, found: Audit) -> bool:
        """Whether an audit blames this asset for these columns, and no other asset."""
        named = {change.column for change in found.changes}
        return {change.asset for change in found.changes} == {self.asset} and named >= set(
            self.columns
        )


def _spoiled(stage: Stage, leak: Leak) -> Stage:
    return replace(stage, make=lambda run: leak.spoil(run, stage.make(run)))


def visit(
    world: World,
    plan: Plan,
    leaks: "Sequence[Leak] | None" = None,
    *,
    cuts: int,
    seed: int,
) -> dict[str, Audit]:
    """What the audit finds of each leak, by name; it looks no further once the leak is named."""
    wanted = LEAKS if leaks is None else leaks
    found: dict[str, Audit] = {}
    for leak in wanted:

        def is_named(changes: Sequence[object], leak: Leak = leak) -> bool:
            return leak.is_named(Audit((), changes, {}))  # type: ignore[arg-type]

        found[leak.name] = audit(
            world, plan, cuts=cuts, seed=seed, stages=leak.stages, until=is_named
        )
    return found


# --- raw_prices


def _later_product(change: pl.Expr) -> pl.Expr:
    """Product of a change over a ticker's later rows; of rows sorted by ticker and session."""
    up_to = change.cum_prod().over("ticker")
    return change.product().over("ticker") / up_to


def back_adjusted_prices(_: Run, rows: pl.DataFrame) -> pl.DataFrame:
    paid = 1 - pl.col("dividend") / (pl.col("close") + pl.col("dividend"))
    factor = _later_product(paid / pl.col("split_ratio"))
    return rows.with_columns(pl.col(*PRICES) * factor)


def restated_volume(_: Run, rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(pl.col("volume") * _later_product(pl.col("split_ratio")))


def shifted_time_zone(_: Run, rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(pl.col(*PRICES, "volume").shift(-1).over("ticker")).drop_nulls("close")


def holiday_shift(run: Run, rows: pl.DataFrame) -> pl.DataFrame:
    calendar, sessions = run.plan.calendar, rows["session"].unique().sort()
    holidays = [day for day in calendar.weekday_holidays if sessions[0] < day <= sessions[-1]]
    is_eve = pl.col("session").is_in([calendar.last_before(day) for day in holidays])
    own = pl.col(*PRICES, "volume")
    later = own.shift(-1).over("ticker").fill_null(own)
    return rows.with_columns(pl.when(is_eve).then(later).otherwise(own))


def survivors(_: Run, rows: pl.DataFrame) -> pl.DataFrame:
    last = rows["session"].unique().sort().tail(2).to_list()
    alive = rows.filter(pl.col("session").is_in(last))["ticker"].unique()
    return rows.filter(pl.col("ticker").is_in(alive.to_list()))


def revised_bar(run: Run, rows: pl.DataFrame) -> pl.DataFrame:
    revised = run.world.revisions.unique(["ticker", "session"], keep="last", maintain_order=True)
    factor = pl.col("factor").fill_null(1.0)
    return (
        rows.join(revised, on=["ticker", "session"], how="left", maintain_order="left")
        .with_columns(pl.col(*PRICES) * factor)
        .drop("known_from", "factor")
    )


def fill_from_the_future(_: Run, rows: pl.DataFrame) -> pl.DataFrame:
    spans = rows.group_by("ticker").agg(first=pl.col("session").min(), last=pl.col("session").max())
    grid = (
        rows.select(pl.col("session").unique())
        .join(spans, how="cross")
        .filter(pl.col("session").is_between("first", "last"))
        .select("ticker", "session")
    )
    filled = grid.join(rows, on=["ticker", "session"], how="left").sort("ticker", "session")
    return filled.with_columns(
        pl.col(*PRICES, "volume", "dividend", "split_ratio").backward_fill().over("ticker")
    ).select(rows.columns)


# --- features


def centred_window(_: Run, rows: pl.DataFrame) -> pl.DataFrame:
    mean = pl.col("scaled_return_1d").rolling_mean(21, center=True).over("ticker")
    return rows.with_columns(momentum_20=mean)


def scaling_over_all_data(_: Run, rows: pl.DataFrame) -> pl.DataFrame:
    value = pl.col("range_ratio")
    return rows.with_columns((value - value.mean()) / value.std())


def peeking_feature(_: Run, rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(pl.col("close_location").shift(-1).over("ticker"))


def todays_membership(run: Run, rows: pl.DataFrame) -> pl.DataFrame:
    today = run.world.bars["session"].max()
    spells = run.world.membership.spells.filter(
        pl.col("last").is_null() | (pl.col("last") >= today)
    )
    return rows.filter(pl.col("ticker").is_in(spells["ticker"].to_list()))


# --- sets, model, forecasts


def label_overlap(run: Run, rows: pl.DataFrame) -> pl.DataFrame:
    split = run.split
    if split is None:
        return rows
    known = train_set_known(run)
    return labelled_between(run, split.train_first, known, known)


def target_in_a_lag(_: Run, rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(scaled_return_1d="label")


def model_that_has_seen_its_target(run: Run, rows: pl.DataFrame) -> pl.DataFrame:
    split = run.split
    if rows.is_empty() or split is None:
        return rows
    later = run.plan.calendar.window_from(split.trained_through, 20)[-1]
    every = labelled_month(run, replace(split, trained_through=later))
    seen = every.filter(pl.col("session") >= split.test_first)
    columns = run.frames["train_set"].columns
    return fitted_model(
        run,
        run.frames["train_set"],
        seen.with_columns(known_by=split.trained_through).select(columns),
    )


def interval_state_from_later_sessions(run: Run, rows: pl.DataFrame) -> pl.DataFrame:
    forecast = set(rows["as_of_session"].unique())
    seen = run.frames["features"].filter(pl.col("session").is_in(list(forecast)))
    state = (
        seen.group_by("ticker")
        .agg(state=(pl.col("return_1d") / pl.col("volatility_1d")).abs().mean().fill_null(1.0))
        .with_columns(pl.col("state").clip(0.1, 10))
    )
    bounds = [name for name in rows.columns if name.startswith(("lower_", "upper_"))]
    moved = rows.join(state, on="ticker", how="left", maintain_order="left")
    close = pl.col("close_usd")
    return moved.with_columns(
        (pl.col(*bounds) / close) ** pl.col("state").fill_null(1.0) * close
    ).drop("state")


LEAKS: tuple[Leak, ...] = (
    Leak(
        "centred_window",
        "A mean is taken over the sessions around a row, not over those up to it.",
        "features",
        ("momentum_20",),
        centred_window,
    ),
    Leak(
        "scaling_over_all_data",
        "A feature is scaled by mean and deviation of the whole history.",
        "features",
        ("range_ratio",),
        scaling_over_all_data,
    ),
    Leak(
        "back_adjusted_prices",
        "Prices have later splits and dividends in them.",
        "raw_prices",
        ("open", "high", "low", "close"),
        back_adjusted_prices,
    ),
    Leak(
        "shifted_time_zone",
        "A bar's time in another zone falls on the day before, and so does the bar.",
        "raw_prices",
        ("open", "high", "low", "close", "volume"),
        shifted_time_zone,
    ),
    Leak(
        "survivors",
        "Only tickers that still trade are there.",
        "raw_prices",
        ("ticker",),
        survivors,
    ),
    Leak(
        "label_overlap",
        "The last labels of the train set are realised in the test set.",
        "train_set",
        ("label", "return_next"),
        label_overlap,
    ),
    Leak(
        "model_that_has_seen_its_target",
        "A model is fitted on the sessions that it forecasts.",
        "tuned_model",
        ("point", "intervals"),
        model_that_has_seen_its_target,
    ),
    Leak(
        "revised_bar",
        "A bar has the values that its source corrected later.",
        "raw_prices",
        ("open", "high", "low", "close"),
        revised_bar,
    ),
    Leak(
        "todays_membership",
        "Only those who are members today are members of the past.",
        "features",
        ("ticker",),
        todays_membership,
    ),
    Leak(
        "peeking_feature",
        "A feature is that of the next session.",
        "features",
        ("close_location",),
        peeking_feature,
    ),
    Leak(
        "target_in_a_lag",
        "A lag has the wrong sign: the return to be forecast is among the features.",
        "train_set",
        ("scaled_return_1d",),
        target_in_a_lag,
    ),
    Leak(
        "restated_volume",
        "Volume is in shares of after later splits.",
        "raw_prices",
        ("volume",),
        restated_volume,
    ),
    Leak(
        "holiday_shift",
        "The bar of after a holiday stands in the session before it.",
        "raw_prices",
        ("open", "high", "low", "close"),
        holiday_shift,
    ),
    Leak(
        "fill_from_the_future",
        "A missing bar is filled with the next one there is.",
        "raw_prices",
        ("close",),
        fill_from_the_future,
    ),
    Leak(
        "interval_state_from_later_sessions",
        "Intervals are as wide as the misses of the whole backfill ask for.",
        "daily_forecast",
        ("lower_95_usd", "upper_95_usd"),
        interval_state_from_later_sessions,
    ),
)
"""The zoo."""
