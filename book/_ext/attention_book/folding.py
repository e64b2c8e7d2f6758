"""Folded parts: a closed panel whose title says what is inside. It is HTML's own and needs no script.

myst-nb gives every folded cell the same name for readers with assistive technology, and two prompts, one for either
state. Here the one title stands there, ``code_prompt_show`` of the cell, which Colab's form shows as well. A hint or
a solution (an admonition of the class ``dropdown``) becomes such a panel too: a script would make it one whose button
is called the same in all.

An exercise is one panel with all that belongs to it: its text, the cell that a reader works in, hint and solution. So
the section of the exercises is a list of their titles. On paper exercises are open, and hints and solutions are left
out unless they are: a worksheet.
"""

import re
from html import escape
from typing import Any

from docutils import nodes
from myst_nb.sphinx_ import HideCodeCellNode
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator
from sphinx_exercise.nodes import is_exercise_node, is_solution_node

__all__ = ["fold", "gather", "setup"]

_BEGIN = re.compile(r'<div class="(?P<classes>(?:[\w-]+ )*(?:exercise|dropdown)(?: [\w-]+)*)"(?P<rest>[^>]*)>')
_TITLE = re.compile(r'\s*(?:<span [^>]*></span>\s*)*<p class="admonition-title">(?P<words>.*?)</p>', re.DOTALL)
_ARROW = '<span class="fa-solid fa-chevron-down"></span>'
_DIVISION = re.compile(r"<(/?)div\b")
_NUMBER = re.compile(r'<span class="caption-number">\s*(.*?)\s*</span>')
_LINK = re.compile(r"</?a\b[^>]*>")
#: A dropdown with a title in Chinese: what it holds is Chinese, too.
_CHINESE = re.compile(r'<details (?=class="sd-[^>]*>\s*<summary[^>]*>\s*<span class="sd-summary-text">[\u4e00-\u9fff])')


def gather(doctree: nodes.document) -> None:
    """Put into each exercise what follows it up to its solution: the cell that a reader works in, and the solution.

    :param doctree: a page.
    """
    for exercise in list(doctree.findall(is_exercise_node)):
        section = exercise.parent
        place = section.index(exercise) + 1
        while place < len(section) and not is_exercise_node(section[place]) and section[place].tagname != "section":
            after = section.pop(place)
            exercise += after
            if is_solution_node(after):
                break


def fold(body: str, exercise: str = "") -> str:
    """Turn the exercises, hints and solutions of a page into panels.

    :param body: the page's HTML. An admonition is folded if it is an exercise, or if its classes hold ``dropdown``.
    :param exercise: the number of the exercise that it lies within.
    :returns: the same with panels. A panel's name is its title, without links; that of a hint within an exercise says
        which exercise it belongs to.
    """
    parts, at = [], 0
    while begin := _BEGIN.search(body, at):
        classes = begin["classes"].split()
        title = _TITLE.match(body, begin.end())
        parts.append(body[at : begin.start()])
        if "admonition" not in classes or title is None:
            parts.append(begin[0])
            at = begin.end()
            continue
        end = _end(body, begin.end())
        words = " ".join(_LINK.sub(" ", title["words"]).split())
        if "hint" in classes and exercise:
            words = f"{words} to {exercise}"
        number = _NUMBER.search(title["words"]) if "exercise" in classes else None
        parts.append(f'<details class="{begin["classes"]}"{begin["rest"]}>\n')
        parts.append(f'<summary class="admonition-title">{words}{_ARROW}</summary>')
        parts.append(fold(body[title.end() : end], number[1] if number else exercise) + "</details>")
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
        context["body"] = _CHINESE.sub('<details lang="zh" ', fold(context["body"]))


def _gather(app: Sphinx, doctree: nodes.document, page: str) -> None:
    if app.builder.format == "html":
        gather(doctree)


def _open(self: HTML5Translator, node: HideCodeCellNode) -> None:
    classes = " ".join(["fold", *node["classes"]])
    title = escape(node["prompt_show"])
    self.body.append(f'<details class="{classes}">\n<summary><span class="fold-kind">Code</span> {title}</summary>\n')


def _close(self: HTML5Translator, node: HideCodeCellNode) -> None:
    self.body.append("</details>\n")


def setup(app: Sphinx) -> None:
    """Write the panels in a way of our own."""
    app.add_node(HideCodeCellNode, override=True, html=(_open, _close))
    app.connect("doctree-resolved", _gather)
    app.connect("html-page-context", _fold)
