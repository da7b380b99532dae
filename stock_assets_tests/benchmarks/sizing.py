"""What thousands of tickers take, on paper: docs/kubernetes.md's table, from docs/benchmarks.json.

Everything that was measured is taken to grow with the number of rows, which is more than it does:
the trees of a forest draw a fixed number of rows, and a run has a part that no ticker adds to. So
each number is one that will do, and none says what is needed at the least.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stock_assets.settings import Settings
from stock_assets_tests.benchmarks.case import CHECKOUT

PAGE = CHECKOUT / "docs" / "kubernetes.md"
RESULTS = CHECKOUT / "docs" / "benchmarks.json"
START, END = "<!-- sizes: made of benchmarks.json -->", "<!-- end of sizes -->"
OF_SESSIONS = ("raw_prices", "features", "daily_forecast", "forecast_rmse")
SESSIONS_A_YEAR, SESSIONS_A_MONTH, MONTHS_A_YEAR = 252, 21, 12
HISTORY = 257
"""Sessions before the first one whose features are made: those of the longest window."""

# S3 Standard in us-east-1, in US dollars; lists and copies are priced as writes, deletes are free.
DOLLARS_A_GB_MONTH = 0.023
DOLLARS_A_WRITE, DOLLARS_A_READ = 0.005 / 1_000, 0.0004 / 1_000


@dataclass(frozen=True)
class Extent:
    """So many tickers over so many years, each with a bar in each session."""

    tickers: int
    years: int

    @property
    def sessions(self) -> int:
        return self.years * SESSIONS_A_YEAR

    @property
    def months(self) -> int:
        return self.years * MONTHS_A_YEAR


@dataclass(frozen=True)
class Needs:
    """What an extent takes, at the most.

    `…_gb` are decimal gigabytes, `cpu_hours` those of one core for the whole backfill.
    """

    objects: int
    stored_gb: float
    train_sets_gb: float
    prices_gb: float
    data_cpu_hours: float
    training_cpu_hours: float
    run_gb: float
    training_gb: float
    backfill_dollars: float
    month_dollars: float


def needs(extent: Extent, results: Mapping[str, Any], settings: Settings) -> Needs:
    """Works it out from the benchmarks' best measurements.

    Args:
        extent: Of the dataset.
        results: The content of docs/benchmarks.json.
        settings: Whose months of training, sessions of a run and months between searches count.
    """
    sizes = results["sizes"]["best"]["stored"]
    row_bytes = sizes["row_bytes"]
    rows = extent.tickers * extent.sessions
    train_rows = extent.tickers * settings.train_months * SESSIONS_A_MONTH
    test_rows = extent.tickers * settings.test_sessions
    per_month = train_rows * row_bytes["train_set"] + test_rows * row_bytes["test_set"]
    by_session = sum(row_bytes[asset] for asset in OF_SESSIONS)
    stored = rows * by_session + extent.months * (per_month + sizes["model_bytes"])
    objects = (
        extent.sessions * len(OF_SESSIONS)
        + extent.months * sizes["month_objects"] / sizes["months"]
    )
    # As many requests an object as the measured backfill made; a listing has pages of 1,000 keys.
    pages = math.ceil(extent.sessions / 1_000)
    backfill = _dollars(sizes["backfill_requests"], pages) / sizes["backfill_requests"]["PUT"]
    day = _dollars(sizes["day_requests"], pages)
    return Needs(
        objects=round(objects),
        stored_gb=stored / 1e9,
        train_sets_gb=extent.months * per_month / 1e9,
        prices_gb=rows * row_bytes["raw_prices"] / 1e9,
        data_cpu_hours=_data_seconds(extent, results) / 3600,
        training_cpu_hours=_training_seconds(extent, train_rows, results, settings) / 3600,
        run_gb=_run_bytes(extent, results, settings) / 1e9,
        training_gb=_training_bytes(train_rows, results) / 1e9,
        backfill_dollars=backfill * objects,
        month_dollars=stored / 1e9 * DOLLARS_A_GB_MONTH + day * SESSIONS_A_MONTH,
    )


def _dollars(requests: Mapping[str, int], pages: int) -> float:
    writes = requests["PUT"] + requests["LIST"] * pages
    return writes * DOLLARS_A_WRITE + requests["GET"] * DOLLARS_A_READ


def _data_seconds(extent: Extent, results: Mapping[str, Any]) -> float:
    """Prices, features, forecasts and scores: a part for each session, and one for each row."""
    points = results["growth"]["best"]["chain by tickers"]["points"]
    few, many = points["10 tickers x 252 sessions"], points["2000 tickers x 252 sessions"]
    per_row = (many - few) / (1_990 * 252)
    per_session = few / 252
    measured = results["backfill"]["best"]["backfill"]
    # Of forecasts and scores only one size was measured.
    later = (measured["stages"]["forecasts"] + measured["stages"]["scores"]) / (500 * 100)
    rows = extent.tickers * extent.sessions
    return float(extent.sessions * per_session + rows * (per_row + later))


def _training_seconds(
    extent: Extent, train_rows: int, results: Mapping[str, Any], settings: Settings
) -> float:
    fold = results["fold"]["best"]
    searched, lent = fold["project"], fold["reusing"]
    searches = extent.months / settings.retune_months
    seconds = searches * searched["cpu_seconds"] + (extent.months - searches) * lent["cpu_seconds"]
    return float(seconds * train_rows / searched["rows"])


def _imports_bytes(results: Mapping[str, Any]) -> float:
    return float(results["imports"]["best"]["project"]["peak_mb"]) * 2**20


def _run_bytes(extent: Extent, results: Mapping[str, Any], settings: Settings) -> float:
    """Of a run of a backfill, whose sessions and their history are in memory at once."""
    features = results["features"]["best"]["project"]
    imports = _imports_bytes(results)
    per_row = (features["peak_mb"] * 2**20 - imports) / features["rows"]
    sessions = min(extent.sessions, settings.sessions_per_run + HISTORY)
    return float(imports + per_row * sessions * extent.tickers)


def _training_bytes(train_rows: int, results: Mapping[str, Any]) -> float:
    fold, imports = results["fold"]["best"]["project"], _imports_bytes(results)
    return float(imports + (fold["peak_mb"] * 2**20 - imports) / fold["rows"] * train_rows)


EXTENTS = {
    "500 tickers, 20 years": Extent(500, 20),
    "5,000 tickers, 20 years": Extent(5_000, 20),
    "50,000 instruments, 20 years": Extent(50_000, 20),
}


def made_table(results: Mapping[str, Any]) -> str:
    """Markdown, with the prices that were assumed."""
    settings = Settings(_env_file=None)  # type: ignore[call-arg]  # pydantic-settings' own argument
    found = {name: needs(extent, results, settings) for name, extent in EXTENTS.items()}
    rows = {
        "objects": [f"{n.objects:,}" for n in found.values()],
        "stored, GB": [_rounded(n.stored_gb) for n in found.values()],
        "of which train and test sets": [_rounded(n.train_sets_gb) for n in found.values()],
        "of which prices": [_rounded(n.prices_gb) for n in found.values()],
        "CPU hours of prices, features, forecasts, scores": [
            _rounded(n.data_cpu_hours) for n in found.values()
        ],
        "CPU hours of training, default family": [
            _rounded(n.training_cpu_hours) for n in found.values()
        ],
        "memory of a run of 250 sessions, GB": [_rounded(n.run_gb) for n in found.values()],
        "memory of a month's training, GB": [_rounded(n.training_gb) for n in found.values()],
        "S3: requests of the backfill, once, $": [
            f"{n.backfill_dollars:.2f}" for n in found.values()
        ],
        "S3: a month of storage and daily runs, $": [
            f"{n.month_dollars:.2f}" for n in found.values()
        ],
    }
    lines = [
        f"| at the most | {' | '.join(found)} |",
        f"|---|{'---|' * len(found)}",
        *(f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items()),
    ]
    day = results["sizes"]["best"]["stored"]["day_requests"]
    asked = f"{day['PUT']} PUT, {day['LIST']} LIST and {day['GET']} GET"
    return "\n".join(lines) + (
        f"\n\nA day's run of 330 sessions asked S3 for {asked}, however many tickers there are;"
        " each LIST is counted once for every 1,000 sessions. What ticks of schedules and sensors"
        " ask is not in it."
        " Assumed are the prices of S3 Standard in us-east-1 that third parties quoted of Amazon's"
        f" page (read 2026-11-29): {DOLLARS_A_GB_MONTH} $ a GB and month,"
        f" {DOLLARS_A_WRITE * 1000:.3f} $ for 1,000 PUT, COPY or LIST,"
        f" {DOLLARS_A_READ * 1000:.4f} $ for 1,000 GET; DELETE and traffic within the region are"
        " free.\n"
    )


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def made_page(page: str, results: Mapping[str, Any]) -> str:
    """The page with the table of these results."""
    before, _, rest = page.partition(START)
    after = rest.partition(END)[2]
    return f"{before}{START}\n\n{made_table(results)}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(made_page(PAGE.read_text(), json.loads(RESULTS.read_text())))
