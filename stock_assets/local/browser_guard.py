"""What a web page in another tab may not do to a page of ours on loopback.

Any site that a person has open can send requests to 127.0.0.1, and under a name of its own that
resolves to it (DNS rebinding) even read the answers. Dagster asks nobody for a password, so who
sends is told by what browsers add and scripts can't change: Host, Origin and Fetch Metadata
(https://www.w3.org/TR/fetch-metadata/). Programs that are no browsers send none of the latter two
and pass; they need no browser to reach a port of this machine.
"""

from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from stock_assets.local.processes import LOOPBACK

_POLICY_VIOLATION = 1008


class BrowserGuard:
    """ASGI middleware: requests that come from other sites end here with 403."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = _refusal(scope) if scope["type"] in {"http", "websocket"} else None
        if refusal is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            # Before it is accepted: the server answers the handshake with 403.
            await WebSocket(scope, receive, send).close(_POLICY_VIOLATION, refusal)
        else:
            await PlainTextResponse(f"{refusal}\n", status_code=403)(scope, receive, send)


def _refusal(scope: Scope) -> str | None:
    """Why a request must not pass; None where it may."""
    headers = HTTPConnection(scope).headers
    host, origin = headers.get("host", ""), headers.get("origin")
    reads = scope.get("method") in {"GET", "HEAD"}
    # Any port: a tunnel to this page may begin at another one.
    if _name(host) not in LOOPBACK:
        return f"this page is 127.0.0.1 or localhost, not {host!r}"
    if origin is not None and origin != f"http://{host}":
        return f"a request of {origin} is refused"
    # A link to this page may be followed from anywhere, but shown in no frame.
    followed = reads and headers.get("sec-fetch-dest") == "document"
    own = headers.get("sec-fetch-site", "none") in {"none", "same-origin"}
    if not own and not followed:
        return "a request of another site is refused"
    # The address of a picture is enough for a GET; Dagster's own page sends POSTs. Where text/html
    # is accepted, the answer is the GraphiQL page and nothing is executed.
    if (
        reads
        and scope["path"].endswith("/graphql")
        and "text/html" not in headers.get("accept", "")
    ):
        return "GraphQL is taken by POST alone"
    return None


def _name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:  # such as [::1 without its bracket
        return None
