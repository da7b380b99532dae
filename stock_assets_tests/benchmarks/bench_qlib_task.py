"""The factor task of Qlib's data server: 14 factors of 800 tickers, 2007-2020, simulated prices.

Yang et al. (2020), "Qlib: An AI-oriented Quantitative Investment Platform", section 4: from stored
daily OHLCV to a frame of 14 factors "e.g. Std($close, 5)/$close". The paper does not list the other
thirteen; here they are those of this project's features that Qlib's expressions can say.

`project` makes the same 14 of the five fields that they need, with the project's reading, sorting
and windows (63 values long where Qlib's exponential means remember everything). `whole path` is
what the project does in earnest: it knows splits and dividends, judges every bar, and makes all its
43 columns. Both list the 3,272 partitions and read them as every reading but the first does,
through copies; `from objects` opens each partition. `pyqlib` reads its own binary files, which bars
were converted to, with one kernel and no cache of expressions; `pandas` reads one Parquet file. All
from a folder.
"""

from pathlib import Path
from typing import Any

from stock_assets_tests.benchmarks.case import Case, Measurement, Ratio, Size, measured

MOMENTUM, EMA = (5, 10, 20, 60), (5, 10, 20)
EXPRESSIONS = (
    "$close/Ref($close,1)-1",
    *(f"Log($close/Ref($close,{n}))" for n in MOMENTUM),
    *(f"Log($close)-EMA(Log($close),{n})" for n in EMA),
    "Log($open/Ref($close,1))",
    "Log($close/$open)",
    "($close-$low)/($high-$low)-0.5",
    "Log($high/$low)",
    "Log($volume)-Mean(Log($volume),20)",
    "Std($close,5)/$close",
)
FIELDS = ("open", "high", "low", "close", "volume")


def prepare(folder: Path, size: Size) -> None:
    """The same bars as the project's partitions, as Qlib's binary files, and as one file."""
    from datetime import UTC, date, datetime

    import numpy as np
    import polars as pl

    from stock_assets.market.revisions import stored_form
    from stock_assets.resources.io_managers import ParquetIOManager
    from stock_assets.resources.partition_objects import partition_object
    from stock_assets_tests.benchmarks.simulated import simulated_bars

    bars = simulated_bars(size["tickers"], size["sessions"], date(2019, 12, 31))
    bars.write_parquet(folder / "bars.parquet")
    manager = ParquetIOManager(_store(folder))
    stored = stored_form(bars, "files", datetime(2020, 1, 2, tzinfo=UTC)).sort("session", "ticker")
    manager.store.put_many(
        {
            partition_object("raw_prices", "session", str(session), manager.file): manager.encode(
                part
            )
            for (session,), part in stored.partition_by("session", as_dict=True).items()
        }
    )
    _stored_bars(_store(folder), "ticker")  # makes the copies
    root = folder / "qlib"
    (root / "calendars").mkdir(parents=True)
    (root / "instruments").mkdir()
    days = bars["session"].unique().sort()
    (root / "calendars" / "day.txt").write_text("".join(f"{day}\n" for day in days))
    span = f"{days[0]}\t{days[-1]}"
    (root / "instruments" / "all.txt").write_text(
        "".join(f"{ticker}\t{span}\n" for ticker in bars["ticker"].unique().sort())
    )
    for (ticker,), rows in bars.partition_by("ticker", as_dict=True).items():
        files = root / "features" / str(ticker).lower()
        files.mkdir(parents=True)
        for name in FIELDS:
            # Position of the first day, then the values.
            values = np.concatenate([[0.0], rows[name].to_numpy()]).astype("<f4")
            values.tofile(files / f"{name}.day.bin")
    assert pl.Series(days).len() == size["sessions"]


def _store(folder: Path, *, copies: bool = True) -> Any:
    from stock_assets.resources.object_store import CacheFolder, ObjectStore

    cache = CacheFolder(folder / "read_cache", 10**9) if copies else None
    return ObjectStore(f"file://{folder / 'objects'}", None, cache)


