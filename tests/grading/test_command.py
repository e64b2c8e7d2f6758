"""The command: a file, a folder, a bad grading file, what is for the instructor alone."""

import json
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from attention.grading import Limits, command
from tests.grading.submissions import GRADING, SOLUTION, notebook

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere memory is not limited")


def test_a_folder_gives_a_table(grading_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    for name, text in {"=ada": notebook(*SOLUTION), "sub/bob": "no notebook", ".ipynb_checkpoints/x": "{}"}.items():
        (tmp_path / "in" / f"{name}.ipynb").parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / f"{name}.ipynb").write_text(text)
    monkeypatch.chdir(tmp_path)
    assert command.main([str(tmp_path / "in"), "--assignment", str(grading_file)]) == 0
    assert "2 submissions" in capsys.readouterr().out
    head, *rows = (tmp_path / "reports" / "scores.csv").read_text().splitlines()
    assert head.startswith("submission,report,score,of,1.1 The shape,")
    assert rows == [
        "'=ada.ipynb,'=ada.md,15,15,1,2,2,1,1,3,2,1,1,1,",
        "sub/bob.ipynb,sub__bob.md,0,15,0,0,0,0,0,0,0,0,0,0,",
    ]
    assert "15 of 15" in (tmp_path / "reports" / "=ada.md").read_text()


@pytest.mark.parametrize("names", [(), ("a", "b")])
def test_gradescope_wants_one_notebook(grading_file: Path, tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (tmp_path / f"{name}.ipynb").write_text(notebook())
    results = tmp_path / "results.json"
    line = [str(tmp_path), "--assignment", str(grading_file), "--results", str(results), "--quiet"]
    assert command.main(line) == 0
    found = json.loads(results.read_text())
    assert found["score"] == 0
    assert "notebook" in found["output"]


ALL = "from attention.grading import *\n"
BAD = {
    "raise KeyError('oh')": "KeyError: 'oh'",
    "x = (": "SyntaxError",
    "x = 1": "expected it to define ASSIGNMENT",
    f"{ALL}ASSIGNMENT = Assignment('a', ())": "expected one or more",
    f"{ALL}q = Question('1', 'q', (Manual('m', 1, 'r'),))\nASSIGNMENT = Assignment('a', (q, q))": "an id of its own",
    f"{ALL}q = Question('1', 'q', (Part('p', 1, 'f', Shape(())),))\nASSIGNMENT = Assignment('a', (q,))": "ask or judge",
    f"{ALL}q = Question('1', 'q', (Part('p', 1, Call('f', object()), Shape(())),))\n"
    "ASSIGNMENT = Assignment('a', (q,))": "can be sent, not object",
}


@pytest.mark.parametrize(("source", "line"), BAD.items(), ids=range(len(BAD)))
def test_a_bad_grading_file_is_the_graders_own_error(tmp_path: Path, capsys, source: str, line: str) -> None:
    (tmp_path / "bad.grading.py").write_text(source)
    (tmp_path / "submission.ipynb").write_text(notebook())
    given = [str(tmp_path / "submission.ipynb"), "--assignment", str(tmp_path / "bad.grading.py")]
    assert command.main(given) == 2
    assert line in capsys.readouterr().err


def test_a_grading_file_that_submissions_could_read_is_refused(tmp_path: Path, capsys) -> None:
    inside = Path(command.__file__).with_name("command.py")
    assert command.main([str(tmp_path), "--assignment", str(inside)]) == 2
    assert "move it elsewhere" in capsys.readouterr().err
    assert command.main([str(tmp_path), "--assignment", str(tmp_path / "none.py")]) == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands submissions to another user")
def test_what_is_for_the_instructor_stands_in_no_report(tmp_path: Path, capsys) -> None:
    (tmp_path / "mine.ipynb").write_text("no notebook")
    results, report = tmp_path / "results.json", tmp_path / "report.md"
    with tempfile.TemporaryDirectory() as folder:
        open_to_all = Path(folder) / "g.grading.py"
        open_to_all.write_text(GRADING)
        Path(folder).chmod(0o755)
        given = ["--assignment", str(open_to_all), "--results", str(results), "--report", str(report)]
        assert command.main([str(tmp_path / "mine.ipynb"), *given]) == 0
    shown = capsys.readouterr()
    assert shown.err == "grade: other users may read g.grading.py; chmod 600 keeps it from submissions\n"
    assert "other users" not in shown.out + results.read_text() + report.read_text()


def test_a_judge_that_fails_is_no_submissions_fault(tmp_path: Path, capsys) -> None:
    (tmp_path / "g.grading.py").write_text(
        "from attention.grading import *\n"
        "ASSIGNMENT = Assignment('a', (Question('1', 'q', (\n"
        "    Part('p', 1, Text('here'), Check(lambda text: 1 / 0)), Part('q', 1, Text('here'), Words(1)))),))\n"
    )
    (tmp_path / "submission.ipynb").write_text(notebook(answer="here\nwords"))
    assert command.main([str(tmp_path / "submission.ipynb"), "--assignment", str(tmp_path / "g.grading.py")]) == 0
    shown = capsys.readouterr()
    assert "1 of 2 points" in shown.out
    assert "not your fault" in shown.out
    assert "ZeroDivisionError" in shown.err


def test_time_that_is_used_up_is_said_once_and_the_text_is_still_read(graded, grading_file, tmp_path) -> None:
    path = tmp_path / "slow.ipynb"
    path.write_text(notebook("while True:\n    pass", *SOLUTION))
    assert (
        command.main(
            [str(path), "--assignment", str(grading_file), "--seconds", "0.5", "--report", str(tmp_path / "r")]
        )
        == 0
    )
    text = (tmp_path / "r").read_text()
    assert "1 of 15 points" in text
    assert "The time for this notebook, 0 seconds, was used up." in text


def test_a_notebook_is_not_started_again_for_ever(grading_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "ends.ipynb"
    path.write_text(notebook(*["import os\nos._exit(7)"] * 3, *SOLUTION))
    assignment = command.load(grading_file)
    result = command.grade(path, replace(assignment, limits=replace(assignment.limits, restarts=1)))
    assert result.score == 1  # the text
    assert "The notebook ended the grader's process 2 times; it was not started again." in result.text()


def test_limits_leave_room_for_the_grader() -> None:
    limits = Limits()
    assert 45 + 265 + 1.1 * limits.memory < 768
    assert limits.total + limits.start <= 600
