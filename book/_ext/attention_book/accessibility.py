"""What the check for accessibility found, as tables: ``:::{accessibility} pages``, from ``book/accessibility.json``.

``make accessibility`` writes the file: the browser that looks at the pages is not needed to build the book.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from attention_book.elements import table

__all__ = ["Accessibility", "setup"]

_FILE = "accessibility.json"
_IMPACTS = ("critical", "serious", "moderate", "minor")


class Accessibility(SphinxDirective):
    """Show one part of the results: ``tested``, ``findings``, ``pages``, ``rules`` or ``contrast``."""

    required_arguments = 1
    option_spec: ClassVar = {}

    def run(self) -> list[nodes.Node]:
        """Read the results, and show the part that is asked for."""
        parts = ("tested", "findings", "pages", "rules", "contrast")
        part = directives.choice(self.arguments[0], parts)
        path = Path(self.env.srcdir, "book", _FILE)
        self.env.note_dependency(str(path))
        if not path.exists():
            raise self.error(f"{path.name} is not there: run `make accessibility`")
        return getattr(self, f"_{part}")(json.loads(path.read_text(encoding="utf-8")))

    def _tested(self, results: dict[str, Any]) -> list[nodes.Node]:
        tools = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
        windows = " and ".join(f"{width} pixels wide in the {mode} mode" for width, mode in results["windows"])
        text = (
            f"Checked on {results['date']} with {tools}: {len(results['pages'])} pages, each {windows}; "
            f"{len(results['rules'])} rules on each page."
        )
        return [nodes.paragraph("", text)]

    def _findings(self, results: dict[str, Any]) -> list[nodes.Node]:
        found: dict[str, dict[str, Any]] = {}
        for name, about in results["pages"].items():
            for rule, finding in about["findings"].items():
                found.setdefault(rule, {**finding, "pages": []})["pages"].append(name)
        if not found:
            return [nodes.paragraph("", "No rule is broken on any page.")]
        order = sorted(found.items(), key=lambda item: (_IMPACTS.index(item[1]["impact"]), item[0]))
        rows = [
            (
                finding["impact"],
                nodes.literal("", rule),
                finding["help"],
                f"{len(finding['pages'])}: {_few(finding['pages'])}",
            )
            for rule, finding in order
        ]
        return [_sized({"Severity": 12, "Rule": 20, "What it asks": 38, "Pages": 30}, rows)]

    def _pages(self, results: dict[str, Any]) -> list[nodes.Node]:
        rows = []
        for name, about in results["pages"].items():
            counts = [sum(f["impact"] == impact for f in about["findings"].values()) for impact in _IMPACTS]
            rows.append((nodes.literal("", name), str(about["passed"]), *map(str, counts), str(len(about["unsure"]))))
        columns = {"Page": 34, "Rules passed": 12, **{impact.capitalize(): 10 for impact in _IMPACTS}}
        return [_sized(columns | {"For a person to judge": 14}, rows)]

    def _rules(self, results: dict[str, Any]) -> list[nodes.Node]:
        paragraph = nodes.paragraph()
        for place, rule in enumerate(results["rules"]):
            paragraph += [nodes.Text(", ")] if place else []
            paragraph += nodes.literal("", rule)
        return [paragraph]

    def _contrast(self, results: dict[str, Any]) -> list[nodes.Node]:
        rows = [
            (row["what"], *(f"{row[mode]} : 1" for mode in ("light", "dark")), f"{row['least']} : 1")
            for row in results["contrast"]
        ]
        return [_sized({"Colour": 40, "Light mode": 20, "Dark mode": 20, "Asked for": 20}, rows)]


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _sized(columns: Mapping[str, int], rows: Iterable[Iterable[nodes.Node | str]]) -> nodes.table:
    """Build a table whose columns are as wide as it says, whatever they hold."""
    made = table(columns, rows)
    made["classes"] += ["colwidths-given"]
    return made


def setup(app: Sphinx) -> None:
    """Add the directive."""
    app.add_directive("accessibility", Accessibility)
