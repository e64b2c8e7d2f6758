"""What the pages' markup lacks for readers with assistive technology, where Sphinx offers no option for it."""

import re
from html import escape, unescape
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

from attention_book.search import plain

__all__ = ["setup"]

#: At a first visit the theme has no mode, and complains of that on the console. With "auto" as its default it writes
#: that as a page's theme, which no style knows: before a script has run, and without any, the page would have no
#: colours.
_MODE = "auto"
_UNTIL_SCRIPTS = (
    (f' data-theme="{_MODE}">', ">"),
    (
        f'localStorage.getItem("theme") || "{_MODE}"',
        'localStorage.getItem("theme") || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")',
    ),
)
#: A part of the contents, from its caption to the next; it may hold lists within the list.
_PART = re.compile(
    r'<p aria-level="2" class="caption" role="heading">(<span class="caption-text">[^<]*</span>)</p>\s*'
    r'(<ul class="((?:current )?)nav bd-sidenav">.*?</ul>)\s*(?=<p aria-level="2" class="caption"|</div>)',
    re.DOTALL,
)
_TOGGLE = '<summary><span class="toctree-toggle"'
#: The logo: the book's name stands beside it, so that it says nothing of its own. Its size is that of ``book.css``.
_LOGO = re.compile(r'(<img src="[^"]*" class="logo__image [^"]*") alt="[^"]*"')
_SIDEBAR = '<div id="pst-primary-sidebar" class="bd-sidebar-primary bd-sidebar">'
_NAMED = _TOGGLE.replace("<summary>", '<summary aria-label="Pages below this one">')
#: Each exercise and each solution brings a section of the same name, to which nothing leads.
_DOUBLES = re.compile(r'(<section) id="(?:exercise|solution)-content"')
#: The corner of a table, above the names of its rows: a header without words would be read out as one.
_CORNER = re.compile(r"<th\b[^>]*>\s*(?:<p>\s*</p>)?\s*</th>")
#: A header that is a formula has no words before a script has set it, and for some readers none after it.
_FORMULA = re.compile(
    r'<th (class="[^"]*")>(\s*(?:<p>)?\s*<span class="math[^"]*">\\\((.*?)\\\)</span>\s*(?:</p>)?\s*</th>)', re.DOTALL
)
_LINES = re.compile(r"<dl>\s*((?:<dd>.*?</dd>\s*)+)</dl>", re.DOTALL)


def _mend(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    # docutils writes a list of citations as role="list", whose items may only be role="listitem".
    body = context.get("body", "").replace('role="doc-biblioentry"', 'role="listitem"')
    body = _DOUBLES.sub(r"\1", body)
    body = _CORNER.sub("<td></td>", body)
    body = _FORMULA.sub(_named, body)
    # Sphinx writes the parameters of a long signature, one a line, as descriptions without terms.
    context["body"] = _LINES.sub(_as_lines, body)


def _named(found: re.Match[str]) -> str:
    said = f'<span class="unseen">{escape(plain(unescape(found[3])))}</span>'
    return f"<th {found[1]}>{said}" + found[2].replace("<span ", '<span aria-hidden="true" ', 1)


def _as_lines(found: re.Match[str]) -> str:
    return found[1].replace("<dd>", '<span class="sig-line">').replace("</dd>", "</span>")


def _set_mode(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    context["default_mode"] = _MODE


def _sidebar(text: str) -> str:
    """Name what unfolds in the sidebar (the theme gives it an arrow and no word), and close the parts of other pages.

    Who walks through the page by keyboard passes the names of the parts and the pages of one, not those of all.
    """
    text = text.replace(_TOGGLE, _NAMED)
    text = text.replace(_SIDEBAR, _SIDEBAR.replace(">", ' role="region" aria-label="Book">'))
    text = _LOGO.sub(r'\1 alt="" width="48" height="48"', text)
    return _PART.sub(
        lambda found: (
            f'<details class="part"{" open" if found[3] else ""}><summary>{found[1]}</summary>\n{found[2]}</details>\n'
        ),
        text,
    )


def _mend_templates(app: Sphinx, exception: Exception | None) -> None:
    if exception is not None or app.builder.format != "html":
        return
    for path in Path(app.outdir).rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        mended = _sidebar(text)
        for old, new in _UNTIL_SCRIPTS:
            mended = mended.replace(old, new)
        if mended != text:
            path.write_text(mended, encoding="utf-8")


def setup(app: Sphinx) -> None:
    """Mend each page before it is written, and what the theme's templates add when all are."""
    app.connect("html-page-context", _mend)
    app.connect("html-page-context", _set_mode)
    app.connect("build-finished", _mend_templates)
