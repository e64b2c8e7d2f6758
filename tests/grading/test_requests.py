"""What a part can ask for, of a whole submission and of one that answers from a table."""

import json
from pathlib import Path

import pytest

from attention.grading import (
    Assignment,
    Call,
    Equal,
    GraderError,
    Part,
    Question,
    Reply,
    Steps,
    Text,
    Unanswered,
    Wrong,
    attempt,
    command,
)
from attention.grading.replies import Place
from attention.grading.report import grade
from tests.grading.parts import Answering, cells, judged
from tests.grading.submissions import notebook

KINDS = """
import numpy as np
from attention.grading import *

x = np.arange(6, dtype="float32").reshape(2, 3)
w = np.ones((1, 3), dtype="float32")
g = np.linspace(-1, 1, 2, dtype="float32") @ x
named = dict(load={"line.weight": w, "scale": np.float32(2) * np.ones(1, "float32")}, inputs=[x], method="twice")
ASSIGNMENT = Assignment("Every kind", (
    Question("1", "Look", (
        Part("a number", 1, Look("number"), Number(1.5)),
        Part("a list", 1, Look("listed"), Equal([1, "two", {"three": None, "four": True}])),
        Part("none", 1, Look("nothing"), Equal(1)),
        Part("a cell", 1, CellRan("# here"), Equal(True)),
        Part("a cell that fails", 1, CellRan("# fails"), Equal(True)),
        Part("no cell", 1, CellRan("# nowhere"), Equal(True)),
    )),
    Question("2", "Build", (
        Part("output", 1, Build("Line", **named), Close(4 * x @ w.T, of="output")),
        Part("gradient", 1, Build("Line", **named, gradients=True),
             Close(4 * g[None], of=("gradients", "line.weight"))),
        Part("of x", 1, Build("Line", **named, gradients=True),
             Close(np.outer([-4, 4], w), of=("input_gradients", 0))),
        Part("names", 1, Build("Line"), Equal({"line.weight": [1, 3], "scale": [1]}, of="parameters")),
        Part("other names", 1, Build("Line", load={"line.weight": w}), Equal(4, of="count")),
        Part("no module", 1, Build("fresh", x), Equal(4, of="count")),
    )),
    Question("3", "Run", (
        Part("lines", 1, Run("Line", "answer = torch.cat([Line()(x), y])", x=x, y=x[:, :1]), Shape((4, 1))),
        Part("lacking", 1, Run("Lines", "answer = 1"), Equal(1)),
        Part("raises", 1, Run("Line", "Line()(1, 2)"), Raises(("TypeError",))),
        Part("a copy", 1, Run("Line", "number = 7; answer = number"), Equal(7)),
        Part("left alone", 1, Look("number"), Number(1.5)),
    )),
    Question("4", "Call", (
        Part("the same seed", 1, Call("fresh", x, seed=3), Check(seen := [].append)),
        Part("options", 1, Call("options", 1, key="value"), Equal([[1], {"key": "value"}])),
        Part("no function", 1, Call("number"), Equal(1)),
        Part("sparse", 1, Call("odd", "sparse"), Close(x)),
        Part("meta", 1, Call("odd", "meta"), Close(x)),
        Part("bfloat16", 1, Call("odd", "bfloat16"), Close(np.ones(2), dtype="bfloat16")),
        Part("conjugate", 1, Call("odd", "conjugate"), Equal(True)),
    )),
))
"""
MANY = (
    """
import torch
from torch import nn
number, nothing = 1.5, None
listed = [1, "two", {"three": None, "four": True}]

class Line(nn.Module):
    def __init__(self):
        super().__init__()
        self.line, self.scale = nn.Linear(3, 1, bias=False), nn.Parameter(torch.ones(1))
    def forward(self, x): return self.line(x) * self.scale
    def twice(self, x): return 2 * self(x)

def fresh(x): return torch.randn(1)
def options(*given, **named): return list(given), named
def odd(kind):
    if kind == "sparse": return torch.eye(3).to_sparse()
    if kind == "meta": return torch.empty(3, device="meta")
    if kind == "bfloat16": return torch.ones(2, dtype=torch.bfloat16)
    return torch.tensor([1 + 2j]).conj()
""",
    "# here\nx = 1",
    "# fails\n1 / 0",
)


def test_every_kind_of_request(tmp_path: Path) -> None:
    (tmp_path / "kinds.grading.py").write_text(KINDS)
    (tmp_path / "many.ipynb").write_text(notebook(*MANY))
    result = command.grade(tmp_path / "many.ipynb", command.load(tmp_path / "kinds.grading.py"))
    assert result.trouble == []
    said = {mark.number: " ".join(mark.lines) for mark in result.marks if mark.state != "right"}
    assert list(said) == ["1.3", "1.5", "1.6", "2.5", "2.6", "3.2", "4.3", "4.4", "4.5", "4.7"]
    for number, line in {
        "1.3": "Not answered yet.",
        "1.5": "Code cell 3 did not run to its end: ZeroDivisionError: division by zero, line 2: 1 / 0.",
        "1.6": "The notebook has no code cell marked '# nowhere' any more.",
        "2.5": "Expected parameters line.weight (1, 3); yours are scale (1,), line.weight (1, 3).",
        "2.6": "`fresh` is no nn.Module.",
        "3.2": "The notebook defines no `Lines`.",
        "4.3": "`number` is no function or class, but of type float.",
        "4.4": "received Tensor of shape (3, 3) that cannot be turned into numbers.",
        "4.5": "received Tensor of shape (3,) that cannot be turned into numbers.",
        "4.7": "received a torch tensor of shape (1,) and dtype complex64.",
    }.items():
        assert line in said[number]


