"""Assignment 1: right answers in other words get all points, and each wrong one loses exactly its own."""

import contextlib
import io
import linecache
import sys
from textwrap import dedent

import numpy as np
import pytest
from scipy.stats import t as student

from attention.grading import Wrong, attempt
from tests.assignments.answers.eca import (
    BASE,
    BATCHES,
    BLOCK,
    COSTS,
    FUNCTION,
    GATES,
    HAND,
    MEASURE,
    OTHERS,
    REPORT,
    REPORTS,
    SECRET,
    SIZE,
    UNSTEPPED,
)
from tests.assignments.answers.exchange import but
from tests.assignments.conftest import lost
from tools.teaching import assignments

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the grader has no fences")


@pytest.mark.parametrize("batch", BATCHES.values(), ids=[" · ".join(batch) for batch in BATCHES.values()])
def test_a_wrong_answer_loses_exactly_its_points(submit, batch) -> None:
    changes = {cell: text for cell, text, _, _ in batch.values()}
    expected = {number: points for _, _, parts, _ in batch.values() for number, points in parts.items()}
    # Of the blocks that question 6 gets here, those that are not as BLOCK for 64 channels stand beside a real training.
    graded = submit(BASE | {"q3-answer": FUNCTION, "q6-answer": UNSTEPPED} | changes)
    assert lost(graded) == expected
    for _, _, _, line in batch.values():
        assert line in graded.text()
    assert graded.trouble == []
    hidden = {f"{q.id}.{n}" for q in graded.questions for n, p in enumerate(q.parts, 1) if getattr(p, "hidden", False)}
    said = " ".join(line for mark in graded.marks if mark.number in hidden for line in mark.lines)
    assert not any(number in said for number in SECRET)


def test_there_are_enough_wrong_answers() -> None:
    assert sum(map(len, BATCHES.values())) >= 10


@pytest.mark.parametrize("answers", OTHERS.values(), ids=OTHERS)
def test_right_answers_may_be_written_otherwise(submit, answers) -> None:
    own = {cell: dedent(text) for cell, text in answers.items()}
    # What is not written otherwise is the solution's own, but for the long training; another block is trained.
    measure = MEASURE if "q4-answer" in own else UNSTEPPED
    graded = submit({"q6-answer": measure, "q6-report": REPORT} | own)
    assert lost(graded) == {}
    assert graded.score == 90


def test_a_mistake_loses_its_points_once(submit) -> None:
    """What is built on a wrong function is judged by that function: question 4 calls what question 3 wrote."""
    replicate = but(FUNCTION, "(y, (k // 2, k // 2))", "(y[:, None], (k // 2, k // 2), mode='replicate')[:, 0]")
    eca = "def eca(x, weight):\n    return x * eca_gates(x, weight)[:, :, None, None]"
    for gates, hint in (
        (replicate, "Beyond the ends are zeros, not the first and the last mean again."),
        (
            replicate.replace("replicate", "circular"),
            "The last channel is no neighbour of the first: beyond the ends are zeros.",
        ),
        (BATCHES["4"]["no sigmoid"][1], "The sigmoid is lacking."),
    ):
        function = gates.split("def eca(")[0] + eca
        graded = submit(
            {cell: BASE[cell] for cell in ("q6-answer", "q6-report")}
            | {"q3-answer": function, "q6-answer": "SEEDS = (0, 1, 2)\nmeasure = lambda *given: None"}
        )
        mine = {number: points for number, points in lost(graded).items() if not number.startswith("6")}
        assert mine == GATES
        said = {mark.number: " ".join(mark.lines) for mark in graded.marks}
        assert all(hint in said[number] for number in GATES)


def test_gates_that_are_all_alike_are_followed_nowhere(submit) -> None:
    ones = "def eca_gates(x, weight):\n    return torch.ones(x.shape[:2])\ndef eca(x, weight):\n    return x"
    measure = "SEEDS = (0, 1, 2)\nmeasure = lambda *given: None"
    graded = submit({"q3-answer": ones, "q6-answer": measure, "q6-report": REPORT})
    mine = {number for number in lost(graded) if not number.startswith("6")}
    assert mine == {"3.2", "3.3", "3.4", "3.5", "3.6", "4.3", "4.4", "4.5", "4.7"}


