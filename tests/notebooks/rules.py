"""What a chapter must keep to, as rules that read its notebook. Each names what is wrong and where."""

import gzip
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import nbformat
from pybtex.database import parse_file

from tests.notebooks.chapter import RULES, Block, Chapter, blocks_of, rule
from tests.notebooks.looks import asserts
from tools.chapters import CARD, METADATA, SECTIONS, tags

__all__ = ["RULES", "Block", "Chapter", "checkable", "word_count"]

WORDS = (1200, 2900)
#: Chinese signs and words of the summary at the end.
CHINESE = (150, 260)
BYTES = 1_000_000
#: Of a record, compressed as in a wheel.
RECORD_BYTES = 40_000
#: Of the still picture that an explorer shows without scripts.
STILL = 4000
EXERCISES = (4, 7)
#: What keeps a cell's output from being compared; these cells always are, and are not counted.
VOLATILE, UNCOUNTED = "nbval-ignore-output", {"setup", "live", "explorer"}


@rule
def sections(chapter: Chapter) -> Iterator[str]:
    """The sections are there, in order, by their names."""
    found = [heading for _, heading in chapter.sections]
    if found != list(SECTIONS):
        yield f"sections are {found}, should be {list(SECTIONS)}"
    for name in SECTIONS:
        if len(chapter.section(name)) and not _body(chapter, name):
            yield f"the section {name!r} is empty"


def _body(chapter: Chapter, name: str) -> bool:
    places = chapter.section(name)
    written = [b for b in chapter.blocks if b.place in places and b.kind not in ("h1", "h2", "html")]
    return bool(written) or any(place in places and cell.source.strip() for place, cell in chapter.code)


@rule
def words(chapter: Chapter) -> Iterator[str]:
    """The prose is neither thin nor fat; exercises, solutions, the card and formulas are not counted."""
    count = word_count(chapter)
    least, most = WORDS
    if not least <= count <= most:
        yield f"{count} words; allowed: {least} to {most}"


def word_count(chapter: Chapter) -> int:
    """Count the words of a chapter's prose."""
    uncounted = chapter.section("Exercises")
    begin, end = (re.escape(marker) for marker in CARD)
    texts = []
    for place, source in chapter.prose:
        plain = re.sub(rf"{begin}.*?{end}", "", source, flags=re.DOTALL)
        for block in blocks_of(place, plain) if place not in uncounted else ():
            told = block.kind == "text" or re.fullmatch(r"h\d", block.kind)
            if told and not {"exercise", "solution"} & set(block.inside):
                texts.append(block.words)
    text = re.sub(r"\$[^$]*\$|\{[\w:]+\}`[^`]*`|\]\([^)]*\)|<[^>]*>", " ", "\n".join(texts))
    return len(re.findall(r"\w[\w’'\-–]*", text))


@rule
def summary_in_chinese(chapter: Chapter) -> Iterator[str]:
    """The last section ends with a folded summary in Chinese."""
    places = chapter.section("Summary and references")
    found = [b for b in chapter.blocks if b.place in places and b.kind == "dropdown" and b.words == "中文摘要"]
    if len(found) != 1:
        yield "the last section holds one panel :::{dropdown} 中文摘要"
        return
    told = "".join(b.words for b in chapter.blocks if b.place in places and "dropdown" in b.inside)
    count = len(re.findall(r"[\u4e00-\u9fff]|[A-Za-z0-9.]+", told))
    if not CHINESE[0] <= count <= CHINESE[1]:
        yield f"the summary in Chinese has {count} signs and words; allowed: {CHINESE[0]} to {CHINESE[1]}"


@rule
def size(chapter: Chapter) -> Iterator[str]:
    """The file is small."""
    count = len(nbformat.writes(chapter.notebook).encode())
    if count > BYTES:
        yield f"{count:,} bytes; allowed: {BYTES:,}"


