"""Read built pages without a browser, and say what is wrong with them."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup, NavigableString

__all__ = ["broken_links", "documents", "images_without_alt", "leftovers", "pages", "soup", "unnumbered"]

#: Markdown or MyST that was not understood shows as itself.
LEFTOVERS = {
    "a directive": re.compile(r":{3,}|`{3,}"),
    "a role": re.compile(r"\{[a-z][\w:-]*\}`|:(?:func|class|meth|mod|attr|data|exc|obj|ref|doc):`"),
    "a formula": re.compile(r"\$\$|\$(?=\S)[^$]*[\^_={}][^$]*\$"),
    "a TeX command": re.compile(r"\\[a-zA-Z]{2,}"),
    "a link": re.compile(r"\]\([^)\s]*\)"),
    "a target": re.compile(r"^\([\w-]+\)=$", re.MULTILINE),
    "emphasis": re.compile(r"(?<![\w*])\*\*\w[^*]*\*\*(?!\*)"),
    "a substitution": re.compile(r"\{\{.*\}\}"),
}
_RAW = ("pre", "code", "script", "style", "kbd")


def pages(site: Path) -> list[Path]:
    """List all pages of a site."""
    return sorted(path for path in site.rglob("*.html") if not {"_static", "_sources"} & set(path.parts))


def documents(site: Path) -> list[Path]:
    """List the pages that have a text of ours: not the indices, the search page and the redirect to the first page."""
    return [path for path in pages(site) if path.parent != site]


@cache
def soup(path: Path) -> BeautifulSoup:
    """Parse a page."""
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


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
    """Find images that say nothing to a reader who does not see them."""
    images = soup(path).find_all("img")
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


def broken_links(path: Path, site: Path) -> list[str]:
    """Find links, images, styles and scripts of a page that lead to no file or no anchor of the site."""
    problems = []
    for tag, key in (("a", "href"), ("img", "src"), ("link", "href"), ("script", "src")):
        for element in soup(path).find_all(tag, attrs={key: True}):
            problem = _broken(element[key], path, site)
            if problem:
                problems.append(f"{path.relative_to(site)}: {problem}: {element[key]}")
    return problems


def _broken(target: str, path: Path, site: Path) -> str | None:
    parts = urlsplit(target)
    if parts.scheme or parts.netloc:
        return None
    file = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if file.is_dir():
        file /= "index.html"
    if not file.is_relative_to(site) or not file.is_file():
        return "leads to no file"
    anchor = unquote(parts.fragment)
    if anchor and file.suffix == ".html" and anchor not in _anchors(file):
        return "leads to no anchor"
    return None


@cache
def _anchors(path: Path) -> set[str]:
    return {element["id"] for element in soup(path).find_all(attrs={"id": True})}
