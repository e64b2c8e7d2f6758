"""Code in fewer elements: what has the colour of plain text is plain text.

Pygments marks every name, bracket and space. In the styles of this book these have the colour of the text around
them, so the marks change nothing; they were a quarter of a chapter's HTML.
"""

from pygments.formatters import HtmlFormatter
from pygments.token import Name, Punctuation, Text, _TokenType
from sphinx.application import Sphinx
from sphinx.highlighting import PygmentsBridge

__all__ = ["PLAIN", "setup"]

#: The kinds of tokens that look like plain text in both styles (a test says so); kinds below them may not.
PLAIN = frozenset((Name, Punctuation, Text, Text.Whitespace))


class _Plain(HtmlFormatter):
    """Writes no mark around a token of a plain kind."""

    def _get_css_classes(self, ttype: _TokenType) -> str:
        return "" if ttype in PLAIN else super()._get_css_classes(ttype)


def setup(app: Sphinx) -> None:
    """Let Sphinx write code with it."""
    PygmentsBridge.html_formatter = _Plain
