"""Debian's Chromium over its DevTools: pages as a person sees them, at any width and in any theme.

https://chromedevtools.github.io/devtools-protocol/
"""

import base64
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

COMMAND = ("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
           "--no-first-run", "--hide-scrollbars", "--disable-extensions",
           "--remote-debugging-port=0")  # fmt: skip
DESKTOP, PHONE = 1440, 390
_PATIENCE = 60.0


class Page:
    """One tab. `complaints`: what the browser's console and its security policy had to say."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._numbers = count(1)
        self.complaints: list[str] = []
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        self._connection.send(json.dumps(message))
        while True:
            answer = json.loads(self._connection.recv(timeout=_PATIENCE))
            self._note(answer)
            if answer.get("id") == number:
                assert "error" not in answer, answer["error"]
                return dict(answer["result"])

    def _note(self, answer: dict[str, Any]) -> None:
        parameters = answer.get("params", {})
        if answer.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(parameters["exceptionDetails"]))
        elif answer.get("method") == "Log.entryAdded":
            entry = parameters["entry"]
            self.complaints.append(f"{entry['text']} {entry.get('url', '')}".rstrip())
        elif answer.get("method") == "Runtime.consoleAPICalled":
            self.complaints.append(json.dumps(parameters["args"]))

    def look(self, width: int, theme: str = "light") -> None:
        """As wide as a screen, and whether its system is light or dark."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=900, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": theme}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)
        deadline = time.monotonic() + _PATIENCE
        while self.value("[document.readyState, location.href]") != ["complete", url]:
            assert time.monotonic() < deadline, f"{url} is not there after {_PATIENCE:.0f} s"
            time.sleep(0.02)

    def value(self, expression: str) -> Any:
        """Of a JavaScript expression; a promise is waited for."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key: str, code: int, text: str = "") -> None:
        """A key of the keyboard: Tab (9), Enter (13, with a text), …"""
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent",
                type=kind, key=key, code=key, windowsVirtualKeyCode=code, text=text,
            )  # fmt: skip

    def type(self, text: str) -> None:
        self.call("Input.insertText", text=text)

    def seen(self) -> bytes:
        """What fits the window, as a PNG; lists that only draw what fits it stay as they are."""
        return base64.b64decode(self.call("Page.captureScreenshot")["data"])

    def settled(self) -> bytes:
        """The same, as soon as it stays the same for a second."""
        before, now = b"", self.seen()
        while before != now:
            time.sleep(1)
            before, now = now, self.seen()
        return now

    def picture(self, height: int | None = None) -> bytes:
        """The whole page, or its top, as a PNG."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": height or size["height"],
                "scale": 1}  # fmt: skip
        answer = self.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        return base64.b64decode(answer["data"])


@contextmanager
def chromium(profile: Path) -> Iterator[Page]:
    """A browser with one empty tab, whose profile lies in a folder of its own."""
    assert shutil.which(COMMAND[0]), "these tests want Debian's chromium: apt install chromium"
    process = subprocess.Popen(
        [*COMMAND, f"--user-data-dir={profile}", "about:blank"], stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr
        address = next(line for line in process.stderr if "DevTools listening on" in line)
        host = address.split("ws://")[1].split("/")[0]
        with urllib.request.urlopen(f"http://{host}/json/list", timeout=30) as answer:
            (tab,) = [one for one in json.load(answer) if one["type"] == "page"]
        with connect(tab["webSocketDebuggerUrl"], max_size=None) as connection:
            yield Page(connection)
    finally:
        process.terminate()
        process.wait(30)
