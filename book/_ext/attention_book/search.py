"""The search finds sections: an index of their texts in place of Sphinx's, which knows words of whole pages.

A section is what has a heading, an object of the package, or a term of the glossary. Its prose is what the search
quotes; code, signatures and tables are found, but not quoted. ``book/_static/searchtools.js``
reads the index on the search page, and no other page loads either. As the texts are there, Chinese words are found
too, which are not set apart by spaces.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from html import unescape
from pathlib import Path
from typing import IO, Any

import sphinx.search
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.search import IndexBuilder, js_index

__all__ = ["Sections", "plain", "sections", "setup"]

#: Sections that exercises and solutions bring, to which nothing leads.
_INNER = ("exercise-content", "solution-content")
_SKIPPED = (nodes.comment, nodes.math_block, nodes.image, nodes.title, addnodes.toctree, addnodes.index)
#: What is found, but not quoted; in HTML come the tables of results.
_UNQUOTED = (nodes.literal_block, nodes.table, nodes.raw, addnodes.desc_signature)
#: After these stands a space in the text, as after every block.
_APART = (nodes.image, nodes.math_block, addnodes.desc_name, addnodes.desc_parameter, addnodes.desc_parameterlist)
_SIGNS = {"times": "×", "cdot": "·", "in": "∈", "to": "→", "approx": "≈", "leq": "≤", "le": "≤", "ge": "≥", "geq": "≥"}
_SIGNS |= {"odot": "⊙", "otimes": "⊗", "oplus": "⊕", "ldots": "…", "dots": "…", "pm": "±", "max": "max", "min": "min"}
_SIGNS |= {",": "", ";": " ", "!": "", "quad": " ", "qquad": " ", "%": "%"}
_SCRIPTS = ("_static/searchtools.js", "_static/language_data.js", "searchindex.js")
_LOADED = re.compile(rf'\s*<script src="[^"]*(?:{"|".join(map(re.escape, _SCRIPTS))})[^"]*"></script>')


def plain(tex: str) -> str:
    r"""Write a formula of a line without TeX, ``\sigma(z_1)`` as ``σ(z1)``, or as ``…`` where that cannot be."""
    text = re.sub(r"\\(?:mathrm|mathbf|mathcal|operatorname|text|mathit)\{([^{}]*)\}", r"\1", tex)
    text = text.replace(r"\mathbb{R}", "ℝ")
    text = re.sub(r"\\([a-zA-Z]+|.)", lambda found: _sign(found[1]) or found[0], text)
    text = re.sub(r"_(?:\{(\w{1,3})\}|(\w))", lambda found: found[1] or found[2], text)
    return "…" if re.search(r"[\\_^{}]", text) else " ".join(text.split())


def _sign(name: str) -> str | None:
    if name in _SIGNS:
        return _SIGNS[name]
    size = "CAPITAL" if name[0].isupper() else "SMALL"
    try:
        return unicodedata.lookup(f"GREEK {size} LETTER {name.upper().replace('LAMBDA', 'LAMDA')}")
    except KeyError:
        return None


def sections(doctree: nodes.document) -> list[tuple[str, str, str, str]]:
    """List the sections of a page in their order.

    :param doctree: the page, resolved.
    :returns: the id, the title, the prose of each, and what else stands in it: code, signatures, tables. The first is
        the page's own, whose id is empty. A section's text does not hold that of the sections in it.
    """
    found: list[tuple[str, str, list[str], list[str]]] = []
    _walk(doctree, found, [], [])
    if found:
        found[0] = ("", *found[0][1:])
    return [(name, title, *(" ".join("".join(parts).split()) for parts in both)) for name, title, *both in found]


def _walk(
    node: nodes.Node, found: list[tuple[str, str, list[str], list[str]]], parts: list[str], others: list[str]
) -> None:
    heading = _heading(node)
    if heading:
        parts, others = [], []
        found.append((*heading, parts, others))
    if isinstance(node, _UNQUOTED):
        parts = others
    if isinstance(node, nodes.Text):
        parts.append(node.astext().replace(" · ", ", "))  # a dot between words; those of formulas stay
    elif isinstance(node, nodes.math):
        parts.append(plain(node.astext()))
    elif isinstance(node, nodes.raw):
        parts.append(_table(node.astext()))
    elif not isinstance(node, _SKIPPED):
        for child in node.children:
            _walk(child, found, parts, others)
    if isinstance(node, _APART) or (isinstance(node, nodes.TextElement) and not isinstance(node, nodes.Inline)):
        parts.append(" ")


def _heading(node: nodes.Node) -> tuple[str, str] | None:
    """Return the id and the title of what begins a section."""
    if isinstance(node, nodes.section) and node["ids"] and node["ids"][0] not in _INNER:
        return node["ids"][0], _said(node.next_node(nodes.title))
    if isinstance(node, addnodes.desc):
        signature = node.next_node(addnodes.desc_signature)
        if signature is not None and signature["ids"]:
            return signature["ids"][0], signature.get("fullname") or signature["ids"][0]
    if isinstance(node, nodes.definition_list_item):
        term = node.next_node(nodes.term)
        if term is not None and term["ids"]:
            return term["ids"][0], _said(term)
    return None


def _said(node: nodes.Node | None) -> str:
    parts: list[str] = []
    for child in () if node is None else node.children:
        _walk(child, [], parts, [])
    return " ".join("".join(parts).split())


def _table(markup: str) -> str:
    """Return the text of a table of results; what else is written in HTML shows no text that is looked for."""
    if not markup.lstrip().startswith("<table"):
        return " "
    return unescape(re.sub(r"<[^>]*>", " ", markup))


class Sections(IndexBuilder):
    """Sphinx's builder of the index, with another index in it; it keeps what an earlier build has found."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._pages: dict[str, list[tuple[str, str, str, str]]] = {}

    def load(self, stream: IO[str], format: Any) -> None:
        """Read the index of an earlier build.

        :raises ValueError: for one that another version wrote.
        """
        frozen = js_index.load(stream)
        if not isinstance(frozen, dict) or frozen.get("envversion") != self.env.version or "pages" not in frozen:
            raise ValueError("old format")
        self._pages = {name: [tuple(part) for part in parts] for name, parts in frozen["pages"]}

    def prune(self, docnames: Iterable[str]) -> None:
        """Forget all pages but these."""
        kept = set(docnames)
        self._pages = {name: parts for name, parts in self._pages.items() if name in kept}

    def feed(self, docname: str, filename: str, title: str, doctree: nodes.document) -> None:
        """Add a page."""
        self._pages[docname] = sections(doctree)

    def freeze(self) -> dict[str, Any]:
        """Return the index: the pages in the order of the contents, each with its sections."""
        order = {name: place for place, name in enumerate(self.env.collect_relations())}
        pages = sorted(self._pages.items(), key=lambda page: (order.get(page[0], len(order)), page[0]))
        return {"envversion": self.env.version, "pages": pages}


def _spare(app: Sphinx, exception: Exception | None) -> None:
    """Take the scripts of the search from all pages but its own, where the theme puts them."""
    if exception is not None or app.builder.format != "html":
        return
    for path in _pages(Path(app.outdir)):
        text = path.read_text(encoding="utf-8")
        spared = _LOADED.sub("", text)
        if spared != text:
            path.write_text(spared, encoding="utf-8")


def _pages(site: Path) -> Iterator[Path]:
    own = site / "search.html"
    return (path for path in site.rglob("*.html") if path != own and "_static" not in path.relative_to(site).parts)


def setup(app: Sphinx) -> None:
    """Let Sphinx build this index: it offers no option for it."""
    sphinx.search.IndexBuilder = Sections
    app.connect("build-finished", _spare)
