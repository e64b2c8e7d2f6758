"""How long it takes to read a chapter, computed from what it holds, exercises left out."""

from pathlib import Path

import nbformat

from tools.chapters import FOLDED, ROOT, tags

__all__ = ["FIGURE", "LINE", "STEP", "WORDS", "minutes"]

#: Words a minute: a technical text, read in a second language. Native speakers read plain prose at about 240.
WORDS = 200
#: Seconds for a line of code that is shown, and for a figure or a picture that computes, with its caption.
LINE, FIGURE = 3, 20
#: The result is rounded to so many minutes: it is no more exact than that.
STEP = 5
#: Of such cells a reader of the book sees no code.
_UNSEEN = {"remove-cell", "remove-input", FOLDED}
#: Such cells show something that computes.
_COMPUTES = {"live", "explorer"}


def minutes(notebook: nbformat.NotebookNode) -> int:
    """Estimate the minutes that a chapter takes to read, without its card and its exercises.

    :param notebook: the chapter.
    :returns: at least ``STEP``, a multiple of it.
    """
    from tests.notebooks.rules import Chapter, word_count  # one way of counting words

    chapter = Chapter(Path("chapter.ipynb"), notebook, ROOT)
    left_out = chapter.section("Exercises")
    lines = figures = 0
    for place, cell in chapter.code:
        if place in left_out:
            continue
        own = set(tags(cell))
        lines += 0 if own & _UNSEEN else sum(bool(line.strip()) for line in cell.source.splitlines())
        drawn = [any(kind.startswith("image/") for kind in output.get("data", {})) for output in cell.outputs]
        figures += 1 if own & _COMPUTES else sum(drawn)
    seconds = 60 * word_count(chapter) / WORDS + LINE * lines + FIGURE * figures
    return max(STEP, STEP * round(seconds / 60 / STEP))