@rule
def executed_in_order(chapter: Chapter) -> Iterator[str]:
    """Every code cell was run once, from top to bottom: nbval checks no cell that was not."""
    counts = [cell.execution_count for _, cell in chapter.code]
    if counts != list(range(1, len(counts) + 1)):
        yield f"execution counts are {counts}, should be 1 to {len(counts)}: make execute"
    if not any(cell.outputs for _, cell in chapter.code):
        yield "no outputs are committed: make execute"
    for place, cell in chapter.code:
        if not cell.source.strip():
            yield f"cell {place} is empty"


@rule
def clean_outputs(chapter: Chapter) -> Iterator[str]:
    """No cell failed, complained, or left something that a page cannot show."""
    for place, cell in chapter.code:
        for output in cell.outputs:
            if output.output_type == "error" and "raises-exception" not in tags(cell):
                yield f"cell {place} ends in {output.ename}"
            if output.get("name") == "stderr":
                yield f"cell {place} writes to stderr: {output.text[:60]!r}"
            data = output.get("data", {})
            held = re.findall(r";\s*base64\s*,[^\"']*", _joined(data.get("text/html", "")))
            if any(len(image) > (STILL if "explorer" in tags(cell) else 0) for image in held):
                yield f"cell {place} has an image inside its HTML output"
            for kind in data:
                if "widget" in kind or kind == "application/javascript":
                    yield f"cell {place} has an output of type {kind}, which is dead on a page"


@rule
def metadata(chapter: Chapter) -> Iterator[str]:
    """The notebook says which kernel and language it has, and nothing more."""
    if chapter.notebook.metadata != METADATA:
        yield f"metadata is {dict(chapter.notebook.metadata)}, should be {METADATA}"
    for place, cell in enumerate(chapter.notebook.cells):
        if strange := set(cell.metadata) - {"tags", "mystnb"}:
            yield f"cell {place} has metadata {sorted(strange)}"
        if cell.get("attachments"):
            yield f"cell {place} has attachments"


@rule
def colon_directives(chapter: Chapter) -> Iterator[str]:
    """Directives are written with colons: with backticks they show as code in Jupyter."""
    for block in chapter.blocks:
        if block.kind == "fence" and block.words.startswith("{"):
            yield f"cell {block.place}: the directive {block.words} is written with backticks"
        if block.kind == "unnamed":
            yield f"cell {block.place}: a directive has no name: ::: {block.words}"
        if block.kind == "text" and re.search(r"^\s*:{3,}", block.words, re.MULTILINE):
            yield f"cell {block.place}: colons that open or close nothing: {block.words[:40]!r}"


@rule
def equations_are_asserted(chapter: Chapter) -> Iterator[str]:
    """Every numbered equation is asserted in a cell that names it: ``# eq: se-squeeze``."""
    exercises = chapter.section("Exercises")
    labels = [
        block.options["label"]
        for block in chapter.blocks
        if block.kind == "equation" and block.options["label"] and block.place not in exercises
    ]
    if not labels:
        yield "no equation is numbered: $$ … $$ (label)"
    named: dict[str, list[int]] = {}
    for place, cell in chapter.code:
        for line in re.findall(r"#\s*eq:\s*(.+)$", cell.source, re.MULTILINE):
            for label in re.findall(r"[\w:-]+", line):
                named.setdefault(label, []).append(place)
    cells = dict(chapter.code)
    for label in labels:
        if not any(asserts(cells[place].source) for place in named.get(label, ())):
            yield f"the equation {label!r} is asserted nowhere: no cell with an assertion says '# eq: {label}'"
    for label in named.keys() - {b.options["label"] for b in chapter.blocks if b.kind == "equation"}:
        yield f"cells {named[label]} name the equation {label!r}, which there is not"


@rule
def few_volatile_cells(chapter: Chapter) -> Iterator[str]:
    """At most a quarter of the code cells keep their outputs from being compared."""
    counted = [cell for _, cell in chapter.code if not UNCOUNTED & set(tags(cell))]
    volatile = [cell for cell in counted if VOLATILE in tags(cell)]
    if 4 * len(volatile) > len(counted):
        yield f"{len(volatile)} of {len(counted)} code cells are tagged {VOLATILE}; allowed: a quarter"
    for place, cell in chapter.code:
        if UNCOUNTED & set(tags(cell)) and VOLATILE not in tags(cell):
            yield f"cell {place} is the set-up, a live picture or an explorer: it needs the tag {VOLATILE}"
        if "nbval-skip" in tags(cell) or re.search(r"#\s*(NBVAL|nbval)", cell.source):
            yield f"cell {place} is kept from being run; tags that do so are not allowed"


