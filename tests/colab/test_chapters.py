"""Every chapter runs in Colab, alone, from an empty folder, with nothing but what its set-up cell brings along."""

import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook
from packaging.utils import canonicalize_name

import attention
from attention.registry import entry
from tests.colab.running import Colab, Run, contents
from tools.chapters import ROOT, chapters, read, tags, title
from tools.environments.colab_environment import FOLDER
from tools.writing.execute import sanitizers

NAMES = list(chapters())
OURS = "attention-block-by-block"
#: The chapter that runs at full size: the quickest.
SHORTEST = min(NAMES, key=lambda name: entry(name).seconds)


def said(cell: NotebookNode) -> str:
    """Return all that a cell shows as text, but for times and the like, as the lane *notebooks* compares it."""
    plain = [output.data.get("text/plain", "") for output in cell.outputs if "data" in output]
    text = "\n".join([told(cell), *plain])
    for pattern, replacement in sanitizers():
        text = pattern.sub(replacement, text)
    return text


def kinds(cell: NotebookNode) -> list[list[str]]:
    """Return what a cell shows: the types of its outputs; all that it prints is one."""
    # A figure is SVG or PNG, whichever weighs less: that may differ between a short run and a whole one.
    figures = dict.fromkeys(("image/png", "image/svg+xml"), "a figure")
    shown = [sorted(figures.get(kind, kind) for kind in output.data) for output in cell.outputs if "data" in output]
    return [["text"], *shown] if told(cell) else shown


def told(cell: NotebookNode, stream: str = "stdout") -> str:
    """Return what a cell prints."""
    return "".join(output.text for output in cell.outputs if output.get("name") == stream)


def warned(cell: NotebookNode) -> str:
    """Return what a cell prints besides: warnings, but no progress bars, which in Colab are wanted."""
    lines = re.split(r"[\r\n]", told(cell, "stderr"))
    return "\n".join(line for line in lines if line.strip() and not re.search(r":\s+\d+%\|", line))


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    """Return a chapter's name: all tests of one chapter follow each other."""
    return request.param


@pytest.fixture
def run(name: str, ran: Callable[..., Run]) -> Run:
    """Return what came of the chapter at the smallest size."""
    run = ran(name)
    if run.problem:
        pytest.skip("a cell broke, as test_it_runs says")
    return run


class TestChapter:
    """What holds for each chapter."""

    def test_code_is_the_chapters_but_for_titles_and_the_wheels_address(
        self, name: str, edition: Callable[[str], NotebookNode]
    ) -> None:
        made = [cell.source for cell in edition(name).cells if cell.cell_type == "code"]
        code = [cell for cell in read(chapters()[name]).cells if cell.cell_type == "code"]
        written = [f"# @title {title(cell)}\n{cell.source}" if title(cell) else cell.source for cell in code]
        assert made[1:] == written[1:]
        pairs = zip(made[0].splitlines(), written[0].splitlines(), strict=True)
        assert [was.strip().partition(" = ")[0] for now, was in pairs if now != was] == ["WHEEL"]

    def test_it_runs(self, name: str, ran: Callable[..., Run]) -> None:
        run = ran(name)
        assert not run.problem, run.problem
        assert [cell.execution_count for cell in run.code] == list(range(1, len(run.code) + 1)), "without a restart"

    def test_nothing_of_the_repository_was_at_hand(self, run: Run) -> None:
        paths = [Path(part) for part in run.path]
        assert not [part for part in paths if part.is_relative_to(ROOT) and not part.is_relative_to(FOLDER)]

    def test_the_setup_cell_touches_nothing_else(
        self, run: Run, brings: set[str], packages: Path, untouched: dict[str, tuple[int, int]]
    ) -> None:
        assert {canonicalize_name(one) for one in run.installed()} == brings
        assert contents(packages) == untouched
        assert not Path(run.after[OURS][1]).is_relative_to(ROOT), "from the wheel"

    def test_the_setup_cell_says_what_a_reader_needs(self, name: str, run: Run) -> None:
        said = told(run.code[0])
        shown = f"attention {attention.__version__} · torch {run.before['torch'][0]}"
        # torch names its build as well: 2.11.0+cu128.
        assert re.search(rf"{re.escape(shown)}(\+\w+)? · Python 3\.", said)
        assert "device: CPU, threads: 1 · budget: smoke" in said
        assert f"time: about {entry(name).seconds} s on" in said
        assert not re.search("error|warning", said, re.IGNORECASE)

    def test_no_cell_warns(self, run: Run) -> None:
        assert [(cell.source, warned(cell)) for cell in run.code if warned(cell)] == []

    def test_every_cell_shows_what_it_shows_in_the_book(self, name: str, run: Run) -> None:
        book = [cell for cell in read(chapters()[name]).cells if cell.cell_type == "code"]
        pairs = zip(run.code[1:], book[1:], strict=True)
        assert [(now.source, kinds(now), kinds(was)) for now, was in pairs if kinds(now) != kinds(was)] == []


