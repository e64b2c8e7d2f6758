"""The card at the head of a chapter: the table between the markers of ``make sync`` gets a class, for its looks."""

from docutils import nodes
from sphinx.application import Sphinx

__all__ = ["setup"]

_BEGIN, _END = "card: begin", "card: end"


def _mark(app: Sphinx, doctree: nodes.document) -> None:
    inside = False
    for node in doctree.findall(lambda node: isinstance(node, nodes.raw | nodes.comment | nodes.table)):
        if isinstance(node, nodes.table):
            node["classes"] += ["chapter-card"] if inside else []
        elif _BEGIN in node.astext() or _END in node.astext():
            inside = _BEGIN in node.astext()


def setup(app: Sphinx) -> None:
    """Mark the cards when a page has been read."""
    app.connect("doctree-read", _mark)
