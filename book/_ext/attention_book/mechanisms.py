"""All mechanisms, from ``attention/mechanisms.toml``: as cards, as a map, as a table.

A mechanism whose chapter is written is a link to it; one of which there is a block alone is a link to the block's page;
the others say that they are planned.
"""

from collections import defaultdict
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from attention.registry import AXES, FAMILIES, Entry, chapters, entries
from attention_book.drawings import ICONS
from attention_book.elements import Tag, table, tag

__all__ = ["THUMBNAILS", "Mechanisms", "setup"]

#: Where the pictures of the cards are, from the top of the book; ``make sync`` draws them.
THUMBNAILS = Path("book", "thumbnails")
#: What the map calls what there is of a mechanism, and its class.
_STATES = {"ready": "chapter", "block": "block", "planned": "planned", "elsewhere": "in another chapter"}


class Mechanisms(SphinxDirective):
    """Show the mechanisms in one of four forms.

    ``:cards:``: a large card for each chapter that is written, with a picture, a name and a sentence; then, folded, a
    small one for each other mechanism, by family. ``:map:``: what they weigh from left to right, the years from top to
    bottom; what the directive holds is the caption. ``:api:``: a table of the blocks: the name that ``create`` takes,
    the class, the maps. ``:when:``: a table of what speaks for a mechanism, what against it, and what to take instead,
    for those of which the registry says so.
    """

    has_content = True
    option_spec: ClassVar = dict.fromkeys(("cards", "map", "api", "when"), directives.flag)

    def run(self) -> list[nodes.Node]:
        """Build the form that is asked for."""
        self.env.note_dependency(str(Path(self.env.srcdir, "attention", "mechanisms.toml")))
        if len(self.options) != 1:
            raise self.error(f"choose one of {', '.join(f':{form}:' for form in self.option_spec)}")
        if "cards" in self.options:
            return self._cards()
        if "map" in self.options:
            return [self._map()]
        if "when" in self.options:
            told = [entry for entry in entries().values() if entry.when]
            return [table({"Mechanism": 15, "For it": 35, "Against it": 35, "Instead": 15}, map(self._choice, told))]
        built = [entry for entry in entries().values() if entry.built]
        return [table({"Name": 20, "Class": 45, "Maps": 35}, map(self._cells, built))]

    # --- cards

    def _cards(self) -> list[nodes.Node]:
        written = [entry for entry in chapters() if self._state(entry) == "ready"]
        others = [entry for entry in chapters() if self._state(entry) != "ready"]
        states = [self._state(entry) for entry in others]
        counted = {"with a tested block and no chapter yet": states.count("block"), "planned": states.count("planned")}
        said = "More mechanisms: " + ", ".join(f"{count} {what}" for what, count in counted.items() if count)
        folded = tag("details", tag("summary", nodes.Text(said)), class_="mechanism-rest")
        for family, title in FAMILIES.items():
            found = [self._card(entry) for entry in others if entry.family == family]
            if found:
                folded += tag("p", nodes.Text(title), class_="mechanism-family")
                folded += tag("ul", *found, class_="mechanism-cards", role="list")
        large = tag("ul", *map(self._card, written), class_="mechanism-cards are-chapters", role="list")
        return [large, folded] if others else [large]

    def _card(self, entry: Entry) -> Tag:
        path = Path(self.env.srcdir, THUMBNAILS, f"{entry.name}.svg")
        self.env.note_dependency(str(path))
        drawn = [nodes.raw("", path.read_text(encoding="utf-8"), format="html")] if path.exists() else []
        state = self._state(entry)
        said = {"ready": FAMILIES[entry.family].lower(), "block": "block, no chapter yet", "planned": "planned"}[state]
        about = tag("p", nodes.Text(f"{entry.short}, {entry.year} · {said}"), class_="mechanism-state")
        name = tag("p", self._name(entry, nodes.Text(entry.title)), class_="mechanism-name")
        picture = tag("div", *drawn, class_="mechanism-picture")
        idea = tag("p", nodes.Text(entry.idea))
        return tag("li", picture, name, idea, about, class_=f"mechanism-card is-{state}")

    # --- the map

    def _map(self) -> Tag:
        rows: dict[int, int] = {}  # year -> how many rows it takes
        cells: dict[tuple[int, str], list[Entry]] = defaultdict(list)
        for entry in entries().values():
            cells[entry.year, entry.axis].append(entry)
        for year in sorted({year for year, _ in cells}):
            rows[year] = max(len(cells[year, axis]) for axis in AXES)
        first, start = {}, 2  # the heads of the columns are row 1
        for year, depth in rows.items():
            first[year] = start
            start += depth
        years = [
            tag("li", nodes.Text(str(year)), style=f"grid-row: {first[year]} / span {depth}")
            for year, depth in rows.items()
        ]
        grid = tag("div", tag("ol", *years, class_="map-years", aria_hidden="true"), class_="map-grid")
        for column, (axis, question) in enumerate(AXES.items(), start=2):
            head = [nodes.raw("", ICONS[axis], format="html"), tag("strong", nodes.Text(axis))]
            head.append(tag("span", nodes.Text(question)))
            items = [
                self._pill(entry, f"grid-row: {first[year] + k}; grid-column: {column}")
                for year in rows
                for k, entry in enumerate(cells[year, axis])
            ]
            place = f"grid-row: 1; grid-column: {column}"
            grid += tag("p", *head, class_="map-axis", style=place, id=f"map-{column}")
            grid += tag("ul", *items, role="list", aria_labelledby=f"map-{column}")
        legend = [tag("li", nodes.Text(said), class_=f"map-pill is-{state}") for state, said in _STATES.items()]
        grid = tag("div", grid, tag("ul", *legend, class_="map-legend", aria_label="What the boxes mean"))
        caption = tag("figcaption")
        self.state.nested_parse(self.content, self.content_offset, caption)
        return tag("figure", grid, caption, class_="mechanism-map", id="map-of-mechanisms")

    def _pill(self, entry: Entry, place: str) -> Tag:
        state = "elsewhere" if entry.chapter else self._state(entry)
        said = f"in the chapter on {entries()[entry.chapter].title}" if entry.chapter else _STATES[state]
        unseen = tag("span", nodes.Text(f": {entry.title}, {said}"), class_="unseen")
        name = self._name(entry, nodes.inline("", "", nodes.Text(entry.short), unseen))
        year = tag("span", nodes.Text(f"{entry.year} "), class_="map-year")
        return tag("li", year, name, class_=f"map-pill is-{state}", style=place)

    # --- what all have

    def _state(self, entry: Entry) -> str:
        """Return the entry's status as far as this book has its page."""
        return entry.status if self._written(entry) else "planned"

    def _choice(self, entry: Entry) -> tuple[nodes.Node, ...]:
        instead = [self._name(other, nodes.Text(other.short)) for other in map(entries().__getitem__, entry.instead)]
        name = self._name(entry, nodes.Text(entry.short))
        return name, nodes.Text(entry.when), nodes.Text(entry.when_not), _join(instead)

    def _cells(self, entry: Entry) -> tuple[nodes.Node, nodes.Node, nodes.Node]:
        block = self._class(nodes.literal("", entry.class_name), f"{entry.module}.{entry.class_name}")
        return nodes.literal("", entry.name), block, _join([nodes.literal("", dims) for dims in entry.maps])

    def _written(self, entry: Entry) -> bool:
        return entry.built and _home(entry).page in self.env.found_docs

    def _name(self, entry: Entry, shown: nodes.Node) -> nodes.Node:
        """Return what shows a mechanism, as a link where its chapter is written or its block has a page."""
        if not self._written(entry):
            return nodes.inline("", "", shown)
        # Sphinx' own reference to a document would keep nothing but the words of what it shows.
        target = self.env.app.builder.get_relative_uri(self.env.docname, _home(entry).page)
        return nodes.reference("", "", shown, internal=True, refuri=target)

    def _class(self, shown: nodes.Node, target: str) -> addnodes.pending_xref:
        """Return a link to a class that Sphinx resolves, or warns of."""
        to = {"refdomain": "py", "reftype": "class", "reftarget": target}
        return addnodes.pending_xref("", shown, **to, refdoc=self.env.docname, refexplicit=True, refwarn=True)


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


def setup(app: Sphinx) -> None:
    """Add the directive."""
    app.add_directive("mechanisms", Mechanisms)