def test_a_question_that_was_left_out_costs_its_own_points_only(submit) -> None:
    stub = "def kernel_size(channels, gamma=2, b=1):\n    raise NotImplementedError"
    # All else is the solution's, which builds on it, but for the training of a block that is the same for 64 channels.
    graded = submit({"q2-answer": stub, "q6-answer": UNSTEPPED})
    assert lost(graded) == {"2.1": 4, "2.2": 3, "2.3": 3, "2.4": 2}
    assert graded.notes == [
        "Question 2 is not answered. What builds on it was graded with the grader's own `kernel_size`, so that "
        "its points are lost once only."
    ]


SHORT = {"q6-answer": UNSTEPPED, "q6-report": REPORT}
ALL = {"2.1": 4, "2.2": 3, "2.3": 3}


@pytest.mark.parametrize(
    ("size", "points", "replaced", "own"),
    [
        (but(SIZE, "2 * int(t / 2) + 1", "3"), ALL, False, {}),
        (but(SIZE, "2 * int(t / 2) + 1", "5"), ALL, False, {"q6-answer": MEASURE}),  # the one that differs for 64
        (but(SIZE, "2 * int(t / 2) + 1", "int(t)"), ALL, True, {}),
        (but(SIZE, "2 * int(t / 2) + 1", "2.0 * int(t / 2) + 1"), {"2.4": 2}, True, {}),
        (but(SIZE, "int(t / 2)", "int(-(-t // 2) - 1)"), {"2.2": 3}, False, {}),
        (but(SIZE, "2 * int(t / 2) + 1", "1 / 0"), {**ALL, "2.4": 2}, True, {}),
    ],
    ids=["three", "five", "even", "float", "ties", "error"],
)
def test_a_wrong_kernel_size_costs_its_own_points_only(submit, size, points, replaced, own) -> None:
    """All else is the solution's, and builds on it."""
    graded = submit({"q2-answer": size, **SHORT, **own})
    assert lost(graded) == points
    assert [note for note in graded.notes if "grader's own `kernel_size`" in note] == graded.notes
    assert bool(graded.notes) == replaced


def test_a_tie_is_charged_once_where_the_sum_is_written_down(submit) -> None:
    size = but(SIZE, "int(t / 2)", "int(-(-t // 2) - 1)")
    graded = submit({"q2-answer": size, "q5-answer": but(COSTS, "86", "80"), **SHORT})
    assert lost(graded) == {"2.2": 3}
    assert lost(submit({**BASE, "q5-answer": but(COSTS, "86", "80"), "q6-answer": UNSTEPPED})) == {"5.5": 2}


STUB_BLOCK = """
class ECA(nn.Module):
    def __init__(self, channels, gamma=2, b=1):
        raise NotImplementedError
    def gates(self, x):
        raise NotImplementedError
"""
FOUR = {"4.1": 2, "4.2": 2, "4.3": 4, "4.4": 2, "4.5": 3, "4.6": 2, "4.7": 3}


@pytest.mark.parametrize(
    ("block", "points", "note"),
    [
        (STUB_BLOCK, FOUR, "Question 4 is not answered."),
        (but(STUB_BLOCK, "channels, gamma=2, b=1):\n        raise NotImplementedError", "channels):\n        1 / 0"),
         FOUR, "Question 4 has a mistake: see there."),
        (but(BLOCK, "[:, 0].sigmoid()", "[:, 0]"), {"4.3": 4, "4.4": 2, "4.5": 1},
         "Question 4 has a mistake: see there."),
        (but(BLOCK, "self.gates(x)[", "(2 * self.gates(x))["), {"4.3": 4, "4.5": 1}, ""),
    ],
    ids=["left out", "raises", "no sigmoid", "twice"],
)  # fmt: skip
def test_question_6_can_be_answered_without_a_block_of_ones_own(submit, block, points, note) -> None:
    """The notebook measures with it: where it breaks, so would the report. The first is otherwise the solution."""
    own = {"q4-answer": block}
    if block != STUB_BLOCK:
        own |= {"q6-answer": UNSTEPPED}
    graded = submit(own)
    assert lost(graded) == points
    assert [each[: len(note)] for each in graded.notes] == ([note] if note else [])


