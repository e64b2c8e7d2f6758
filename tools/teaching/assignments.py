"""Make what an assignment consists of, from one notebook: the student's, the instructor's, and Gradescope's upload.

``assignments/<name>.ipynb`` is an ordinary notebook that runs from top to bottom with its solutions;
``assignments/<name>.grading.py`` holds the hidden tests and the points. From the two, ``_build/assignments`` gets

* ``student/<name>.ipynb``: stubs in place of solutions, the public checks, no outputs;
* ``instructor/<name>.ipynb``: the solutions, and after each question its points, rubric and expected time;
* ``gradescope/<name>.zip``: what Gradescope's form for a programming assignment takes. It holds the hidden tests.

What is marked in the source, and how:

* ``# solution: begin`` and ``# solution: end``, each alone on a line, in a code cell: what stands between them is the
  solution. The lines ``# stub: …`` that follow, without the mark, are what the student gets instead, with the same
  indentation. In the source they are comments, so that the notebook runs. A solution without a stub just goes.
* ``<!-- solution: begin -->`` and ``<!-- solution: end -->`` in a text cell: the student gets the line
  ``Your answer here.`` instead, which is what the grader takes for no answer. Put a mark such as ``<!-- answer 7 -->``
  before it.
* the tag ``instructor``: the whole cell, for the instructor alone. Each question has one, which begins with
  ``**Expected time: 20 minutes.**``; its points and rubrics are added from the grading file.
* the tag ``public-check``, together with ``no-grading``, which keeps the grader from executing it: a public check. It
  is plain code of the notebook and no part of the package, so that what a student can read is all in one place.
* the tag ``setup``: the cell that gets the installation in Colab, as in the chapters.
* the tag ``given``: code that the student gets on purpose, such as a block to be mended. Its lines are no secret; a
  solution may repeat them.

A question begins with ``## Question 2 · The kernel size (12 points)``; number, title and points must be those of the
grading file. An assignment is not written where they differ, where a mark has no partner, or where a line of a
solution or of the grading file has got into the student's notebook.

In Gradescope, upload the zip under *Configure Autograder*, with 768 MB of memory or more. Its ``setup.sh`` installs
torch from where pip looks for it, which on Linux is a build for CUDA: several gigabytes, and more than 768 MB of memory
as soon as it is imported. So ``make assignments TORCH_INDEX=…`` names torch's own index of builds for the CPU.
"""

import argparse
import re
import shlex
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

import attention
from attention.grading import Assignment, Manual, Question, command
from attention.grading.runner import GraderError
from tools.chapters import METADATA, ROOT, read, settings, tags, text
from tools.publishing.site import build_wheel
from tools.writing.sync import SETUP

BEGIN, END, STUB = "# solution: begin", "# solution: end", "# stub:"
TEXT_BEGIN, TEXT_END = "<!-- solution: begin -->", "<!-- solution: end -->"
PLACEHOLDER = "Your answer here."
HEADING = re.compile(r"^## Question (\w+) · (.+) \(([\d.]+) points?\)$", re.M)
TIME = re.compile(r"^\*\*Expected time: (\d+) minutes\.\*\*")
#: The first half of a chapter's set-up cell: what installs the package in Colab.
INSTALL = SETUP.partition("\nfrom attention")[0].rstrip()
TELLING = 16  # characters: a shorter line of a solution, ``return k``, gives nothing away

