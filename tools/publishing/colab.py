"""Make the Colab edition of every chapter, into ``_build/colab``.

Colab renders no MyST and finds no file beside a notebook. So text is lowered to plain Markdown, references become the
numbers and links of the book, images get their published address; code cells stay exactly as they are, without outputs.
But a cell that is folded becomes a form: its title stands in a first line of its own.
"""

import argparse
import posixpath
import re
import sys
import unicodedata
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import nbformat
import yaml
from pybtex.database import BibliographyData, Person, parse_file
from pybtex.richtext import Text

from attention.registry import Entry, entries
from tools.chapters import CARD, METADATA, ROOT, Settings, chapters, notebook_path, read, settings, text, title
from tools.publishing.lowering import PROOFS, Unresolved, directive, leftovers, lower, parser

#: Ask Colab for a GPU, say that a table of contents helps, and keep nothing of a run.
COLAB = {"accelerator": "GPU", "colab": {"gpuType": "T4", "provenance": [], "toc_visible": True}}
NUMBERED = {"exercise": "Exercise", **{f"prf:{name}": name.capitalize() for name in PROOFS}}


@dataclass
class Page:
    """What can be referred to on one page.

    :param document: its path in the book, without a suffix.
    :param title: its first heading.
    :param number: the chapter's number; ``None`` for a page that has none.
    :param equations: number by label.
    :param called: ``Exercise 1.2`` by label.
    :param headings: heading by label, for explicit targets.
    """

    document: str
    title: str = ""
    number: int | None = None
    equations: dict[str, str] = field(default_factory=dict)
    called: dict[str, str] = field(default_factory=dict)
    headings: dict[str, str] = field(default_factory=dict)


def index(document: str, number: int | None, source: str) -> Page:
    """Find everything on a page that has a label, and number it as the book does: by chapter, in order.

    :param document: the page's path in the book, without a suffix.
    :param number: the chapter's number.
    :param source: its Markdown.
    """
    page = Page(document, number=number)
    counts: dict[str, int] = {}
    waiting: list[str] = []

    def count(kind: str) -> str:
        counts[kind] = counts.get(kind, 0) + 1
        return f"{number}.{counts[kind]}" if number else str(counts[kind])

    def visit(markdown: str) -> None:
        nonlocal waiting
        tokens = parser().parse(markdown)
        for place, token in enumerate(tokens):
            if token.type == "math_block_label":
                page.equations[token.info] = count("equation")
            elif token.type == "myst_target":
                waiting.append(token.content)
            elif token.type == "heading_open":
                heading = tokens[place + 1].content
                page.title = page.title or heading
                page.headings.update(dict.fromkeys(waiting, heading))
                waiting = []
            elif token.type == "colon_fence" and (found := re.match(r"\{([\w:-]+)\}", token.info.strip())):
                options, body = directive(token.content)
                kind, label = found[1], options.get("label")
                if kind == "math" and label:
                    page.equations[label] = count("equation")
                elif kind in NUMBERED and "nonumber" not in options:
                    called = f"{NUMBERED[kind]} {count(kind)}"
                    page.called.update({label: called} if label else {})
                if kind not in ("math", "figure", "image"):
                    visit(body)

    visit(source)
    return page


def markdown(path: Path) -> str:
    """Return the Markdown of a page, be it a notebook or not."""
    if path.suffix == ".ipynb":
        return "\n\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    return path.read_text(encoding="utf-8")


def contents(root: Path) -> dict[str, int | None]:
    """Read the table of contents.

    :param root: the top of the repository.
    :returns: every page in order, with its chapter's number: one count for all numbered parts, as the book has it.
        Sections of a chapter, which are pages below it, have none.
    """
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    found: dict[str, int | None] = {toc["root"]: None}
    number = 0
    always = toc.get("defaults", {}).get("numbered", False)
    for part in toc.get("parts", [toc]):
        for chapter in part.get("chapters", []):
            numbered = bool(part.get("numbered", always))
            number += numbered
            found[chapter["file"].removesuffix(".ipynb").removesuffix(".md")] = number if numbered else None
            for section in chapter.get("sections", []):
                found[section["file"].removesuffix(".ipynb").removesuffix(".md")] = None
    return found


