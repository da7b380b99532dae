"""Pictures of README, made by Chromium from what `make run` has left: `make screenshots`."""

import io
import tempfile
from pathlib import Path

from PIL import Image

from stock_assets_tests.chromium import Page, chromium
from stock_assets_tests.conftest import CHECKOUT

REPORT = CHECKOUT / "var" / "reports" / "sample.html"
_WIDTH, _HEIGHT = 1280, 1560
_COLOURS = 256


def take(page: Page, url: str, file: Path) -> None:
    """The top of a page, as a PNG of few colours: a third of the size."""
    page.look(_WIDTH)
    page.open(url)
    picture = Image.open(io.BytesIO(page.picture(_HEIGHT))).convert("RGB")
    few = picture.quantize(_COLOURS, Image.Quantize.MEDIANCUT, kmeans=2, dither=Image.Dither.NONE)
    few.save(file, optimize=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as profile, chromium(Path(profile)) as opened:
        take(opened, REPORT.as_uri(), CHECKOUT / "docs" / "report.png")
