"""What search engines and link previews show of a page: its title, a description, and the book's card.

The description is made from the page's first paragraph; previews of a chapter say its idea, from ``mechanisms.toml``.
"""

import html
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

from attention.registry import chapters

__all__ = ["PREVIEW", "describe", "setup"]

#: The picture that previews show, relative to the site: drawn by ``tools.writing.figures``.
PREVIEW = "_static/card.png"
_ALT = (
    "Attention, Block by Block. Below the title five feature maps, their means, and five weights computed from all "
    "the means: each map leaves multiplied by its weight."
)

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
    idea = {entry.document: entry.idea for entry in chapters()}.get(page, text)
    about = {
        "og:type": "website" if page == app.config.root_doc else "article",
        "og:site_name": app.config.html_title or app.config.project,
        "og:title": title,
        "og:description": idea,
        "og:url": context.get("pageurl") or "",
        "og:image": f"{app.config.html_baseurl}{PREVIEW}",
        "og:image:width": "1200",
        "og:image:height": "630",
        "og:image:alt": _ALT,
    }
    tags = [f'<meta name="description" content="{html.escape(text)}" />'] if text else []
    tags += [f'<meta property="{key}" content="{html.escape(value)}" />' for key, value in about.items() if value]
    tags.append('<meta name="twitter:card" content="summary_large_image" />')
    context["metatags"] = "\n".join([context.get("metatags", ""), *tags])


def setup(app: Sphinx) -> None:
    """Describe each page before it is written."""
    app.connect("html-page-context", _describe)
