"""The launch button: a chapter's rocket leads to its Colab edition, once that has an address; only chapters have one.

The theme's own button would point at the source notebook, whose directives Colab shows as raw text.
"""

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

from attention_book.addresses import colab, placeholders

__all__ = ["setup"]


def _add(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    address = colab(app.config.addresses, page)
    if doctree is None or address is None or placeholders(app.config.addresses):
        return
    button = {
        "type": "link",
        "url": address,
        "icon": "fas fa-rocket",
        "tooltip": "Run this chapter in Colab",
        "label": "launch-colab",
    }
    context["header_buttons"].insert(0, button)


def setup(app: Sphinx) -> None:
    """Add the button after the theme has made its list of buttons."""
    app.connect("html-page-context", _add, priority=900)
