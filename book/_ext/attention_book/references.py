"""The bibliography as the citations name its entries: authors and year first, no numbers.

Citations read "Hu et al., 2018"; a list numbered from 1 would not show which entry is meant.
"""

from typing import Any

from pybtex.plugin import register_plugin
from pybtex.style.formatting import toplevel
from pybtex.style.formatting.plain import Style as Plain
from pybtex.style.formatting.unsrt import pages
from pybtex.style.template import field, join, optional, optional_field, sentence, tag, words
from sphinx.application import Sphinx

__all__ = ["AuthorYear", "setup"]


class AuthorYear(Plain):
    """Entries sorted by author and year, each beginning with them; titles as the paper prints them."""

    def get_article_template(self, entry: Any) -> Any:
        """Format a paper of a journal."""
        volume = join[field("volume"), optional["(", field("number"), ")"]]
        where = join(sep=", ")[tag("em")[field("journal")], optional[volume], self._pages()]
        return self._template(entry, sentence[where])

    def get_inproceedings_template(self, entry: Any) -> Any:
        """Format a paper of a conference."""
        series = optional[words[field("series"), field("volume")]]
        where = join(sep=", ")[tag("em")[field("booktitle")], series, self._pages()]
        return self._template(entry, words["In", sentence[where]])

    def get_misc_template(self, entry: Any) -> Any:
        """Format a paper that only arXiv holds."""
        return self._template(entry)

    def _pages(self) -> Any:
        return optional[words["pp.", pages]]

    def _template(self, entry: Any, *where: Any) -> Any:
        head = words[self.format_names("author", as_sentence=False), join["(", field("year"), ")."]]
        title = sentence[field("title")]
        return toplevel[head, title, *where, sentence[optional_field("note")], self.format_web_refs(entry)]


def setup(app: Sphinx) -> None:
    """Give the style the name by which ``bibtex_default_style`` asks for it."""
    register_plugin("pybtex.style.formatting", "author_year", AuthorYear)
