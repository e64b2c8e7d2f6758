"""Reads a submission: a notebook's cells, from a file that may be anything."""

import json
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

__all__ = ["Cell", "Notebook", "Unreadable", "read"]

_FILE = 100_000_000  # bytes of a file, outputs included; as much memory is taken to read it
_SIZE = 10_000_000  # bytes without outputs; ten times that is what its JSON can take in memory
_CELLS, _SOURCE = 1000, 1_000_000
_TOKENS = 1_000_000  # texts and brackets that are looked at to find the outputs

# Every quantifier is possessive and every text is closed by the file's end at the latest: time grows with the size.
_TOKEN = re.compile(rb'[\[\]{}]|"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.S)
# By their depth: of a cell, and of the notebook's metadata.
_UNREAD = {(3, b'"outputs"'), (3, b'"attachments"'), (2, b'"widgets"')}
_DEFINES = re.compile(r"\s*+(?:(?:async\s++)?(?:def|class)\s++(\w++)|(\w++)\s*+(?::[^=]++)?=(?!=))")
_OPENS = re.compile(r"(?:def|class)\s++(\w{1,60})\b")


class Unreadable(Exception):
    """A submission that is no notebook: the message says why, in a line for its author."""


@dataclass(frozen=True)
class Cell:
    """A cell.

    :param number: its place among the cells of its kind, from 1: code cells are counted apart from text.
    :param kind: ``code`` or ``markdown``.
    """

    number: int
    kind: str
    source: str
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Notebook:
    """A submission's cells, in order."""

    cells: tuple[Cell, ...]

    @property
    def code(self) -> list[Cell]:
        """The code cells that are executed: all but those tagged ``no-grading`` and empty ones."""
        return [
            cell for cell in self.cells if cell.kind == "code" and cell.source.strip() and "no-grading" not in cell.tags
        ]

    @cached_property
    def defined(self) -> dict[str, list[int]]:
        """The numbers of the code cells that define a name, as a function, a class or a variable, by name."""
        found: dict[str, list[int]] = {}
        for cell in self.code:
            lines = map(_DEFINES.match, cell.source.splitlines())
            for name in dict.fromkeys(each[1] or each[2] for each in lines if each):
                found.setdefault(name, []).append(cell.number)
        return found

    @cached_property
    def names(self) -> list[str]:
        """The functions and classes that the cells define, without methods; 500 at most."""
        lines = (line for cell in self.code for line in cell.source.splitlines())
        return [found[1] for found in map(_OPENS.match, lines) if found][:500]

    def copies(self, name: str) -> list[int]:
        """Return the numbers of the code cells that define a name at the margin, and not within a function."""
        cells = [cell for cell in self.code if cell.number in self.defined.get(name, ())]
        lines = {cell.number: [line for line in cell.source.splitlines() if not line[:1].isspace()] for cell in cells}
        found = {number: map(_DEFINES.match, each) for number, each in lines.items()}
        return [number for number, each in found.items() if any(one and name in one.groups() for one in each)]

    def places(self, marker: str) -> list[int]:
        """Return the places of the cells that have a tag, or where none has, a text in their source."""
        tagged = [place for place, cell in enumerate(self.cells) if marker in cell.tags]
        return tagged or [place for place, cell in enumerate(self.cells) if marker in cell.source]

    def marked(self, marker: str) -> int | None:
        """Return the place of the first cell that has a tag, or a text in its source; ``None`` where there is none."""
        return next(iter(self.places(marker)), None)


def read(path: str | Path) -> Notebook:
    """Read a notebook.

    :raises Unreadable: for anything else.
    """
    path = Path(path)
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            raise Unreadable("the submission is no file")
        if about.st_size > _FILE:
            raise Unreadable(_too_large(about.st_size, _FILE, ""))
        with path.open("rb") as file:
            raw = file.read(_FILE + 1)
    except OSError as error:
        raise Unreadable(f"the submission cannot be read ({error.strerror})") from None
    if not raw.strip():
        raise Unreadable("the submitted file is empty")
    if len(raw) > _SIZE:
        raw = _without_outputs(raw)
    if len(raw) > _SIZE:
        raise Unreadable(_too_large(len(raw), _SIZE, " without its outputs"))
    try:
        found = json.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise Unreadable("the submitted file is no notebook: it is not JSON") from None
    return Notebook(tuple(_cells(found)))


def _too_large(size: int, most: int, counted: str) -> str:
    return (
        f"the notebook has {size / 1e6:,.0f} MB{counted}, more than the {most / 1e6:.0f} MB that are read: "
        "clear its outputs, save it and submit it again"
    )


def _without_outputs(raw: bytes) -> bytes:
    """Cut out what cells have printed and drawn, pictures in texts and states of widgets, before the JSON is read.

    Nothing is built meanwhile, and all else stays as it is, JSON or not.

    :raises Unreadable: for what has too many texts and brackets.
    """
    kept, start, depth, before, cut = [], 0, 0, b"", None
    for count, token in enumerate(_TOKEN.finditer(raw)):
        if count > _TOKENS:
            raise Unreadable("the notebook's outputs are too many to be read: clear them, save it and submit it again")
        sign = raw[token.start() : token.start() + 1]
        if sign in b"[{":
            if cut is None and (depth, before) in _UNREAD:
                kept.append(raw[start : token.start()])
                cut = depth
            depth += 1
        elif sign in b"]}":
            depth -= 1
            if depth == cut:
                kept.append(b"null")
                start, cut = token.end(), None
        before = token.group() if token.end() - token.start() < 20 else b""
    return b"".join((*kept, raw[start:]))


def _cells(found: Any) -> Sequence[Cell]:
    if not isinstance(found, dict) or not isinstance(found.get("cells"), list):
        raise Unreadable("the submitted file is JSON, but no notebook of format 4: it has no list of cells")
    if len(found["cells"]) > _CELLS:
        raise Unreadable(f"the notebook has more than {_CELLS} cells")
    cells, counts, size = [], {}, 0
    for each in found["cells"]:
        if not isinstance(each, dict):
            raise Unreadable("the submitted file is JSON, but no notebook: one of its cells is no object")
        kind, source, about = each.get("cell_type"), each.get("source", ""), each.get("metadata")
        if isinstance(source, list) and all(isinstance(line, str) for line in source):
            source = "".join(source)
        if not isinstance(source, str) or not isinstance(kind, str):
            raise Unreadable("the submitted file is JSON, but no notebook: one of its cells has no text")
        source = source.encode("utf-8", "replace").decode()
        size += len(source)
        tags = about.get("tags") if isinstance(about, dict) else None
        tags = tuple(tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else ()
        counts[kind] = counts.get(kind, 0) + 1
        cells.append(Cell(counts[kind], kind, source, tags))
    if size > _SOURCE:
        raise Unreadable(f"the notebook's cells have more than {_SOURCE:,} characters, without outputs")
    return cells
