"""docs/security.md is held to the tests: each promise names some, and each of these exists."""

import re

from stock_assets_tests.conftest import CHECKOUT

PAGE = (CHECKOUT / "docs" / "security.md").read_text(encoding="utf-8")
ROWS = [line.strip("|").split(" | ") for line in PAGE.splitlines() if line.startswith("| ")][1:]


def defined() -> set[str]:
    """Every test there is."""
    files = (CHECKOUT / "stock_assets_tests").rglob("test_*.py")
    texts = (file.read_text(encoding="utf-8") for file in files)
    return {name for text in texts for name in re.findall(r"^def (test_\w+)\(", text, re.MULTILINE)}


def test_each_promise_names_tests_that_exist():
    assert len(ROWS) >= 15
    known = defined()
    for fault, promise, tests in ROWS:
        named = re.findall(r"`(\w+)`", tests)
        assert fault.strip()
        assert promise.strip()
        assert named, fault
        assert [name for name in named if name not in known] == []
        assert re.sub(r"`\w+`|[ ,|]", "", tests) == ""


def test_the_page_is_a_page_and_says_what_is_not_promised():
    assert len(PAGE.splitlines()) <= 60
    assert "\n## What is not promised\n" in PAGE
