"""A server on the loopback interface that stands in for somebody's: what the stand-ins share."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


class StandInServer:
    """A context manager; each of its requests finds it as `server.stand_in`."""

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        self.stopped = threading.Event()
        self._server = _Server(handler, self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """From here on, connections are refused."""
        if self._thread.is_alive():
            self.stopped.set()
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"


class _Server(ThreadingHTTPServer):
    def __init__(self, handler: type[BaseHTTPRequestHandler], stand_in: Any) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.stand_in = stand_in