def test_full_size(ran: Callable[..., Run]) -> None:
    run = ran(SHORTEST, "cpu")
    assert not run.problem, run.problem
    assert "budget: cpu" in told(run.code[0])
    everything = "".join(told(cell) for cell in run.code)
    assert "✓" in everything
    assert "not judged" not in everything
    book = [cell for cell in read(chapters()[SHORTEST]).cells if cell.cell_type == "code"]
    pairs = list(zip(run.code[1:], book[1:], strict=True))
    assert [(now.source, kinds(now), kinds(was)) for now, was in pairs if kinds(now) != kinds(was)] == []
    fixed = [pair for pair in pairs if "nbval-ignore-output" not in tags(pair[1])]
    assert [(was.source, said(now), said(was)) for now, was in fixed if said(now) != said(was)] == []
    assert sum(map(len, (said(now) for now, _ in fixed))) > 1000


# --- these tests can fail


def test_a_broken_cell_is_named(machine: Colab) -> None:
    cells = ["import sys\nassert 'google.colab' in sys.modules", "x = 1", "y = 2\nx / 0"]
    run = machine.run("made", new_notebook(cells=[new_code_cell(cell) for cell in cells]), "smoke")
    head = "made: cell 3 of 3 cells of code broke: ZeroDivisionError: division by zero"
    assert run.problem.startswith(f"{head}\n\ny = 2\nx / 0\n\n")
    assert [len(cell.outputs) for cell in run.code] == [0, 0, 1]
    assert "\x1b" not in run.problem


@pytest.mark.parametrize(
    ("source", "problem"), [("import os\nos._exit(1)", "DeadKernelError"), ("while True: pass", "CellTimeoutError")]
)
def test_a_cell_that_never_ends_is_named(packages: Path, tmp_path: Path, source: str, problem: str) -> None:
    notebook = new_notebook(cells=[new_code_cell("x = 1"), new_code_cell(source)])
    run = Colab(tmp_path, limit=5).run("made", notebook, "smoke")
    assert run.problem.startswith(f"made: cell 2 of 2 cells of code broke: {problem}\n")


def test_a_warning_is_told_from_a_progress_bar(machine: Colab) -> None:
    cells = [
        "from tqdm import tqdm\nfor _ in tqdm(range(3), desc='SE, seed 0', leave=False): pass",
        "import warnings\nwarnings.warn('old')",
    ]
    run = machine.run("warns", new_notebook(cells=[new_code_cell(cell) for cell in cells]), "smoke")
    assert "SE, seed 0:" in told(run.code[0], "stderr")
    assert warned(run.code[0]) == ""
    assert "UserWarning: old" in warned(run.code[1])
    assert kinds(run.code[1]) == []


def test_a_cell_that_brings_another_version_is_noticed(
    machine: Colab, tmp_path: Path, packages: Path, untouched: dict[str, tuple[int, int]]
) -> None:
    wheel = tmp_path / "einops-99.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("einops/__init__.py", "")
        file.writestr("einops-99.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: einops\nVersion: 99.0\n")
        file.writestr("einops-99.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr("einops-99.0.dist-info/RECORD", "")
    cell = new_code_cell(f"%pip install --quiet {wheel.as_uri()} torchinfo\nimport einops, torchinfo")
    run = machine.run("upgrade", new_notebook(cells=[cell]), "smoke")
    assert not run.problem, run.problem
    assert run.installed() == {"einops", "torchinfo"}
    assert run.after["einops"][0] == "99.0"
    assert contents(packages) == untouched, "it has a copy of its own"


def test_a_change_of_a_file_is_noticed(tmp_path: Path) -> None:
    for name in ("one.py", "two.py", "__pycache__/one.pyc"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("1")
    before = contents(tmp_path)
    assert before.keys() == {"one.py", "two.py"}
    (tmp_path / "__pycache__" / "one.pyc").write_text("22")
    assert contents(tmp_path) == before
    (tmp_path / "two.py").write_text("22")
    assert contents(tmp_path) != before
