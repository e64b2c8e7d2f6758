"""Read built pages without a browser, and say what is wrong with them."""

import re
from collections.abc import Iterator
from pathlib import Path

import yaml
from bs4 import BeautifulSoup, NavigableString

from tools.publishing.site import broken_links, pages, soup

__all__ = ["broken_links", "documents", "images_without_alt", "leftovers", "listed", "pages", "soup", "unnumbered"]

#: Markdown or MyST that was not understood shows as itself.
LEFTOVERS = {
    "a directive": re.compile(r":{3,}|`{3,}"),
    "a role": re.compile(r"\{[a-z][\w:-]*\}`|:(?:func|class|meth|mod|attr|data|exc|obj|ref|doc):`"),
    "a formula": re.compile(r"\$\$|\$(?=\S)[^$]*[\^_={}][^$]*\$|:math:"),
    "a TeX command": re.compile(r"\\[a-zA-Z]{2,}"),
    "a link": re.compile(r"\]\([^)\s]*\)"),
    "a target": re.compile(r"^\([\w-]+\)=$", re.MULTILINE),
    "emphasis": re.compile(r"(?<![\w*])\*\*\w[^*]*\*\*(?!\*)"),
    "a substitution": re.compile(r"\{\{.*\}\}"),
}
_RAW = ("pre", "code", "script", "style", "kbd")


def listed() -> list[str]:
    """Return the names of all pages in the table of contents."""
    toc = yaml.safe_load((Path(__file__).resolve().parents[2] / "_toc.yml").read_text(encoding="utf-8"))
    pages = [page for part in toc["parts"] for page in part["chapters"]]
    return [toc["root"], *(each["file"] for page in pages for each in (page, *page.get("sections", ())))]


def documents(site: Path) -> list[Path]:
    """List the pages that have a text of ours: not the indices, the search page and the redirect to the first page."""
    return [path for path in pages(site) if path.parent != site]


def leftovers(path: Path) -> list[str]:
    """Find source text that should have been rendered, outside code and formulas."""
    article = soup(path).find("article") or soup(path)
    return [
        f"{path.name}: {what} was not rendered: {found[0][:60]!r}"
        for text in _prose(article)
        for what, pattern in LEFTOVERS.items()
        if (found := pattern.search(text))
    ]


def _prose(article: BeautifulSoup) -> Iterator[str]:
    for text in article.find_all(string=True):
        inside = [parent for parent in text.parents if parent.name in _RAW or "math" in (parent.get("class") or [])]
        if type(text) is NavigableString and not inside:
            yield str(text)


def images_without_alt(path: Path) -> list[str]:
    """Find images that say nothing to a reader who does not see them. Beside the logo stands what it says."""
    images = [image for image in soup(path).find_all("img") if "logo__image" not in (image.get("class") or [])]
    return [f"{path.name}: no alt text: {image.get('src')}" for image in images if not (image.get("alt") or "").strip()]


def unnumbered(path: Path) -> list[str]:
    """Find equations that can be referred to and show no number, and two that show the same."""
    problems, seen = [], set()
    for equation in soup(path).select("div.math[id^=equation-]"):
        number = equation.select_one(".eqno")
        shown = number.get_text().strip("¶#\n ") if number else ""
        if not re.fullmatch(r"\(\d+\.\d+\)", shown) or shown in seen:
            problems.append(f"{path.name}: equation {equation['id']} shows the number {shown!r}")
        seen.add(shown)
    return problems
