"""What the pages' markup lacks for readers with assistive technology, where Sphinx offers no option for it."""

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

__all__ = ["setup"]

_LINES = re.compile(r"<dl>\s*((?:<dd>.*?</dd>\s*)+)</dl>", re.DOTALL)


def _mend(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    # docutils writes a list of citations as role="list", whose items may only be role="listitem".
    body = context.get("body", "").replace('role="doc-biblioentry"', 'role="listitem"')
    # Sphinx writes the parameters of a long signature, one a line, as descriptions without terms.
    context["body"] = _LINES.sub(_as_lines, body)


def _as_lines(found: re.Match[str]) -> str:
    return found[1].replace("<dd>", '<span class="sig-line">').replace("</dd>", "</span>")


def setup(app: Sphinx) -> None:
    """Mend each page before it is written."""
    app.connect("html-page-context", _mend)