def test_a_stand_in_measures_no_more_than_is_asked_of_it(submit) -> None:
    graded = submit({"q4-answer": STUB_BLOCK, "q6-answer": but(MEASURE, "steps=300", "steps=5"), "q6-report": REPORT})
    assert lost(graded) == {**FOUR, "6.2": 4, "6.6": 2}


@pytest.mark.parametrize(("measure", "report", "points", "line"), REPORTS.values(), ids=REPORTS)
def test_a_report_must_come_from_its_measurement(submit, eca, measure, report, points, line) -> None:
    own = {"q4-answer": BLOCK, "q5-answer": COSTS, "q6-answer": measure}
    graded = submit(own if report == "q6-report" else own | {"q6-report": report})
    assert lost(graded) == points
    assert line in graded.text()
    assert graded.trouble == []


def share(judge, value) -> tuple[float, str]:
    """Return the share of a part's points that a judge gives, and what it says."""
    problem = attempt(judge.judge, value)
    assert problem is None or isinstance(problem, Wrong), problem
    return (1.0, "") if problem is None else (problem.share, f"{problem} {problem.hint}")


FIVE = {
    "in order": {"SE": [0.5542, 0.5594, 0.5573, 0.5566, 0.5581], "ECA": [0.9981, 0.9993, 0.9999, 0.9995, 0.9988]},
    "permuted": {"SE": [0.5583, 0.5588, 0.5531, 0.5560, 0.5549], "ECA": [0.5172, 0.5144, 0.5163, 0.5139, 0.5150]},
}


@pytest.mark.parametrize(
    ("half", "digits", "given", "line"),
    [
        (lambda s: 2.776445 * s / 5**0.5, 16, 1, ""),
        (lambda s: 2.78 * s / 5**0.5, 16, 1, ""),  # of a table
        (lambda s: 2.776445 * s / 5**0.5, 4, 1, ""),
        (lambda s: 2.776445 * s / 5**0.5, 3, 0.75, "the interval has too few digits."),  # one is near enough
        (lambda s: 1.96 * s / 5**0.5, 16, 0, "t is larger than the normal 1.96"),
        (lambda s: 1.96 * s / 5**0.5, 4, 0, "t is larger than the normal 1.96"),
        (lambda s: 2.776445 * s * 0.8**0.5 / 5**0.5, 16, 0, "The standard deviation is taken with n − 1."),
        (lambda s: 2.776445 * s, 16, 0, "Which factor makes it that of their mean?"),
        (lambda s: s / 5**0.5, 16, 0, "The factor t is lacking."),
        (lambda s: 2.570582 * s / 5**0.5, 16, 0, "your scores give other numbers than your interval"),
    ],
    ids=["right", "table", "four", "three", "normal", "normal, four", "n", "no root", "no t", "degrees"],
)
def test_an_interval_is_judged_by_its_width(eca, half, digits, given, line) -> None:
    intervals = {}
    for name, found in FIVE.items():
        d = np.array(found["ECA"]) - np.array(found["SE"])
        wide = half(d.std(ddof=1))
        intervals[name] = [round(float(each), digits) for each in (d.mean(), d.mean() - wide, d.mean() + wide)]
    (part,) = (each for each in eca.assignment.questions[5].parts if each.title.startswith("The intervals"))
    points, said = share(part.judge, [list(range(5)), FIVE, intervals])
    assert points == given
    assert line in said


@pytest.mark.parametrize(
    ("gates", "given", "line"),
    [
        ([3 / 7, 0.95, 8 / 9, 1 / 4], (0.5, 1), "Too few digits: ω_2."),
        ([0.43, 0.95, 0.89, 0.25], (0.5, 0.5), "Too few digits: ω_2, ω_3."),
        ([3 / 7, 0.96, 8 / 9, 1 / 4], (0, 1), "Not right: ω_2."),
        ([3 / 7, 0.9433, 8 / 9, 1 / 4], (0, 1), "Not right: ω_2."),
        ([0.429, 0.947, 0.889, 0.25], (1, 1), ""),
    ],
)
def test_two_digits_are_too_few(eca, gates, given, line) -> None:
    inner, outer = (share(part.judge, gates) for part in eca.assignment.questions[0].parts[:2])
    assert (inner[0], outer[0]) == given
    assert line in inner[1]


