"""Issued forecasts beside hindsight: where the two differ, and why.

Prices say by themselves when they were first fetched and when they were revised, forecasts which
versions made them. What neither explains was made by other code.
"""

from collections.abc import Mapping
from datetime import date

import polars as pl

REVISION, LATE_DATA, VERSION, CODE, NONE = "revision", "late data", "version", "code", "none"
CAUSES = (NONE, REVISION, LATE_DATA, VERSION, CODE)
SHOWN = ("forecast_close_usd", "lower_95_usd", "upper_95_usd")
_VERSIONS = ("model_version", "intervals_version")
_COMPARED = (
    "close_usd",
    "volatility_1d",
    "forecast_volatility",
    "forecast_return",
    *SHOWN,
    *(f"{side}_{coverage}_usd" for coverage in (50, 80) for side in ("lower", "upper")),
)
_KEY = ("as_of_session", "ticker")
_AFTER = "_hindsight"
_ROUNDING = 1e-9
"""Relative: two machines may differ in the last bits of the same sums."""


def reconcile(
    issued: pl.DataFrame,
    hindsight: pl.DataFrame,
    bars: pl.DataFrame,
    window_of: Mapping[date, date],
) -> pl.DataFrame:
    """Each forecast of the issued sessions beside what would be forecast now.

    Args:
        issued: FORECAST_SCHEMA, issued rows.
        hindsight: FORECAST_SCHEMA of the same sessions, made later.
        bars: STORED_SCHEMA, from the first session of any window on.
        window_of: The first session whose bars each session's forecast is made of.

    Returns:
        One row per session and ticker, sorted: `as_of_session, ticker, issued_at`, SHOWN of both
        (null where there is none), `cause` (one of CAUSES) and `because`, null for none. A change
        of the ticker's own bars comes before another version, and that before a change of another
        ticker's bars, which moves the means of the market.
    """
    made_at = dict(issued.select("as_of_session", "issued_at").unique().iter_rows())
    both = issued.with_columns(was_issued=pl.lit(True)).join(
        hindsight.with_columns(is_there=pl.lit(True)),
        on=_KEY,
        how="full",
        coalesce=True,
        suffix=_AFTER,
    )
    both = both.with_columns(
        issued_at=pl.col("as_of_session").replace_strict(
            made_at, return_dtype=pl.Datetime("us", "UTC")
        ),
        differs=pl.any_horizontal(map(_differs, _COMPARED)),
        is_both=pl.col("was_issued") & pl.col("is_there"),
        versions=pl.any_horizontal(pl.col(n).ne_missing(pl.col(n + _AFTER)) for n in _VERSIONS),
    ).sort(_KEY)
    changes = _changes(bars)
    causes: list[tuple[str, str | None]] = []
    for (session,), rows in both.group_by("as_of_session", maintain_order=True):
        known = _known_later(changes, window_of[session], session, made_at[session])
        causes += [_cause(row, known) for row in rows.iter_rows(named=True)]
    return both.select(
        *_KEY, "issued_at", *(name + suffix for name in SHOWN for suffix in ("", _AFTER))
    ).with_columns(
        cause=pl.Series([cause for cause, _ in causes], dtype=pl.String),
        because=pl.Series([because for _, because in causes], dtype=pl.String),
    )


def _differs(name: str) -> pl.Expr:
    one, other = pl.col(name), pl.col(name + _AFTER)
    apart = (one - other).abs() > _ROUNDING * pl.max_horizontal(one.abs(), other.abs())
    return pl.when(one.is_null() | other.is_null()).then(one.ne_missing(other)).otherwise(apart)


def _changes(bars: pl.DataFrame) -> pl.DataFrame:
    """`ticker, session, at, cause, because` of all that became known of bars, revisions first."""
    revised = (
        bars.select("ticker", "session", "revisions")
        .explode("revisions", empty_as_null=False)
        .drop_nulls("revisions")
        .unnest("revisions")
        .select(
            "ticker",
            "session",
            at="revised_at",
            cause=pl.lit(REVISION),
            because=pl.format("{} of {}: {} {} -> {}", "ticker", "session", "column", "from", "to"),
        )
    )
    fetched = bars.select(
        "ticker",
        "session",
        at=pl.coalesce("first_fetched_at", "fetched_at"),
        cause=pl.lit(LATE_DATA),
        because=pl.format("{} of {} was fetched later", "ticker", "session"),
    )
    return pl.concat([revised, fetched])


def _known_later(
    changes: pl.DataFrame, first: date, last: date, issued_at: object
) -> dict[str, tuple[str, str]]:
    """The newest change of each ticker's bars after the issue; a revision before late data."""
    later = changes.filter(
        pl.col("session").is_between(first, last), pl.col("at") > pl.lit(issued_at)
    )
    newest = later.sort(
        pl.col("cause") == LATE_DATA, "session", descending=[False, True], maintain_order=True
    ).unique("ticker", keep="first", maintain_order=True)
    return {
        ticker: (cause, because)
        for ticker, cause, because in newest.select("ticker", "cause", "because").iter_rows()
    }


def _cause(
    row: Mapping[str, object], known: Mapping[str, tuple[str, str]]
) -> tuple[str, str | None]:
    if not row["differs"]:
        return NONE, None
    if own := known.get(str(row["ticker"])):
        return own
    if row["is_both"] and row["versions"]:
        before, after = (
            ", ".join(f"{name} {row[name + suffix]}" for name in _VERSIONS)
            for suffix in ("", _AFTER)
        )
        return VERSION, f"{before}; now {after}"
    return next(iter(known.values()), (CODE, "neither its prices nor its versions are others"))
