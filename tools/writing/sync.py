"""Write everything that is stated in one place and shown in several.

From ``attention/mechanisms.toml``, ``settings.toml`` and the package's version: every chapter's card and set-up cell,
the README's table of chapters, the package's stub for type checkers, the table of what works with what, the pages of
published costs, of numbers that circulate, of comparisons, of maps and of laws, the page, the drawing and the live
picture of each block that has no chapter yet, and the addresses in ``pyproject.toml`` and ``CITATION.cff``. With
``--check`` it writes nothing and says what is not current.
"""

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import nbformat

import attention
from attention import registry
from attention.registry import FAMILIES, KINDS, Entry, entries
from tools.chapters import CARD, ROOT, SETUP_TAGS, Settings, notebook_path, read, settings, tags, text, written
from tools.writing import catching, circulating, comparing, costs, explaining, reading
from tools.writing.markers import Stale, between
from tools.writing.pages import (
    BLOCKS,
    DRAWINGS,
    LIVE,
    NARROW,
    THUMBNAILS,
    Drawn,
    built,
    drawing,
    formulas,
    live,
    page,
    shape,
    thumbnail,
)

#: The input for which a card states its figures: what ResNet-50's first stage puts out.
SIZE = {"channels": 256, "height": 56, "width": 56}
#: A card names all authors of a paper that has at most so many.
MANY = 3
WORKING = ("<!-- works: begin -->", "<!-- works: end -->")
#: What the package offers of its contract.
CONTRACT = ("Attention", "Gate", "Map")
CONTENTS = ("# blocks: begin", "# blocks: end")
#: What Colab's form of the set-up cell is called.
SETUP_TITLE = "Set up: install the package, look for a GPU"
TABLE = ("<!-- chapters: begin -->", "<!-- chapters: end -->")
SETUP = """\
# In Colab this installs the book's package and three small ones that Colab
# lacks; elsewhere it installs nothing.
import sys

if "google.colab" in sys.modules:
    WHEEL = "{wheel}"
    %pip install --quiet --no-deps {{WHEEL}} jaxtyping wadler-lindig torchinfo

from attention import lab

budget = lab.setup("{name}")"""


def set_line(text: str, pattern: str, value: str, where: str) -> str:
    """Replace the value on the one line that matches ``pattern``, whose first group is what stays before it.

    :raises Stale: where no line, or more than one, matches.
    """
    new, count = re.subn(pattern, lambda found: found[1] + value, text, flags=re.MULTILINE)
    if count != 1:
        raise Stale(f"{where}: {count} lines match {pattern!r}, not one")
    return new


def card(entry: Entry, where: Settings, minutes: int = 0) -> str:
    """Write a card as a table in plain Markdown: a chapter's, or that of a block without one.

    :param entry: the mechanism.
    :param where: the book's addresses.
    :param minutes: to read the chapter.
    """
    maps = ", ".join(f"${_shape(dims) if entry.ready else shape(dims, entry.letters)}$" for dims in entry.maps)
    rows = {
        "Paper": _paper(entry),
        "Chinese": _chinese(entry),
        "Weighs": f"{entry.axis}; statistic: {entry.statistic}",
        "Maps" if len(entry.maps) > 1 else "Map": maps,
        "Cost": concrete(entry.name),
        "Inserted": entry.where,
        "In code": f"`attention.{entry.class_name}`",
        "Before it": _prerequisites(entry),
    }
    if entry.ready:
        rows["Time"] = (
            f"{minutes} minutes to read, without the exercises; {entry.seconds} seconds to run on two CPU cores"
        )
    badge = f"[![Open in Colab](../../book/_static/open-in-colab.svg)]({where.colab(entry)})"
    lines = [f"| {entry.short} | in short |", "|:--|:--|"]
    lines += [f"| **{name}** | {value} |" for name, value in rows.items() if value]
    if not entry.ready:
        return "\n".join(lines)
    folded = ['<details class="card-formulas">', "<summary>Cost, as formulas</summary>", "", *formulas(entry)]
    return "\n".join([badge, "", *lines, "", *folded, "", "</details>"])


