"""Which changes of the code are changes of an asset."""

import ast
from collections.abc import Iterator

import pytest

from stock_assets.forecasting import fingerprint
from stock_assets.forecasting.fingerprint import bare_code, source_hash

SOURCE = '''"""A module."""

import math  # for the root


def spread(values):
    """Of some values.

    More words.
    """
    # A reason.
    text = "not a # comment"

    return math.sqrt(sum(values)), text
'''
BARE = """import math
def spread(values):
    text = "not a # comment"
    return math.sqrt(sum(values)), text"""


def test_comments_docstrings_and_blank_lines_are_no_code():
    assert bare_code(SOURCE) == BARE


def test_a_docstring_beside_code_takes_nothing_with_it():
    assert bare_code('def none(): "Nothing."\n') == 'def none(): "Nothing."'
    # To Python a form feed ends no line.
    assert bare_code('a = "\x0c"\n"""Words."""\nb = 1\n') == 'a = "\x0c"\nb = 1'


FEATURES = "stock_assets.forecasting.features"
SPLITS = "stock_assets.forecasting.splits"
BARS = "stock_assets.market.bars"


@pytest.fixture
def sources(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Modules of a core by name: splits imports features within a function, which imports bars."""
    made = {
        FEATURES: f"import polars\nfrom {BARS} import CLOSE\nfrom stock_assets.errors import A\n",
        SPLITS: f"def split():\n    from {FEATURES} import build\n    return build\n",
        BARS: "CLOSE = 1\n",
    }
    monkeypatch.setattr(fingerprint, "_source", made.__getitem__)
    forget()
    yield made
    forget()


def forget() -> None:
    source_hash.cache_clear()
    fingerprint._module.cache_clear()


def hashes() -> tuple[str, str, str]:
    forget()
    return source_hash(BARS), source_hash(FEATURES), source_hash(SPLITS)


def test_a_change_of_code_is_one_of_whatever_imports_it(sources: dict[str, str]):
    before = hashes()
    assert len(set(before)) == 3
    sources[SPLITS] += "# words\n"
    assert hashes() == before
    sources[BARS] = "CLOSE = 2\n"
    assert all(new != old for new, old in zip(hashes(), before, strict=True))
    sources[BARS] = "CLOSE = 1\n"
    sources[SPLITS] += "A = 1\n"
    after = hashes()
    assert (after[:2], after[2] == before[2]) == (before[:2], False)


@pytest.mark.parametrize(
    "line",
    [
        "import stock_assets.market.bars",
        "from stock_assets.market import bars",
        "from . import bars",
        "from .bars import CLOSE",
    ],
)
def test_an_import_that_would_be_overlooked_is_refused(sources: dict[str, str], line: str):
    sources[SPLITS] = f"{line}\n"
    with pytest.raises(ValueError, match="line 1: write `from package"):
        hashes()


def test_every_asset_has_code_of_its_own():
    """Of the true core: what scores are made by changes no feature."""
    modules = ("features", "splits", "training", "gate", "forecast", "evaluation")
    found = {name: source_hash(f"stock_assets.forecasting.{name}") for name in modules}
    assert len(set(found.values())) == 6
    assert all(len(one) == 16 for one in found.values())
    assert ast.parse(bare_code(fingerprint._source(FEATURES)))
