"""What `make docs` makes of the pages before the site is built, and of the built ones."""

import re
from pathlib import Path

import pytest

from stock_assets_tests import docs_site


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(docs_site, "SOURCE", tmp_path / "source")
    docs_site.write_source(lambda diagram: f'<svg style="">{diagram.splitlines()[0]}</svg>')
    return tmp_path / "source"


def test_every_link_of_the_source_leads_to_a_file_in_it(source: Path):
    assert {"index.md", "commands.md", "monitor.md", "changelog.md"} <= {
        file.name for file in source.iterdir()
    }
    for page in source.glob("*.md"):
        text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
        links = re.findall(r"\]\((?![a-z]+:|#)([^)\s#]+)", text)
        assert [link for link in links if not (source / link).is_file()] == [], page.name
    assert (source / "files/dagster.yaml").is_file()
    assert "](data.md)" in (source / "index.md").read_text()


def test_diagrams_are_drawn_before_anybody_reads_them(source: Path):
    start = (source / "index.md").read_text()
    (name,) = re.findall(r"\((index-\d+\.svg)\)", start)
    assert "```mermaid" not in start
    assert (source / name).read_text() == '<svg style="background:#fff;">graph LR</svg>'


@pytest.mark.parametrize(
    "fetched",
    [
        '<script src="https://elsewhere.example/a.js">',
        "<img alt=x src=http://elsewhere.example/a.png>",
        '<link rel="stylesheet" href="https://elsewhere.example/a.css">',
    ],
)
def test_a_page_that_fetches_from_elsewhere_is_refused(tmp_path: Path, fetched: str):
    page = tmp_path / "a.html"
    page.write_text(f"<html><head></head><body>{fetched}</body></html>")
    with pytest.raises(SystemExit, match=r"a.html fetches from elsewhere: <"):
        docs_site.keep_to_itself(page)


def test_a_page_may_lead_elsewhere_and_has_the_policy(tmp_path: Path):
    page = tmp_path / "a.html"
    page.write_text('<html><head></head><body><a href="https://elsewhere.example">x</a></body>')
    docs_site.keep_to_itself(page)
    assert page.read_text().startswith(
        '<html><head><meta http-equiv="Content-Security-Policy" content="default-src \'self\''
    )
