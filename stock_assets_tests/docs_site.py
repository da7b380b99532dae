"""The site of `make docs`: README, docs and what they link to, built with strict links.

It has an environment of its own, from requirements-docs.lock. Diagrams are drawn while it is built,
and a policy in each page keeps foreign scripts, styles and fonts out.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
SOURCE, SITE = CHECKOUT / "var" / "site-source", CHECKOUT / "var" / "site"
POLICY = (
    "default-src 'self' data: blob: 'unsafe-inline'; connect-src 'self' data: blob:;"
    " form-action 'none'; base-uri 'self'"
)
_STYLE = "<style>td:first-child code{white-space:nowrap}</style>"  # names stay whole
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)\s#]+)")
_DIAGRAM = re.compile(r"^```mermaid\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FETCHED = re.compile(r"<(?:script|img|iframe|source)\b[^>]*\bsrc=.?https?:|<link\b[^>]*https?:")


def pages() -> dict[Path, str]:
    """The pages of the site by the files that they are made of."""
    docs = {file: file.name for file in sorted((CHECKOUT / "docs").glob("*.md"))}
    return {
        CHECKOUT / "README.md": "index.md",
        **docs,
        CHECKOUT / "monitor" / "README.md": "monitor.md",
        CHECKOUT / "CHANGELOG.md": "changelog.md",
    }


def page_of(file: Path, names: dict[Path, str], draw: Callable[[str], str]) -> str:
    """The text of a page, whose links lead to other pages or to copies of files.

    Raises:
        FileNotFoundError: A link leads nowhere.
    """

    def moved(link: re.Match[str]) -> str:
        target = (file.parent / link[1]).resolve()
        if target in names:
            return names[target]
        copy = f"files/{target.relative_to(CHECKOUT)}"
        (SOURCE / copy).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(target, SOURCE / copy)
        return copy

    def drawn(diagram: re.Match[str]) -> str:
        name = f"{Path(names[file]).stem}-{diagram.start()}.svg"
        picture = draw(diagram[1]).replace('style="', 'style="background:#fff;', 1)
        (SOURCE / name).write_text(picture, encoding="utf-8")
        return f"![The diagram that the text describes]({name})"

    text = _LINK.sub(moved, file.read_text(encoding="utf-8"))
    return _DIAGRAM.sub(drawn, text)


def write_source(draw: Callable[[str], str]) -> None:
    """What the site is made of, in one folder."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    SOURCE.mkdir(parents=True)
    names = pages()
    for file, name in names.items():
        (SOURCE / name).write_text(page_of(file, names, draw), encoding="utf-8")


def keep_to_itself(page: Path) -> None:
    """Adds the policy to a page that was built.

    Raises:
        SystemExit: It would fetch something from elsewhere.
    """
    text = page.read_text(encoding="utf-8")
    if found := _FETCHED.search(text):
        sys.exit(f"{page.name} fetches from elsewhere: {found[0]}")
    policy = f'<head><meta http-equiv="Content-Security-Policy" content="{POLICY}">{_STYLE}'
    page.write_text(text.replace("<head>", policy, 1), encoding="utf-8")


if __name__ == "__main__":
    from mmdr import render  # draws what pages of repositories draw with scripts

    write_source(lambda diagram: render(diagram).svg())
    shutil.rmtree(SITE, ignore_errors=True)
    zensical = Path(sys.executable).with_name("zensical")
    built = subprocess.run([zensical, "build", "--clean", "--strict"], cwd=CHECKOUT, check=False)
    if built.returncode:
        sys.exit(built.returncode)
    for page in SITE.rglob("*.html"):
        keep_to_itself(page)
    print(f"{SITE.relative_to(CHECKOUT)}/index.html")
