"""What the pages' markup lacks for readers with assistive technology, where Sphinx offers no option for it."""

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

__all__ = ["setup"]


def _mend(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    # docutils writes a list of citations as role="list", whose items may only be role="listitem".
    context["body"] = context.get("body", "").replace('role="doc-biblioentry"', 'role="listitem"')


def setup(app: Sphinx) -> None:
    """Mend each page before it is written."""
    app.connect("html-page-context", _mend)
