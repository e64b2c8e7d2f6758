"""The lanes of ``make test``: what each tests, and the command that does it."""

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

from attention.registry import FAMILIES, entry
from tools.chapters import notebook_path
from tools.writing.execute import ENVIRONMENT

__all__ = ["ROOT", "SINGLE", "Lane", "cores", "lanes"]

ROOT = Path(__file__).resolve().parents[2]
PYTHON = sys.executable
#: One thread each: several lanes run side by side, and small tensors gain nothing from more.
SINGLE = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
#: A cell may take ten minutes before it counts as one that never ends: machines may be slow, or busy.
NBVAL = ("--nbval", "--nbval-current-env", "--nbval-cell-timeout=600", "--nbval-sanitize-with")
SANITIZE = "tests/notebooks/sanitize.cfg"
#: What the tests of the folder ``tests`` are divided into; all that is not named here is ``units``.
FOLDERS = {
    "chapters": ("tests/notebooks",),
    "blocks": ("tests/laws", "tests/experiments", *(f"tests/{family}" for family in FAMILIES)),
    "typed": ("tests/typed",),
    "exercises": ("tests/exercises",),
    "assignments": ("tests/grading", "tests/assignments"),
    "colab": ("tests/colab",),
    "browser": ("tests/book",),
    "live": ("tests/live",),
}


@dataclass(frozen=True)
class Lane:
    """One process of tests, or one for each core that it may use.

    :param about: what it tests, in a few words.
    :param command: what is run. Lanes of pytest get ``--junitxml`` added, by which their tests are counted.
    :param environment: variables set for it.
    :param pytest: whether it is pytest; another command's last line may say ``5 passed, 1 failed``, else it counts
        as one test.
    :param after: lanes that have to be over before it starts.
    :param grows: whether it grows with the number of chapters.
    """

    about: str
    command: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    pytest: bool = True
    after: tuple[str, ...] = ()
    grows: bool = True


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def lanes(chapter: str = "", workers: int = 1, root: Path = ROOT) -> dict[str, Lane]:
    """Return all lanes by name, the ones that take longest first: side by side, they end at about the same time.

    :param chapter: only what concerns this chapter; then the lanes that concern none are left out.
    :param workers: processes within a lane, where its tests can be spread over several.
    :param root: the top of the repository.
    """
    pytest = (PYTHON, "-m", "pytest", "-q", "-p", "tools.testing.measuring")
    one = ("--chapter", chapter) if chapter else ()
    spread = ("-n", str(workers), "--dist", "loadgroup") if workers > 1 else ()
    by_file = ("-n", str(workers), "--dist", "loadfile") if workers > 1 else ()
    elsewhere = [f"--ignore={path}" for paths in FOLDERS.values() for path in paths]
    notebook = str(notebook_path(entry(chapter), root).relative_to(root)) if chapter else "notebooks"
    book = str(root / ".venv-book" / "bin" / "python")

    def folders(name: str) -> tuple[str, ...]:
        return tuple(path for path in FOLDERS[name] if (root / path).is_dir())

    found = {
        "notebooks": Lane(
            "committed outputs are current", (*pytest, *by_file, *NBVAL, SANITIZE, notebook), ENVIRONMENT
        ),
        "units": Lane("package and tools", (*pytest, *spread, "tests", *elsewhere), SINGLE, grows=False),
        "blocks": Lane("blocks, laws and experiments", (*pytest, *spread, *one, *folders("blocks")), SINGLE),
        "colab": Lane("chapters as Colab runs them", (*pytest, *spread, *one, *folders("colab")), SINGLE),
        "assignments": Lane("grader and assignments", (*pytest, *spread, *folders("assignments")), SINGLE, grows=False),
        "exercises": Lane("checks of exercises", (*pytest, *spread, *one, *folders("exercises")), SINGLE),
        "chapters": Lane("structure of chapters", (*pytest, *one, *folders("chapters")), SINGLE),
        "live": Lane("live pictures in a browser", (*pytest, *one, *folders("live")), SINGLE),
        "typed": Lane("shapes in types", (*pytest, *one, *folders("typed")), SINGLE),
        "lint": Lane("style, imports, cards, workflows", (PYTHON, "-m", "tools.testing.lint"), pytest=False),
        "book": Lane("strict build of the book", (book, "-m", "tools.book"), pytest=False),
        "browser": Lane("the pages in a browser", (*pytest, *one, *folders("browser")), SINGLE, after=("book",)),
    }
    return {name: lane for name, lane in found.items() if not chapter or lane.grows}
