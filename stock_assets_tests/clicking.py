"""Pages used as a person does: by the words on buttons and links, in a browser."""

import json
from collections.abc import Callable
from typing import Any

from stock_assets_tests.chromium import Page
from stock_assets_tests.waiting import until

DIALOG = "[role=dialog]"
# What Dagster's and MLflow's pages say of themselves on any machine.
_THEIR_OWN = (
    "go.apollo.dev",
    "Apollo DevTools",
    "'tzOffset' option has been deprecated",
    "WebSocket is closed before the connection is established",  # a page was left while it opened
    "mlflow/users/current",  # a tracking server without users
)


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


def see(page: Page, words: str, within: str = "body") -> None:
    """Waits until the words are read on the page."""
    text = f"document.querySelector({json.dumps(within)})?.innerText.includes({json.dumps(words)})"
    until(repr(words), lambda: page.value(text))


def watch_for(page: Page, words: str) -> Callable[[], Any]:
    """From now on; what it gives waits until the words were on the page, be it for a moment.

    A message that goes by itself may be gone before a busy machine looks.
    """
    page.value(
        "(() => { window.wasShown = false; new MutationObserver(() => { window.wasShown ||="
        f" document.body.innerText.includes({json.dumps(words)}) }}).observe(document.body,"
        " {childList: true, subtree: true, characterData: true}); return true })()"
    )
    return lambda: until(repr(words), lambda: page.value("window.wasShown"))


def write(page: Page, selector: str, text: str) -> None:
    """Into a field, in place of what it holds, ended by Enter."""
    field = f"document.querySelector({json.dumps(selector)})"
    until(selector, lambda: page.value(f"(e => e && (e.focus(), e.select(), true))({field})"))
    page.type(text)
    page.press("Enter", 13, "\r")


def complaints_of_ours(page: Page) -> list[str]:
    """What the browser's console has to say that is no page's own habit."""
    return [one for one in page.complaints if not any(known in one for known in _THEIR_OWN)]
