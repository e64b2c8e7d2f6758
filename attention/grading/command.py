"""Grade a notebook, or a folder of them: ``python -m attention.grading submission.ipynb --assignment FILE``.

The submission runs in a process of its own, under limits on time, memory and output, and only answers calls. What is
expected, the hidden inputs and the scores stay in this process. They are numpy arrays, compared here; whatever a
submission does to torch's, numpy's or Python's functions, it does to itself.

What keeps a submission from reading the grading file, in the order of their strength:

* A user of its own. Where the grader runs as root and the interpreter lies where all users may read it, as on
  Gradescope, the submission runs as ``nobody``. The grading file must then be unreadable to others (``chmod 600``); a
  line on stderr says so where it is not.
* The kernel's fences, on Linux: no files outside the interpreter, the system's libraries, this package and a temporary
  folder (Landlock, Linux 5.13); no sockets, programs, processes, signals to others (seccomp, on x86-64 and arm64). They
  cannot be taken down from within. ``results.json`` says under ``extra_data`` which of these stood.
* Python's audit hook, everywhere: it names what it refuses in the report. Alone, it stops accidents and plain attempts,
  and not a submission that is written to attack CPython itself.

It does not protect against a submission that holds another person's right answers, from guessing by submitting often,
or from a fault of the kernel. On macOS neither of the first two is at hand, and memory is not limited: grade what
strangers submit in a container of Linux. A submission may fill a temporary folder with up to 4 GB; it is deleted
afterwards.
"""

import argparse
import csv
import io
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from attention.grading.questions import Assignment
from attention.grading.report import Graded, grade, without_notebook
from attention.grading.runner import GraderError, readable_folders

__all__ = ["grade", "load", "main"]


def load(path: str | Path) -> Assignment:
    """Read a grading file.

    It is executed without being imported, so that no compiled copy of it is left beside it.

    :param path: a Python file that defines ``ASSIGNMENT``.
    :raises attention.grading.runner.GraderError: where there is none, where it raises, or where it lies in a
        place that submissions may read.
    """
    path = Path(path)
    real = path.resolve()
    for folder in readable_folders():
        if real.is_relative_to(folder):
            raise GraderError(f"{path.name} lies in {folder}, which submissions may read: move it elsewhere")
    names = {"__name__": "grading_file", "__file__": str(real)}
    try:
        exec(compile(real.read_text(encoding="utf-8"), str(path), "exec"), names)
    except Exception as error:
        raise GraderError(f"{path.name}: {type(error).__name__}: {error}") from error
    assignment = names.get("ASSIGNMENT")
    if not isinstance(assignment, Assignment):
        raise GraderError(f"{path.name}: expected it to define ASSIGNMENT, an Assignment of attention.grading")
    return assignment


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    :param arguments: by default those of the command line.
    :returns: 0, whatever the submission is; 2 where the grader itself cannot work.
    """
    options = _options(arguments)
    if os.name != "posix":
        print("grade: this needs Linux or macOS; on Windows, use WSL", file=sys.stderr)
        return 2
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that knows no ✓
    try:
        assignment = load(options.assignment)
        if options.seconds is not None:
            assignment = replace(assignment, limits=replace(assignment.limits, total=options.seconds))
        _warn(options.assignment)
        if options.submission.is_dir() and options.results is None:
            return _folder(options, assignment)
        graded = _single(options.submission, assignment)
        if options.results is not None:
            _write(options.results, json.dumps(graded.gradescope(), indent=1, ensure_ascii=False))
        if options.report is not None:
            _write(options.report, graded.text())
        if not options.quiet:
            print(graded.text())
        _trouble(graded, options.submission.name)
    except (GraderError, OSError) as error:
        print(f"grade: {error}", file=sys.stderr)
        return 2
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m attention.grading", description="Grade a notebook, or a folder of them."
    )
    parser.add_argument("submission", type=Path, help="a notebook; or a folder: then all notebooks in it are graded")
    parser.add_argument("--assignment", type=Path, required=True, help="the grading file, which defines ASSIGNMENT")
    parser.add_argument(
        "--results", type=Path, help="write Gradescope's results.json; a folder must then hold exactly one notebook"
    )
    parser.add_argument(
        "--report", type=Path, help="write the report here; for a folder: a folder, by default reports/"
    )
    parser.add_argument("--seconds", type=float, help="time for one submission, instead of the grading file's own")
    parser.add_argument("--quiet", action="store_true", help="print nothing")
    return parser.parse_args(arguments)


def _found(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)


def _single(path: Path, assignment: Assignment) -> Graded:
    """Grade a file, or the one notebook of a folder."""
    if not path.is_dir():
        return grade(path, assignment)
    found = _found(path)
    if len(found) == 1:
        return grade(found[0], assignment)
    many = f"the submission holds {len(found)} notebooks ({', '.join(each.name for each in found[:5])}): submit one"
    return without_notebook(assignment, many if found else "the submission holds no notebook, no file named *.ipynb")


def _folder(options: argparse.Namespace, assignment: Assignment) -> int:
    """Grade all notebooks of a folder: a report each, and one table."""
    reports = options.report or Path("reports")
    rows, heads = [], []
    for path in _found(options.submission):
        name = "__".join(path.relative_to(options.submission).with_suffix("").parts)[:150]
        name = name.encode("utf-8", "replace").decode()
        taken = sum(row[0] in (_cell(name), name) for row in rows)
        name += f"-{taken + 1}" if taken else ""
        graded = grade(path, assignment)
        _write(reports / f"{name}.md", graded.text())
        _trouble(graded, name)
        heads = [f"{mark.number} {mark.title}" for mark in graded.marks]
        scores = ["" if mark.score is None else f"{mark.score:g}" for mark in graded.marks]
        rows.append([_cell(name), f"{graded.score:g}", f"{graded.points:g}", *scores])
        if not options.quiet:
            print(f"{name}: {graded.score:g} of {graded.points:g}", flush=True)
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows([["submission", "score", "of", *heads], *rows])
    _write(reports / "scores.csv", table.getvalue())
    if not options.quiet:
        print(f"{len(rows)} submissions; reports and scores.csv are in {reports}")
    return 0


def _cell(text: str) -> str:
    """Keep a spreadsheet from taking a file's name for a formula."""
    return f"'{text}" if text[:1] in "=+-@\t\r" else text


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", errors="replace")


def _warn(path: Path) -> None:
    """Say where a submission that runs as a user of its own could read the grading file all the same."""
    real = path.resolve()
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    others = real.stat().st_mode & 0o004 and all(each.stat().st_mode & 0o001 for each in real.parents)
    if root and others:
        print(f"grade: other users may read {path.name}; chmod 600 keeps it from submissions", file=sys.stderr)


def _trouble(graded: Graded, name: str) -> None:
    unfenced = graded.memory[1] and "files" not in graded.fences and "user" not in graded.fences
    fence = ["only Python's audit hook kept this submission from the grading file (see attention.grading.command)"]
    for line in graded.trouble + (fence if unfenced else []):
        print(f"grade: {name}: {line}", file=sys.stderr)
