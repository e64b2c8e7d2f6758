"""Rules on what a reader sees first: the head of a chapter, its figures with their captions, and what is folded."""

import ast
import re
import statistics
from collections.abc import Iterator

import nbformat

from tests.notebooks.chapter import Chapter, rule
from tools.chapters import CARD, FOLDED, LIVE_TAGS, SETUP_TAGS, live_cell, tags, title

__all__ = ["asserts"]

LINES = {"median": 6, "90th percentile": 20, "longest": 35}
#: Of all cells before the exercises that are not folded.
SHOWN = {"cells": 55, "lines": 380}
SENTENCES = (1, 2)
TITLE = 60
#: Calls of these names draw.
DRAWING = {"show", "draw", "plot", "explore", "animate", "by_class", "by_size"}


@rule
def head(chapter: Chapter) -> Iterator[str]:
    """A chapter begins with its title, the set-up cell, its live picture and its card."""
    cells = chapter.notebook.cells
    titles = [block.place for block in chapter.blocks if block.kind == "h1"]
    if titles != [0]:
        yield f"the title (#) stands once, in the first cell; found in cells {titles}"
    if len(cells) < 2 or cells[1].cell_type != "code" or set(tags(cells[1])) != set(SETUP_TAGS):
        yield f"the second cell is the set-up, tagged {', '.join(SETUP_TAGS)}"
    cards = [place for place, source in chapter.prose if any(marker in source for marker in CARD)]
    first = chapter.sections[0][0] if chapter.sections else len(cells)
    if len(cards) != 1 or any(cells[cards[0]].source.count(marker) != 1 for marker in CARD):
        yield f"the card's markers stand once, in one cell; found in cells {cards}"
    elif not 1 < cards[0] < first:
        yield f"the card is in cell {cards[0]}; it belongs between the set-up and the first section"
    live = [place for place, cell in chapter.code if "live" in tags(cell)]
    if live != [2]:
        yield f"the live picture is in the third cell, tagged live; found in cells {live}"
    for place in live:
        if cells[place].source != live_cell(chapter.name):
            yield f"cell {place}: the live picture's cell is {live_cell(chapter.name)!r}"
        if not set(LIVE_TAGS) <= set(tags(cells[place])):
            yield f"cell {place}: the live picture's cell is tagged {', '.join(LIVE_TAGS)}"
        held = [output.get("data", {}).get("text/html", "") for output in cells[place].outputs]
        if any("<script>" in "".join(html) for html in held):
            yield f"cell {place}: the live picture is kept as data, without its script; run: make execute"


@rule
def short_cells(chapter: Chapter) -> Iterator[str]:
    """Code comes in small pieces; what is folded is not counted."""
    lengths = [len(cell.source.splitlines()) for _, cell in _shown(chapter)]
    if not lengths:
        yield "there is no code"
        return
    found = (statistics.median(lengths), _percentile(lengths, 0.9), max(lengths))
    for (what, allowed), length in zip(LINES.items(), found, strict=True):
        if length > allowed:
            yield f"code cells: {what} {length:g} lines; allowed: {allowed}"


@rule
def little_code(chapter: Chapter) -> Iterator[str]:
    """Before the exercises there is not too much code to read; what is folded is not counted."""
    exercises = chapter.section("Exercises")
    lengths = [
        len(cell.source.splitlines()) for place, cell in _shown(chapter) if not exercises or place < exercises.start
    ]
    for (what, allowed), found in zip(SHOWN.items(), (len(lengths), sum(lengths)), strict=True):
        if found > allowed:
            yield f"{found} {what} of code before the exercises; allowed: {allowed}"


def _shown(chapter: Chapter) -> list[tuple[int, nbformat.NotebookNode]]:
    """Return the code cells that a reader finds open, but for the set-up and the live picture."""
    return [(place, cell) for place, cell in chapter.code if not {"setup", "live", FOLDED} & set(tags(cell))]


