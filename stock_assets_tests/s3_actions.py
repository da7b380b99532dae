"""Which actions of S3 clients ask for, as a server's neighbour on the wire sees them, and a policy.

A proxy on loopback hands requests on untouched, since they are signed, and notes what each is.
"""

import http.client
import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from stock_assets_tests.loopback import served

Action = tuple[str, str]
"""What is done, like s3:GetObject, and to which bucket or bucket/key."""

_PRICED = {
    "s3:PutObject": "PUT",
    "s3:ListBucket": "LIST",
    "s3:GetObject": "GET",
    "s3:DeleteObject": "DELETE",
    "s3:AbortMultipartUpload": "DELETE",
}
_KEYS = re.compile(rb"<Key>([^<]+)</Key>")


def actions_of(method: str, target: str, copied: str | None, body: bytes) -> list[Action]:
    """The permissions that AWS asks for a request, by its manual of each operation.

    Args:
        method: Of HTTP.
        target: /bucket/key?query.
        copied: The header x-amz-copy-source.
        body: Of DeleteObjects it has the keys.

    Raises:
        ValueError: It is none of the operations that are known here.
    """
    parts = urlsplit(target)
    query = parse_qs(parts.query, keep_blank_values=True)
    path = unquote(parts.path).strip("/")
    bucket, _, key = path.partition("/")
    known = {"list-type", "prefix", "delimiter", "start-after", "continuation-token", "max-keys"}
    known |= {"encoding-type", "x-id", "fetch-owner"}
    if not key:
        if method == "HEAD" or (method == "GET" and set(query) <= known):
            return [("s3:ListBucket", bucket)]
        if method == "POST" and "delete" in query:
            return [("s3:DeleteObject", f"{bucket}/{k.decode()}") for k in _KEYS.findall(body)]
    elif method in {"GET", "HEAD"} and set(query) <= {"x-id"}:
        return [("s3:GetObject", path)]
    elif method == "PUT" or (method == "POST" and ("uploads" in query or "uploadId" in query)):
        source = [("s3:GetObject", unquote(copied).strip("/"))] if copied else []
        return [("s3:PutObject", path), *source]
    elif method == "DELETE":
        return [("s3:AbortMultipartUpload" if "uploadId" in query else "s3:DeleteObject", path)]
    raise ValueError(f"{method} {target}")


@dataclass(frozen=True)
class Statement:
    actions: tuple[str, ...]
    resource: str


def policy(file: Path, **names: str) -> list[Statement]:
    """The statements of a policy, all of which allow, with names in it replaced by real ones."""
    text = file.read_text(encoding="utf-8")
    for example, real in names.items():
        assert example.replace("_", "-") in text
        text = text.replace(example.replace("_", "-"), real)
    found = json.loads(text)
    assert found.keys() == {"Version", "Statement"}
    assert found["Version"] == "2012-10-17"
    statements = []
    for given in found["Statement"]:
        assert given.keys() == {"Sid", "Effect", "Action", "Resource"}
        assert given["Effect"] == "Allow"
        actions = given["Action"]
        actions = (actions,) if isinstance(actions, str) else tuple(actions)
        statements.append(Statement(actions, given["Resource"]))
    return statements


def allows(statements: list[Statement], action: Action) -> bool:
    done, to = action
    arn = f"arn:aws:s3:::{to}"
    return any(done in s.actions and fnmatchcase(arn, s.resource) for s in statements)


@dataclass
class Wire:
    """A proxy: its address, what was asked through it, and what nobody here knows.

    `counted`: requests by what AWS has a price for: PUT and copies, LIST, GET and HEAD, DELETE.
    """

    url: str = ""
    asked: set[Action] = field(default_factory=set)
    counted: Counter[str] = field(default_factory=Counter)
    unknown: list[str] = field(default_factory=list)


@contextmanager
def recorded(endpoint_url: str) -> Iterator[Wire]:
    """A proxy before a server, which notes what is asked until the block ends."""
    wire = Wire()
    server_address = urlsplit(endpoint_url).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _hand_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            try:
                copied = self.headers["x-amz-copy-source"]
                actions = actions_of(self.command, self.path, copied, body)
                wire.asked.update(actions)
                wire.counted[_PRICED[actions[0][0]]] += 1
            except ValueError as error:
                wire.unknown.append(str(error))
            connection = http.client.HTTPConnection(server_address, timeout=60)
            connection.putrequest(self.command, self.path, True, True)  # with their own Host
            for name, value in self.headers.items():
                if name.lower() != "expect":
                    connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            content = answer.read()
            self.send_response_only(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in {"transfer-encoding", "connection", "content-length"}:
                    self.send_header(name, value)
            length = answer.getheader("Content-Length") if self.command == "HEAD" else len(content)
            self.send_header("Content-Length", str(length or 0))
            self.end_headers()
            self.wfile.write(content)
            connection.close()

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _hand_on  # noqa: N815  # http.server's

        def log_message(self, *_args: object) -> None:
            pass

    with served(Handler) as wire.url:
        yield wire
