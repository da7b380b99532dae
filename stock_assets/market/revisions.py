"""What becomes of a stored bar when its session is fetched again.

A source corrects itself, forgets, answers in part. Stored bars of tickers that the answer does not
name stay; a worse answer never replaces a better bar; a different one replaces it and leaves a
record in the bar itself, so that a session's object tells its own history and nothing is appended
anywhere else.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from stock_assets.market.bars import BAR_SCHEMA, PRICES, quarantine_reason
from stock_assets.market.side_by_side import are_close, same_dividend, same_split

REVISION = pl.Struct(
    {
        "column": pl.String(),
        "from": pl.Float64(),
        "to": pl.Float64(),
        "revised_at": pl.Datetime("us", "UTC"),
    }
)
STORED_SCHEMA: dict[str, pl.DataType] = {
    **BAR_SCHEMA,
    "quarantine_reason": pl.String(),
    "source": pl.String(),
    "fetched_at": pl.Datetime("us", "UTC"),
    "revisions": pl.List(REVISION),
    "first_fetched_at": pl.Datetime("us", "UTC"),
    "vendor": pl.String(),
}
"""A bar as it is kept. `revisions`: every change of a value since the first fetch, oldest first.
`fetched_at`: of the newest answer that had it; `first_fetched_at`: of the first one, null where an
older release stored it and nobody fetched it since. `source`: who gave the close. `vendor`: who
gave other values, like dividend=http,volume=; null where `source` gave all. Nobody stands after a
value that is only a default."""

STORED_LATER = frozenset({"revisions", "first_fetched_at", "vendor"})
"""Columns that the first objects lack: null there."""

REVISED_SCHEMA: dict[str, pl.DataType] = {
    "ticker": pl.String(),
    "session": pl.Date(),
    "column": pl.String(),
    "from": pl.Float64(),
    "to": pl.Float64(),
    "revised_at": pl.Datetime("us", "UTC"),
}

ROUNDING = 1e-6
"""Relative difference below which two fetches say the same. Sources store adjusted prices in single
precision: undoing a later split gives 499.230012 for 499.23."""

_NUMBERS = (*PRICES, "volume", "dividend", "split_ratio")
_KEY = ("ticker", "session")


@dataclass(frozen=True)
class Merged:
    """The outcome of merging an answer into what was stored.

    `bars`: STORED_SCHEMA, sorted by ticker and session. `revised`: REVISED_SCHEMA, what this answer
    changed. `refused`: `ticker, session, reason` of bars whose better values were kept. `removed`:
    `ticker, session` of bars that a forced answer no longer has.
    """

    bars: pl.DataFrame
    revised: pl.DataFrame
    refused: pl.DataFrame
    removed: pl.DataFrame


def stored_form(bars: pl.DataFrame, source: str, at: datetime) -> pl.DataFrame:
    """Fetched bars in STORED_SCHEMA, with their reason and without revisions.

    Args:
        bars: BAR_SCHEMA, and `vendor` where there are two.
        source: The vendor, or the first of two.
        at: When they were fetched.
    """
    if "vendor" in bars.columns:
        who = {name: pl.col("vendor").struct.field(name) for name in _NUMBERS}
    else:
        who = dict.fromkeys(_NUMBERS, pl.lit(source))
    of_close = who["close"].fill_null(source)
    return bars.with_columns(
        quarantine_reason(),
        source=of_close,
        fetched_at=pl.lit(at, dtype=pl.Datetime("us", "UTC")),
        revisions=pl.lit([], dtype=pl.List(REVISION)),
        first_fetched_at=pl.lit(at, dtype=pl.Datetime("us", "UTC")),
        vendor=_others_than(of_close, who),
    ).select(*STORED_SCHEMA)


def but_for_the_absent(
    stored: pl.DataFrame, fetched: pl.DataFrame, unanswered: pl.DataFrame
) -> pl.DataFrame:
    """The fetched bars without those that would overrule a vendor who is not there to answer.

    Args:
        stored: STORED_SCHEMA.
        fetched: STORED_SCHEMA.
        unanswered: `source, ticker` of vendors and what they gave no bar of this time.

    A sound bar that such a vendor gave stays until it answers again.
    """
    theirs = stored.filter(pl.col("quarantine_reason").is_null()).join(
        unanswered, on=["source", "ticker"], how="semi"
    )
    return fetched.join(theirs, on=_KEY, how="anti", maintain_order="left")


def merge_bars(
    stored: pl.DataFrame,
    fetched: pl.DataFrame,
    *,
    force: bool = False,
    answered: Collection[str] = (),
) -> Merged:
    """Merges an answer into the stored bars of the same sessions.

    Args:
        stored: STORED_SCHEMA, one row per ticker and session; null `revisions` are none.
        fetched: STORED_SCHEMA, one row per ticker and session, all fetched at one time.
        force: Take the answer as it is, worse or not.
        answered: With `force`: tickers whose stored bars go where the answer has none.

    Without `force`, a bar is refused if it is quarantined where the stored one is sound, or lacks
    more values; so is a volume that is missing or 0 where one is stored. Values that differ by no
    more than ROUNDING stay as they were first stored; from one vendor to the other, those that
    differ by no more than vendors do. An event that no vendor was asked of changes none.
    """
    gone = stored.clear()
    if force:
        gone = stored.filter(pl.col("ticker").is_in(list(answered))).join(
            fetched, on=_KEY, how="anti"
        )
    both = stored.join(fetched, on=_KEY, suffix="_new")
    only_stored = stored.join(fetched, on=_KEY, how="anti").join(gone, on=_KEY, how="anti")
    only_fetched = fetched.join(stored, on=_KEY, how="anti") if stored.height else fetched
    compared = _compare(both, force=force)
    bars = pl.concat([only_stored, only_fetched, _chosen(compared)]).sort(*_KEY)
    revised = (
        compared.select(*_KEY, "new_revisions")
        .explode("new_revisions", empty_as_null=False)
        .unnest("new_revisions")
        .select(pl.col(name).cast(dtype) for name, dtype in REVISED_SCHEMA.items())
        .sort(*_KEY)
    )
    refused = (
        compared.with_columns(
            reason=pl.when("is_worse")
            .then(pl.lit("the new answer lacks values or is quarantined"))
            .when("lacks_volume")
            .then(pl.lit("the new answer has no volume"))
        )
        .drop_nulls("reason")
        .select(*_KEY, "reason")
        .sort(*_KEY)
    )
    return Merged(bars, revised, refused, gone.select(*_KEY))


def _compare(both: pl.DataFrame, *, force: bool) -> pl.DataFrame:
    """Adds `is_worse`, `lacks_volume`, `new_revisions` and each column's `<name>_chosen`."""
    news = [f"{name}_new" for name in _NUMBERS]
    lacks_more = pl.sum_horizontal(pl.col(*news).is_null()) > pl.sum_horizontal(
        pl.col(*_NUMBERS).is_null()
    )
    unsound = pl.col("quarantine_reason_new").is_not_null()
    worse = unsound & (pl.col("quarantine_reason").is_null() | lacks_more)
    no_volume = (pl.col("volume_new").fill_null(0.0) == 0) & (pl.col("volume") > 0)
    judged = both.with_columns(
        is_worse=worse & ~pl.lit(force), lacks_volume=no_volume & ~worse & ~pl.lit(force)
    )
    changes = {
        name: _differs(name) & ~_is_hearsay(name, force=force) & ~pl.col("is_worse")
        for name in _NUMBERS
    }
    changes["volume"] &= ~pl.col("lacks_volume")
    records = [
        pl.when(changed).then(
            pl.struct(
                pl.lit(name).alias("column"),
                pl.col(name).alias("from"),
                pl.col(f"{name}_new").alias("to"),
                pl.col("fetched_at_new").alias("revised_at"),
            )
        )
        for name, changed in changes.items()
    ]
    return judged.with_columns(
        pl.concat_list(records).list.drop_nulls().cast(pl.List(REVISION)).alias("new_revisions"),
        *(
            pl.when(changed).then(f"{name}_new").otherwise(name).alias(f"{name}_chosen")
            for name, changed in changes.items()
        ),
        **{
            f"{name}_giver": pl.when(changed)
            .then(giver(name, "_new"))
            .otherwise(pl.coalesce(giver(name), giver(name, "_new")))
            for name, changed in changes.items()
        },
    )


