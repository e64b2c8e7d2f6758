"""Elements of HTML for which docutils has no node: a table's row header, a list that is laid out as a grid.

Links inside such elements are resolved as everywhere else, which raw HTML cannot have.
"""

from collections.abc import Iterable, Mapping
from html import escape

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

__all__ = ["Tag", "setup", "table", "tag"]


#: After these a line break would be a space in the text.
_INLINE = {"span", "strong"}


class Tag(nodes.General, nodes.TextElement):  # in which a link may stand
    """An element: ``name`` is its name, ``given`` holds its attributes."""


def tag(name: str, *children: nodes.Node, **given: str) -> Tag:
    """Make an element.

    :param name: of the element.
    :param children: what is in it.
    :param given: its attributes; a trailing ``_`` is left out, and ``_`` between words is a hyphen.
    """
    attributes = {key.rstrip("_").replace("_", "-"): value for key, value in given.items()}
    return Tag("", "", *children, name=name, given=attributes)


def table(columns: Mapping[str, int], rows: Iterable[Iterable[nodes.Node | str]]) -> nodes.table:
    """Build a table that Markdown could have written.

    :param columns: the titles, and how wide each column is beside the others.
    :param rows: the contents of the cells; a text is taken as it is.
    """
    group = nodes.tgroup("", *(nodes.colspec(colwidth=width) for width in columns.values()), cols=len(columns))
    group += [nodes.thead("", _row(columns)), nodes.tbody("", *map(_row, rows))]
    return nodes.table("", group)


def _row(cells: Iterable[nodes.Node | str]) -> nodes.row:
    contents = (nodes.Text(cell) if isinstance(cell, str) else cell for cell in cells)
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", content)) for content in contents))


def _open(self: HTML5Translator, node: Tag) -> None:
    told = "".join(f' {key}="{escape(value)}"' for key, value in node["given"].items())
    self.body.append(f"<{node['name']}{told}>")


def _close(self: HTML5Translator, node: Tag) -> None:
    self.body.append(f"</{node['name']}>" + ("" if node["name"] in _INLINE else "\n"))


def setup(app: Sphinx) -> None:
    """Add the node."""
    app.add_node(Tag, html=(_open, _close))
