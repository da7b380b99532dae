"""What each column holds, and in which unit, in words for the page.

One place for all assets: a name means the same wherever it stands, but for `session`. Columns that
count something in their name (`momentum_20`) are described by their stem. The exact formulas are in
the code that computes them.
"""

import re
from collections.abc import Mapping
from typing import Any

import dagster as dg
import polars as pl

from stock_assets.extensions import FEATURES_GROUP, installed

_RETURN, _PRICE, _OWN = "log return", "currency per share", "in units of volatility_1d"
_DATE, _CODE, _YES_NO, _COUNT, _TIME = "date", "text", "yes or no", "count", "time in UTC"
_LOG, _SCORE, _DAYS, _SHARE = "log", "score, 0 to about 4", "calendar days", "share, 0 to 1"

COLUMNS: Mapping[str, tuple[str, str]] = {
    "ticker": ("Code of the share or index.", _CODE),
    "session": ("Trading day that the row is about.", _DATE),
    # Prices.
    "open": ("First price of the session, as traded.", _PRICE),
    "high": ("Highest price of the session, as traded.", _PRICE),
    "low": ("Lowest price of the session, as traded.", _PRICE),
    "close": ("Last price of the session, as traded.", _PRICE),
    "volume": ("Shares traded; none for indices.", "shares"),
    "dividend": ("Cash paid, on the ex-date; else 0.", _PRICE),
    "split_ratio": ("New shares for an old one from this session on; else 1.", "ratio"),
    "quarantine_reason": ("Why the bar can't be right; empty for a sound one.", _CODE),
    "source": ("Who gave the bar.", _CODE),
    "vendor": ("Who gave other values than the source, like dividend=http.", _CODE),
    "fetched_at": ("When the newest answer came that had the bar.", _TIME),
    "first_fetched_at": ("When the first answer came that had the bar.", _TIME),
    "revisions": ("Every change of a value since the first fetch, oldest first.", "list"),
    # Features.
    "close_usd": ("Last price, in the shares of its own session.", _PRICE),
    "return_1d": ("Return since the ticker's bar before, splits and dividends included.", _RETURN),
    "volatility_1d": ("Volatility of one session, of ranges and overnight moves.", _RETURN),
    "range_variance_1d": ("Variance of the session, of its range and the night.", "log return²"),
    "scaled_return_1d": ("Return of the session.", _OWN),
    "momentum": ("Return of the last n sessions.", _OWN),
    "ema_gap": ("Log price above its exponential mean of n sessions.", _OWN),
    "overnight_return": ("From the close before to the open.", _OWN),
    "intraday_return": ("From the open to the close.", _OWN),
    "close_location": ("Where the close lies in the range.", "-0.5 (low) to 0.5 (high)"),
    "range_ratio": ("Log of high over low.", _OWN),
    "volume_surprise": ("Volume above its mean of 20 sessions.", _LOG),
    "volatility_ratio": ("Volatility of the last n sessions above volatility_1d.", _LOG),
    "market_log_variance": ("Mean over tickers of their variance of n sessions.", _LOG),
    "overnight_share": ("How much of what the ticker moves comes at night.", _LOG),
    "close_share": ("How much of its ranges is left at the close.", _LOG),
    "market_move": ("Mean return of the session's tickers.", "in units of their volatility"),
    "market_stir": ("Mean size of the tickers' returns over n sessions.", _LOG),
    "season": ("News of past quarters within n sessions of the coming one's date.", _SCORE),
    "season_peak": ("News of past quarters within ten sessions of that date.", _SCORE),
    "season_hits": ("Past quarters whose news lay within n sessions of that date.", _COUNT),
    "season_hit": ("Mean size of those news.", _SCORE),
    "news": ("Largest news of the last n sessions.", _SCORE),
    "days_to_next": ("From the session to the next one.", _DAYS),
    "days_after_next": ("From the next session to the one after it.", _DAYS),
    # Labels.
    "label_session": ("Session in which the label is known.", _DATE),
    "return_next": ("Return from the session to the label's.", _RETURN),
    "label": ("The same, bounded: what a model learns.", _OWN),
    "range_variance_next": ("Mean variance of the sessions up to the label's.", "log return²"),
    # Forecasts.
    "as_of_session": ("Session from whose close the forecast was made.", _DATE),
    "target_session": ("Session whose close is forecast.", _DATE),
    "forecast_volatility": ("Volatility of one session that the interval is as wide as.", _RETURN),
    "forecast_return": ("Mean of the return up to the target session.", _RETURN),
    "forecast_close_usd": ("Close times the exponential of that return.", _PRICE),
    "lower": ("Lower end of the n % interval.", _PRICE),
    "upper": ("Upper end of the n % interval.", _PRICE),
    "quantile_returns": ("Fifty quantiles of the return, at 1 %, 3 %, … 99 %.", _RETURN),
    "model": ("Family of the model that made the point; random_walk: no change.", _CODE),
    "model_version": ("Version in the registry that made the point.", "number"),
    "intervals_version": ("Version that made the intervals; none: the normal law.", "number"),
    "trained_through": ("Last session that the point's version has seen.", _DATE),
    "is_fallback": ("Whether no version made the point.", _YES_NO),
    "fallback_reason": ("Why no version made it.", _CODE),
    "issued_at": ("When it was issued, before its target opened; none: hindsight.", _TIME),
    "record_number": ("Place among the issued sessions.", "number"),
    "record_hash": ("Link of the chain of issued forecasts.", "SHA-256"),
    # Scores.
    "realised_return": ("Return that came, splits and dividends included.", _RETURN),
    "error_return": ("Realised minus forecast.", _RETURN),
    "error_return_random_walk": ("The same of a forecast of no change.", _RETURN),
    "error_usd": ("Realised minus forecast, in the shares of the forecast's session.", _PRICE),
    "error_usd_random_walk": ("The same of a forecast of no change.", _PRICE),
    "covered": ("Whether the n % interval held the outcome.", _YES_NO),
    "crps": ("How far the whole law was off; smaller is better.", _RETURN),
    "interval_score": ("Width of the n % interval and its penalty; smaller is better.", _RETURN),
    "unscored_reason": ("Why there is no score; empty for a scored row.", _CODE),
    "record": ("issued: before the target opened; else hindsight.", _CODE),
    "rolling_forecasts": ("Scored forecasts in the window that ends here.", _COUNT),
    "rolling_issued": ("How many of them were issued.", _COUNT),
    "rolling_rmse_return": ("Root mean square error over the window.", _RETURN),
    "rolling_rmse_return_random_walk": ("The random walk's over the window.", _RETURN),
    "rolling_rmse_usd": ("Root mean square error over the window.", _PRICE),
    "rolling_coverage": ("Outcomes of the window that the n % interval held.", _SHARE),
}
_TARGET = ("Target session: the one whose close was forecast.", _DATE)
_NUMBERED = re.compile(r"(?P<stem>\w+?)_(?P<n>\d+)(?:_usd)?")


