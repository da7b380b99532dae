"""A server on loopback that takes what is sent to it: webhooks, pushes."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@contextmanager
def served(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """The address of a server on loopback that answers with `handler`, in threads."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Inbox:
    """What arrived, in order.

    Args:
        url: Of the server, without a path.
        messages: JSON bodies of POSTs.
        requests: (method, path, body) of everything.
        status: What it answers from now on.
        groups: What GET answers, as a Pushgateway lists its groups.
    """

    url: str = ""
    messages: list[dict[str, Any]] = field(default_factory=list)
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    status: int = 200
    groups: list[dict[str, Any]] = field(default_factory=list)


@contextmanager
def inbox() -> Iterator[Inbox]:
    taken = Inbox()

    class Handler(BaseHTTPRequestHandler):
        def _take(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            taken.requests.append((self.command, self.path, body))
            if self.command == "POST" and taken.status == 200:
                taken.messages.append(json.loads(body))
            self.send_response(taken.status)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(json.dumps({"data": taken.groups}).encode())

        do_GET = do_POST = do_PUT = do_DELETE = _take  # noqa: N815  # as http.server calls them

        def log_message(self, *_args: object) -> None:
            pass

    with served(Handler) as taken.url:
        yield taken
