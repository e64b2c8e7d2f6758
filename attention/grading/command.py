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
import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from attention.grading.folder import find, names, shown
from attention.grading.questions import Assignment
from attention.grading.report import FAILED, Graded, grade, without_notebook
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
    :returns: 0, whatever the submissions are; 2 where the grader itself cannot work, or could not grade one of them.
    """
    options = _options(arguments)
    if os.name != "posix":
        _say("this needs Linux or macOS; on Windows, use WSL")
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
        _say(error)
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


def _single(path: Path, assignment: Assignment) -> Graded:
    """Grade a file, or the one notebook of a folder."""
    if not path.is_dir():
        return grade(path, assignment)
    found, others = find(path)
    if len(found) == 1:
        return grade(found[0], assignment)
    many = f"the submission holds {len(found)} notebooks ({_listed(found)}): submit one"
    none = "the submission holds no notebook, no file named *.ipynb"
    none += f"; it holds {_listed(others)}" if others else ""
    return without_notebook(assignment, many if found else none)


def _folder(options: argparse.Namespace, assignment: Assignment) -> int:
    """Grade all notebooks of a folder: a report each, and one table, which grows by a row with each of them."""
    reports = options.report or Path("reports")
    found, others = find(options.submission)
    paths = [path.relative_to(options.submission) for path in found]
    parts = [(q.id, number, part) for q in assignment.questions for number, part in enumerate(q.parts, 1)]
    heads = [f"{question}.{number} {part.title}" for question, number, part in parts]
    reports.mkdir(parents=True, exist_ok=True)
    failed = 0
    with (reports / "scores.csv").open("w", 1, encoding="utf-8", errors="replace", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["submission", "report", "score", "of", *heads])
        for path, name in zip(paths, names(paths), strict=True):
            told = shown(path)
            try:
                graded = grade(options.submission / path, assignment)
                _write(reports / f"{name}.md", graded.text())
            except Exception as error:  # whatever it was: the others are graded all the same
                failed += 1
                _say(f"{told}: not graded: {type(error).__name__}: {error}")
                scores, line = ["", "", *("" for _ in heads)], "not graded"
                with suppress(OSError):
                    _write(reports / f"{name}.md", f"# {assignment.title}\n\n{FAILED}\n")
            else:
                _trouble(graded, told)
                each = ["" if mark.score is None else f"{mark.score:g}" for mark in graded.marks]
                scores, line = (
                    [f"{graded.score:g}", f"{graded.points:g}", *each],
                    f"{graded.score:g} of {graded.points:g}",
                )
            table.writerow([_cell(told), _cell(f"{name}.md"), *scores])
            if not options.quiet:
                print(f"{told}: {line}", flush=True)
    if others:
        _say(f"not graded, because their names do not end in .ipynb: {_listed(others)}")
    if not options.quiet:
        print(f"{len(paths)} submissions; reports and scores.csv are in {shown(reports)}")
    return 2 if failed else 0


def _listed(paths: Sequence[Path]) -> str:
    more = f" and {len(paths) - 5} more" if len(paths) > 5 else ""
    return ", ".join(shown(path.name)[:100] for path in paths[:5]) + more


def _say(text: object) -> None:
    """Tell the instructor something, and nobody else."""
    print(f"grade: {shown(text)}", file=sys.stderr, flush=True)


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
        _say(f"other users may read {path.name}; chmod 600 keeps it from submissions")


def _trouble(graded: Graded, name: str) -> None:
    unfenced = graded.memory[1] and "files" not in graded.fences and "user" not in graded.fences
    fence = ["only Python's audit hook kept this submission from the grading file (see attention.grading.command)"]
    for line in graded.trouble + (fence if unfenced else []):
        _say(f"{name}: {line}")