def giver(name: str, suffix: str = "") -> pl.Expr:
    """Who gave a value of a stored bar; null for nobody."""
    told = pl.col(f"vendor{suffix}").str.extract(rf"(?:^|,){name}=([^,]*)")
    return pl.when(told.is_null() | (told != "")).then(pl.coalesce(told, f"source{suffix}"))


def _others_than(source: pl.Expr, who: Mapping[str, pl.Expr]) -> pl.Expr:
    """`vendor` of a bar whose values were given by `who`.

    One text, since a column for each value takes half as long to read as all others.
    """
    others = [
        pl.when(pl.col(name).is_not_null() & ~one.eq_missing(source)).then(
            pl.format(f"{name}={{}}", one.fill_null(""))
        )
        for name, one in who.items()
    ]
    told = pl.concat_str(others, separator=",", ignore_nulls=True)
    return pl.when(told != "").then(told)


def _is_hearsay(name: str, *, force: bool) -> pl.Expr:
    """Whether a new value is no reason to give up the stored one.

    It is nobody's, a default where no vendor knew; or another vendor's that says the same as well
    as vendors agree, for which an outage of the one that was stored first should revise nothing.
    Prices are the same if all of a bar are: its close must stay within its high and low.
    """
    if force:
        return pl.lit(value=False)
    pairs = {one: (pl.col(one), pl.col(f"{one}_new")) for one in _NUMBERS}
    if name in PRICES:
        same = pl.all_horizontal(are_close(*pairs[one]) for one in PRICES)
    elif name == "volume":  # which venues count differs most
        same = pl.all_horizontal(one > 0 for one in pairs[name])
    else:
        same = {"dividend": same_dividend, "split_ratio": same_split}[name](*pairs[name])
    nobodys = giver(name, "_new").is_null() & pairs[name][1].is_not_null()
    another = giver(name) != giver(name, "_new")
    return nobodys.fill_null(False) | (another & same).fill_null(False)


