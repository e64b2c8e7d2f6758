"""Reads a submission: a notebook's cells, from a file that may be anything."""

import json
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Cell", "Notebook", "Unreadable", "read"]

_SIZE = 10_000_000  # bytes; ten times that is what its JSON can take in memory
_CELLS, _SOURCE = 1000, 1_000_000


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

    def marked(self, marker: str) -> int | None:
        """Return the place of the first cell that has a tag, or a text in its source; ``None`` where there is none."""
        found = (place for place, cell in enumerate(self.cells) if marker in cell.tags)
        found_text = (place for place, cell in enumerate(self.cells) if marker in cell.source)
        return next(found, next(found_text, None))


def read(path: str | Path) -> Notebook:
    """Read a notebook.

    :raises Unreadable: for anything else.
    """
    path = Path(path)
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            raise Unreadable("the submission is no file")
        if about.st_size > _SIZE:
            raise Unreadable(
                f"the notebook has {about.st_size / 1e6:,.0f} MB, more than the {_SIZE / 1e6:.0f} MB that are read: "
                "clear its outputs, save it and submit it again"
            )
        with path.open("rb") as file:
            raw = file.read(_SIZE + 1)
    except OSError as error:
        raise Unreadable(f"the submission cannot be read ({error.strerror})") from None
    if not raw.strip():
        raise Unreadable("the submitted file is empty")
    try:
        found = json.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise Unreadable("the submitted file is no notebook: it is not JSON") from None
    return Notebook(tuple(_cells(found)))


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
