"""Folded cells: a closed panel whose title says what is inside.

myst-nb gives every panel the same name for readers with assistive technology, and two prompts, one for either state.
Here the one title stands there, ``code_prompt_show`` of the cell, which Colab's form shows as well.
"""

from html import escape

from myst_nb.sphinx_ import HideCodeCellNode
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

__all__ = ["setup"]


def _open(self: HTML5Translator, node: HideCodeCellNode) -> None:
    classes = " ".join(["fold", *node["classes"]])
    title = escape(node["prompt_show"])
    self.body.append(f'<details class="{classes}">\n<summary><span class="fold-kind">Code</span> {title}</summary>\n')


def _close(self: HTML5Translator, node: HideCodeCellNode) -> None:
    self.body.append("</details>\n")


def setup(app: Sphinx) -> None:
    """Write the panels in a way of our own."""
    app.add_node(HideCodeCellNode, override=True, html=(_open, _close))