def _differs(name: str) -> pl.Expr:
    old, new = pl.col(name), pl.col(f"{name}_new")
    apart = (old - new).abs() > ROUNDING * pl.max_horizontal(old.abs(), new.abs())
    # A comparison with null is null, one with NaN or infinity may be false: these are not numbers.
    odd = old.is_null() | new.is_null() | ~old.is_finite() | ~new.is_finite()
    return pl.when(odd.fill_null(True)).then(old.ne_missing(new)).otherwise(apart)


def _chosen(compared: pl.DataFrame) -> pl.DataFrame:
    """The merged rows in STORED_SCHEMA."""
    source, fetched_at = (
        pl.when("is_worse").then(name).otherwise(f"{name}_new") for name in ("source", "fetched_at")
    )
    return (
        compared.with_columns(
            *(pl.col(f"{name}_chosen").alias(name) for name in _NUMBERS),
            revisions=pl.concat_list(pl.col("revisions").fill_null([]), "new_revisions"),
            first_fetched_at=pl.coalesce("first_fetched_at", "fetched_at"),
            source=pl.coalesce("close_giver", source),
            fetched_at=fetched_at,
        )
        .with_columns(
            quarantine_reason(),
            vendor=_others_than(
                pl.col("source"), {name: pl.col(f"{name}_giver") for name in _NUMBERS}
            ),
        )
        .select(*STORED_SCHEMA)
    )
