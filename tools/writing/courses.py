"""Write the plan of a course of eight weeks on the page for instructors: what is read, which exercises, what is due."""

from dataclasses import dataclass
from pathlib import Path

from attention.registry import entry
from tools.chapters import ROOT, notebook_path, read
from tools.writing import reading

__all__ = ["NEEDS", "PAGE", "PARTS", "WEEKS", "Week", "weeks"]

PAGE = Path("book", "teaching.md")
#: The chapters that an assignment builds on.
NEEDS: dict[str, tuple[str, ...]] = {"eca": ("se",), "broken": ("se", "non_local"), "study": ("se", "eca")}


@dataclass(frozen=True)
class Week:
    """One week of the course.

    :param theme: in a few words.
    :param pages: pages of the book beside the chapters, by the names of their files.
    :param chapters: mechanisms whose chapters are read.
    :param blocks: mechanisms of which the page of the block is read.
    :param out: an assignment that is handed out.
    :param due: an assignment that is handed in, before the chapters of the week are read.
    """

    theme: str
    pages: tuple[str, ...] = ()
    chapters: tuple[str, ...] = ()
    blocks: tuple[str, ...] = ()
    out: str = ""
    due: str = ""


WEEKS: tuple[Week, ...] = (
    Week("What attention is", pages=("idea", "history"), blocks=("additive",)),
    Week("A gate for each channel", chapters=("se",), out="eca"),
    Week("Is a difference one?", pages=("statistics",), chapters=("eca", "gsop", "fca"), due="eca"),
    Week("Feature and place", chapters=("cbam",), blocks=("scse", "bam", "coordinate")),
    Week("Pairs of places", chapters=("non_local",), blocks=("danet", "ccnet"), out="broken"),
    Week("Move the view", chapters=("stn",), due="broken"),
    Week("Choose a path", pages=("choosing",), chapters=("sk",), blocks=("resnest", "aff"), out="study"),
    Week("What a map shows", pages=("explanation", "own_block", "circulating"), due="study"),
)


def weeks() -> str:
    """Write the plan as a table; times and numbers of exercises are those of the chapters."""
    lines = ["| Week | Read, and do | Look at | Assignment |", "|:--|:--|:--|:--|"]
    for number, week in enumerate(WEEKS, start=1):
        read_it = [*map(_chapter, week.chapters), *map(_page, week.pages)]
        look = [f"[{entry(name).short}](blocks/{name}.md)" for name in week.blocks]
        handed = [f"`{week.due}` is due"] if week.due else []
        handed += [f"`{week.out}` is handed out"] if week.out else []
        cells = (f"{number}. {week.theme}", *map("; ".join, (read_it, look, handed)))
        lines.append(f"| {' | '.join(cell or '–' for cell in cells)} |")
    return "\n".join(["::::{container} many-columns", *lines, "::::"])


def _page(name: str) -> str:
    title = (ROOT / "book" / f"{name}.md").read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
    return f"[{title}]({name}.md)"


def _chapter(name: str) -> str:
    """Link a chapter, with the minutes to read it and the number of its exercises."""
    from tests.notebooks.rules import Chapter  # the rules know what an exercise is

    found, path = entry(name), notebook_path(entry(name), ROOT)
    notebook = read(path)
    count = sum(block.kind == "exercise" for block in Chapter(path, notebook, ROOT).blocks)
    return f"[{found.short}](../{found.document}.ipynb): {reading.minutes(notebook)} minutes, {count} exercises"


PARTS = {"weeks": weeks}
