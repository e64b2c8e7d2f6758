"""Folded parts: a closed panel whose title says what is inside. It is HTML's own and needs no script.

myst-nb gives every folded cell the same name for readers with assistive technology, and two prompts, one for either
state. Here the one title stands there, ``code_prompt_show`` of the cell, which Colab's form shows as well. A hint or
a solution (an admonition of the class ``dropdown``) becomes such a panel too: a script would make it one whose button
is called the same in all. On paper what is closed is left out, so that a chapter's exercises are a worksheet.
"""

import re
from html import escape
from typing import Any

from docutils import nodes
from myst_nb.sphinx_ import HideCodeCellNode
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

__all__ = ["fold", "setup"]

_BEGIN = re.compile(r'<div class="(?P<classes>(?:[\w-]+ )*(?:exercise|dropdown)(?: [\w-]+)*)"(?P<rest>[^>]*)>')
_TITLE = re.compile(r'\s*(?:<span [^>]*></span>\s*)*<p class="admonition-title">(?P<words>.*?)</p>', re.DOTALL)
_ARROW = '<span class="fa-solid fa-chevron-down"></span>'
_DIVISION = re.compile(r"<(/?)div\b")
_NUMBER = re.compile(r'<span class="caption-number">\s*(.*?)\s*</span>')
_LINK = re.compile(r"</?a\b[^>]*>")


def fold(body: str) -> str:
    """Turn the hints and solutions of a page into panels.

    :param body: the page's HTML. An admonition is folded if its classes hold ``dropdown``.
    :returns: the same with panels. A panel's name is its title, without links; that of a hint within an exercise says
        which exercise it belongs to.
    """
    parts, at = [], 0
    exercise, ends = "", 0
    while begin := _BEGIN.search(body, at):
        classes = begin["classes"].split()
        title = _TITLE.match(body, begin.end())
        parts.append(body[at : begin.start()])
        if "admonition" not in classes or title is None or "dropdown" not in classes:
            if title is not None and (number := _NUMBER.search(title["words"])):
                exercise, ends = number[1], _end(body, begin.end())
            parts.append(begin[0])
            at = begin.end()
            continue
        end = _end(body, begin.end())
        words = " ".join(_LINK.sub(" ", title["words"]).split())
        if "hint" in classes and begin.start() < ends:
            words = f"{words} to {exercise}"
        parts.append(f'<details class="{begin["classes"]}"{begin["rest"]}>\n')
        parts.append(f'<summary class="admonition-title">{words}{_ARROW}</summary>')
        parts.append(fold(body[title.end() : end]) + "</details>")
        at = end + len("</div>")
    return "".join(parts) + body[at:]


def _end(body: str, start: int) -> int:
    """Find where the division ends that begins before ``start``."""
    depth = 1
    for found in _DIVISION.finditer(body, start):
        depth += -1 if found[1] else 1
        if depth == 0:
            return found.start()
    raise ValueError(f"a division does not end: {body[start : start + 60]!r}")


def _fold(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    if "body" in context and app.builder.format == "html":
        context["body"] = fold(context["body"])


def _open(self: HTML5Translator, node: HideCodeCellNode) -> None:
    classes = " ".join(["fold", *node["classes"]])
    title = escape(node["prompt_show"])
    self.body.append(f'<details class="{classes}">\n<summary><span class="fold-kind">Code</span> {title}</summary>\n')


def _close(self: HTML5Translator, node: HideCodeCellNode) -> None:
    self.body.append("</details>\n")


def setup(app: Sphinx) -> None:
    """Write the panels in a way of our own."""
    app.add_node(HideCodeCellNode, override=True, html=(_open, _close))
    app.connect("html-page-context", _fold)