SETUP_SH = """\
#!/usr/bin/env bash
# Gradescope runs this once, as root, when it builds the image. AUTOGRADER and PYTHON can be set to try it elsewhere.
set -euo pipefail
AUTOGRADER="${AUTOGRADER:-/autograder}"
TORCH_INDEX="${TORCH_INDEX:-@TORCH_INDEX@}"

newest() {
  for each in "${PYTHON:-}" python3.13 python3.12 python3.11 python3; do
    if [ -n "$each" ] && "$each" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
    then echo "$each"; return; fi
  done
}

if [ -z "$(newest)" ]; then
  apt-get update
  DEBIAN_FRONTEND=noninteractive apt-get install -y python3.11 python3.11-venv
fi
"$(newest)" -m venv "$AUTOGRADER/venv"
pip() { "$AUTOGRADER/venv/bin/python" -m pip install --no-cache-dir --disable-pip-version-check "$@"; }
cd "$AUTOGRADER/source"
if [ -n "$TORCH_INDEX" ]; then
  # Without its dependencies, which that place need not have; they come with the package's.
  pip --no-deps --index-url "$TORCH_INDEX" "$(grep '^torch==' constraints.txt)"
fi
pip --constraint constraints.txt ./*.whl
# Where submissions run as a user of their own, that user must reach the interpreter, and never the grading file.
chmod a+rx "$AUTOGRADER" "$AUTOGRADER/venv"
chmod 600 ./*.grading.py
"""
RUN_AUTOGRADER = """\
#!/usr/bin/env bash
# Gradescope runs this for each submission. AUTOGRADER and PYTHON can be set to try it elsewhere.
set -euo pipefail
AUTOGRADER="${AUTOGRADER:-/autograder}"
PYTHON="${PYTHON:-$AUTOGRADER/venv/bin/python}"
chmod 600 "$AUTOGRADER/source/@NAME@.grading.py"
mkdir -p "$AUTOGRADER/results"
# Not from the folder of the submission: nothing of it may be imported by the grader.
cd "$AUTOGRADER/source"
exec "$PYTHON" -P -m attention.grading "$AUTOGRADER/submission" --quiet \\
  --assignment "$AUTOGRADER/source/@NAME@.grading.py" --results "$AUTOGRADER/results/results.json"
"""


class Misprint(ValueError):
    """The source of an assignment is not as this module's first lines say."""


@dataclass(frozen=True)
class Source:
    """An assignment as it is written.

    :param name: of its files.
    :param notebook: with solutions.
    :param assignment: what the grading file defines.
    :param grading: the grading file.
    """

    name: str
    notebook: NotebookNode
    assignment: Assignment
    grading: Path


def load(name: str, root: Path = ROOT) -> Source:
    """Read an assignment.

    :raises Misprint: where its grading file cannot be read.
    """
    folder = root / "assignments"
    grading = folder / f"{name}.grading.py"
    try:
        assignment = command.load(grading)
    except GraderError as problem:
        raise Misprint(str(problem)) from problem
    return Source(name, read(folder / f"{name}.ipynb"), assignment, grading)


def names(root: Path = ROOT, chosen: str = "") -> list[str]:
    """List the assignments.

    :param chosen: only this one.
    :raises Misprint: for a name that is none.
    """
    found = sorted(path.stem for path in (root / "assignments").glob("*.ipynb"))
    if chosen and chosen not in found:
        raise Misprint(f"NAME={chosen!r} is not an assignment; there are: {', '.join(found) or 'none'}")
    return [chosen] if chosen else found


# Solutions and stubs.


def split(source: str, where: str) -> list[tuple[str, str]]:
    """Take a cell's source apart, line by line.

    :param source: of a code cell or of a text cell.
    :param where: the cell, for messages.
    :returns: kind and line; the kinds are ``common``, ``solution``, ``stub`` (without its mark) and ``mark``.
    :raises Misprint: for a mark without a partner, or a stub that follows no solution.
    """
    lines, inside, ready = [], False, False
    for line in source.splitlines():
        plain = line.strip()
        if plain in (BEGIN, TEXT_BEGIN, END, TEXT_END):
            if inside == (plain in (BEGIN, TEXT_BEGIN)):
                raise Misprint(f"{where}: {plain!r} without a partner")
            inside, ready = not inside, inside
            lines.append(("mark", line))
        elif plain.startswith(STUB):
            if inside or not ready:
                raise Misprint(f"{where}: a stub follows a solution: {plain!r}")
            indent = line[: len(line) - len(line.lstrip())]
            lines.append(("stub", (indent + plain.removeprefix(STUB).removeprefix(" ")).rstrip()))
        else:
            ready = ready and inside
            lines.append(("solution" if inside else "common", line))
    if inside:
        raise Misprint(f"{where}: a solution has no end")
    return lines


def stubbed(source: str, where: str) -> str:
    """Return a cell's source as the student gets it."""
    kept = []
    for kind, line in split(source, where):
        if kind in ("common", "stub"):
            kept.append(line)
        elif kind == "mark" and line.strip() == TEXT_END:
            kept.append(PLACEHOLDER)
    return re.sub(r"\n{4,}", "\n\n\n", "\n".join(kept)).strip("\n")


