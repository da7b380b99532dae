"""Checks of bars: claims about what was fetched and what enters features, with what speaks against.

The verdicts come from `market`; here they get a name, a severity and a table for the page. Only
what would poison everything downstream blocks: a session of a live source without a single bar. All
else warns, because the good tickers of a session go on without the bad.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from stock_assets.assets.attributes import preview
from stock_assets.errors import SourceError
from stock_assets.market.off_session import has_event
from stock_assets.market.revisions import Merged
from stock_assets.market.universe import empty_sessions, expected_bars, missing_bars
from stock_assets.resources.answers import Answer
from stock_assets.resources.price_history import StoredPrices
from stock_assets.resources.prices import Prices

PRICE_CHECKS: Mapping[str, str] = {
    "every_bar_is_coherent": "Prices are positive and finite, low and high contain open and close,"
    " no event or volume is negative; a bar that is not so is quarantined.",
    "every_ticker_was_fetched": "The source gave all tickers that were asked for; of two vendors,"
    " each did.",
    "vendors_agree": "Closes, splits and dividends of two vendors are the same, within what vendors"
    " differ in; what is not is listed, with who is wrong and whose was kept.",
    "every_bar_lies_on_a_session": "No bar is dated on a day on which the exchange does not trade;"
    " such a bar is left out, its events go to the ticker's next bar.",
    "every_expected_ticker_has_a_bar": "Each ticker has a bar in every session from its first on,"
    " or of its spells as a member.",
    "sessions_are_complete": "No session is without any bar. Blocks for a live source: what follows"
    " would compute with a hole.",
    "no_stored_bar_was_revised": "The answer says what was stored; what it changed is listed.",
    "no_answer_was_worse": "No stored value was missing or unsound in the answer; the better one"
    " was kept.",
    "no_stored_bar_was_damaged": "What was stored of the run's sessions could be read; what could"
    " not was set aside and fetched again.",
    "data_are_fresh": "The newest session there is, is stored (sources that go on).",
}
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


def check_prices(
    merged: Merged,
    answer: Answer,
    prices: Prices,
    stored: StoredPrices,
    sessions: Sequence[date],
    newest: date,
) -> list[dg.AssetCheckResult]:
    """The results of PRICE_CHECKS.

    Args:
        merged: What is stored from now on of the run's sessions.
        answer: What the source said.
        prices: The source, and the tickers that are wanted.
        stored: What was stored before.
        sessions: The run's sessions, ascending.
        newest: The newest session that there is.
    """
    bad = merged.bars.filter(pl.col("quarantine_reason").is_not_null())
    expected = expected_bars(
        merged.bars, sessions, prices.tickers, stored.recent_tickers, prices.membership
    )
    missing = missing_bars(expected, merged.bars)
    empty = empty_sessions(expected, merged.bars)
    newest_bar: date = merged.bars.select(pl.col("session").max()).item()
    held = max(stored.newest or newest_bar, newest_bar)
    is_live = prices.is_live
    return [
        warning(
            "every_bar_is_coherent",
            bad.is_empty(),
            {
                "quarantined": bad.height,
                **_table(
                    "quarantine",
                    bad.drop("fetched_at", "first_fetched_at", "revisions", "vendor"),
                ),
            },
        ),
        warning(
            "every_ticker_was_fetched",
            not answer.failures and answer.failure is None,
            {
                **{f"failure_of_{name}": _said(error) for name, error in answer.failures.items()},
                **({"failure": _said(answer.failure)} if answer.failure else {}),
            },
        ),
        _vendors_agree(answer, prices),
        warning(
            "every_bar_lies_on_a_session",
            answer.off_session.is_empty(),
            _off_session(answer.off_session, prices.calendar.exchange),
        ),
        warning(
            "every_expected_ticker_has_a_bar",
            missing.is_empty(),
            {
                "missing": missing.height,
                **_table(
                    "missing_bars",
                    missing.group_by("ticker", maintain_order=True).agg(
                        sessions=pl.len(),
                        first=pl.col("session").min(),
                        last=pl.col("session").max(),
                    ),
                ),
            },
        ),
        dg.AssetCheckResult(
            check_name="sessions_are_complete",
            passed=not empty,
            severity=dg.AssetCheckSeverity.ERROR if is_live else dg.AssetCheckSeverity.WARN,
            metadata={"sessions_without_bars": [str(session) for session in empty]},
        ),
        warning(
            "no_stored_bar_was_revised",
            merged.revised.is_empty() and merged.removed.is_empty(),
            {
                "revised_values": merged.revised.height,
                **_table("revisions", merged.revised),
                **_table("removed", merged.removed),
            },
        ),
        warning(
            "no_answer_was_worse",
            merged.refused.is_empty(),
            {"kept": merged.refused.height, **_table("kept_bars", merged.refused)},
        ),
        warning(
            "no_stored_bar_was_damaged",
            not stored.damaged,
            {"set_aside": [f"{session}: {why}" for session, why in stored.damaged.items()]},
        ),
        warning(
            "data_are_fresh",
            not is_live or held == newest,
            {"newest_stored": str(held), "newest_session": str(newest), "source_goes_on": is_live},
        ),
    ]


def _said(error: SourceError) -> str:
    return f"{type(error).__name__}: {error}"


def _vendors_agree(answer: Answer, prices: Prices) -> dg.AssetCheckResult:
    """Bars that only one of them has are listed, and are no disagreement."""
    compared = answer.compared
    if compared is None:
        return warning("vendors_agree", True, {"vendors": prices.source.name})
    found = compared.disagreements
    first, second = (vendor.name for vendor in prices.vendors)
    return warning(
        "vendors_agree",
        found.is_empty(),
        {
            "vendors": f"{first}, {second}",
            "bars_of_both": compared.n_both,
            "disagreements": found.height,
            "bars_of_one_only": compared.missing.height,
            **_table("disagreements_by_kind", found.group_by("kind").len().sort("kind")),
            **_table("values", found.rename({"first": first, "second": second})),
            **_table("missing_bars", compared.missing),
        },
    )


def _off_session(off: pl.DataFrame, exchange: str) -> dict[str, Any]:
    """What was left out, and which events no bar could take."""
    lost = off.filter(has_event() & pl.col("carried_to").is_null())
    return {
        "calendar": exchange,
        "left_out": off.height,
        "events_carried": off["carried_to"].count(),
        "events_lost": lost.height,
        **_table("off_session", off),
        **_table("lost_events", lost),
    }


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
