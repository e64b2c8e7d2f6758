"""The list of all mechanisms, from ``attention/mechanisms.toml``: ``:::{mechanisms}``.

A mechanism whose chapter is written is a link to it; the others say that they are planned.
"""

from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from attention.registry import FAMILIES, Entry, entries

__all__ = ["Mechanisms", "setup"]


class Mechanisms(SphinxDirective):
    """List the mechanisms, one list a family; ``:family: channel`` shows one family alone.

    With ``:brief:`` each family is one line that names its mechanisms; with ``:api:`` the written ones stand in one
    table: the name that ``create`` takes, the class, the maps.
    """

    option_spec: ClassVar = {"family": directives.unchanged, "brief": directives.flag, "api": directives.flag}

    def run(self) -> list[nodes.Node]:
        """Build a titled list, or a line, for each family that has an entry."""
        self.env.note_dependency(str(Path(self.env.srcdir, "attention", "mechanisms.toml")))
        wanted = self.options.get("family")
        if wanted is not None and wanted not in FAMILIES:
            raise self.error(f"family={wanted!r} is not one of {', '.join(FAMILIES)}")
        families = {
            title: [entry for entry in entries().values() if entry.family == family]
            for family, title in FAMILIES.items()
            if wanted in (None, family)
        }
        if "api" in self.options:
            return [self._table([entry for members in families.values() for entry in members if entry.ready])]
        if "brief" in self.options:
            return [nodes.bullet_list("", *[self._line(title, members) for title, members in families.items()])]
        found: list[nodes.Node] = []
        for title, members in families.items():
            found += [] if wanted else [nodes.rubric("", title)]
            found.append(self._list(members))
        return found

    def _line(self, title: str, members: list[Entry]) -> nodes.list_item:
        line = nodes.paragraph("", "", nodes.strong("", f"{title}: "))
        for i, entry in enumerate(entry for entry in members if not entry.chapter):
            line += [nodes.Text(", ")] if i else []
            line += self._name(entry, entry.short)
        return nodes.list_item("", line)

    def _table(self, members: list[Entry]) -> nodes.table:
        head = nodes.row("", *[_cell(nodes.Text(title)) for title in ("Name", "Class", "Maps")])
        rows = [nodes.row("", *map(_cell, self._cells(entry))) for entry in members]
        group = nodes.tgroup("", *[nodes.colspec(colwidth=width) for width in (20, 45, 35)], cols=3)
        group += [nodes.thead("", head), nodes.tbody("", *rows)]
        return nodes.table("", group)

    def _cells(self, entry: Entry) -> tuple[nodes.Node, nodes.Node, nodes.Node]:
        block = addnodes.pending_xref(
            "",
            nodes.literal("", entry.class_name),
            refdomain="py",
            reftype="class",
            refdoc=self.env.docname,
            reftarget=f"{entry.module}.{entry.class_name}",
            refexplicit=True,
            refwarn=True,
        )
        maps = nodes.inline("", "", *[nodes.literal("", dims) for dims in entry.maps])
        for i in range(len(entry.maps) - 1, 0, -1):
            maps.insert(i, nodes.Text(", "))
        return nodes.literal("", entry.name), block, maps

    def _list(self, members: list[Entry]) -> nodes.definition_list:
        return nodes.definition_list("", *[self._item(entry) for entry in members], classes=["mechanisms"])

    def _item(self, entry: Entry) -> nodes.definition_list_item:
        status = "" if self._written(entry) else "planned"
        if entry.chapter:
            status = f"in {entries()[entry.chapter].short}"
        year = nodes.inline("", f", {entry.year}", classes=["year"])
        badge = [nodes.Text(" "), nodes.inline("", status, classes=["status", "status-planned"])] if status else []
        term = nodes.term("", "", self._name(entry, _full_name(entry)), year, *badge)
        statistic = nodes.inline("", f"Statistic: {entry.statistic}.", classes=["statistic"])
        about = nodes.paragraph("", "", nodes.Text(f"{entry.idea} "), statistic)
        return nodes.definition_list_item("", term, nodes.definition("", about))

    def _written(self, entry: Entry) -> bool:
        return entry.ready and f"notebooks/{entry.family}/{entry.name}" in self.env.found_docs

    def _name(self, entry: Entry, text: str) -> nodes.Node:
        """Return a mechanism's name, a link where its chapter is written."""
        if not self._written(entry):
            return nodes.inline("", text, classes=["unwritten"])
        return addnodes.pending_xref(
            "",
            nodes.inline("", text),
            refdomain="std",
            reftype="doc",
            refdoc=self.env.docname,
            reftarget=f"/notebooks/{entry.family}/{entry.name}",
            refexplicit=True,
            refwarn=True,
        )


def _cell(content: nodes.Node) -> nodes.entry:
    return nodes.entry("", nodes.paragraph("", "", content))


def _full_name(entry: Entry) -> str:
    """Return a mechanism's title, with its short name where the title does not show it."""
    title = entry.title.lower().replace("-", " ")
    return entry.title if entry.short.lower().replace("-", " ") in title else f"{entry.title} ({entry.short})"


def setup(app: Sphinx) -> None:
    """Add the directive."""
    app.add_directive("mechanisms", Mechanisms)