def _stored_bars(store: Any, *columns: str) -> Any:
    from stock_assets.resources.partition_objects import stored_partitions
    from stock_assets.resources.read_cache import read_rows

    objects = list(stored_partitions(store, "raw_prices").values())
    return read_rows(store, objects, *columns, "quarantine_reason")


def project(folder: Path, _size: Size) -> Measurement:
    return _project(_store(folder))


def from_objects(folder: Path, _size: Size) -> Measurement:
    return _project(_store(folder, copies=False))


def _project(store: Any) -> Measurement:
    import polars as pl

    import stock_assets.market.windows
    import stock_assets.resources.io_managers  # pyqlib's imports are not timed either
    import stock_assets.resources.read_cache  # noqa: F401
    from stock_assets.market.bars import by_ticker

    with measured() as result:
        with measured() as reading:
            bars = _stored_bars(store, "ticker", "session", *FIELDS)
        sound = bars.filter(pl.col("quarantine_reason").is_null()).drop("quarantine_reason")
        rows = by_ticker(sound)
        same = (rows["ticker"] == rows["ticker"].shift(1)).fill_null(False)
        made = rows.select("ticker", "session").with_columns(
            pl.Series(f"factor_{n}", values)
            for n, values in enumerate(_factors(rows.select(FIELDS), same))
        )
    assert made.width - 2 == len(EXPRESSIONS)
    return result | {"rows": made.height, "read_seconds": reading["seconds"]}


def _factors(rows: Any, same: Any) -> list[Any]:
    """The values of EXPRESSIONS, in their order; NaN where a window would reach another ticker."""
    import numpy as np

    from stock_assets.market.windows import decaying_sums, in_blocks, ramp_sums

    columns = {name: rows[name].to_numpy() for name in FIELDS}
    first_row = ~same.to_numpy()
    window = 63
    made = [np.empty(rows.height) for _ in EXPRESSIONS]
    for column in made:
        column[:window] = np.nan  # the first rows of all have no window, like those of each ticker

    def block(first: int, last: int) -> None:
        size, lead = last - first, first - window
        values = {name: column[lead:last] for name, column in columns.items()}
        opened, close, volume = values["open"], values["close"], values["volume"]
        now = {name: column[window:] for name, column in values.items()}
        growth = close[1:] / close[:-1]
        growth[first_row[lead + 1 : last]] = np.nan
        log_growth = np.log(growth)
        log_volume = np.log(volume)
        changes = np.diff(log_volume) + 0 * log_growth

        def gap(span: int) -> Any:
            decay = 1 - 2 / (span + 1)
            rest = decay**window
            sums = decay * decaying_sums(log_growth, decay, window - 1)
            return (sums - rest * decaying_sums(log_growth, 1, window - 1)) / (1 - rest)

        mean = decaying_sums(close, 1, 5)[-size:] / 5
        variance = (decaying_sums(close**2, 1, 5)[-size:] - 5 * mean**2) / 4
        inside = 0 * decaying_sums(log_growth, 1, 4)[-size:]
        intraday = np.log(now["close"] / now["open"])
        results = (
            growth - 1,
            *(decaying_sums(log_growth, 1, n) for n in MOMENTUM),
            *(gap(n) for n in EMA),
            np.log(opened[1:] / close[:-1]) + 0 * log_growth,
            intraday,
            (now["close"] - now["low"]) / (now["high"] - now["low"]) - 0.5,
            np.log(now["high"] / now["low"]),
            ramp_sums(changes, 19) / 20,
            np.sqrt(np.maximum(variance, 0)) / now["close"] + inside,
        )
        for column, result in zip(made, results, strict=True):
            column[first:last] = result[-size:]

    in_blocks(block, window, rows.height)
    return made