def _paper(entry: Entry) -> str:
    """Name the paper, and its authors where they are not many."""
    authors = entry.authors.split(", ")
    named = entry.authors if len(authors) <= MANY else f"{authors[0]} and {len(authors) - 1} others"
    arxiv = f", [arXiv {entry.arxiv}](https://arxiv.org/abs/{entry.arxiv})" if entry.arxiv else ""
    return f"{named}, *{entry.paper}*, {entry.venue}{arxiv}"


def _chinese(entry: Entry) -> str:
    """Name a mechanism in Chinese, each script marked as such for fonts and voices."""
    scripts = {"zh-Hans": entry.chinese["simplified"], "zh-Hant": entry.chinese.get("traditional", "")}
    named = [f'<span lang="{script}">{name}</span>' for script, name in scripts.items() if name]
    own = " (our translation: none is established)" if entry.chinese.get("coined") else ""
    return ", in Taiwan ".join(named) + own


@cache
def concrete(name: str) -> str:
    """State a block's cost at one size, as counted on the block.

    :returns: nothing for a mechanism that is not built from numbers alone: a spatial transformer, for one, costs what
        its localisation network does.
    """
    import torch

    from attention.about import input_count
    from attention.lab import cost

    entry = registry.entry(name)
    with torch.device("meta"):
        if KINDS[entry.kind]:
            block, size = registry.create(name, SIZE["channels"]), tuple(SIZE.values())
            inputs = [torch.empty(1, *size) for _ in range(input_count(block))]
            at = "the default options"
        elif entry.example:
            block, size = entry.load()(**entry.example["options"]), tuple(entry.example["inputs"][0][1:])
            inputs = [torch.empty(*shape) for shape in entry.example["inputs"]]
            at = ", ".join(f"`{option}={value!r}`" for option, value in entry.example["options"].items())
        else:
            return ""
        count = cost.count(block.eval(), *inputs)
    of = " × ".join(map(str, size))
    return f"{count.parameters:,} parameters and {count.macs:,} multiply–adds for an input of {of}, with {at}"


def _shape(dims: str) -> str:
    """Set a map's axes as a formula: ``b c 1 1`` becomes B × C × 1 × 1, ``(h w)`` becomes HW."""
    from attention.contract import Map

    return r" \times ".join("".join(axis).upper() for axis in Map(dims, "real").axes)


def _prerequisites(entry: Entry) -> str:
    known = entries()
    names = []
    for name in entry.prerequisites:
        other = known[name]
        chapter = known[other.chapter or name]
        up = "../" if entry.ready else "../../notebooks/"
        link = f"[{other.title}]({up}{chapter.family}/{chapter.name}.ipynb)"
        names.append(link if chapter.ready else other.title)
    return ", ".join(["convolutions and backpropagation", *names])


def setup_cell(entry: Entry, where: Settings) -> str:
    """Write the set-up cell, the same in all chapters but for the chapter's name."""
    return SETUP.format(wheel=where.wheel(attention.__version__), name=entry.name)


def setup_metadata() -> dict[str, Any]:
    """Return the metadata of the set-up cell: its tags, and its title in Colab."""
    return {"mystnb": {"code_prompt_show": SETUP_TITLE}, "tags": list(SETUP_TAGS)}


def chapter(entry: Entry, root: Path, where: Settings) -> str:
    """Return a chapter's notebook with a current card and set-up cell.

    :raises Stale: where the notebook, its card's markers or its set-up cell is missing.
    """
    path = notebook_path(entry, root)
    name = path.relative_to(root).as_posix()
    if not path.exists():
        raise Stale(f"{name} is missing, though mechanisms.toml calls [{entry.name}] ready")
    notebook = read(path)
    cards = [cell for cell in notebook.cells if cell.cell_type == "markdown" and CARD[0] in cell.source]
    if len(cards) != 1:
        raise Stale(f"{name}: needs one cell with {CARD[0]} and, after it, {CARD[1]}")
    new = card(entry, where, reading.minutes(notebook))
    cards[0].source = between(cards[0].source, CARD, new, f"{name}, the card")
    setups = [cell for cell in notebook.cells if "setup" in tags(cell)]
    if len(setups) != 1 or setups[0].cell_type != "code":
        raise Stale(f"{name}: needs one code cell that is tagged 'setup'")
    setups[0].source = setup_cell(entry, where)
    setups[0].metadata = nbformat.from_dict(setup_metadata())
    return text(notebook)