def test_parts_that_share_a_request_are_judged_by_one_answer(tmp_path: Path) -> None:
    class Counting:
        count = 0

        def put(self, session: object, notebook: object) -> Reply:
            self.count += 1
            return Reply("value", self.count)

    shared, other = Counting(), Counting()
    asked = ((shared, 1), (shared, 1), (other, 1), (shared, 2))  # once for each row of parts that follow each other
    parts = tuple(Part("p", 1, ask, Equal(count)) for ask, count in asked)
    (tmp_path / "mine.ipynb").write_text(json.dumps({"cells": [], "nbformat": 4}))
    graded = grade(tmp_path / "mine.ipynb", Assignment("a", (Question("1", "q", parts),)))
    assert (graded.score, shared.count, other.count) == (4, 2, 1)


def test_a_later_step_depends_on_an_earlier_one() -> None:
    def steps(ask) -> dict:
        first = ask(Call("first")).value
        return {"first": first, "next": attempt(lambda: ask(Call(first)).value)}

    ask = Steps("first", steps)
    answer = ask.put(Answering(first=Reply("value", "second"), second=Reply("value", 3, refused=("spy",))), cells())
    assert answer.value == {"first": "second", "next": 3}
    assert answer.refused == ("spy",)
    assert judged(Equal(3, of="next"), answer.value) == ""
    # What a later step comes to, only the parts that look there feel.
    raised = Reply("raised", error="KeyError", kinds=("KeyError",), message="'x'", where=Place(3, 2, "x[0]"))
    for reply, line in (
        (raised, "Your code raised KeyError: 'x' (code cell 3, line 2: x[0])"),
        (Reply("missing", message="second"), "The notebook defines no `second`."),
        (Reply("missing", message="`second` is no function"), "`second` is no function."),
        (Reply("died", message="it took too long"), "`second` brought no answer: it took too long."),
    ):
        answer = ask.put(Answering(first=Reply("value", "second"), second=reply), cells())
        assert judged(Equal("second", of="first"), answer.value) == ""
        assert judged(Equal(3, of="next"), answer.value).startswith(f"{line} |")


def test_a_first_step_that_fails_is_every_parts() -> None:
    ask = Steps("f", lambda ask: [ask(Call("f")).value])
    stub = Reply("raised", error="NotImplementedError", kinds=("NotImplementedError",))
    for reply, kind in ((stub, Unanswered), (Reply("died", message="it left"), Wrong)):
        value = ask.put(Answering(f=reply), cells()).value
        with pytest.raises(kind):
            Equal([1])(Reply("value", value))
    # A mistake in the grading file itself stays one; and where the grader cannot work it says so.
    with pytest.raises(ZeroDivisionError):
        Equal(1)(Reply("value", Steps("f", lambda ask: 1 / 0).put(Answering(), cells()).value))

    def broken(ask) -> None:
        raise GraderError("no torch")

    with pytest.raises(GraderError):
        Steps("f", broken).put(Answering(), cells())


@pytest.mark.parametrize(
    ("following", "text"),
    [
        ([], None),
        ([("markdown", "My own words.")], "My own words."),
        ([("markdown", "Your answer here."), ("markdown", "Below it.")], "Below it."),
        ([("markdown", "In two"), ("markdown", "cells.")], "In two\n\ncells."),
        ([("markdown", "## Next question")], None),
        ([("code", "1"), ("markdown", "Too late.")], None),
        ([("markdown", "<!-- answer 5 --> Another answer.")], None),
    ],
)
def test_an_answer_may_stand_in_the_cell_or_after_it(following: list, text: str | None) -> None:
    found = cells(("markdown", "**Why?** <!-- answer 4 -->\n<!-- a note -->\n\nYour answer here."), *following)
    assert Text("<!-- answer 4 -->").put(None, found).value == text
    begun = cells(("markdown", "<!-- answer 4 -->\nBegun here."), *following)
    joined = "Begun here." if text is None else f"Begun here.\n\n{text}"
    assert Text("<!-- answer 4 -->").put(None, begun).value.split() == joined.split()
    assert Text("<!-- answer 9 -->").put(None, found).kind == "nothing"


def test_of_a_text_that_was_copied_the_copy_with_words_counts() -> None:
    empty, mine = "<!-- answer 4 -->\n\nYour answer here.", "<!-- answer 4 -->\n\nMy words."
    for order in ((empty, mine), (mine, empty), (empty, mine, "<!-- answer 4 -->\nLater ones.")):
        found = cells(*(("markdown", text) for text in order))
        assert Text("<!-- answer 4 -->").put(None, found).value == "My words."
    assert Text("<!-- answer 4 -->").put(None, cells(("markdown", empty), ("markdown", empty))).value is None
