"""What the pages' markup lacks for readers with assistive technology, where Sphinx offers no option for it."""

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

__all__ = ["setup"]

_TOGGLE = '<summary><span class="toctree-toggle"'
_NAMED = _TOGGLE.replace("<summary>", '<summary aria-label="Pages below this one">')
#: Each exercise and each solution brings a section of the same name, to which nothing leads.
_DOUBLES = re.compile(r'(<section) id="(?:exercise|solution)-content"')
_LINES = re.compile(r"<dl>\s*((?:<dd>.*?</dd>\s*)+)</dl>", re.DOTALL)


def _mend(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    # docutils writes a list of citations as role="list", whose items may only be role="listitem".
    body = context.get("body", "").replace('role="doc-biblioentry"', 'role="listitem"')
    body = _DOUBLES.sub(r"\1", body)
    # Sphinx writes the parameters of a long signature, one a line, as descriptions without terms.
    context["body"] = _LINES.sub(_as_lines, body)


def _as_lines(found: re.Match[str]) -> str:
    return found[1].replace("<dd>", '<span class="sig-line">').replace("</dd>", "</span>")


def _name_toggles(app: Sphinx, exception: Exception | None) -> None:
    """Name the buttons that unfold a part of the contents: the theme gives them an arrow and no word."""
    if exception is not None or app.builder.format != "html":
        return
    for path in Path(app.outdir).rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        if _TOGGLE in text:
            path.write_text(text.replace(_TOGGLE, _NAMED), encoding="utf-8")


def setup(app: Sphinx) -> None:
    """Mend each page before it is written, and what the theme's templates add when all are."""
    app.connect("html-page-context", _mend)
    app.connect("build-finished", _name_toggles)