UNTRAINED = "SEEDS = (0, 1, 2)\nmeasure = lambda *given: None"
PLAIN = "def eca(x, weight):\n    return x * eca_gates(x, weight)[:, :, None, None]\n"
CONV = """
def eca_gates(x, weight):
    y = x.mean((2, 3))[:, None]
    return nn.functional.conv1d(y, weight[None, None], padding=len(weight) // 2)[:, 0].sigmoid()
"""


@pytest.mark.parametrize(
    ("functions", "points", "line"),
    [
        (but(CONV, "len(weight) // 2", "1") + PLAIN, {"3.3": 5, "3.4": 2}, ""),
        (but(CONV, "x.mean((2, 3))", "x.mean((0, 2, 3))[None].expand(len(x), -1)") + PLAIN, {"3.2": 5, "3.3": 1},
         "Hint: Each image has its own means."),
        (but(CONV, "x.mean((2, 3))", "x.mean((0, 2, 3))[None]") + PLAIN, {"3.1": 2, "3.2": 5, "3.3": 5}, ""),
        (CONV + but(PLAIN, "x * eca", "x + x * eca"), {"3.5": 4, "3.6": 2},
         "Hint: Equation (1) multiplies: no x is added."),
        (but(CONV, "x.mean((2, 3))[:", "nn.functional.pad(x.mean((2, 3)), (1, 0))[:", "[:, 0]", "[:, 0, :-1]") + PLAIN,
         GATES, "in equation (1), j begins with 1"),
    ],
    ids=["padding", "batch", "batch of one", "added", "counted from 0"],
)  # fmt: skip
def test_a_mistake_in_the_gates_is_not_charged_again_for_the_maps(submit, functions, points, line) -> None:
    graded = submit({**BASE, "q3-answer": functions, "q6-answer": UNTRAINED})
    assert {number: each for number, each in lost(graded).items() if number[0] != "6"} == points
    assert line in graded.text()
    if points == GATES:
        assert "The mistake of “The gates” once more." in graded.text()


def test_a_person_is_told_how_much_there_is_to_read(submit) -> None:
    short = BASE | {"q6-answer": UNSTEPPED}
    graded = submit({**short, "q1-words": "<!-- answer 1e -->\nYour answer here.", "q7-words": "Nothing.", "q7": "##"})
    said = {mark.number: (mark.state, *mark.lines) for mark in graded.marks if mark.score is None}
    assert said["1.6"][0] == "open"
    assert "nothing but the placeholder stands under the mark “answer 1e”." in said["1.6"][1]
    assert said["7.1"] == ("open", "The mark of answer 7 is gone: that comment is to stay where it was.")
    assert "**90 of 90 points**, and up to 10 by hand" in graded.text()
    graded = submit({**short, "q1-words": "<!-- answer 1e -->\nFour of them, that's it."})
    assert "A person reads this (5 words), and gives the points." in graded.text()


def told(eca, changes, check, *before) -> str:
    """Return what a public check prints, after the cells that it needs."""
    space: dict = {"__name__": "__main__"}
    cells = {cell.id: cell.source for cell in eca.notebook.cells}
    printed = io.StringIO()
    for name in ("setup", "checks", *before, check.replace("-check", "-answer"), check):
        source = changes.get(name, cells[name])
        file = f"<cell {name} {hash(source)}>"
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
        with contextlib.redirect_stdout(printed):
            exec(compile(source, file, "exec"), space)
    return " ".join(printed.getvalue().split())


