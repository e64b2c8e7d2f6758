"""The page that a visitor sees who followed a wrong address: hosts look for it under the name ``404.html``.

It is a page like all others, with contents and search. But it may stand in for an address at any depth, so its
addresses begin at the top of the host, with the path that the book has there.
"""

import re
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from docutils import nodes
from sphinx.application import Sphinx

__all__ = ["from_the_top", "setup"]

_NAME = "404"
_BODY = """\
<section>
<h1>Page not found</h1>
<p>There is no page of <em>{book}</em> at this address. Look for it in the contents, <a href="{search}">search the
book</a>, or begin at <a href="{first}">the first page</a>.</p>
</section>
"""
#: Attributes that hold an address. One that begins with a scheme, a slash or # stays as it is.
_RELATIVE = re.compile(r'((?:\s(?:href|src|action)|\sdata-content_root)=")(?!#|/|[a-z][a-z0-9+.-]*:)(?:\./)?([^"]*)"')
_CANONICAL = re.compile(r'\s*<link rel="canonical"[^>]*>')


def from_the_top(page: str, top: str) -> str:
    """Let the relative addresses of a page that lies at the top of the site begin at the top of the host.

    :param page: its HTML.
    :param top: the site's path on its host, with a slash at both ends.
    """
    return _RELATIVE.sub(rf'\g<1>{top}\g<2>"', page)


def _pages(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    link = app.builder.get_relative_uri
    about = {"search": link(_NAME, "search"), "first": link(_NAME, app.config.root_doc)}
    body = _BODY.format(book=escape(app.config.html_title or app.config.project), **about)
    yield _NAME, {"title": "Page not found", "body": body}, "page.html"


def _no_index(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    if page == _NAME:
        context["metatags"] = f'{context.get("metatags", "")}\n<meta name="robots" content="noindex" />'


def _move(app: Sphinx, exception: Exception | None) -> None:
    path = Path(app.outdir) / f"{_NAME}.html"
    if exception is None and app.builder.format == "html":
        top = urlsplit(app.config.addresses["site"]).path.rstrip("/") + "/"
        page = _CANONICAL.sub("", path.read_text(encoding="utf-8"))
        path.write_text(from_the_top(page, top), encoding="utf-8")


def setup(app: Sphinx) -> None:
    """Add the page, and mend its addresses when the build has succeeded."""
    app.connect("html-collect-pages", _pages)
    app.connect("html-page-context", _no_index)
    app.connect("build-finished", _move)
