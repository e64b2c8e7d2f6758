"""The submissions in a folder: which files they are, what their reports are called, how a name is shown."""

import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path

__all__ = ["find", "names", "shown"]

# What systems and programs leave beside files: no submissions, and nothing to tell anybody about.
_LITTER = ("__MACOSX", ".ipynb_checkpoints", ".DS_Store", "Thumbs.db", "desktop.ini")
_BYTES = 200  # of a report's name; file systems take 255, with its number and its ending


def find(folder: str | Path) -> tuple[list[Path], list[Path]]:
    """Find what there is to grade in a folder and in those within it, however deep.

    :returns: the notebooks, whatever the case of their ending; and what else there is, which nobody grades: other
        files, and folders that cannot be read.
    """
    notebooks: list[Path] = []
    others: list[Path] = []
    waiting = [Path(folder)]
    while waiting:
        here = waiting.pop()
        try:
            with os.scandir(here) as entries:
                found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        except OSError:
            others.append(here)
            continue
        for name, is_folder in found:
            if name in _LITTER or name.startswith("._"):
                continue
            kind = waiting if is_folder else notebooks if name.casefold().endswith(".ipynb") else others
            kind.append(here / name)
    return sorted(notebooks), sorted(others)


def names(paths: Sequence[Path]) -> list[str]:
    """Name the report of each submission: by its path, short enough for a file's name, and each another.

    They differ by more than the case of letters, for file systems that take no notice of it.

    :param paths: relative to the folder of all submissions.
    """
    given, taken = [], set()
    for path in paths:
        parts = [*path.parts[:-1], path.name[: -len(".ipynb")]]
        whole = "".join(each if each.isprintable() else "_" for each in "__".join(parts)) or "_"
        whole = whole.encode()[:_BYTES].decode(errors="ignore")
        name, number = whole, 1
        while _alike(name) in taken:
            number += 1
            name = f"{whole}-{number}"
        taken.add(_alike(name))
        given.append(name)
    return given


def _alike(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def shown(text: object) -> str:
    """Return a text without what could steer a terminal: what is not printable is spelled out, as in ``\\x1b``."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in str(text))
