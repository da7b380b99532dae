"""Checks of months: what would make a model's test worthless, or leave forecasts to an old one.

They look at the rows and studies that were just stored, so a run says whether its own are sound. A
label on the wrong side of a boundary blocks: all that is trained of it would be judged too well.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from stock_assets.asset_keys import Asset
from stock_assets.forecasting.splits import SplitSessions
from stock_assets.forecasting.study import MonthStudy, Study

NO_TRAIN_LABEL_IN_TEST = dg.AssetCheckSpec(
    "no_label_reaches_the_test_set",
    asset=Asset.TRAIN_SET,
    blocking=True,
    description="Every train label was known before the month's first test session: the model has"
    " seen nothing of what it is tested on.",
)
NO_TEST_LABEL_AFTER = dg.AssetCheckSpec(
    "no_label_is_after_the_cut_off",
    asset=Asset.TEST_SET,
    blocking=True,
    description="Every test label was known by the session through which the month is trained.",
)
TEST_IS_WHOLE = dg.AssetCheckSpec(
    "every_test_session_has_rows",
    asset=Asset.TEST_SET,
    description="The gate judges a month by as many sessions as the setting test_sessions says.",
)
SKILL_IS_KNOWN = dg.AssetCheckSpec(
    "test_skill_is_known",
    asset=Asset.TUNED_MODEL,
    description="Each trained month has a skill against the random walk on its test set. It has"
    " none where no price moved, or the test set is empty.",
)
VERSION_SERVES = dg.AssetCheckSpec(
    "newest_month_serves",
    asset=Asset.REGISTERED_VERSION,
    description="The newest month's version was approved with its points or its intervals. Where"
    " neither was, an older one goes on serving, and the reason says why.",
)


def check_train_labels(rows: Mapping[str, tuple[SplitSessions, pl.DataFrame]]) -> Any:
    """Of each month's rows (LABELLED_SCHEMA) with its boundaries; months without rows are left out.

    The bound is strict: a label of the first test session's own day is of the test set.
    """
    late = {
        month: label
        for month, (split, own) in rows.items()
        if (label := _newest_label(own)) and label >= split.test_first
    }
    bounds = {month: split.test_first for month, (split, _) in rows.items()}
    return _months_result(NO_TRAIN_LABEL_IN_TEST, late, bounds, "a label of", "tested from")


def check_test_labels(rows: Mapping[str, tuple[SplitSessions, pl.DataFrame]]) -> Any:
    """The same of test rows, whose labels may be of the last session looked at."""
    late = {
        month: label
        for month, (split, own) in rows.items()
        if (label := _newest_label(own)) and label > split.trained_through
    }
    bounds = {month: split.trained_through for month, (split, _) in rows.items()}
    return _months_result(NO_TEST_LABEL_AFTER, late, bounds, "a label of", "trained through")


def check_test_sessions(
    rows: Mapping[str, tuple[SplitSessions, pl.DataFrame]], wanted: int
) -> dg.AssetCheckResult:
    """Whether each month's test rows are of as many sessions as wanted."""
    found = {month: own["session"].n_unique() for month, (_, own) in rows.items()}
    short = {month: count for month, count in found.items() if count < wanted}
    return _warning(
        TEST_IS_WHOLE,
        not short,
        "; ".join(f"{month}: {count} of {wanted} sessions" for month, count in short.items())
        or f"{len(rows)} months of {wanted} sessions",
    )


def check_skill(studies: Sequence[MonthStudy]) -> dg.AssetCheckResult:
    """Whether every trained month's skill could be computed."""
    trained = [study for study in studies if isinstance(study, Study)]
    unknown = [study.month for study in trained if study.scores["test_skill"] is None]
    return _warning(
        SKILL_IS_KNOWN,
        not unknown,
        f"unknown of {', '.join(unknown)}" if unknown else f"known of {len(trained)} months",
    )


def check_serving(registered: Sequence[Mapping[str, Any]]) -> dg.AssetCheckResult:
    """Whether the newest registered month serves with anything.

    Args:
        registered: Values of `registered_version`, ascending by month; a month without a model has
            no version, and is none that was rejected.
    """
    versions = [value for value in registered if value["version"] is not None]
    if not versions:
        return _warning(VERSION_SERVES, True, "no month of the run has a model")
    newest = versions[-1]
    return _warning(
        VERSION_SERVES,
        newest["approved"] or newest["intervals_approved"],
        f"{newest['month']}: points {newest['reason']}; intervals {newest['intervals_reason']}",
    )


def _newest_label(rows: pl.DataFrame) -> date | None:
    label: date | None = rows.select(pl.col("label_session").max()).item()
    return label


def _months_result(
    spec: dg.AssetCheckSpec,
    late: Mapping[str, date],
    bounds: Mapping[str, date],
    what: str,
    bound: str,
) -> dg.AssetCheckResult:
    said = [f"{month}: {what} {label}, {bound} {bounds[month]}" for month, label in late.items()]
    return dg.AssetCheckResult(
        check_name=spec.name,
        passed=not late,
        severity=dg.AssetCheckSeverity.ERROR,
        description="; ".join(said) or f"{len(bounds)} months looked at",
    )


def _warning(spec: dg.AssetCheckSpec, passed: bool, said: str) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=spec.name,
        passed=bool(passed),
        severity=dg.AssetCheckSeverity.WARN,
        description=said,
    )
