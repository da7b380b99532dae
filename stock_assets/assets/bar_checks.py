"""Checks of bars: claims about what was fetched and what enters features, with what speaks against.

The verdicts come from `market`; here they get a name, a severity and a table for the page. Only
what would poison everything downstream blocks: a session of a live source without a single bar. All
else warns, because the good tickers of a session go on without the bad.
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg
import polars as pl

from stock_assets.assets.attributes import preview

FEATURE_CHECKS: Mapping[str, str] = {
    "no_unexplained_jump": "No return is too large to be true after the ticker's own volatility;"
    " such a bar is quarantined. Large moves that markets do make are listed and kept.",
    "events_are_plausible": "Recorded splits and dividends are of a likely size and explain the"
    " price; a bar whose event does not is quarantined.",
    "volumes_are_sane": "No volume is out of all measure. Such a bar is kept.",
}


def warning(name: str, passed: bool, metadata: Mapping[str, Any]) -> dg.AssetCheckResult:
    """A check that lets the run go on."""
    return dg.AssetCheckResult(
        check_name=name,
        passed=passed,
        severity=dg.AssetCheckSeverity.WARN,
        metadata=dict(metadata),
    )


def check_plausibility(judged: pl.DataFrame) -> list[dg.AssetCheckResult]:
    """The results of FEATURE_CHECKS.

    Args:
        judged: What `judge_bars` returned, of the sessions that the run is about.
    """
    found = pl.col("quarantine_reason").is_not_null()
    jumps = judged.filter(pl.col("jump_finding").is_not_null())
    bad_jumps, large = jumps.filter(found), jumps.filter(~found)
    events = judged.filter(pl.col("event_finding").is_not_null())
    volumes = judged.filter(pl.col("volume_finding").is_not_null())
    return [
        warning(
            "no_unexplained_jump",
            bad_jumps.is_empty(),
            {
                "quarantined": bad_jumps.height,
                "large_moves_kept": large.height,
                **_table("quarantine", _as_jumps(bad_jumps)),
                **_table("large_moves", _as_jumps(large)),
            },
        ),
        warning(
            "events_are_plausible",
            events.is_empty(),
            {
                "quarantined": events.filter(found).height,
                "kept": events.filter(~found).height,
                **_table("events", _as_jumps(events, "event_finding")),
            },
        ),
        warning(
            "volumes_are_sane",
            volumes.is_empty(),
            {
                "kept": volumes.height,
                **_table(
                    "volumes", volumes.select("ticker", "session", "volume", "volume_finding")
                ),
            },
        ),
    ]


def _as_jumps(judged: pl.DataFrame, finding: str = "jump_finding") -> pl.DataFrame:
    return judged.sort("session", "ticker").select(
        "ticker",
        "session",
        "close",
        "dividend",
        "split_ratio",
        pl.col("log_growth").exp().sub(1).alias("return"),
        "robust_volatility",
        pl.col(finding).alias("finding"),
    )


def _table(name: str, rows: pl.DataFrame) -> dict[str, dg.MarkdownMetadataValue]:
    """The last rows as metadata; nothing for none."""
    return {name: preview(rows, rows=50)} if rows.height else {}