@rule
def citations(chapter: Chapter) -> Iterator[str]:
    """Every work that is cited is in the bibliography, and the last section cites."""
    known = set(parse_file(str(chapter.root / "book" / "references.bib")).entries)
    last = chapter.section(SECTIONS[-1])
    cited_last = False
    for place, source in chapter.prose:
        for keys in re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", source):
            cited_last |= place in last
            for key in (key.strip() for key in keys.split(",")):
                if key not in known:
                    yield f"cell {place} cites {key!r}, which book/references.bib lacks"
    if not cited_last:
        yield f"the section {SECTIONS[-1]!r} cites nothing"


@rule
def exercises(chapter: Chapter) -> Iterator[str]:
    """There are about five exercises, each with a hint and a folded solution; those that can be checked are."""
    found = [block for block in chapter.blocks if block.kind == "exercise"]
    low, high = EXERCISES
    if not low <= len(found) <= high:
        yield f"{len(found)} exercises; allowed: {low} to {high}"
    solved = {block.words: block for block in chapter.blocks if block.kind == "solution"}
    hinted = _hinted(chapter)
    for block in found:
        label = block.options.get("label", "")
        if not label:
            yield f"cell {block.place}: the exercise {block.words!r} has no :label:"
        elif label not in solved:
            yield f"the exercise {label!r} has no solution"
        elif "dropdown" not in solved[label].options.get("class", ""):
            yield f"the solution of {label!r} is not folded (:class: dropdown)"
        if label and label not in hinted:
            yield f"the exercise {label!r} has no hint: a :::{{hint}} with :class: dropdown inside it"
    asked = {
        name for _, cell in chapter.code for name in re.findall(r"(?<![\w.])check\(\s*[\"']([\w.]+)[\"']", cell.source)
    }
    if not asked:
        yield "no exercise is checked: check(…)"
    written = {each.id for each in checkable(chapter.name)}
    for name in sorted(asked - written):
        yield f"check({name!r}): attention/exercises/{chapter.name}.py has no such exercise"
    for name in sorted(written - asked):
        yield f"the exercise {name!r} of attention/exercises/{chapter.name}.py is checked nowhere"


def checkable(name: str) -> tuple[Any, ...]:
    """Return the exercises of a chapter that can be checked."""
    try:
        return import_module(f"attention.exercises.{name}").EXERCISES
    except ModuleNotFoundError:
        return ()


def _hinted(chapter: Chapter) -> set[str]:
    """Return the labels of the exercises that have a hint inside."""
    found, current = set(), ""
    for block in chapter.blocks:
        if block.kind == "exercise":
            current = block.options.get("label", "")
        elif "exercise" in block.inside and (block.kind == "hint" or block.words.lower().startswith("hint")):
            found.add(current)
    return found


@rule
def record_is_current(chapter: Chapter) -> Iterator[str]:
    """What was recorded was recorded by the code that is there now."""
    from attention.lab import record

    for script in sorted({path.with_suffix(".py") for path in chapter.experiments.glob("record*.*")}):
        path = script.with_suffix(".json")
        if script.exists() != path.exists():
            name = record.called(script)
            yield f"{script.name} and {path.name} belong together, and one is missing: make record NAME={name}"
        elif why := record.stale(path):
            yield why


@rule
def record_is_small(chapter: Chapter) -> Iterator[str]:
    """A record keeps what the chapter shows: every reader's installation carries it."""
    for path in sorted(chapter.experiments.glob("record*.json")):
        count = len(gzip.compress(path.read_bytes()))
        if count > RECORD_BYTES:
            yield f"{path.name} has {count:,} bytes when compressed; allowed: {RECORD_BYTES:,}"


def _joined(value: str | list[str]) -> str:
    return value if isinstance(value, str) else "".join(value)