def column_words(name: str) -> tuple[str, str]:
    """What a column holds, and its unit.

    Raises:
        KeyError: Nobody has described it.
    """
    if name in COLUMNS:
        return COLUMNS[name]
    if name in installed(FEATURES_GROUP):
        return f"Feature that {installed(FEATURES_GROUP)[name].value} computes.", "of its own"
    numbered = _NUMBERED.fullmatch(name)
    if not numbered:
        raise KeyError(name)
    words, unit = COLUMNS[numbered["stem"]]
    return re.sub(r"\bn\b", numbered["n"], words), unit


def is_described(name: str) -> bool:
    """Whether a column is a stored one, not one of a finding."""
    numbered = _NUMBERED.fullmatch(name)
    return name in COLUMNS or bool(numbered and numbered["stem"] in COLUMNS)


def columns_of(
    schema: Mapping[str, pl.DataType],
    lineage: dg.TableColumnLineage | None = None,
    *,
    scores: bool = False,
) -> dict[str, Any]:
    """Metadata of an asset: what each column holds, and what it is made of.

    They stand with the asset alone: a partition's event that had them would hide these.

    Args:
        schema: Of what is stored.
        lineage: None for an asset that has no upstream one.
        scores: Whether `session` is the target's.
    """
    columns = [
        dg.TableColumn(name, str(dtype), f"{words} Unit: {unit}.")
        for name, dtype in schema.items()
        for words, unit in [_TARGET if scores and name == "session" else column_words(name)]
    ]
    metadata = {"dagster/column_schema": dg.TableSchema(columns)}
    return {**metadata, **({"dagster/column_lineage": lineage} if lineage else {})}
