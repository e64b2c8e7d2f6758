"""The card at the head of a chapter or of a block's page: the table between the markers of ``make sync``.

In Markdown a table has no row headers; here its first column becomes that. On a phone each row stands as two lines,
where the roles say that it is a table still.
"""

from docutils import nodes
from sphinx.application import Sphinx

from attention_book.elements import Tag, tag

__all__ = ["setup"]

_BEGIN, _END = "card: begin", "card: end"


def _mend(app: Sphinx, doctree: nodes.document) -> None:
    inside = False
    for node in list(doctree.findall(lambda node: isinstance(node, nodes.raw | nodes.comment | nodes.table))):
        if isinstance(node, nodes.table):
            if inside:
                node.replace_self(_card(node))
        elif _BEGIN in node.astext() or _END in node.astext():
            inside = _BEGIN in node.astext()


def _card(table: nodes.table) -> Tag:
    head, *rows = table.findall(nodes.row)
    caption = " ".join(entry.astext() for entry in head)
    body = tag("tbody", *map(_row, rows), role="rowgroup")
    return tag("table", tag("caption", nodes.Text(caption)), body, class_="table chapter-card", role="table")


def _row(row: nodes.row) -> Tag:
    label, value = row
    header = tag("th", nodes.Text(label.astext()), scope="row", role="rowheader")
    return tag("tr", header, tag("td", *(part for block in value for part in block), role="cell"), role="row")


def setup(app: Sphinx) -> None:
    """Make the cards when a page has been read."""
    app.connect("doctree-read", _mend)
