"""A plan for a store that holds everything of 5,000 sessions: listing, stamps, what is due.

The objects are hollow, their stamps are those that real ones would have; so nothing is due, and one
that is of older code is found among them. On the local S3 server, which is up before anything is
timed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from stock_assets_tests.benchmarks.case import Case, Measurement, Size, measured
from stock_assets_tests.benchmarks.homes import QUICK, home_for

_HOLLOW = b"PAR1" + bytes(4) + b"PAR1"


def prepare(folder: Path, size: Size) -> None:
    """Objects of every asset with the stamps of an undisturbed history, and their index."""
    import json

    from stock_assets.planning.stamp import STAMP_FIELD, Stamp, stamped
    from stock_assets.resources.asked_tickers import note_asked
    from stock_assets.resources.partition_objects import object_path
    from stock_assets.resources.stamp_index import StampIndex
    from stock_assets_tests.benchmarks.simulated import simulated_bars

    simulated_bars(size["tickers"], size["sessions"]).write_parquet(folder / "bars.parquet")
    home_for(folder, "home")

    def encoded(item: tuple[str, Stamp]) -> bytes:
        path, stamp = item
        if path.endswith(".json"):
            return json.dumps({STAMP_FIELD: stamp.as_values()}).encode()
        return stamped(_HOLLOW, stamp)

    with _opened(folder, size) as deployment:
        store = deployment["store"]
        asked = note_asked(store, deployment["tickers"])
        for asset, stamps in _undisturbed(deployment, asked).items():
            paths = {object_path(asset, key): key for key in stamps}
            written = store.put_encoded({p: (p, stamps[key]) for p, key in paths.items()}, encoded)
            tags = {paths[path]: one.tag for path, one in written.items()}
            StampIndex(store).add(asset, {key: (tags[key], stamps[key]) for key in stamps})


def _undisturbed(deployment: dict[str, Any], asked: str) -> dict[str, dict[str, Any]]:
    """By asset and key, the stamps of a history in which nothing was revised or made anew."""
    from stock_assets.asset_keys import Asset
    from stock_assets.planning.lineage import ASKED, IN_ORDER, PARAMS
    from stock_assets.planning.stamp import digest

    lineage, found = deployment["lineage"], {}
    for asset in IN_ORDER:
        keys = deployment["wanted"].of(asset)
        marks = {Asset.RAW_PRICES: {ASKED: asked}, Asset.TUNED_MODEL: {PARAMS: "searched"}}
        for _ in range(2):  # a month's stamp has the parameters of its lender's
            made = lineage.made_of(asset, keys, found, deployment["versions"])
            found[asset] = {
                key: replace(stamp, marks=marks.get(asset, {})).holding(digest(asset, key), 0.01)
                for key, stamp in made.items()
            }
    return found


@contextmanager
def _opened(folder: Path, size: Size) -> Iterator[dict[str, Any]]:
    """The store, and what a plan needs beside it."""
    from stock_assets.asset_keys import Asset
    from stock_assets.deployment import lineage_of, load_partitions
    from stock_assets.forecasting.promotion import ModelVersion
    from stock_assets.planning.extent import extent
    from stock_assets.resources.object_store import open_store
    from stock_assets.resources.prices import open_prices
    from stock_assets.settings import Settings

    local = {"store_uri": f"file://{folder / 'objects'}"} if size.get("quick") else {}
    settings = Settings(
        home=folder / "home",
        source="files",
        files_uri=str(folder / "bars.parquet"),
        **(QUICK | local),
    )
    partitions = load_partitions(settings)
    lineage = lineage_of(settings, partitions)
    # From the second month that can be trained to the last session: all that a dataset may hold.
    months = partitions.months.get_partition_keys()
    trained = [month for month in months if lineage.split(month)]
    spanned = [key for key in lineage.sessions if key[:7] >= trained[1]]
    held = {Asset.DAILY_FORECAST: spanned[:1], Asset.FORECAST_RMSE: spanned[-1:]}
    wanted = extent(settings, partitions, lineage, held)
    assert wanted
    versions = [
        ModelVersion(lineage.split(month).trained_through, n, approved=True, family="extra_trees",
                     intervals_approved=True, fingerprint=month)
        for n, month in enumerate(trained, 1)
    ]  # fmt: skip
    with open_store(settings) as store, open_prices(settings) as prices:
        yield {
            "store": store,
            "partitions": partitions,
            "lineage": lineage,
            "wanted": wanted.wanted(),
            "versions": versions,
            "tickers": prices.tickers,
        }


def plan(folder: Path, size: Size) -> Measurement:
    """Of a process that has just started: nothing is known of code or calendar yet."""
    from stock_assets.deployment import load_partitions  # noqa: F401  # imports are not timed
    from stock_assets.planning.plan import make_plan
    from stock_assets.resources.stored_state import listed_objects, stored_state

    with _opened(folder, size) as deployment:
        store, lineage, wanted = (deployment[name] for name in ("store", "lineage", "wanted"))
        with measured() as listing:
            listed = listed_objects(store)
        with measured() as reading:
            stored = stored_state(store, wanted, is_live=False)
        with measured() as planning:
            found = make_plan(
                lineage, stored, wanted, deployment["versions"], deployment["tickers"]
            )
    assert not found, next((a, k, d) for a, due in found.due.items() for k, d in due.items())
    return {
        "seconds": reading["seconds"] + planning["seconds"],
        "cpu_seconds": reading["cpu_seconds"] + planning["cpu_seconds"],
        "listing_seconds": listing["seconds"],
        "state_seconds": reading["seconds"],
        "plan_seconds": planning["seconds"],
        "objects": sum(map(len, listed.values())),
    }


CASE = Case(
    title="A plan for a store with all eight assets of 5,000 sessions",
    sizes={
        "full": {"tickers": 5, "sessions": 5_130},
        "tiny": {"tickers": 2, "sessions": 330, "quick": 1},
    },
    prepare=prepare,
    contenders={"plan": plan},
    bounds=[
        ("plan", "seconds", 2.0),
        *(("plan", f"{part}_seconds", None) for part in ("listing", "state", "plan")),
    ],
    notes="`state` lists all objects and reads the index of stamps meanwhile, `listing` is the"
    " server's own part of it, once more; imports and the server's start are not in it.",
)
