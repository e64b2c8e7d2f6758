"""A whole course: hard names, hostile submissions, and what Gradescope and macOS leave beside a notebook."""

import csv
import json
import os
import sys
from pathlib import Path

import pytest

from attention.grading import command
from attention.grading.endings import remove
from attention.grading.folder import find, names, shown
from attention.grading.report import grade
from tests.grading.submissions import notebook

GRADING = """
from attention.grading import *

ASSIGNMENT = Assignment("Tiny", (
    Question("1", "Numbers", (
        Part("Seven", 1, Call("seven"), Equal(7)),
        Part("Who", 1, Look("who"), Equal(0)),
        Part("Words", 1, Text("<!-- answer 4 -->"), Words(2)),
    )),
), limits=Limits(start=600, cell=300, call=300, total=2000))
"""
SEVEN = "def seven():\n    return 7"
# What a submission has in place of the function, its words, its points by part.
NESTED = """
import os
def seven():
    for _ in range(1100):
        os.mkdir("d"); os.chdir("d")
    return 7
"""
FORGED = """
import json, os, struct, sys, time
def seven():
    frame = sys._getframe()
    while frame.f_code.co_name != "main":
        frame = frame.f_back
    size = 16_000_000
    about = {"library": "numpy", "dtype": "uint8", "numbers": "uint8", "grad": False, "shape": [size]}
    arrays = [{"array": about | {"at": 0, "bytes": size}}] * 60
    message = {"id": frame.f_locals["request"]["id"], "kind": "value", "value": {"list": arrays}}
    text = json.dumps(message).encode()
    left = struct.pack("<4sIQ", b"ABbB", len(text), size) + text + bytes(size)
    while left:
        left = left[os.write(frame.f_locals["sink"], left):]
    time.sleep(99)
"""
WORDS = "# <!-- answer 4 -->\nTwo words."
HOSTILE = {
    "nested.ipynb": (NESTED, WORDS, [1, 0, 1]),
    "forged.ipynb": (FORGED, WORDS, [0, 0, 1]),
    "blank.ipynb": ("\n" * 15_000, WORDS, [0, 0, 1]),
    "comments.ipynb": (SEVEN, "<!-- answer 4 -->\n" + "<!-- one two\n" * 40_000, [1, 0, 1]),
}
LONG = "ж" * 120
# Each with the name of its report.
HARD = {
    f"{LONG}/{LONG}.ipynb": "ж" * 100,
    f"{LONG}/{LONG}2.ipynb": "ж" * 100 + "-2",
    "b/c.ipynb": "b__c",
    "b__c-2.ipynb": "b__c-2",
    "b__c.ipynb": "b__c-3",
    "HALF.IPYNB": "HALF",
    "half.ipynb": "half-2",
    "mac/x.ipynb": "mac__x",
    "\x1b]0;owned\x07\x1b[31m=red.ipynb": "_]0;owned__[31m=red",
    os.fsdecode(b"-caf\xe9.ipynb"): "-caf_",
}