def _percentile(values: list[int], share: float) -> int:
    """Return the smallest value that at least ``share`` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * round(share * 100) // 100) - 1)]


@rule
def figures_have_alt_text(chapter: Chapter) -> Iterator[str]:
    """Every figure says what it shows, to readers who do not see it."""
    for place, cell in chapter.code:
        for output in cell.outputs:
            for kind in (kind for kind in output.get("data", {}) if kind.startswith("image/")):
                if not str(output.get("metadata", {}).get(kind, {}).get("alt", "")).strip():
                    yield f"cell {place} shows an {kind} without alt text: use attention.lab.style.show"
    for block in chapter.blocks:
        if block.kind in ("figure", "image") and not block.options.get("alt", "").strip():
            yield f"cell {block.place}: the {block.kind} {block.words} has no :alt:"
        if block.kind == "text" and re.search(r"!\[\s*\]\(", block.words):
            yield f"cell {block.place}: an image has no alt text"


@rule
def figures_have_captions(chapter: Chapter) -> Iterator[str]:
    """Below every picture and every explorer stands its number and a sentence or two, typed and not computed.

    A caption is compared when the chapter runs again, so it can name no number from a trained network.
    """
    number = 0
    for place, cell in chapter.code:
        for output, after in zip(cell.outputs, [*cell.outputs[1:], None], strict=False):
            words = _caption(after)
            if not _is_figure(cell, output) and ("live" not in tags(cell) or words is None):
                continue  # a live picture may do without
            number += 1
            if words is None:
                yield f"cell {place} shows a figure without a caption: caption=…, or with style.captioned(…)"
            elif not (found := re.fullmatch(r"\*\*Figure (\d+)\.\*\* (.+)", words)):
                yield f"cell {place}: the caption {words[:40]!r} has no number"
            elif int(found[1]) != number:
                yield f"cell {place} shows figure {found[1]}, should be {number}: make execute"
            elif not SENTENCES[0] <= (count := len(re.findall(r"[.?!](?=\s|$)", found[2]))) <= SENTENCES[1]:
                yield f"cell {place}: the caption has {count} sentences; allowed: {SENTENCES[0]} or {SENTENCES[1]}"
        for words in _typed_captions(cell.source):
            if not isinstance(words, ast.Constant):
                yield f"cell {place}: a caption is computed; type it"


def _is_figure(cell: nbformat.NotebookNode, output: nbformat.NotebookNode) -> bool:
    kinds = output.get("data", {})
    return any(kind.startswith("image/") for kind in kinds) or ("explorer" in tags(cell) and "text/html" in kinds)


def _caption(output: nbformat.NotebookNode | None) -> str | None:
    """Return the words of an output that is a caption; ``None`` for any other."""
    about = output.get("metadata", {}).get("text/markdown", {}) if output else {}
    return "".join(output["data"]["text/markdown"]) if about.get("caption") else None


def _typed_captions(source: str) -> Iterator[ast.expr]:
    """Yield what code gives as captions."""
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.Call):
            yield from (given.value for given in node.keywords if given.arg == "caption")
            if _called(node) == "captioned":
                yield from node.args[:1]


@rule
def folded_cells(chapter: Chapter) -> Iterator[str]:
    """What is folded draws or checks, has a title of its own, and nothing that stands open needs it."""
    exercises = chapter.section("Exercises")
    seen: set[str] = set()
    missed: dict[str, int] = {}
    for place, cell in chapter.code:
        binds, needs = _names(cell.source)
        if FOLDED not in tags(cell):
            for name in sorted(needs & missed.keys()):
                yield f"cell {place} needs {name!r} of cell {missed[name]}, which is folded"
            for name in binds:
                missed.pop(name, None)
            if title(cell) and "setup" not in tags(cell):
                yield f"cell {place} has a title and no tag {FOLDED}"
        else:
            missed |= dict.fromkeys(binds, place)
            words = title(cell)
            if not words or words in seen or len(words) > TITLE or not words[0].isupper() or words.endswith("."):
                yield f"cell {place} is folded: it needs a title of its own, as “Draw …”, not {words!r}"
            seen.add(words)
            if not _draws(cell) and not asserts(cell.source):
                yield f"cell {place} is folded, and neither draws nor checks anything"
            if place in exercises:
                yield f"cell {place} is an exercise, and folded"
        hidden = [tag for tag in tags(cell) if tag.startswith(("hide", "remove")) and tag != FOLDED]
        if hidden and not {"setup", "live"} & set(tags(cell)):
            yield f"cell {place} is tagged {', '.join(hidden)}; only {FOLDED} folds a cell"


def _draws(cell: nbformat.NotebookNode) -> bool:
    calls = {_called(node) for node in ast.walk(parsed(cell.source)) if isinstance(node, ast.Call)}
    return bool(calls & DRAWING)


def _called(node: ast.Call) -> str:
    return getattr(node.func, "attr", None) or getattr(node.func, "id", "")


def _names(source: str) -> tuple[set[str], set[str]]:
    """Return the names that a cell binds, and those that it reads before it binds them."""
    bound: set[str] = set()
    needed: set[str] = set()
    for statement in parsed(source).body:
        parts = [*ast.walk(statement)]
        names = [part for part in parts if isinstance(part, ast.Name)]
        stored = {part.id for part in names if not isinstance(part.ctx, ast.Load)}
        inner = {part.arg for part in parts if isinstance(part, ast.arg)} | {
            name.id
            for part in parts
            if isinstance(part, ast.comprehension)
            for name in ast.walk(part.target)
            if isinstance(name, ast.Name)
        }
        read = {part.id for part in names if isinstance(part.ctx, ast.Load)}
        if isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
            needed |= read - inner - bound  # ``x = x + 1`` reads x first
        else:
            needed |= read - inner - stored - bound
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            bound.add(statement.name)
        elif isinstance(statement, ast.Import | ast.ImportFrom):
            bound |= {(alias.asname or alias.name).partition(".")[0] for alias in statement.names}
        else:
            bound |= stored - inner
    return bound, needed


def asserts(source: str) -> bool:
    """Say whether code holds an ``assert``, or calls something whose name begins so."""
    nodes = [*ast.walk(parsed(source))]
    called = [_called(node) for node in nodes if isinstance(node, ast.Call)]
    return any(isinstance(node, ast.Assert) for node in nodes) or any(name.startswith("assert") for name in called)


def parsed(source: str) -> ast.Module:
    """Return a cell's code as a tree, without its magics; an empty one where it is no Python."""
    plain = re.sub(r"^(\s*)[%!].*$", r"\1pass", source, flags=re.MULTILINE)
    try:
        return ast.parse(plain)
    except SyntaxError:
        return ast.Module(body=[], type_ignores=[])