def table(where: Settings) -> str:
    """Write the README's table of chapters."""
    lines = ["| Family | Mechanism | Year | The idea in one sentence | Chapter |", "|:--|:--|:--|:--|:--|"]
    for entry in registry.chapters():
        read_it = f"[read]({where.page(entry.document)}) · [notebook]({entry.document}.ipynb)"
        page = f"[block]({where.page(entry.page)})" if entry.built else "planned"
        status = read_it if entry.ready else page
        lines.append(f"| {FAMILIES[entry.family]} | {entry.title} | {entry.year} | {entry.idea} | {status} |")
    return "\n".join(lines)


def readme(root: Path, where: Settings) -> str:
    """Return the README with a current table of chapters."""
    return between((root / "README.md").read_text(encoding="utf-8"), TABLE, table(where), "README.md")


def lines(root: Path, name: str, values: dict[str, str]) -> str:
    """Return a file with the values of some of its lines, each found by how it begins, made current."""
    new = (root / name).read_text(encoding="utf-8")
    for begin, value in values.items():
        new = set_line(new, rf"^({re.escape(begin)}).*$", f'"{value}"', name)
    return new


def works(root: Path) -> str:
    """Return the page on what works with what, its table made of the Specs that hold the laws' exceptions."""
    from tests.laws.discovery import specs  # they import torch, which little else here needs
    from tests.laws.spec import WORKS

    told = {name: spec.works() for name, spec in specs().items()}
    lines = [f"| Block | {' | '.join(WORKS)} |", f"|:--|{':-:|' * len(WORKS)}"]
    reasons: dict[tuple[str, str], list[str]] = {}
    for name, row in told.items():
        short = entries()[name].short
        lines.append(f"| {short} | {' | '.join('–' if row[column] else '✓' for column in WORKS)} |")
        for column, reason in row.items():
            if reason:
                reasons.setdefault((column, reason), []).append(short)
    lines.append("")
    for (column, reason), shorts in reasons.items():
        who = "no block" if len(shorts) == len(told) else f"not {', '.join(shorts)}"
        lines.append(f"* *{column}*, {who}: {reason}.")
    path = root / "book" / "api" / "works.md"
    return between(path.read_text(encoding="utf-8"), WORKING, "\n".join(lines), "book/api/works.md")


def contents(root: Path) -> str:
    """Return the table of contents with the pages of all blocks without a chapter."""
    pages = [f"          - file: {entry.page}" for entry in built()]
    text = (root / "_toc.yml").read_text(encoding="utf-8")
    return between(text, CONTENTS, "\n".join(["        sections:", *pages] if pages else []), "_toc.yml")


@cache
def drawn(name: str) -> Drawn:
    """Return a block's drawing."""
    return drawing(registry.entry(name))


def stub(root: Path) -> str:
    """Return what a type checker reads of the package: the names that are found on first use, and what they are."""
    built = [entry for entry in entries().values() if entry.built]
    classes = [f"from {entry.module} import {entry.class_name} as {entry.class_name}" for entry in built]
    given = "channels: int, **options: Any"
    creating = [
        f'@overload\ndef create(name: Literal["{entry.name}"], {given}) -> {entry.class_name}: ...'
        for entry in built
        if KINDS[entry.kind]
    ]
    return "\n".join(
        [
            "# Written by `make sync` from mechanisms.toml: what attention/__init__.py finds on first use.",
            "from collections.abc import Mapping",
            "from typing import Any, Literal, overload",
            "",
            "from torch import Tensor",
            "from torch.nn import Module",
            "",
            "from attention.about import Description",
            *sorted([*classes, *(f"from attention.contract import {name} as {name}" for name in CONTRACT)]),
            "",
            "__version__: str",
            "",
            *creating,
            f"@overload\ndef create(name: str, {given}) -> Attention: ...",
            "def names(family: str | None = None, kind: str | None = None) -> list[str]: ...",
            "def describe(name: str, channels: int = 64, size: int | tuple[int, int] = 56, **options: Any)"
            " -> Description: ...",
            "def source(name: str) -> str: ...",
            "def load_official(block: Module, state_dict: Mapping[str, Tensor], *, prefix: str = ...) -> None: ...",
            "",
        ]
    )


