"""A server on loopback that answers every request of an S3 client, and records them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from stock_assets_tests.loopback import served


@dataclass(frozen=True)
class Request:
    """`headers` by their names in small letters."""

    method: str
    path: str
    headers: dict[str, str]

    @property
    def encryption(self) -> dict[str, str]:
        """What it asks of encryption, by the end of the header's name."""
        start = "x-amz-server-side-encryption"
        return {
            name.removeprefix(start).lstrip("-"): value
            for name, value in self.headers.items()
            if name.startswith(start)
        }

    @property
    def access_key_id(self) -> str:
        """Whose signature it bears."""
        return self.headers.get("authorization", "").partition("Credential=")[2].partition("/")[0]


@dataclass
class RecordedS3:
    url: str = ""
    requests: list[Request] = field(default_factory=list)


@contextmanager
def recorded_s3() -> Iterator[RecordedS3]:
    taken = RecordedS3()

    class Handler(BaseHTTPRequestHandler):
        def _take(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            taken.requests.append(Request(self.command, self.path, headers))
            body = b""
            if "x-amz-copy-source" in headers:
                body = b"<CopyObjectResult><ETag>x</ETag></CopyObjectResult>"
            elif self.command == "POST":
                body = b"<DeleteResult><Deleted><Key>x</Key></Deleted></DeleteResult>"
            self.send_response(200)
            self.send_header("ETag", '"x"')
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _take  # noqa: N815  # http.server's names

        def log_message(self, *_args: object) -> None:
            pass

    with served(Handler) as taken.url:
        yield taken
