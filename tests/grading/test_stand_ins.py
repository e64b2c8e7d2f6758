"""Questions that build on one which was left out, or on a wrong answer."""

import sys
from pathlib import Path

import pytest

from attention.grading import command
from tests.grading.submissions import lost, notebook

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere memory is not limited"),
    pytest.mark.usefixtures("torchless"),
]


FOLLOW = """
from attention.grading import *

ASSIGNMENT = Assignment("Two that build on each other", (
    Question("1", "First", (Part("a", 1, Call("first"), Equal(3)),),
             StandIn("first", "def stand_in():\\n    return 3\\nfirst = stand_in")),
    Question("2", "Second", (
        Part("a", 1, Call("second"), Equal(6)),
        Part("b", 1, Look("total"), Equal(9)),
        Manual("c", 2, "a rubric", Text("<!-- answer 4 -->")),
    )),
), limits=Limits(start=600, cell=300, call=300, total=1000))
"""
BEGUN = "def first():\n    raise NotImplementedError"
BUILT = ("def second():\n    return 2 * first()", "total = second() + first()")


@pytest.mark.parametrize(
    ("first", "rest", "points", "note"),
    [
        (BEGUN, BUILT, {"1.1": 1}, "with the grader's own `first`"),
        (BEGUN, ("def second():\n    raise NotImplementedError", "total = ..."), {"1.1": 1, "2.1": 1, "2.2": 1}, ""),
        ("def first():\n    return 4", BUILT, {"1.1": 1, "2.1": 1, "2.2": 1}, None),  # a wrong answer is an answer
        ("", BUILT, {"1.1": 1, "2.1": 1, "2.2": 1}, None),
        ("def first():\n    return 3", BUILT, {}, None),
        # Whatever the cell of the stub does to the process that the stand-in is put into.
        (
            f"import builtins, os\n{BEGUN}\nbuiltins.compile = builtins.exec = lambda *given: os._exit(0)",
            BUILT,
            {"1.1": 1, "2.1": 1, "2.2": 1},
            "",
        ),
    ],
)
def test_what_builds_on_a_question_that_was_left_out(tmp_path: Path, first, rest, points, note) -> None:
    (tmp_path / "follow.grading.py").write_text(FOLLOW)
    (tmp_path / "mine.ipynb").write_text(notebook(first, *rest))
    result = command.grade(tmp_path / "mine.ipynb", command.load(tmp_path / "follow.grading.py"))
    assert lost(result) == points
    assert result.trouble == []
    told = [each for each in result.notes if each.startswith("Question 1 is not answered.")]
    assert len(told) == (note is not None)
    assert note is None or note in told[0]
    assert "**0 of 3 points**" in result.text() or "up to 2 by hand" in result.text()


@pytest.mark.parametrize(
    ("first", "points", "replaced"),
    [
        ("def first():\n    return 4", {"1.1": 1, "2.1": 1, "2.2": 1}, False),  # it can be built on, wrong as it is
        ("def first():\n    return 'three'", {"1.1": 1}, True),
        ("def first():\n    return 1 / 0", {"1.1": 1}, True),
        ("def first():\n    return 3", {}, False),
    ],
)
def test_what_nothing_can_be_built_on_is_replaced_too(tmp_path: Path, first, points, replaced) -> None:
    needs = """first = stand_in", Run("first", "answer = 0 + first()"))"""
    (tmp_path / "follow.grading.py").write_text(FOLLOW.replace('first = stand_in")', needs))
    (tmp_path / "mine.ipynb").write_text(notebook(first, *BUILT))
    result = command.grade(tmp_path / "mine.ipynb", command.load(tmp_path / "follow.grading.py"))
    assert lost(result) == points
    told = [each for each in result.notes if each.startswith("Question 1 has a mistake: see there.")]
    assert len(told) == replaced


def test_the_function_that_is_lacking_is_named(tmp_path: Path) -> None:
    (tmp_path / "follow.grading.py").write_text(FOLLOW.replace("first = stand_in", "other = stand_in"))
    (tmp_path / "mine.ipynb").write_text(notebook(BEGUN, "", *BUILT))
    result = command.grade(tmp_path / "mine.ipynb", command.load(tmp_path / "follow.grading.py"))
    said = {mark.number: mark.lines for mark in result.marks}
    assert said["2.1"] == ("This needs `first` (code cell 1), which is not answered yet.",)
    assert said["2.2"] == (
        "`total` is not defined, because code cell 4 did not run to its end: it calls `first` (code cell 1), which is "
        "not answered yet",
        "Hint: Restart the kernel and run all cells yourself.",
    )
    assert said["2.3"] == ("A person reads this (16 words), and gives the points.",)