@pytest.mark.parametrize(
    ("check", "answer", "line"),
    [
        ("q1-check", but(HAND, "190", "..."), "… 1 · not answered yet: entries"),
        ("q1-check", but(HAND, "3/7, 18/19, 8/9, 1/4", ".43, .95, .89, .25"), "Expected at least three digits"),
        ("q1-check", but(HAND, "16: 3", "16: 3.0"), "Expected odd numbers of type int for k, received 3.0."),
        ("q1-check", HAND, "✓ 1"),
        ("q3-check", but(CONV, "len(weight) // 2", "1") + PLAIN, "received (2, 2)"),
        ("q3-check", but(CONV, "x.mean((2, 3))", "x.mean((0, 2, 3))[None].expand(len(x), -1)") + PLAIN, "Whose means"),
        ("q3-check", but(CONV, "weight[None, None]", "weight.flip(0)[None, None]") + PLAIN, "does w_1 meet?"),
        ("q3-check", CONV + but(PLAIN, "x * eca", "x + x * eca"), "anything in equation (1) but a product?"),
        ("q3-check", CONV + PLAIN, "✓ 3"),
        ("q4-check", but(BLOCK, "padding=k // 2", "padding=1"), "must match"),
        ("q4-check", but(BLOCK, "[:, 0].sigmoid()", "[:, 0]"), "With all weights 0, not all gates are in (0, 1)."),
        ("q4-check", but(BLOCK, "[:, 0].sigmoid()", "[:, 0].sigmoid().detach()"), "leads to no gradient"),
        ("q4-check", but(BLOCK, "def gates(", "def gate(", "self.gates(", "self.gate("), "no method gates"),
        ("q4-check", but(BLOCK, ", bias=False", ""), "Is there a bias?"),
        ("q4-check", BLOCK, "✓ 4"),
        ("q5-check", "eca_cost = se_cost = None\nresnet50 = ...", "… 5 · not answered yet: resnet50"),
    ],
)
def test_the_public_checks_name_what_is_wrong(eca, check, answer, line) -> None:
    assert line in told(eca, {check.replace("-check", "-answer"): answer}, check)


def test_the_stub_gets_nothing(submit, eca) -> None:
    made = assignments.student(eca)
    graded = submit({cell.id: cell.source for cell in made.cells})
    assert graded.score == 0
    assert {mark.state for mark in graded.marks} == {"open"}
    assert [note.partition(".")[0] for note in graded.notes] == [
        "Question 2 is not answered",
        "Question 4 is not answered",
    ]
    said = {mark.number: mark.lines[0] for mark in graded.marks}
    assert said["2.1"] == "Not answered yet."
    assert said["3.2"] == said["4.1"] == "Not answered yet."


def test_the_quantiles(eca) -> None:
    names: dict = {"__name__": "grading_file"}
    exec(compile(eca.grading.read_text(encoding="utf-8"), "grading", "exec"), names)
    sizes = range(3, names["MOST_SEEDS"] + 1)
    assert len(sizes) == 18
    right = [student.ppf(0.975, n - 1) for n in sizes]
    np.testing.assert_allclose([names["quantile"](n) for n in sizes], right, atol=1e-6)


def test_the_expected_values_agree_with_a_convolution(eca) -> None:
    """What numpy expects in the grading file is what torch's own layer computes, and its gradient."""
    import torch

    names: dict = {"__name__": "grading_file"}
    exec(compile(eca.grading.read_text(encoding="utf-8"), "grading", "exec"), names)
    for x, w in (("X1", "V3"), ("X2", "V5"), ("X3", "V7"), ("X4", "V3B"), ("X5", "V3")):
        x, w = torch.tensor(names[x]), torch.tensor(names[w], requires_grad=True)
        y = torch.nn.functional.conv1d(x.mean((2, 3))[:, None], w[None, None], padding=len(w) // 2)[:, 0]
        out = x * y.sigmoid()[:, :, None, None]
        (out * torch.linspace(-1, 1, out.numel()).reshape(out.shape)).sum().backward()
        kernel = w.detach().numpy()
        np.testing.assert_allclose(names["gates"](x.numpy(), kernel), y.sigmoid().detach(), atol=1e-5)
        np.testing.assert_allclose(names["gated"](x.numpy(), kernel), out.detach(), atol=1e-5)
        np.testing.assert_allclose(names["slope"](x.numpy(), kernel), w.grad, rtol=1e-3, atol=1e-4)
