"""What the exporter answers: metrics for Prometheus, and the pages that alerts link to.

An alert that is read on this machine leads somewhere though Dagster's page is closed: to what it
means, to the newest report, to the run that failed. Everything is only read.
"""

import html
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from itertools import pairwise
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import dagster as dg

from stock_assets.alerting.addresses import dagster_page, run_page
from stock_assets.alerting.last_runs import JOBS, failed_last
from stock_assets.asset_keys import Asset
from stock_assets.errors import StockAssetsError
from stock_assets.resources.object_store import open_store
from stock_assets.resources.page_io_manager import page_object
from stock_assets.settings import Settings

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

GRAFANA = "http://127.0.0.1:3030"
_NAMES = {"localhost", "host.docker.internal"}
# The report comes out of the store: whatever somebody put there reaches nothing beyond itself.
_GUARD = (
    (
        "Content-Security-Policy",
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:;"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox allow-scripts",
    ),
    ("X-Content-Type-Options", "nosniff"),
)
_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title><style>
:root{{color-scheme:light dark}}body{{font:1rem/1.5 system-ui,sans-serif;max-width:46rem;
margin:2rem auto;padding:0 1rem;overflow-wrap:anywhere}}
code{{background:#8882;padding:.1em .3em;border-radius:.2em}}
:target{{background:#fd06}}</style></head><body>{body}</body></html>
"""


@dataclass(frozen=True)
class _Answer:
    status: str
    content: bytes
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "text/plain; charset=utf-8"),)


class Site:
    """A WSGI application.

    Args:
        settings: Of the dataset.
        instance: Stays open for as long as this is used.
        metrics: What answers `/metrics`.
        names: Of this machine, beside loopback's, by which it may be asked for.
    """

    def __init__(
        self,
        settings: Settings,
        instance: dg.DagsterInstance,
        metrics: "WSGIApplication",
        names: Iterable[str] = (),
    ) -> None:
        self._settings, self._instance, self._metrics = settings, instance, metrics
        self._names = _NAMES | {name.lower() for name in names}

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "/").rstrip("/") or "/"
        if not self._is_own(environ.get("HTTP_HOST", "")):
            # A site whose name resolves to this machine could read what is answered.
            answer = _said("403 Forbidden", "ask for 127.0.0.1 or localhost")
        elif path == "/metrics":
            return self._metrics(environ, start_response)
        else:
            answer = self._answer(path)
        start_response(answer.status, [*answer.headers, *_GUARD])
        return [answer.content]

    def _is_own(self, host: str) -> bool:
        """Whether a browser was given an address, or a name that only this machine has."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
            return name in self._names or bool(ip_address(name))
        except ValueError:
            return False

    def _answer(self, path: str) -> _Answer:
        pages = {"/": self._index, "/report": self._report, "/runbook": self._runbook}
        pages |= {f"/run/{job}": partial(self._run, job) for job in JOBS}
        if path not in pages:
            return _said("404 Not Found", "there is nothing here; / lists the pages")
        try:
            return pages[path]()
        except (StockAssetsError, OSError) as error:
            return _said("503 Service Unavailable", str(error))

    def _index(self) -> _Answer:
        page = dagster_page(self._settings)
        links = {
            "/report": "The newest report",
            "/runbook": "Alerts: what each means and what to do",
            "/metrics": "Metrics, for Prometheus",
            GRAFANA: "Grafana's dashboards, where the containers of monitor/ run",
            **({page: "Dagster's page"} if page else {}),
        }
        items = "".join(f'<li><a href="{to}">{html.escape(what)}</a>' for to, what in links.items())
        more = "" if page else "<p>Dagster's page is closed: <code>make ui</code> opens it."
        name = html.escape(self._settings.dataset_name)
        body = (
            f"<h1>stock_assets: {name}</h1><ul>{items}</ul>{more}"
            "<p><code>stock-assets alerts</code> lists what fires now."
        )
        return _page(_PAGE.format(title="stock_assets", body=body).encode())

    def _report(self) -> _Answer:
        with open_store(self._settings) as store:
            if store.keys(Asset.FORECAST_REPORT):
                return _page(store.get(page_object(Asset.FORECAST_REPORT)))
        said = "no report is stored yet; `stock-assets run` ends with one"
        return _said("404 Not Found", said)

    def _runbook(self) -> _Answer:
        from markdown_it import MarkdownIt

        text = (self._settings.home / "docs" / "alerts.md").read_text(encoding="utf-8")
        reader = MarkdownIt("commonmark")
        tokens = reader.parse(text)
        for heading, words in pairwise(tokens):
            if heading.type == "heading_open":
                heading.attrSet("id", words.content.lower())
        body = reader.renderer.render(tokens, reader.options, {})
        return _page(_PAGE.format(title="Alerts", body=body).encode())

    def _run(self, job: str) -> _Answer:
        failed = failed_last(self._instance, self._settings.dataset_name, [job])
        if not failed:
            return _said("200 OK", f"the last run of {job} that is over did not fail")
        run = failed[0].run_id
        address = run_page(self._settings, run)
        if address is None:
            return _said("200 OK", f"run {run} of {job} failed; `make ui` opens Dagster's page")
        return _Answer("302 Found", b"", (("Location", address),))


def _page(content: bytes) -> _Answer:
    return _Answer("200 OK", content, (("Content-Type", "text/html; charset=utf-8"),))


def _said(status: str, text: str) -> _Answer:
    return _Answer(status, f"{text}\n".encode())
