"""What ``make assignments`` writes: nothing of a solution for students, an upload that works, the same bytes again."""

import ast
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest
import torch
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from attention.grading import Manual
from tools.chapters import ROOT, text, wheel_name
from tools.teaching import assignments
from tools.teaching.assignments import Misprint, Source, solved, split, stubbed

CODE = """\
def size(channels):
    # solution: begin
    t = channels
    return 2 * t
    # solution: end
    # stub: t = ...
    # stub: raise NotImplementedError


# solution: begin
other = size(7)
# solution: end
last = 1"""
WORDS = "<!-- answer 1 -->\n<!-- solution: begin -->\nBecause of it.\n<!-- solution: end -->"


def test_stubs_take_the_place_of_solutions() -> None:
    stub = "def size(channels):\n    t = ...\n    raise NotImplementedError\n\n\nlast = 1"
    assert stubbed(CODE, "here") == stub
    assert stubbed(WORDS, "here") == "<!-- answer 1 -->\nYour answer here."
    full = solved(CODE, "here")
    assert "stub" not in full
    assert "    # Solution:\n    t = channels\n    return 2 * t\n" in full
    assert solved(WORDS, "here") == "<!-- answer 1 -->\n*Solution.*\n\nBecause of it."
    assert stubbed("x = 1\n", "here") == solved("x = 1\n", "here") == "x = 1"


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("# solution: begin\nx", "a solution has no end"),
        ("x\n# solution: end", "without a partner"),
        ("# solution: begin\n# solution: begin", "without a partner"),
        ("x\n# stub: ...", "a stub follows a solution"),
        ("# solution: begin\n# stub: ...\n# solution: end", "a stub follows a solution"),
        ("# solution: begin\n# solution: end\nx\n# stub: ...", "a stub follows a solution"),
    ],
)
def test_marks_have_partners(source: str, line: str) -> None:
    with pytest.raises(Misprint, match=line):
        split(source, "here")


#: A line of an instructor's cell.
RUBRIC = "Ties are where solutions differ: $t = 4$ for $C = 128$ and $t = 6$ for"


def changed(eca: Source, cell: str, old: str, new: str) -> Source:
    notebook = nbformat.from_dict(eca.notebook)
    (found,) = (each for each in notebook.cells if each.id == cell)
    assert old in found.source
    found.source = found.source.replace(old, new)
    return Source(eca.name, notebook, eca.assignment, eca.grading)


