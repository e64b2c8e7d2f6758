"""A chapter as the rules see it, and the list of the rules."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import nbformat

from tools.publishing.lowering import directive, parser

__all__ = ["RULES", "Block", "Chapter", "blocks_of", "rule"]

RULES: dict[str, Callable[["Chapter"], Iterator[str]]] = {}


@dataclass(frozen=True)
class Chapter:
    """A chapter as the rules see it.

    :param path: the notebook's file.
    :param notebook: what it holds.
    :param root: the top of the repository.
    """

    path: Path
    notebook: nbformat.NotebookNode
    root: Path

    @property
    def name(self) -> str:
        """The mechanism's name."""
        return self.path.stem

    @property
    def experiments(self) -> Path:
        """The folder of the chapter's experiments; it need not be there."""
        return self.root / "attention" / "experiments" / self.name

    @cached_property
    def prose(self) -> list[tuple[int, str]]:
        """The Markdown cells, with their places."""
        return [(i, cell.source) for i, cell in enumerate(self.notebook.cells) if cell.cell_type == "markdown"]

    @cached_property
    def code(self) -> list[tuple[int, nbformat.NotebookNode]]:
        """The code cells, with their places."""
        return [(i, cell) for i, cell in enumerate(self.notebook.cells) if cell.cell_type == "code"]

    @cached_property
    def blocks(self) -> list["Block"]:
        """All that Markdown holds in blocks, directives within directives included."""
        return [block for place, source in self.prose for block in blocks_of(place, source, ())]

    @cached_property
    def sections(self) -> list[tuple[int, str]]:
        """The headings of the second level, with the cells that they are in."""
        return [(b.place, b.words) for b in self.blocks if b.kind == "h2" and not b.inside]

    def section(self, name: str) -> range:
        """Return the places of the cells of a section; none where it is missing."""
        places = [place for place, heading in self.sections if heading == name]
        later = [place for place, _ in self.sections if places and place > places[0]]
        return range(places[0], later[0] if later else len(self.notebook.cells)) if places else range(0)


@dataclass(frozen=True)
class Block:
    """One block of Markdown.

    :param place: the cell that it is in.
    :param kind: ``h1`` to ``h6``, ``text``, ``equation``, ``fence``, ``html`` or a directive's name.
    :param words: its text, a directive's argument, or a fence's language.
    :param inside: the directives around it, the outermost first.
    :param options: a directive's options; an equation's label.
    """

    place: int
    kind: str
    words: str
    inside: tuple[str, ...]
    options: dict[str, str]


def blocks_of(place: int, source: str, inside: tuple[str, ...] = ()) -> Iterator[Block]:
    """Take Markdown apart.

    :param place: the cell that it is in.
    :param source: the Markdown.
    :param inside: the directives around it.
    """
    tokens = parser().parse(source)
    for before, token in zip([None, *tokens], tokens, strict=False):
        if token.type == "inline":
            kind = before.tag if before and before.type == "heading_open" else "text"
            yield Block(place, kind, token.content, inside, {})
        elif token.type in ("math_block", "math_block_label"):
            label = token.info if token.type == "math_block_label" else ""
            yield Block(place, "equation", token.content, inside, {"label": label})
        elif token.type == "colon_fence":
            found = re.fullmatch(r"\{([\w:-]+)\}\s*(.*)", token.info.strip())
            name, argument = found.groups() if found else ("unnamed", token.info.strip())
            options, body = directive(token.content)
            if name == "math":
                yield Block(place, "equation", body, inside, {"label": options.get("label", "")})
            else:
                yield Block(place, name, argument, inside, options)
                yield from blocks_of(place, body, (*inside, name))
        elif token.type in ("fence", "code_block"):
            yield Block(place, "fence", token.info.strip(), inside, {"content": token.content})
        elif token.type == "html_block":
            yield Block(place, "html", token.content, inside, {})


def rule(check: Callable[[Chapter], Iterator[str]]) -> Callable[[Chapter], Iterator[str]]:
    """List a rule under its function's name."""
    RULES[check.__name__] = check
    return check