def solved(source: str, where: str) -> str:
    """Return a cell's source as the instructor gets it: with its solution, which is named as such."""
    names = {BEGIN: "# Solution:", TEXT_BEGIN: "*Solution.*\n"}
    kept = []
    for kind, line in split(source, where):
        if kind in ("common", "solution"):
            kept.append(line)
        elif line.strip() in names and kind == "mark":
            kept.append(line.replace(line.strip(), names[line.strip()]))
    return "\n".join(kept).strip("\n")


# The two notebooks.


def student(source: Source, root: Path = ROOT) -> NotebookNode:
    """Return the student's notebook.

    :raises Misprint: for a source that is not as it should be, or a notebook that would tell a solution.
    """
    checked(source)
    made = _made(source, root, stubbed, kept=("no-grading",))
    made.cells = [cell for cell in made.cells if cell.source]
    if told := leaks(made, source):
        raise Misprint(f"{source.name}: the student's notebook would hold {told[0]!r}")
    return made


def instructor(source: Source, root: Path = ROOT) -> NotebookNode:
    """Return the instructor's notebook: with solutions, points, rubrics and times.

    :raises Misprint: for a source that is not as it should be.
    """
    minutes = checked(source)
    made = _made(source, root, solved, kept=("no-grading", "instructor"))
    open_points = sum(p.points for q in source.assignment.questions for p in q.parts if isinstance(p, Manual))
    made.cells[0].source += (
        f"\n\n---\n\n**For instructors.** This notebook holds the solutions. Expected time: {sum(minutes.values())} "
        f"minutes. Points: {source.assignment.points:g} by the grader, {open_points:g} by hand."
    )
    questions = {question.id: question for question in source.assignment.questions}
    current = ""
    for cell in made.cells:
        if found := HEADING.search(cell.source):
            current = found[1]
        if "instructor" in tags(cell):
            cell.source = f"---\n\n{cell.source}\n\n{marks(questions[current])}\n\n---"
    return made


def marks(question: Question) -> str:
    """Write a question's parts, points and rubrics as a table."""
    rows = ["| Part | Points | Given |", "|:--|--:|:--|"]
    for part in question.parts:
        given = f"by hand: {part.rubric}" if isinstance(part, Manual) else "by a hidden test" if part.hidden else ""
        rows.append(f"| {part.title} | {part.points:g} | {given or 'by the grader'} |".replace("\n", " "))
    return "\n".join(rows)


def _made(source: Source, root: Path, change, kept: tuple[str, ...]) -> NotebookNode:
    made = nbformat.from_dict(source.notebook)
    cells = []
    for place, old in enumerate(source.notebook.cells):
        if "instructor" in tags(old) and "instructor" not in kept:
            continue
        cell = nbformat.from_dict(dict(old))
        cell.source = change(old.source, f"{source.name}, cell {place}")
        if "setup" in tags(old):
            wheel = settings(root).wheel(attention.__version__)
            cell.source = f"{INSTALL.format(wheel=wheel)}\n\n{cell.source}"
        mine = [tag for tag in tags(old) if tag in kept]
        cell.metadata = nbformat.from_dict({"tags": mine} if mine else {})
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        cells.append(cell)
    made.cells = cells
    made.metadata = nbformat.from_dict(METADATA)
    return made


def checked(source: Source) -> dict[str, int]:
    """Compare a notebook with its grading file.

    :returns: the expected minutes of each question.
    :raises Misprint: where the two differ, or something is missing.
    """
    wanted = {q.id: (q.title, f"{sum(part.points for part in q.parts):g}") for q in source.assignment.questions}
    found, minutes, current = {}, {}, ""
    for cell in source.notebook.cells:
        if heading := HEADING.search(cell.source):
            current = heading[1]
            found[current] = (heading[2], heading[3])
        if "instructor" in tags(cell):
            time = TIME.match(cell.source)
            if time is None or not current or current in minutes:
                raise Misprint(f"{source.name}, question {current}: needs one instructor's cell with an expected time")
            minutes[current] = int(time[1])
        if "public-check" in tags(cell) and "no-grading" not in tags(cell):
            raise Misprint(f"{source.name}, question {current}: a public check needs the tag no-grading too")
    for each in {**wanted, **found}:
        if found.get(each) != wanted.get(each):
            both = f"the notebook says {found.get(each)}, the grading file {wanted.get(each)}"
            raise Misprint(f"{source.name}, question {each}: {both}")
    if set(minutes) != set(wanted):
        raise Misprint(f"{source.name}: no expected time for {', '.join(sorted(set(wanted) - set(minutes)))}")
    if sum("setup" in tags(cell) for cell in source.notebook.cells) != 1:
        raise Misprint(f"{source.name}: needs one cell that is tagged 'setup'")
    return minutes