@pytest.mark.parametrize(
    ("cell", "old", "new", "line"),
    [
        ("q2", "(12 points)", "(13 points)", "question 2: the notebook says"),
        ("q2", "The kernel size", "A kernel size", "question 2: the notebook says"),
        ("q2", "## Question 2", "## Question 9", "question 2: the notebook says None"),
        ("q2-instructor", "**Expected time", "**Time", "question 2: needs one instructor's cell"),
        ("q3", "Write", "k = kernel_size(channels, gamma, b)\nWrite", "would hold 'k = kernel_size"),
        ("q3", "Write", "SIZE = \"equation (2), k = |log2(C)/γ + b/γ|_odd\"\nWrite", "would hold 'SIZE ="),
        ("q3", "Write", f"{RUBRIC}\nWrite", f"would hold {RUBRIC!r}"),
    ],
)  # fmt: skip
def test_a_source_that_is_not_in_order_is_not_written(eca: Source, cell: str, old: str, new: str, line: str) -> None:
    with pytest.raises(Misprint, match=re.escape(line)):
        assignments.student(changed(eca, cell, old, new))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make everything twice, in a copy of the repository, and see that it is the same."""
    root = tmp_path_factory.mktemp("house")
    needed = ("pyproject.toml", "README.md", "LICENSE", "LICENSE-TEXT", "settings.toml")
    for name in ("assignments", "attention", "notebooks", "requirements.txt", *needed):
        (root / name).symlink_to(ROOT / name)
    out = root / "_build" / "assignments"
    first = None
    for _ in range(2):
        assert assignments.main([], root) == 0
        made = {
            path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()
        }
        assert first is None or first == made
        first = made
    names = [path.stem for path in (ROOT / "assignments").glob("*.ipynb")]
    assert sorted(first) == sorted(
        f"{kind}/{name}.{suffix}"
        for name in names
        for kind, suffix in (("student", "ipynb"), ("instructor", "ipynb"), ("gradescope", "zip"))
    )
    return out


def test_the_student_gets_no_solution(eca: Source, built: Path) -> None:
    raw = (built / "student" / "eca.ipynb").read_text(encoding="utf-8")
    made = nbformat.reads(raw, as_version=4)
    nbformat.validate(made)
    told = "\n".join(cell.source for cell in made.cells)
    words = " ".join(told.split())
    for cell in eca.notebook.cells:
        parts = split(cell.source, "here")
        if "instructor" in cell.metadata.get("tags", []):
            assert cell.id not in {each.id for each in made.cells}
            assert " ".join(cell.source.split())[40:100] not in words
        for kind, line in parts:
            if kind == "solution" and line.strip():
                mine = next(each.source for each in made.cells if each.id == cell.id)
                assert line.strip() not in [each.strip() for each in mine.splitlines()]
    grading = eca.grading.read_text(encoding="utf-8")
    longer = [line.strip() for line in grading.splitlines() if len(line.strip()) > 30 and line.strip() in told]
    assert longer == []
    for question in eca.assignment.questions:
        for part in question.parts:
            if isinstance(part, Manual):
                assert part.rubric not in words
            elif part.hint:
                assert part.hint not in words
    assert not any(mark in told for mark in ("solution:", "stub:", "Expected time", "Solution"))


def test_the_students_notebook_is_clean(built: Path) -> None:
    made = nbformat.read(built / "student" / "eca.ipynb", as_version=4)
    assert set(made.metadata) == {"kernelspec", "language_info"}
    for cell in made.cells:
        assert set(cell.metadata) <= {"tags"}
        assert cell.metadata.get("tags", []) in ([], ["no-grading"])
        assert cell.source == cell.source.strip("\n")
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
            ast.parse(cell.source.replace("%pip", "pass  #"))
        else:
            assert "{" not in re.sub(r"\$\$?.*?\$?\$|`[^`]*`", "", cell.source, flags=re.S)  # no MyST
    assert sum("raise NotImplementedError" in cell.source for cell in made.cells) >= 5
    assert wheel_name("0.0.0").partition("-0")[0] in made.cells[1].source


def test_the_checks_run_on_stubs_and_on_solutions(built: Path, capsys) -> None:
    for kind, sign in (("student", "…"), ("instructor", "✓")):
        cells = nbformat.read(built / kind / "eca.ipynb", as_version=4).cells
        names: dict = {"__name__": "notebook"}
        checks = 0
        for cell in cells:
            if cell.cell_type != "code":
                continue
            source = cell.source.replace("%pip", "pass  #").replace("steps=300", "steps=5")
            capsys.readouterr()
            exec(compile(source, cell.id, "exec"), names)
            said = capsys.readouterr().out
            if cell.id == "checks":
                assert said == ""  # it defines what the others call
            elif "no-grading" in cell.metadata.get("tags", []):
                checks += 1
                heads = [line for line in said.splitlines() if not line.startswith("  ")]
                assert heads
                assert all(line.startswith(sign) for line in heads), said
        assert checks == 6


def test_the_instructor_gets_points_rubrics_and_times(eca: Source, built: Path) -> None:
    made = nbformat.read(built / "instructor" / "eca.ipynb", as_version=4)
    told = "\n".join(cell.source for cell in made.cells)
    assert told.count("Expected time: ") == 1 + len(eca.assignment.questions)
    assert "Expected time: 180 minutes. Points: 90 by the grader, 10 by hand." in told
    for question in eca.assignment.questions:
        for part in question.parts:
            assert f"| {part.title} | {part.points:g} |" in told
            assert not isinstance(part, Manual) or part.rubric in told
    assert "stub:" not in told


@pytest.mark.parametrize("name", assignments.names(ROOT, ""))
def test_the_page_for_instructors_states_points_and_time(name: str) -> None:
    source = assignments.load(name, ROOT)
    minutes = sum(assignments.checked(source).values())
    by_hand = sum(p.points for q in source.assignment.questions for p in q.parts if isinstance(p, Manual))
    page = (ROOT / "book" / "teaching.md").read_text(encoding="utf-8")
    row = re.search(rf"^\| `{name}`: \*(.+)\* \| .+ \| (\d+) \| (\d+) \| about (\d+) hours \|$", page, re.MULTILINE)
    assert row
    assert row.groups() == (
        source.assignment.title,
        f"{source.assignment.points:g}",
        f"{by_hand:g}",
        f"{minutes / 60:.0f}",
    )


@pytest.mark.skipif(sys.platform != "linux", reason="Gradescope runs Linux")
def test_the_upload_grades_a_solution(built: Path, tmp_path: Path) -> None:
    """Unpacked in an empty folder, with the wheel unpacked instead of installed, and the folder of Gradescope moved."""
    source, results = tmp_path / "source", tmp_path / "results" / "results.json"
    with zipfile.ZipFile(built / "gradescope" / "eca.zip") as archive:
        archive.extractall(source)
        modes = {each.filename: each.external_attr >> 16 & 0o777 for each in archive.infolist()}
    (wheel,) = source.glob("*.whl")
    assert wheel.name == wheel_name(wheel.name.split("-")[1])
    assert modes.pop("run_autograder") == modes.pop("setup.sh") == 0o755
    assert modes == {wheel.name: 0o644, "eca.grading.py": 0o600, "constraints.txt": 0o644}
    with zipfile.ZipFile(wheel) as archive:
        assert not [name for name in archive.namelist() if "assignment" in name or "tests/" in name]
        archive.extractall(tmp_path / "installed")
    (tmp_path / "submission").mkdir()
    mine = nbformat.read(built / "instructor" / "eca.ipynb", as_version=4)
    (tmp_path / "submission" / "any name.ipynb").write_text(text(mine))
    environment = {
        **os.environ,
        "AUTOGRADER": str(tmp_path),
        "PYTHON": sys.executable,
        "PYTHONPATH": str(tmp_path / "installed"),
    }
    for script in ("setup.sh", "run_autograder"):
        assert subprocess.run(["bash", "-n", source / script], check=False).returncode == 0
    done = subprocess.run(
        ["bash", source / "run_autograder"], env=environment, cwd="/", capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    found = json.loads(results.read_text())
    assert found["score"] == 90
    assert all(test["status"] == "passed" for test in found["tests"] if "score" in test)
    if torch.version.cuda is None:  # Gradescope's smallest container has 768 MB, and gets torch for the CPU
        assert sum(found["extra_data"]["memory_mb"].values()) < 650
    assert (source / "eca.grading.py").stat().st_mode & 0o777 == 0o600


def test_setup_installs_the_pinned_versions(eca: Source, tmp_path: Path) -> None:
    """With a pip and a Python that only say what they were asked for."""
    wheel = tmp_path / wheel_name("1.0")
    wheel.write_bytes(b"")
    for index in ("", "https://torch.example/cpu"):
        files = assignments.gradescope(eca, wheel, torch_index=index)
        source = tmp_path / f"source{len(index)}" / "source"
        source.mkdir(parents=True)
        for name, content in files.items():
            (source / name).write_bytes(content)
        said = tmp_path / f"said{len(index)}"
        python = tmp_path / f"python{len(index)}"
        python.write_text(
            f'#!/usr/bin/env bash\necho "$@" >> {said}\n'
            'if [ "$2" = venv ]; then mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; fi\n'
        )
        python.chmod(0o755)
        given = {**os.environ, "AUTOGRADER": str(source.parent), "PYTHON": str(python), "TORCH_INDEX": ""}
        done = subprocess.run(["bash", source / "setup.sh"], env=given, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        lines = [line for line in said.read_text().splitlines() if line.startswith("-m pip")]
        assert len(lines) == (2 if index else 1)
        assert f"--constraint constraints.txt ./{wheel.name}" in lines[-1]
        if index:
            assert re.search(rf"--no-deps --index-url {index} torch==[\d.]+$", lines[0])
        assert (source / "eca.grading.py").stat().st_mode & 0o777 == 0o600


def test_the_command_names_what_is_wrong(tmp_path: Path, capsys) -> None:
    folder = tmp_path / "assignments"
    folder.mkdir()
    assert assignments.main(["other"], tmp_path) == 1
    assert "NAME='other' is not an assignment; there are: none" in capsys.readouterr().err
    cells = [new_markdown_cell("# T"), new_code_cell("x = 1")]
    (folder / "t.ipynb").write_text(text(new_notebook(cells=cells)))
    (folder / "t.grading.py").write_text("x = 1")
    assert assignments.main([], tmp_path) == 1
    assert "expected it to define ASSIGNMENT" in capsys.readouterr().err
