"""Each line of code or of printed text an element, so that a long one can wrap under its own beginning on a phone.

The text stays as it is: what is copied is what was written. A line knows how far it is indented, a block how wide its
longest line is; ``book.css`` does the rest.
"""

import re
from html import unescape
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

__all__ = ["lines", "setup"]

_BLOCK = re.compile(r'(<div class="highlight">)<pre>(?:<span></span>)?(.*?)</pre>', re.DOTALL)
_TAG = re.compile(r"<[^>]*>")
#: The elements of a line: the highlighter opens and closes its spans in each line anew.
_SPANS = re.compile(r"<(/?)span\b")


def lines(markup: str) -> str:
    """Put each line of a highlighted block into an element of its own.

    :param markup: what stands between ``<pre>`` and ``</pre>``.
    :returns: the same text; a line that is indented by *n* signs says so, ``style="--indent:n"``. A block in which an
        element reaches over the end of a line is left as it is.
    """
    rows = markup.removesuffix("\n").split("\n")
    if any(sum(-1 if end else 1 for end in _SPANS.findall(row)) for row in rows):
        return markup
    return "".join(f'<span class="line"{_indent(row)}>{row}\n</span>' for row in rows)


def _indent(row: str) -> str:
    text = _text(row)
    indent = len(text) - len(text.lstrip(" "))
    return f' style="--indent:{indent}"' if indent else ""


def _text(markup: str) -> str:
    return unescape(_TAG.sub("", markup))


def _number(found: re.Match[str]) -> str:
    widest = max(map(len, _text(found[2]).split("\n")))
    return f'{found[1]}<pre style="--widest:{widest}"><span></span>{lines(found[2])}</pre>'


def _mark(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    if "body" in context:
        context["body"] = _BLOCK.sub(_number, context["body"])


def setup(app: Sphinx) -> None:
    """Mark the lines of each page before it is written."""
    app.connect("html-page-context", _mark)
