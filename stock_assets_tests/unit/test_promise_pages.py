"""docs/security.md and docs/faults.md are held to the tests: each promise names some that exist."""

import re

import pytest

from stock_assets_tests.conftest import CHECKOUT

DOCS = CHECKOUT / "docs"
MOST_LINES = 60


def page_of(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def defined() -> set[str]:
    """Every test there is."""
    files = (CHECKOUT / "stock_assets_tests").rglob("test_*.py")
    texts = (file.read_text(encoding="utf-8") for file in files)
    return {name for text in texts for name in re.findall(r"^def (test_\w+)\(", text, re.MULTILINE)}


@pytest.mark.parametrize("name", ["security.md", "faults.md"])
def test_each_promise_names_tests_that_exist(name: str):
    lines = [line for line in page_of(name).splitlines() if line.startswith("| ")]
    rows = [line.strip("|").split(" | ") for line in lines][1:]
    assert len(rows) >= 15
    known = defined()
    for fault, promise, tests in rows:
        named = re.findall(r"`(\w+)`", tests)
        assert fault.strip()
        assert promise.strip()
        assert named, fault
        assert [test for test in named if test not in known] == []
        assert re.sub(r"`\w+`|[ ,|]", "", tests) == ""


@pytest.mark.parametrize("name", ["security.md", "faults.md"])
def test_the_page_is_a_page_and_says_what_is_not_promised(name: str):
    page = page_of(name)
    assert len(page.splitlines()) <= MOST_LINES
    assert "\n## What is not promised\n" in page