def test_fourteen_submissions_get_fourteen_rows_and_fourteen_reports(tmp_path: Path, torchless, capsys) -> None:
    (tmp_path / "tiny.grading.py").write_text(GRADING)
    folder, reports = tmp_path / "in", tmp_path / "reports"
    given = {name: (SEVEN, WORDS, [1, 0, 1]) for name in HARD} | HOSTILE
    for who, (name, (code, words, _)) in enumerate(given.items(), 101):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(notebook(code, f"who = {who}", answer=words))
    litter = ("mac/__MACOSX/._x.ipynb", "mac/._x.ipynb", "b/.ipynb_checkpoints/c-checkpoint.ipynb", "b/.DS_Store")
    for name in (*litter, "b/essay.pdf"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"\0\5\x16\7")
    line = [str(folder), "--assignment", str(tmp_path / "tiny.grading.py"), "--report", str(reports)]
    assert command.main(line) == 0
    with (reports / "scores.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["submission"].removeprefix("'"): row for row in csv.DictReader(file)}
    assert len(rows) == len(given) == 14
    for who, (name, (_, _, points)) in enumerate(given.items(), 101):
        row = rows[shown(name)]
        assert [float(row[head]) for head in ("1.1 Seven", "1.2 Who", "1.3 Words")] == points
        assert (float(row["score"]), float(row["of"])) == (sum(points), 3)
        assert row["report"].removeprefix("'") == f"{HARD.get(name, name.removesuffix('.ipynb'))}.md"
        report = (reports / row["report"].removeprefix("'")).read_text()
        assert f"received {who}." in report
        assert f"**{sum(points)} of 3 points**" in report
    assert len(list(reports.glob("*.md"))) == 14
    out, err = capsys.readouterr()
    assert err == "grade: not graded, because their names do not end in .ipynb: essay.pdf\n"
    assert out.count("\n") == 15
    assert all(each.isprintable() for each in out.replace("\n", ""))
    said = {name: (reports / f"{name}.md").read_text() for name in ("forged", "blank")}
    assert "`seven` brought no answer: its answer could not be read." in said["forged"]
    assert "The notebook defines no `seven`." in said["blank"]


def course(tmp_path: Path, *names: str) -> list[str]:
    """Make submissions of words alone, for which no process is started."""
    (tmp_path / "words.grading.py").write_text(
        "from attention.grading import *\n"
        "part = Part('Words', 1, Text('<!-- answer 4 -->'), Words(2))\n"
        "ASSIGNMENT = Assignment('Words', (Question('1', 'q', (part,)),))\n"
    )
    for name in names:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_text(notebook())
    return [str(tmp_path / "in"), "--assignment", str(tmp_path / "words.grading.py")]


@pytest.mark.parametrize("error", [RecursionError("too deep"), OSError(24, "Too many open files"), MemoryError()])
def test_what_the_grader_fails_at_costs_the_others_nothing(tmp_path: Path, monkeypatch, capsys, error) -> None:
    reports = tmp_path / "reports"
    rows = []

    def graded(path: Path, assignment: command.Assignment):
        rows.append((reports / "scores.csv").read_text().splitlines())
        if path.name == "b.ipynb":
            raise error
        return grade(path, assignment)

    monkeypatch.setattr(command, "grade", graded)
    line = [*course(tmp_path, "a.ipynb", "b.ipynb", "c.ipynb"), "--report", str(reports)]
    assert command.main(line) == 2
    table = ["submission,report,score,of,1.1 Words", "a.ipynb,a.md,1,1,1", "b.ipynb,b.md,,,", "c.ipynb,c.md,1,1,1"]
    assert (reports / "scores.csv").read_text().splitlines() == table
    assert rows == [table[:1], table[:2], table[:3]]  # one interrupted keeps what it has
    assert "That is not your fault: tell your instructor." in (reports / "b.md").read_text()
    assert f"grade: b.ipynb: not graded: {type(error).__name__}: " in capsys.readouterr().err


def test_gradescope_gets_the_one_notebook_beside_what_macos_leaves(tmp_path: Path) -> None:
    line = course(tmp_path, "x.ipynb", "__MACOSX/._x.ipynb", "._x.ipynb", ".ipynb_checkpoints/x-checkpoint.ipynb")
    results = tmp_path / "results.json"
    assert command.main([*line, "--results", str(results), "--quiet"]) == 0
    assert json.loads(results.read_text())["score"] == 1


def test_gradescope_is_told_what_there_is_instead(tmp_path: Path, capsys) -> None:
    line = course(tmp_path, "x.ipynb.txt", "\x1b[2J.py")
    results = tmp_path / "results.json"
    assert command.main([*line, "--results", str(results)]) == 0
    said = json.loads(results.read_text())["output"]
    assert said.startswith("The submission holds no notebook, no file named *.ipynb; it holds ")
    assert "x.ipynb.txt" in said
    assert "\x1b" not in said + capsys.readouterr().out


def test_a_name_with_escape_sequences_reaches_no_terminal(tmp_path: Path, capsys) -> None:
    missing = tmp_path / "\x1b[31m.grading.py"
    assert command.main([*course(tmp_path, "a.ipynb")[:1], "--assignment", str(missing)]) == 2
    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="names as they are on Linux")
def test_a_folder_is_searched_however_deep_it_is(tmp_path: Path) -> None:
    here = os.getcwd()
    os.chdir(tmp_path)
    try:
        for _ in range(1100):
            os.mkdir("d")
            os.chdir("d")
        Path("deep.ipynb").touch()
    finally:
        os.chdir(here)
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "folder.ipynb").mkdir()
    (tmp_path / "folder.ipynb" / ".ipynb").touch()
    notebooks, others = find(tmp_path)
    assert [path.name for path in notebooks] == ["deep.ipynb", ".ipynb"]
    assert others == [tmp_path / "loop"]
    assert names([path.relative_to(tmp_path) for path in notebooks])[1] == "folder.ipynb__"
    remove(str(tmp_path / "d"))  # pytest would fail at it


def test_names_of_reports_are_short_and_differ(tmp_path: Path) -> None:
    given = [
        *(Path(f"{LONG}/{LONG}{i}.ipynb") for i in range(12)),
        *(Path(name) for name in ("a.ipynb", "A.ipynb", "a-2.ipynb", "A-2.IPYNB", "a/b.ipynb", "a__b.ipynb")),
        *(
            Path(name)
            for name in ("é.ipynb", "e\u0301.ipynb", ".ipynb", "\n.ipynb", "\t.ipynb", os.fsdecode(b"\xff.ipynb"))
        ),
    ]
    found = names(given)
    assert len({name.casefold() for name in found}) == len(given)
    for name in found:
        assert len(f"{name}.md".encode()) <= 255
        (tmp_path / f"{name}.md").touch()
    assert len(list(tmp_path.iterdir())) == len(given)