class Book:
    """The book as a whole: its pages, its bibliography, its addresses."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.settings: Settings = settings(root)
        self.pages: dict[str, Page] = {}
        for document, number in contents(root).items():
            for suffix in (".ipynb", ".md"):
                path = root / f"{document}{suffix}"
                if path.exists():
                    self.pages[document] = index(document, number, markdown(path))

    @cached_property
    def works(self) -> BibliographyData:
        """The bibliography."""
        return parse_file(str(self.root / "book" / "references.bib"))


class Here:
    """References as they are resolved on one page: :class:`tools.publishing.lowering.References`."""

    def __init__(self, book: Book, document: str) -> None:
        self.book = book
        self.document = document
        self.pages = [book.pages[document], *(page for name, page in book.pages.items() if name != document)]

    def _find(self, kind: str, label: str) -> str:
        for page in self.pages:
            if label in getattr(page, kind):
                return getattr(page, kind)[label]
        raise Unresolved(f"{self.document}: nothing is labelled {label!r}")

    def equation(self, label: str) -> str:
        """Return an equation's number."""
        return self._find("equations", label)

    def numbered(self, label: str) -> str:
        """Return what a numbered thing is called."""
        return self._find("called", label)

    def target(self, label: str) -> tuple[str, str]:
        """Return what a label stands for; the address is empty for what is on this page."""
        for page in self.pages:
            address = "" if page.document == self.document else f"{self.book.settings.page(page.document)}#{label}"
            for names in (page.called, page.headings, page.equations):
                if label in names:
                    words = f"({names[label]})" if names is page.equations else names[label]
                    return (lower(words, self) if names is page.headings else words), address
        raise Unresolved(f"{self.document}: nothing is labelled {label!r}")

    def page(self, path: str) -> tuple[str, str]:
        """Return the title and the address of a page."""
        plain = re.sub(r"\.(md|ipynb|html)$", "", path)
        absolute = plain.lstrip("/") if plain.startswith("/") else None
        document = absolute or posixpath.normpath(posixpath.join(posixpath.dirname(self.document), plain))
        if document not in self.book.pages:
            raise Unresolved(f"{self.document}: {path!r} is not a page of the book")
        return lower(self.book.pages[document].title, self), self.book.settings.page(document)

    def term(self, term: str) -> str:
        """Return the address of a term in the glossary."""
        plain = unicodedata.normalize("NFKD", term).encode("ascii", "ignore").decode()  # as Sphinx makes its anchors
        anchor = re.sub(r"[^0-9A-Za-z._]+", "-", f"term-{plain}").rstrip("-")
        return f"{self.book.settings.page('book/glossary')}#{anchor}"

    def citation(self, key: str) -> tuple[str, str, str]:
        """Return (authors, year, address) of a work."""
        if key not in self.book.works.entries:
            raise Unresolved(f"{self.document}: {key!r} is not in the bibliography")
        work = self.book.works.entries[key]
        fields = work.fields
        address = fields.get("url") or (f"https://doi.org/{fields['doi']}" if "doi" in fields else "")
        if not address and "eprint" in fields:
            address = f"https://arxiv.org/abs/{fields['eprint']}"
        return _authors(work.persons["author"]), fields["year"], address or self.book.settings.page("book/bibliography")

    def image(self, path: str) -> str:
        """Return the address under which the book publishes an image."""
        return f"{self.book.settings.site}/_images/{posixpath.basename(path)}"


def _authors(persons: list[Person]) -> str:
    """Name authors as the book does: one, two, or the first and others."""
    names = [str(Text.from_latex(" ".join([*p.prelast_names, *p.last_names]))) for p in persons]
    return names[0] if len(names) == 1 else " and ".join(names) if len(names) == 2 else f"{names[0]} et al."


def edition(entry: Entry, book: Book) -> nbformat.NotebookNode:
    """Return a chapter as a notebook for Colab.

    :param entry: the mechanism.
    :param book: the book that its references lead to.
    :raises Unresolved: where something of MyST would be left over.
    """
    path = notebook_path(entry, book.root)
    document = path.relative_to(book.root).with_suffix("").as_posix()
    here = Here(book, document)
    notebook = read(path)
    for place, cell in enumerate(notebook.cells):
        form = title(cell)
        cell.metadata = nbformat.from_dict({"cellView": "form"} if form else {})
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            cell.source = folded(cell.source, form) if form else cell.source
            continue
        source = _plain_card(cell.source)
        if place == 0:
            source = f"{source}\n\n{_welcome(entry, book)}"
        cell.source = lower(source, here)
        if left := leftovers(cell.source):
            raise Unresolved(f"{document}: left over in cell {place}: {'; '.join(left)}")
    notebook.metadata = nbformat.from_dict(METADATA | COLAB)
    return notebook


def folded(source: str, form: str) -> str:
    """Return code as a form of Colab's, which shows its title alone until it is opened.

    :param source: the code.
    :param form: the title.
    """
    return f"# @title {form}\n{source}"


def _welcome(entry: Entry, book: Book) -> str:
    """Say where the chapter is in the book, and how to run it."""
    address = book.settings.page(entry.document)
    return (
        f"A chapter of *Attention, Block by Block*, for Colab. [Read it in the book]({address}). *Runtime → Run all* "
        "runs it from top to bottom; *File → Save a copy in Drive* keeps what you change."
    )


def _plain_card(source: str) -> str:
    """Take from the card its markers, and the badge that leads here."""
    if CARD[0] not in source:
        return source
    source = re.sub(r"\[!\[[^\]]*\]\([^)]*\)\]\([^)]*colab[^)]*\)\s*", "", source)
    for marker in CARD:
        source = source.replace(f"{marker}\n", "").replace(marker, "")
    return source


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Make the editions of one chapter, or all."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("name", nargs="?", default="", help="one chapter; all without it")
    given = options.parse_args(arguments)
    try:
        book = Book(root)
        for name in chapters(root, given.name):
            entry = entries()[name]
            target = root / "_build" / "colab" / entry.family / f"{name}.ipynb"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text(edition(entry, book)), encoding="utf-8")
            print(f"wrote {target.relative_to(root).as_posix()}")
    except ValueError as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
