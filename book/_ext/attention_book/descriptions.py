"""What search engines and link previews show of a page: its title, and a description made from its first paragraph."""

import html
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

__all__ = ["describe", "setup"]

#: Search engines show about so many characters; much fewer would waste the place.
_LONGEST, _SHORTEST = 200, 80


def describe(doctree: nodes.document) -> str:
    """Return the first paragraph of plain text, cut at the end of a sentence or else of a word.

    :param doctree: a page.
    :returns: the description; empty for a page without a paragraph.
    """
    for paragraph in doctree.findall(nodes.paragraph):
        apart = isinstance(paragraph.parent, nodes.entry | nodes.list_item | nodes.Admonition)
        if not apart and not any(paragraph.findall(_no_text)) and paragraph.astext().strip():
            return _cut(" ".join(paragraph.astext().split()))
    return ""


def _no_text(node: nodes.Node) -> bool:
    return isinstance(node, nodes.math | nodes.image | nodes.raw)


def _cut(text: str) -> str:
    if len(text) <= _LONGEST:
        return text
    sentence = text[:_LONGEST].rpartition(". ")[0]
    return f"{sentence}." if len(sentence) >= _SHORTEST else text[: _LONGEST - 1].rpartition(" ")[0] + "…"


def _describe(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    if page == app.config.root_doc:
        context["docstitle"] = ""  # the page's own title is the book's
    if doctree is None:
        return
    title = nodes.document.astext(app.env.titles[page])
    text = describe(doctree)
    about = {
        "og:type": "website" if page == app.config.root_doc else "article",
        "og:site_name": app.config.html_title or app.config.project,
        "og:title": title,
        "og:description": text,
        "og:url": context.get("pageurl") or "",
    }
    tags = [f'<meta name="description" content="{html.escape(text)}" />'] if text else []
    tags += [f'<meta property="{key}" content="{html.escape(value)}" />' for key, value in about.items() if value]
    context["metatags"] = "\n".join([context.get("metatags", ""), *tags])


def setup(app: Sphinx) -> None:
    """Describe each page before it is written."""
    app.connect("html-page-context", _describe)
