"""Pictures of README and docs, by Chromium, from what `make run` has left: `make screenshots`."""

import io
import os
import tempfile
from pathlib import Path
from urllib.parse import urlencode

from PIL import Image

from stock_assets.asset_keys import Asset
from stock_assets.definitions import build_definitions
from stock_assets.settings import Settings
from stock_assets_tests.chromium import Page
from stock_assets_tests.clicking import DIALOG, click, see
from stock_assets_tests.conftest import CHECKOUT
from stock_assets_tests.served_pages import Pages, served_pages

REPORT = CHECKOUT / "var" / "reports" / "sample.html"
_WIDTH, _HEIGHT = 1280, 1560
_COLOURS = 256
_GRAPH_WIDTH, _GRAPH = 2560, (560, 150, 2512, 870)
"""Of the page with the graph, and where on it the graph lies: left, top, right, bottom."""


def take(page: Page, url: str, file: Path) -> None:
    """The top of a page."""
    page.look(_WIDTH)
    page.open(url)
    save(page.picture(_HEIGHT), file)


def save(picture: bytes, file: Path, box: tuple[int, int, int, int] | None = None) -> None:
    """The picture, or what lies in a box of it, as a PNG of few colours: a third of the size."""
    whole = Image.open(io.BytesIO(picture)).convert("RGB").crop(box)
    few = whole.quantize(_COLOURS, Image.Quantize.MEDIANCUT, kmeans=2, dither=Image.Dither.NONE)
    few.save(file, optimize=True)


def of_pages(pages: Pages, folder: Path) -> None:
    """Dagster's page: the graph, the checks of prices, a partition, and a backfill's dialog."""
    graph = build_definitions(Settings()).resolve_asset_graph()
    groups = sorted({graph.get(key).group_name for key in graph.get_all_asset_keys()})
    # As the page itself writes into its address which groups are open.
    opened = ",".join(f"global@global:{group}" for group in groups)
    pages.page.look(_GRAPH_WIDTH)  # less would draw the assets as bare names
    pages.open(f"/asset-groups?{urlencode({'expanded': opened})}")
    see(pages.page, Asset.FORECAST_RMSE)
    save(pages.page.settled(), folder / "asset_graph.png", _GRAPH)
    pages.page.look(_WIDTH)
    pages.asset(Asset.RAW_PRICES, "checks")
    see(pages.page, "Passed")
    save(pages.page.settled(), folder / "checks.png")
    pages.asset(Asset.DAILY_FORECAST, "partitions")
    click(pages.page, "2013-03-01")
    see(pages.page, "session=2013-03-01/part.parquet")
    save(pages.page.settled(), folder / "partition.png")
    pages.choose(Asset.DAILY_FORECAST, "[2012-10-01...2013-03-01]")
    see(pages.page, "Launch backfill", DIALOG)
    save(pages.page.settled(), folder / "backfill.png")


if __name__ == "__main__":
    with (
        tempfile.TemporaryDirectory() as profile,
        served_pages(CHECKOUT, os.environ, Path(profile)) as served,
    ):
        take(served.page, REPORT.as_uri(), CHECKOUT / "docs" / "report.png")
        of_pages(served, CHECKOUT / "docs")
