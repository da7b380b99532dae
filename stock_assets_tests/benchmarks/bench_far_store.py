"""A range walked forward with the store next door, and with one 30 milliseconds further away.

Both go through the same proxy on loopback, to the local S3 server, which stands for somebody's
bucket here: MLflow's files lie in it, too. Small models, as only what waits for the store is of
interest.
"""

from pathlib import Path

from stock_assets_tests.benchmarks.case import Case, Measurement, Ratio, Size
from stock_assets_tests.benchmarks.homes import QUICK, home_for, opened, walked_forward

_SECONDS = 0.03


def prepare(folder: Path, size: Size) -> None:
    from stock_assets_tests.benchmarks.simulated import simulated_bars

    bars = simulated_bars(size["tickers"], size["sessions"])
    bars.write_parquet(folder / "bars.parquet")


def _walk(folder: Path, size: Size, seconds: float) -> Measurement:
    from stock_assets.local.lease import store_lease
    from stock_assets.local.seaweed import BUCKET
    from stock_assets_tests.far_store import far_from

    home = home_for(folder, "home")
    with (
        store_lease(home / "elsewhere", 9_500) as server,
        far_from(server.endpoint_url, seconds) as address,
        opened(
            home,
            folder / "bars.parquet",
            {},
            **QUICK,
            store_uri=f"s3://{BUCKET}",
            s3_endpoint_url=address,
            s3_access_key_id=server.access_key_id,
            s3_secret_access_key=server.secret_access_key,
        ) as project,
    ):
        return walked_forward(project, size["months"])


def near(folder: Path, size: Size) -> Measurement:
    return _walk(folder, size, 0.0)


def far(folder: Path, size: Size) -> Measurement:
    return _walk(folder, size, _SECONDS)


CASE = Case(
    title="Five years of 6 tickers, small models, with 30 ms added to each request to the store",
    sizes={
        "full": {"tickers": 6, "sessions": 1_420, "months": 60},
        "tiny": {"tickers": 2, "sessions": 140, "months": 1},
    },
    prepare=prepare,
    contenders={"near": near, "far": far},
    ratios=[Ratio("far / near", "far", ["near"], at_most=1.25)],
    repeats=1,
)
