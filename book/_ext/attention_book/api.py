"""The API page: modules rendered from their sources, so that building the book needs no torch.

``:::{api} attention.lab`` renders every module below ``attention.lab`` that names its public parts in ``__all__``.
"""

import re
from collections.abc import Container, Iterable
from itertools import takewhile
from pathlib import Path
from typing import Any

from autodoc2.db import Database
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
    """Render the modules at and below the given names, each under a heading of its own.

    What a package lists in its ``__all__`` is shown there, and not again in the module that defines it.
    """

    required_arguments = 1
    optional_arguments = 50

    def run(self) -> list[nodes.Node]:
        """Render every module that has something public as a section."""
        planned = {f"attention.{family}" for family in FAMILIES}  # may be empty as yet
        shown: set[str] = set()
        found: list[nodes.Node] = []
        for name in self.arguments:
            modules = {item["full_name"]: self._public(item) for item in self._modules(name)}
            if not any(modules.values()) and name not in planned:
                raise self.error(f"api: nothing public at or below {name}")
            for module, public in modules.items():
                fresh = [part for part in public if part not in shown]
                shown.update(fresh)
                if fresh:
                    found.append(self._section(module, fresh))
        return found

    def _modules(self, name: str) -> list[ItemData]:
        database = get_database(self.env)
        items = [item for kind in ("module", "package") for item in database.get_by_type(kind)]
        here = [item for item in items if f"{item['full_name']}.".startswith(f"{name}.")]
        return sorted((item for item in here if "._" not in item["full_name"]), key=lambda item: item["full_name"])

    def _public(self, item: ItemData) -> list[str]:
        database = get_database(self.env)
        resolver = AllResolver(database)
        try:
            resolved = resolver.get_resolved_all(item["full_name"])["resolved"]
        except AllResolutionError:
            return []
        names = [resolver.get_name(resolved[name]) for name in item["all"] or [] if name in resolved]
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


def lower_roles(docstring: str, scope: str = "", known: Container[str] = (), page: Container[str] = ()) -> str:
    """Write the roles of a docstring as MyST does: ``:func:`fit``` becomes ``{py:func}`fit <attention.….fit>```.

    :param docstring: the docstring.
    :param scope: the full name of the object that it belongs to; a short target is looked for there, then outwards.
    :param known: the full names that there are.
    :param page: those of them that the page shows; the others become plain code.
    :returns: the docstring. A target that is not known is left to Sphinx, which warns of it.
    """

    def lower(match: re.Match[str]) -> str:
        role, target = match.groups()
        parts = scope.split(".")
        nearest = (".".join([*parts[:end], target]) for end in range(len(parts), 0, -1))
        full = next((name for name in nearest if name in known), None)
        if full is None:
            return f"{{py:{role}}}`{target}`"
        return f"{{py:{role}}}`{target} <{full}>`" if full in page else f"`{target}`"

    return _ROLE.sub(lower, docstring)


def _on_page(database: Database) -> set[str]:
    """Collect the names that a page of all modules shows: what modules list, and what is in it."""
    modules = [item for kind in ("package", "module") for item in database.get_by_type(kind)]
    found = {item["full_name"] for item in modules}
    for item in modules:
        tops = [f"{item['full_name']}.{name}" for name in item.get("all") or []]
        found.update(top for top in tops if top in database)
        found.update(child for top in tops for child in database.get_children_names(top))
    return found


def _lower_all(app: Sphinx) -> None:
    database = get_database(app.env)
    page = _on_page(database)
    for kind in ("package", "module", "class", "function", "method", "property", "data", "attribute", "exception"):
        for item in database.get_by_type(kind):
            item["doc"] = lower_roles(item.get("doc") or "", item["full_name"], database, page)


def _accept_types(app: Sphinx, domain: Any, node: addnodes.pending_xref) -> bool | None:
    """Pass over the types in signatures: torch's and jaxtyping's are in no inventory that a build may fetch."""
    ancestor = node.parent
    while ancestor is not None and not isinstance(ancestor, addnodes.desc_signature):
        ancestor = ancestor.parent
    return True if domain is not None and domain.name == "py" and ancestor is not None else None


def setup(app: Sphinx) -> None:
    """Add the directive, and read docstrings once autodoc2 has analysed the package."""
    app.setup_extension("autodoc2")
    app.connect("builder-inited", _lower_all, priority=900)
    app.connect("warn-missing-reference", _accept_types)
    app.add_directive("api", Api)