def wanted(root: Path) -> Iterator[tuple[Path, Callable[[], str]]]:
    """Yield every file that is written, with a function that returns the text that it should have."""
    where = settings(root)
    for entry in written():
        yield notebook_path(entry, root), partial(chapter, entry, root, where)
    yield root / "attention" / "__init__.pyi", partial(stub, root)
    yield root / "book" / "api" / "works.md", partial(works, root)
    yield root / costs.PAGE, partial(costs.page, root)
    yield root / circulating.PAGE, partial(circulating.page, root)
    for told in (comparing, explaining, catching):
        yield root / told.PAGE, partial(comparing.parts, root, told.PAGE, told.PARTS)
    for entry in built():
        yield root / DRAWINGS / f"{entry.name}.svg", lambda name=entry.name: drawn(name).wide
        yield root / DRAWINGS / f"{entry.name}{NARROW}.svg", lambda name=entry.name: drawn(name).narrow
        yield root / BLOCKS / f"{entry.name}.md", lambda e=entry: page(e, card(e, where), drawn(e.name))
    for name in pictured():
        yield root / LIVE / f"{name}.html", partial(live, name)
    for name in carded():
        yield root / THUMBNAILS / f"{name}.svg", partial(thumbnail, name)
    yield root / "_toc.yml", partial(contents, root)
    yield root / "README.md", partial(readme, root, where)
    links = {"Homepage = ": where.site, "Repository = ": where.repository}
    yield root / "pyproject.toml", partial(lines, root, "pyproject.toml", links)
    cited = {"url: ": where.site, "repository-code: ": where.repository, "version: ": attention.__version__}
    yield root / "CITATION.cff", partial(lines, root, "CITATION.cff", cited)


def pictured() -> list[str]:
    """Return the names of the live pictures that stand on pages, and not in chapters."""
    from attention.pictures import names

    chapters = {entry.name for entry in written()}
    return [name for name in names() if name not in chapters]


def carded() -> list[str]:
    """Return the names of the mechanisms whose cards have a picture: those that have a live one."""
    from attention.pictures import names

    return [entry.name for entry in registry.chapters() if entry.name in names()]


def left(root: Path) -> list[Path]:
    """Return pages, drawings and live pictures of blocks that have their chapter by now."""
    names, live_names = {entry.name for entry in built()}, set(pictured())
    files = [*(root / BLOCKS).glob("*.md"), *(root / DRAWINGS).glob("*.svg")]
    pictures = [path for path in (root / LIVE).glob("*.html") if path.stem not in live_names]
    small = [path for path in (root / THUMBNAILS).glob("*.svg") if path.stem not in carded()]
    return sorted([path for path in files if path.stem.removesuffix(NARROW) not in names] + pictures + small)


def problems(root: Path) -> list[str]:
    """Name what the tools cannot write, but can see is wrong: written chapters that the table of contents lacks."""
    contents = (root / "_toc.yml").read_text(encoding="utf-8")
    lacking = []
    for entry in written():
        if not re.search(rf"{entry.document}(\.ipynb)?\s*$", contents, re.MULTILINE):
            lacking.append(f"_toc.yml lacks {entry.document}, though mechanisms.toml calls [{entry.name}] ready")
    return lacking


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Write, or check."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail where something is not current")
    parser.add_argument("names", nargs="*", help="chapters whose notebooks alone are written; everything without them")
    given = parser.parse_args(arguments)
    check = given.check
    chosen = {notebook_path(registry.entry(name), root) for name in given.names}
    found = problems(root)
    for path, make in wanted(root):
        if chosen and path not in chosen:
            continue
        name = path.relative_to(root).as_posix()
        try:
            new = make()
        except (Stale, ValueError) as problem:
            found.append(str(problem) if isinstance(problem, Stale) else f"{name}: {problem}")
            continue
        if path.exists() and path.read_text(encoding="utf-8") == new:
            continue
        if check:
            found.append(f"{name} is not current; run: make sync")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(new, encoding="utf-8")
            print(f"wrote {name}")
    for path in [] if chosen else left(root):
        name = path.relative_to(root).as_posix()
        if check:
            found.append(f"{name} belongs to no block without a chapter; run: make sync")
        else:
            path.unlink()
            print(f"removed {name}")
    print("\n".join(found) if found else "all is in step")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