def leaks(made: NotebookNode, source: Source) -> list[str]:
    """Find lines of solutions, of instructors' cells and of the grading file in a notebook for students.

    A line that stands word for word in a solution is found wherever it has got to: into a public check, for one.

    :param made: the notebook.
    :param source: what it was made of.
    :returns: what was found.
    """
    told = "\n".join(cell.source for cell in made.cells)
    secret = []
    for place, cell in enumerate(source.notebook.cells):
        hers = "instructor" in tags(cell)
        for kind, line in split(cell.source, f"{source.name}, cell {place}"):
            if hers or kind == "solution":
                secret.append(line.strip())
    secret += [line.strip() for line in source.grading.read_text(encoding="utf-8").splitlines()]
    given = {line.strip() for c in source.notebook.cells if "given" in tags(c) for line in c.source.splitlines()}
    lines = {line.strip() for line in told.splitlines()} - given
    found = [line for line in secret if len(line) >= TELLING and line in lines]
    return found + [mark for mark in (BEGIN, END, STUB, TEXT_BEGIN, TEXT_END) if mark in told]


# Gradescope.


def gradescope(source: Source, wheel: Path, root: Path = ROOT, torch_index: str = "") -> dict[str, bytes]:
    """Return the files of an upload by name.

    :param wheel: the package.
    :param torch_index: where pip finds torch; by default where it finds all else.
    """
    quoted = shlex.quote(torch_index).strip("'")
    pins = (root / "requirements.txt").read_text(encoding="utf-8")
    return {
        "setup.sh": SETUP_SH.replace("@TORCH_INDEX@", quoted).encode(),
        "run_autograder": RUN_AUTOGRADER.replace("@NAME@", source.name).encode(),
        "constraints.txt": pins.encode(),
        source.grading.name: source.grading.read_bytes(),
        wheel.name: wheel.read_bytes(),
    }


def zipped(files: dict[str, bytes], target: Path) -> None:
    """Write a zip that is the same, byte for byte, whenever it is made of the same files."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            about = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            about.compress_type = zipfile.ZIP_DEFLATED
            about.create_system = 3  # Unix, wherever it is made: else the modes below are lost
            runs = name.endswith(".sh") or name == "run_autograder"
            private = name.endswith(".grading.py")
            about.external_attr = (0o100000 | (0o755 if runs else 0o600 if private else 0o644)) << 16
            archive.writestr(about, files[name])


def same_times(wheel: Path) -> None:
    """Write a wheel anew without the times of its files."""
    with zipfile.ZipFile(wheel) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    zipped(files, wheel)


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Make one assignment, or all."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("name", nargs="?", default="", help="one assignment; all without it")
    parser.add_argument("--torch-index", default="", help="where Gradescope's image gets torch from")
    given = parser.parse_args(arguments)
    out = root / "_build" / "assignments"
    try:
        sources = [load(name, root) for name in names(root, given.name)]
        for source in sources:
            for kind, made in (("student", student(source, root)), ("instructor", instructor(source, root))):
                target = out / kind / f"{source.name}.ipynb"
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text(made), encoding="utf-8")
                print(f"wrote {target.relative_to(root).as_posix()}")
        (out / "gradescope").mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            wheel = build_wheel(root, Path(folder))
            same_times(wheel)
            for source in sources:
                target = out / "gradescope" / f"{source.name}.zip"
                zipped(gradescope(source, wheel, root, given.torch_index), target)
                print(f"wrote {target.relative_to(root).as_posix()}")
        if not given.torch_index:
            print("Without TORCH_INDEX, Gradescope gets torch's build for CUDA, which does not fit into 768 MB.")
    except (Misprint, RuntimeError) as problem:
        print(f"assignments: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
