"""The API pages: modules rendered from their sources, so that building the book needs no torch.

``:::{api} attention.channel`` renders the modules of that package that name their public parts in ``__all__``. A
package that has an ``__all__`` of its own is rendered as that says, and what else is below it is its own affair.
"""

import re
from collections.abc import Container, Iterable
from itertools import takewhile
from pathlib import Path
from typing import Any

from autodoc2.render.myst_ import MystRenderer
from autodoc2.resolve_all import AllResolutionError, AllResolver
from autodoc2.sphinx.utils import get_database, load_config, nested_parse_generated, warn_sphinx
from autodoc2.utils import ItemData
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from attention.registry import FAMILIES

__all__ = ["Api", "PublicRenderer", "setup"]


#: Roles as docstrings write them, which editors and ``help`` show well; MyST has another notation.
_ROLE = re.compile(r"(?<![\w{:]):(?:py:)?(func|class|meth|mod|attr|data|exc|obj):`~?([\w.]+)`")

#: Formulas that are written as a role: MyST has dollars.
_FORMULA = re.compile(r":math:`([^`]*)`")

_EXAMPLE = re.compile(r"^([ \t]*)>>> .*(?:\n[ \t]*\S.*)*", re.MULTILINE)

_AXES = re.compile(r"""(\b(?:Bool|Float|Int|Num|Shaped)\[[\w.]+, )([^\]"']*)\]""")


class PublicRenderer(MystRenderer):
    """autodoc2's renderer; it names base classes only where they are public, and gives constants their comment."""

    def get_item(self, full_name: str) -> ItemData | None:
        """Find an object of the package; what torch passes on to it is found only where torch is installed."""
        item = super().get_item(full_name)
        origin = (item or {}).get("inherited") or full_name
        return item if origin.split(".")[0] == full_name.split(".")[0] else None

    def show_class_inheritance(self, item: ItemData) -> bool:
        """Name the base classes where all of them are on the page themselves."""
        return all(self._public(base) for base in item.get("bases", []))

    def _public(self, name: str) -> bool:
        module, _, short = name.rpartition(".")
        home = self.get_item(module)
        return home is not None and short in (home.get("all") or [])

    def format_annotation(self, annotation: str | None) -> str:
        """Put the axes of a tensor's type between quotes again, which autodoc2 takes away."""
        return _AXES.sub(r'\1"\2"]', super().format_annotation(annotation))

    def render_data(self, item: ItemData) -> Iterable[str]:
        """Render a constant by its type and by the ``#:`` comment above it; its value can be read in the source."""
        yield from (f"````{{py:{item['type']}}} {item['full_name'].rpartition('.')[2]}",)
        yield f":canonical: {item['full_name']}"
        if item.get("annotation"):
            yield f":type: {self.format_annotation(item['annotation'])}"
        yield from ("", *self._comment(item), "````", "")

    def _comment(self, item: ItemData) -> list[str]:
        module = self.get_item(item["full_name"].rpartition(".")[0])
        if module is None or "file_path" not in module:  # an attribute of a class
            return [item.get("doc") or ""]
        lines = Path(module["file_path"]).read_text(encoding="utf-8").splitlines()[: item["range"][0] - 1]
        above = list(takewhile(lambda line: line.startswith("#:"), reversed(lines)))
        return [line.removeprefix("#:").strip() for line in reversed(above)]


