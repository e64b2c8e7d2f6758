"""The Sphinx extension of this book.

Each module settles one thing that Jupyter Book leaves open and has a ``setup`` of its own.
"""

import sys
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

# The registry is read from the sources: the environment that builds the book has not installed them.
sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from attention_book import (
    access,
    accessibility,
    addresses,
    api,
    cards,
    code,
    descriptions,
    elements,
    equations,
    faces,
    figures,
    folding,
    launch,
    lines,
    live,
    mathjax,
    mechanisms,
    missing,
    references,
    search,
    slim,
)

__all__ = ["setup"]


def setup(app: Sphinx) -> dict[str, Any]:
    """Set up every part of the extension."""
    parts = (access, accessibility, addresses, api, cards, code, descriptions, elements, equations, faces, figures)
    parts += (folding, launch, lines, live, mathjax, mechanisms, missing, references, search, slim)
    for part in parts:
        part.setup(app)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