def whole_path(folder: Path, _size: Size) -> Measurement:
    import stock_assets.resources.io_managers  # as above
    import stock_assets.resources.read_cache  # noqa: F401
    from stock_assets.forecasting.features import build_features
    from stock_assets.market.bars import BAR_SCHEMA
    from stock_assets.market.plausibility import judge_bars
    from stock_assets_tests.benchmarks.simulated import CALENDAR

    with measured() as result:
        bars = _stored_bars(_store(folder), *BAR_SCHEMA)
        features = build_features(judge_bars(bars, CALENDAR), CALENDAR)
    return result | {"rows": features.height}


def pandas(folder: Path, _size: Size) -> Measurement:
    import numpy as np
    import pandas as pd

    with measured() as result:
        rows: Any = pd.read_parquet(folder / "bars.parquet", columns=["ticker", "session", *FIELDS])
        by = rows.groupby("ticker", sort=False)
        made = rows[["ticker", "session"]].copy()
        previous = by["close"].shift(1)
        made["return"] = rows["close"] / previous - 1
        log_close = np.log(rows["close"])
        for n in MOMENTUM:
            made[f"momentum_{n}"] = np.log(rows["close"] / by["close"].shift(n))

        def flat(values: Any) -> Any:
            return values.reset_index(level=0, drop=True)

        by_log = log_close.groupby(rows["ticker"], sort=False)
        for n in EMA:
            made[f"gap_{n}"] = log_close - flat(by_log.ewm(span=n, min_periods=1).mean())
        made["overnight"] = np.log(rows["open"] / previous)
        made["intraday"] = np.log(rows["close"] / rows["open"])
        made["located"] = (rows["close"] - rows["low"]) / (rows["high"] - rows["low"]) - 0.5
        made["range"] = np.log(rows["high"] / rows["low"])
        log_volume = np.log(rows["volume"])
        by_volume = log_volume.groupby(rows["ticker"], sort=False)
        made["surprise"] = log_volume - flat(by_volume.rolling(20, min_periods=1).mean())
        made["deviation"] = flat(by["close"].rolling(5, min_periods=1).std()) / rows["close"]
    assert made.shape[1] - 2 == len(EXPRESSIONS)
    return result | {"rows": len(made)}


def pyqlib(folder: Path, size: Size) -> Measurement:
    import logging

    import qlib
    from qlib.data import D

    qlib.init(
        provider_uri=str(folder / "qlib"),
        region="us",
        kernels=1,
        expression_cache=None,
        dataset_cache=None,
        logging_level=logging.ERROR,
    )
    with measured() as result:
        made = D.features(D.instruments("all"), list(EXPRESSIONS), freq="day")
    assert made.shape == (size["tickers"] * size["sessions"], len(EXPRESSIONS))
    return result | {"rows": len(made)}


CASE = Case(
    title="Factor task of Qlib's data server: 14 factors, 800 tickers, 2007-2020",
    repeats=5,
    sizes={
        "full": {"tickers": 800, "sessions": 3272},
        "tiny": {"tickers": 3, "sessions": 150},
    },
    prepare=prepare,
    contenders={
        "project": project,
        "from objects": from_objects,
        "whole path": whole_path,
        "pandas": pandas,
        "pyqlib": pyqlib,
    },
    needs={"pyqlib": "qlib"},
    ratios=[
        Ratio("pyqlib with one kernel / project", "pyqlib", ["project"], at_least=12),
        Ratio("pyqlib with one kernel / from objects", "pyqlib", ["from objects"]),
        Ratio("pyqlib with one kernel / whole path", "pyqlib", ["whole path"]),
        Ratio("pandas / project", "pandas", ["project"]),
        Ratio("pyqlib with one kernel / pandas", "pyqlib", ["pandas"]),
    ],
    notes="The same 14 factors. `project` reads copies, as at every time but the first, `from"
    " objects` opens each partition. `whole path` also judges every bar, knows splits and"
    " dividends, and makes all of the project's 43 columns.",
)