class Api(SphinxDirective):
    """Render the given modules and the public ones below them, each under a heading of its own."""

    required_arguments = 1
    optional_arguments = 50

    def run(self) -> list[nodes.Node]:
        """Render every module that has something public as a section."""
        planned = {f"attention.{family}" for family in FAMILIES}  # may be empty as yet
        found: list[nodes.Node] = []
        for name in self.arguments:
            modules = {module: self._public(module) for module in self._modules(name)}
            if not any(modules.values()) and name not in planned:
                raise self.error(f"api: nothing public at or below {name}")
            found += [self._section(module, public) for module, public in modules.items() if public]
        return found

    def _modules(self, name: str) -> list[str]:
        """List a module, or what a package lets be seen: what its ``__all__`` says, or else all that is in it."""
        database = get_database(self.env)
        if database.get_type(name) not in ("module", "package"):
            return []
        children = sorted(
            child for kind in ("module", "package") for child in database.get_children_names(name, {kind})
        )
        listed = database.get_item(name).get("all")
        seen = [child for child in children if _public(child.rpartition(".")[2], listed)]
        return [name, *(module for child in seen for module in self._modules(child))]

    def _public(self, module: str) -> list[str]:
        database = get_database(self.env)
        resolver = AllResolver(database)
        try:
            resolved = resolver.get_resolved_all(module)["resolved"]
        except AllResolutionError:
            return []
        listed = database.get_item(module)["all"] or []
        names = [resolver.get_name(resolved[name]) for name in listed if name in resolved]
        objects = [name for name in names if name and database.get_type(name) not in ("module", "package")]
        return [name for name in objects if not name.rpartition(".")[2].startswith("__")]

    def _section(self, module: str, public: list[str]) -> nodes.section:
        source, line = self.get_source_info()
        database = get_database(self.env)
        self.env.note_dependency(database.get_item(module)["file_path"])
        renderer = PublicRenderer(
            database,
            load_config(self.env.app),
            all_resolver=AllResolver(database),
            warn=lambda message, kind: warn_sphinx(message, kind, location=(self.env.docname, line)),
            standalone=False,
        )
        lines = [f"```{{py:module}} {module}", "```", "", f"```{{autodoc2-docstring}} {module}", "```", ""]
        for name in public:
            lines += renderer.render_item(name)
        # autodoc2 restores nothing: what follows the directive belongs to no module.
        outside = self.env.ref_context.get("py:module")
        section = nodes.section(ids=[nodes.make_id(f"api-{module}")], names=[module])
        section += nodes.title("", "", nodes.literal(text=module))
        nested_parse_generated(self.state, lines, source, line, base=section)
        self.env.ref_context["py:module"] = outside
        return section


def _public(name: str, listed: list[str] | None) -> bool:
    """Say whether a package whose ``__all__`` is given, or ``None``, lets a module be seen."""
    return not name.startswith("_") if listed is None else name in listed


def lower_roles(docstring: str, scope: str = "", known: Container[str] = ()) -> str:
    """Write the roles of a docstring as MyST does: ``:func:`fit``` becomes ``{py:func}`fit <attention.….fit>```.

    A formula, ``:math:`x```, gets dollars.

    :param docstring: the docstring.
    :param scope: the full name of the object that it belongs to; a short target is looked for there, then outwards.
    :param known: the full names that there are.
    :returns: the docstring. A target that is not known is left to Sphinx, which warns of it.
    """

    def lower(match: re.Match[str]) -> str:
        role, target = match.groups()
        parts = scope.split(".")
        nearest = (".".join([*parts[:end], target]) for end in range(len(parts), 0, -1))
        full = next((name for name in nearest if name in known), None)
        return f"{{py:{role}}}`{target} <{full}>`" if full else f"{{py:{role}}}`{target}`"

    return _FORMULA.sub(r"$\1$", _ROLE.sub(lower, docstring))


def lower_examples(docstring: str) -> str:
    """Put examples (``>>> …``, to the next empty line) into fences: MyST would take them for quotations.

    :param docstring: the docstring.
    :returns: the docstring, with its examples as blocks of code.
    """
    return _EXAMPLE.sub(r"\1```pycon\n\g<0>\n\1```", docstring)


def _lower_all(app: Sphinx) -> None:
    database = get_database(app.env)
    for kind in ("package", "module", "class", "function", "method", "property", "data", "attribute", "exception"):
        for item in database.get_by_type(kind):
            item["doc"] = lower_roles(lower_examples(item.get("doc") or ""), item["full_name"], database)


def _accept(app: Sphinx, domain: Any, node: addnodes.pending_xref) -> bool | None:
    """Pass over what is no mistake: it stays plain code.

    That is a name that exists and that no page shows, and a type in a signature: torch's and jaxtyping's are in no
    inventory that a build may fetch.
    """
    if domain is None or domain.name != "py":
        return None
    if node["reftarget"] in get_database(app.env):
        return True
    ancestor = node.parent
    while ancestor is not None and not isinstance(ancestor, addnodes.desc_signature):
        ancestor = ancestor.parent
    return True if ancestor is not None else None


def setup(app: Sphinx) -> None:
    """Add the directive, and read docstrings once autodoc2 has analysed the package."""
    app.setup_extension("autodoc2")
    app.connect("builder-inited", _lower_all, priority=900)
    app.connect("warn-missing-reference", _accept)
    app.add_directive("api", Api)
