"""Pages used as a person does: by the words on buttons and links, in a browser."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from stock_assets_tests.chromium import Page

PATIENCE_SECONDS = 120.0
DIALOG = "[role=dialog]"
# What Dagster's and MLflow's pages say of themselves on any machine.
_THEIR_OWN = (
    "go.apollo.dev",
    "Apollo DevTools",
    "'tzOffset' option has been deprecated",
    "WebSocket is closed before the connection is established",  # a page was left while it opened
    "mlflow/users/current",  # a tracking server without users
)


def until(what: str, see: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
    """What is seen, as soon as it is something."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if seen := see():
            return seen
        time.sleep(0.3)
    pytest.fail(f"{what} was not seen within {seconds:.0f} s")


def click(page: Page, words: str, within: str = "body") -> None:
    """The last button, link or line that begins with these words, once it is there."""
    place = f"[...document.querySelectorAll({json.dumps(within)})].at(-1)"
    press(
        page,
        f"[...({place}?.querySelectorAll('*') ?? [])].filter(e => e.offsetParent"
        " && !e.closest('[disabled]') && e.childElementCount === 0"
        f" && e.textContent.trim().startsWith({json.dumps(words)})).at(-1)",
        repr(words),
    )


def press(page: Page, element: str, what: str) -> None:
    """The mouse's button over an element, which a JavaScript expression finds, once it is there."""
    middle = (
        "(e => { if (!e) return null; e.scrollIntoView({block: 'nearest'});"
        " const box = e.getBoundingClientRect();"
        " return [box.x + box.width / 2, box.y + box.height / 2] })"
    )
    x, y = until(f"{what} to click", lambda: page.value(f"{middle}({element})"))
    for kind in ("mousePressed", "mouseReleased"):
        page.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)


def see(page: Page, words: str, within: str = "body", seconds: float = PATIENCE_SECONDS) -> None:
    """Waits until the words are read on the page."""
    text = f"document.querySelector({json.dumps(within)})?.innerText.includes({json.dumps(words)})"
    until(f"{words!r}", lambda: page.value(text), seconds)


def write(page: Page, selector: str, text: str) -> None:
    """Into a field, in place of what it holds, ended by Enter."""
    field = f"document.querySelector({json.dumps(selector)})"
    until(selector, lambda: page.value(f"(e => e && (e.focus(), e.select(), true))({field})"))
    page.type(text)
    page.press("Enter", 13, "\r")


def complaints_of_ours(page: Page) -> list[str]:
    """What the browser's console has to say that is no page's own habit."""
    return [one for one in page.complaints if not any(known in one for known in _THEIR_OWN)]
