"""A small house of its own for tests that write: every file that the tools read, chapters laid out but not written."""

import shutil
from pathlib import Path

import pytest

from tools.chapters import ROOT, notebook_path, text, written
from tools.writing.new_chapter import layout

COPIED = (
    *(
        "settings.toml",
        "README.md",
        "pyproject.toml",
        "CITATION.cff",
        "_toc.yml",
        "book/references.bib",
        "book/notation.md",
    ),
    "attention/__init__.pyi",
    "book/api/works.md",
    "book/published.md",
    "book/circulating.md",
    *("book/intro.md", "book/statistics.md", "book/explanation.md", "book/own_block.md", "book/teaching.md"),
)


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """Return the top of a small repository."""
    root = tmp_path / "house"
    for name in COPIED:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    for entry in written():
        path = notebook_path(entry, root)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text(layout(entry, root)), encoding="utf-8")
    return root
