"""The list of all mechanisms, from ``attention/mechanisms.toml``: ``:::{mechanisms}``.

A mechanism whose chapter is written is a link to it; one of which there is a block alone is a link to the block's page;
the others say that they are planned.
"""

from collections.abc import Iterable
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

    With ``:brief:`` one table shows of each family which chapters are written, of which mechanisms there is a block
    with a page, and which are planned; with ``:api:`` the blocks stand in one table: the name that ``create`` takes,
    the class, the maps. With ``:when:`` a table says what speaks for a mechanism, what against it, and what to take
    instead, for those of which the registry says so.
    """

    option_spec: ClassVar = {
        "family": directives.unchanged,
        **dict.fromkeys(("brief", "api", "when"), directives.flag),
    }

    def run(self) -> list[nodes.Node]:
        """Build a titled list for each family, or one table."""
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
            built = [entry for members in families.values() for entry in members if entry.built]
            return [_table({"Name": 20, "Class": 45, "Maps": 35}, map(self._cells, built))]
        if "when" in self.options:
            told = [entry for members in families.values() for entry in members if entry.when]
            return [_table({"Mechanism": 15, "For it": 35, "Against it": 35, "Instead": 15}, map(self._choice, told))]
        if "brief" in self.options:
            rows = [self._chapters(title, members) for title, members in families.items()]
            return [_table({"Family": 25, "Chapter": 25, "Block": 25, "Planned": 25}, rows)]
        found: list[nodes.Node] = []
        for title, members in families.items():
            found += [] if wanted else [nodes.rubric("", title)]
            found.append(self._list(members))
        return found

    def _chapters(self, title: str, members: list[Entry]) -> tuple[nodes.Node, ...]:
        own = [entry for entry in members if not entry.chapter]
        written = [entry for entry in own if self._written(entry) and entry.ready]
        blocks = [entry for entry in own if self._written(entry) and not entry.ready]
        planned = [entry for entry in own if not self._written(entry)]
        parts = (written, blocks, planned)
        return nodes.Text(title), *[_join([self._name(e, e.short) for e in part]) for part in parts]

    def _choice(self, entry: Entry) -> tuple[nodes.Node, ...]:
        instead = [self._name(other, other.short) for other in map(entries().__getitem__, entry.instead)]
        return self._name(entry, entry.short), nodes.Text(entry.when), nodes.Text(entry.when_not), _join(instead)

    def _cells(self, entry: Entry) -> tuple[nodes.Node, nodes.Node, nodes.Node]:
        block = self._link(nodes.literal("", entry.class_name), "py", "class", f"{entry.module}.{entry.class_name}")
        return nodes.literal("", entry.name), block, _join([nodes.literal("", dims) for dims in entry.maps])

    def _list(self, members: list[Entry]) -> nodes.definition_list:
        return nodes.definition_list("", *[self._item(entry) for entry in members], classes=["mechanisms"])

    def _item(self, entry: Entry) -> nodes.definition_list_item:
        status = ("" if entry.ready else "block") if self._written(entry) else "planned"
        if entry.chapter:
            status = f"in {entries()[entry.chapter].short}"
        year = nodes.inline("", f", {entry.year}", classes=["year"])
        badge = [nodes.Text(" "), nodes.inline("", status, classes=["status", "status-planned"])] if status else []
        term = nodes.term("", "", self._name(entry, _full_name(entry)), year, *badge)
        statistic = nodes.inline("", f"Statistic: {entry.statistic}.", classes=["statistic"])
        about = nodes.paragraph("", "", nodes.Text(f"{entry.idea} "), statistic)
        return nodes.definition_list_item("", term, nodes.definition("", about))

    def _written(self, entry: Entry) -> bool:
        return entry.built and _home(entry).page in self.env.found_docs

    def _name(self, entry: Entry, text: str) -> nodes.Node:
        """Return a mechanism's name, a link where its chapter is written or its block has a page."""
        if not self._written(entry):
            return nodes.inline("", text, classes=["unwritten"])
        return self._link(nodes.inline("", text), "std", "doc", f"/{_home(entry).page}")

    def _link(self, shown: nodes.Node, domain: str, kind: str, target: str) -> addnodes.pending_xref:
        """Return a link that Sphinx resolves, or warns of."""
        here = self.env.docname
        to = {"refdomain": domain, "reftype": kind, "reftarget": target}
        return addnodes.pending_xref("", shown, **to, refdoc=here, refexplicit=True, refwarn=True)


def _home(entry: Entry) -> Entry:
    """Return the mechanism in whose chapter this one stands: mostly itself."""
    return entries()[entry.chapter or entry.name]


def _join(parts: list[nodes.Node]) -> nodes.inline:
    """Put commas between the parts, or a dash where there are none."""
    line = nodes.inline()
    for part in parts:
        line += [nodes.Text(", ")] if line.children else []
        line += part
    return line if parts else nodes.inline("", "–")


def _table(columns: dict[str, int], rows: Iterable[Iterable[nodes.Node]]) -> nodes.table:
    """Build a table from its columns' titles and widths, and the contents of its cells."""
    head = nodes.row("", *[_cell(nodes.Text(title)) for title in columns])
    group = nodes.tgroup("", *[nodes.colspec(colwidth=width) for width in columns.values()], cols=len(columns))
    group += [nodes.thead("", head), nodes.tbody("", *[nodes.row("", *map(_cell, row)) for row in rows])]
    return nodes.table("", group)


def _cell(content: nodes.Node) -> nodes.entry:
    return nodes.entry("", nodes.paragraph("", "", content))


def _full_name(entry: Entry) -> str:
    """Return a mechanism's title, with its short name where the title does not show it."""
    title = entry.title.lower().replace("-", " ")
    return entry.title if entry.short.lower().replace("-", " ") in title else f"{entry.title} ({entry.short})"


def setup(app: Sphinx) -> None:
    """Add the directive."""
    app.add_directive("mechanisms", Mechanisms)
