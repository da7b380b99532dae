"""Which requests pass to Dagster's page: its own, a followed link, a program's; and no others."""

import asyncio
from typing import Any

import pytest

from stock_assets.local.browser_guard import BrowserGuard

OWN = "127.0.0.1:3000"


def ask(method: str = "GET", path: str = "/", host: str = OWN, **headers: str) -> int:
    """The status that a request ends with; 200 is that of what is guarded."""
    sent: list[dict[str, Any]] = []

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    given = {"host": host, **{name.replace("_", "-"): value for name, value in headers.items()}}
    scope = {
        "type": "http", "method": method, "path": path, "query_string": b"", "http_version": "1.1",
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
    }  # fmt: skip
    asyncio.run(BrowserGuard(app)(scope, receive, send))
    return int(sent[0]["status"])


@pytest.mark.parametrize("host", [OWN, "localhost:3000", "LOCALHOST", "[::1]:3000", "127.0.0.1:9"])
def test_this_machines_own_names_pass(host: str):
    assert ask(host=host) == 200
    assert ask("POST", "/graphql", host, origin=f"http://{host}") == 200


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "evil.example:3000", "127.0.0.1.evil.example", "localhost.evil.example",
     "127.0.0.1@evil.example", "10.0.0.1:3000", "0.0.0.0:3000", "[::1", "127.1", "2130706433"],
)  # fmt: skip
def test_a_name_that_resolves_here_does_not(host: str):
    for method, path in (("GET", "/"), ("POST", "/graphql"), ("GET", "/server_info")):
        assert ask(method, path, host) == 403


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:5000", "https://127.0.0.1:3000", ""]
)
def test_another_sites_page_sends_nothing(origin: str):
    assert ask("POST", "/graphql", origin=origin) == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_link_is_followed_and_nothing_is_embedded(site: str):
    assert ask(sec_fetch_site=site, sec_fetch_dest="document") == 200
    for to in ("iframe", "image", "script", "empty"):
        assert ask(sec_fetch_site=site, sec_fetch_dest=to) == 403
    assert ask("POST", sec_fetch_site=site, sec_fetch_dest="document") == 403


def test_graphql_is_not_asked_by_an_address_alone():
    assert ask(path="/graphql") == ask(path="/graphql", accept="*/*") == 403
    assert ask(path="/graphql", accept="text/html,*/*") == 200  # the page to write queries in
    assert ask("POST", "/graphql") == 200
