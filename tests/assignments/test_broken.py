"""Assignment 2: tests that find little get little, right ones in other words get all, hostile ones get nowhere."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from textwrap import dedent

import nbformat
import numpy as np
import pytest

from attention.grading import Manual
from tests.assignments.answers.broken import ALL, BATCHES, HOSTILE, MENDED, OTHERS, SHAPES, finding, mended
from tests.assignments.answers.exchange import but
from tests.assignments.conftest import lost, submitting
from tools.teaching import assignments
from tools.teaching.assignments import Misprint, Source

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the grader has no fences")


@pytest.fixture(scope="module")
def broken() -> Source:
    """The assignment; with less time for a call, since one of the submissions never ends."""
    source = assignments.load("broken")
    assignment = source.assignment
    return replace(source, assignment=replace(assignment, limits=replace(assignment.limits, call=6)))


@pytest.fixture(scope="module")
def submit(broken, warm, tmp_path_factory):
    return submitting(broken, tmp_path_factory.mktemp("submissions"), warm)


@pytest.fixture(scope="module")
def cells(broken) -> Mapping[str, str]:
    return {cell.id: cell.source for cell in broken.notebook.cells}


@pytest.fixture(scope="module")
def grading(broken) -> dict:
    names: dict = {"__name__": "grading_file"}
    exec(compile(broken.grading.read_text(encoding="utf-8"), "grading", "exec"), names)
    return names


@pytest.mark.parametrize("name", BATCHES)
def test_a_wrong_answer_loses_exactly_its_points(submit, cells, name) -> None:
    batch = BATCHES[name]
    changes = {cell: text for cell, text, _, _ in batch.values()}
    if changes.get("q3-test") == "no message":
        changes["q3-test"] = but(
            cells["q3-test"],
            ', f"{name} has no effect on the output"', "",
            ', f"a gate of 0 or 1 mixes the two maps: {off}"', "",
        )  # fmt: skip
    if changes.get("q5-test") == "hooks":
        calls = (
            "calls = []\n    block.squeeze.register_forward_hook(lambda *each: calls.append(1))\n    out = block(x)\n"
        )
        changes["q5-test"] = but(
            cells["q5-test"],
            "    with torch.no_grad():\n        for parameter",
            f"    {calls}    assert calls, 'squeeze is not called'\n    with torch.no_grad():\n        for parameter",
        )
    expected = {number: points for _, _, parts, _ in batch.values() for number, points in parts.items()}
    graded = submit(changes)
    assert lost(graded) == pytest.approx(expected)
    said = " ".join(graded.text().replace("\n  - ", " ").split())
    for _, _, _, line in batch.values():
        assert line in said, line
    assert graded.trouble == []


def test_there_are_enough_wrong_answers() -> None:
    assert sum(map(len, BATCHES.values())) >= 10


@pytest.mark.parametrize("answers", OTHERS.values(), ids=OTHERS)
def test_right_answers_may_be_written_otherwise(submit, answers) -> None:
    graded = submit({cell: dedent(text) for cell, text in answers.items()})
    assert lost(graded) == {}
    assert graded.score == 80


def test_a_hostile_test_loses_its_own_points_only(submit) -> None:
    # What a submission does to torch it does to itself: the last question is answered without what was replaced.
    graded = submit(HOSTILE | {"q6-answer": dedent(OTHERS["by numpy, and by torch's own comparison"]["q6-answer"])})
    points = {number: value for n in SHAPES for number, value in ALL[n].items()} | MENDED[5]
    assert lost(graded) == points
    assert graded.trouble == []
    said = graded.text()
    assert "it did not come to an end within 6 seconds, all 28 calls together; so one call may take 0.2 seconds" in said
    assert "it ended the whole process, with exit code 0" in said
    assert "but it called exit()" in said
    assert "SECRET" not in said
    assert "class Block" not in said


def test_an_explanation_is_for_a_person(submit, cells, broken) -> None:
    """It costs no points here, whether it stands there or not; the report says which."""
    empty = {f"q{n}-words": cells[f"q{n}-words"].split("<!-- solution")[0] + "Your answer here." for n in (1, 2)}
    graded = submit(empty)
    assert lost(graded) == {}
    by_hand = {mark.number: mark for mark in graded.marks if mark.score is None}
    assert [mark.points for mark in by_hand.values()] == [4] * 5
    assert [mark.state for mark in by_hand.values()] == ["open"] * 2 + ["person"] * 3
    assert all(isinstance(q.parts[3], Manual) for q in broken.assignment.questions[:5])


def test_the_solution_and_the_stub(submit, broken) -> None:
    graded = submit({})
    assert (graded.score, graded.points, lost(graded)) == (80, 80, {})
    made = assignments.student(broken)
    graded = submit({cell.id: cell.source for cell in made.cells})
    assert graded.score == 0
    assert {mark.state for mark in graded.marks} == {"open"}
    assert graded.notes == []


def test_the_student_gets_the_blocks_and_no_solution(broken) -> None:
    made = assignments.student(broken)
    told = "\n".join(cell.source for cell in made.cells)
    assert all(f"class Block{n}(nn.Module):" in told for n in SHAPES)
    assert told.count("raise NotImplementedError") == 2 * 5 + 1 + 2  # one more in Mended2, one in a public check
    assert told.count("Your answer here.") == 5
    for cell in broken.notebook.cells:
        for kind, line in assignments.split(cell.source, "here"):
            given = any(
                line.strip() in each.source
                for each in broken.notebook.cells
                if "given" in each.metadata.get("tags", [])
            )
            if kind == "solution" and len(line.strip()) > 30 and not given:
                assert line.strip() not in told


@pytest.mark.parametrize("line", ["distribute = self.distribute(positions).softmax(2)", "return x * rows * columns"])
def test_a_solution_is_found_wherever_it_has_got_to(broken, line) -> None:
    """Also where its other lines are the given block's."""
    notebook = nbformat.from_dict(broken.notebook)
    (check,) = (cell for cell in notebook.cells if cell.id == "q6-check")
    check.source += f"\n{line}"
    with pytest.raises(Misprint, match="would hold"):
        assignments.student(replace(broken, notebook=notebook))


def test_the_public_checks(broken, capsys) -> None:
    """Open for the stub, right for the solution, and silent about the mistake for a wrong answer."""
    for make, sign in ((assignments.student, "…"), (assignments.instructor, "✓")):
        names = executed(make(broken).cells, capsys)
        heads = [line for line in names["said"].splitlines() if not line.startswith("  ")]
        assert len(heads) == 12
        assert all(line.startswith(sign) for line in heads), names["said"]
    wrong = {
        "q1-test": finding(1, "pass"),
        "q2-test": finding(2, "raise ValueError('this')"),
        "q3-test": finding(3, "assert False"),
        "q4-test": finding(4, "return False"),
        "q5-mended": "class Mended5(Block5):\n    pass",
        "q4-mended": "class Mended4(nn.Linear):\n    def __init__(self):\n        super().__init__(5, 5)",
        "q2-mended": mended(2, "def __init__(self, channels, hidden=4):\n    super().__init__(channels)"),
        "q6-answer": "def broken_laws(block, *inputs):\n    return {}",
        "q6-report": "laws_that_find = {1: ['batch'], 3: ['gradients']}",
    }
    cells = assignments.instructor(broken).cells
    for cell in cells:
        cell.source = wrong.get(cell.id, cell.source)
    said = executed(cells, capsys)["said"]
    for line in (
        "Block1 is broken, and your test did not fail.",
        "Expected an AssertionError for Block2, received ValueError: this",
        "It fails for Block3, but it does not say why.",
        "For Block4 your test returned a value",
        "Your own test fails for it: position 0, 0: off by",
        "Expected the parameters of Block4; other names or shapes: bias, scale, weight.",
        "Expected a function of 3 arguments, to be called with the arguments (5, 2, 3); received Mended2(channels",
        "Expected a set of names, received",
        "Hint: An empty set is set(): {} is an empty dictionary.",
        "Expected a dictionary with the keys 1 to 5, received",
    ):
        assert line in " ".join(said.split()), line


def test_the_public_checks_outlive_a_test(broken, capsys) -> None:
    """One that is not written yet, one that crashes for the mended block, one that returns a value for it."""
    cells, stubs = assignments.instructor(broken).cells, {c.id: c.source for c in assignments.student(broken).cells}
    other = {
        "q1-test": finding(1, "assert block_class is not Block1, 'given'\nblock_class(6)(torch.ones(1, 5, 1, 1))"),
        "q2-test": finding(2, "assert block_class is not Block2, 'given'\nreturn True"),
        "q3-test": stubs["q3-test"],
    }
    for cell in cells:
        cell.source = other.get(cell.id, cell.source)
    said = " ".join(executed(cells, capsys)["said"].split())
    assert "✗ 1 · Mended1 · public check Your own test raised RuntimeError for it: " in said
    assert "✗ 2 · Mended2 · public check For it your own test returned a value." in said
    assert "… 3 · test_3" in said
    assert "✗ 3 · Mended3 · public check It has the right form, but test_3 is missing: answer that first." in said
    assert "✓ 4 · Mended4" in said


def executed(cells: list, capsys) -> dict:
    """Execute a notebook's code; ``said`` is what its public checks print."""
    names: dict = {"__name__": "notebook", "said": ""}
    for cell in cells:
        if cell.cell_type == "code":
            capsys.readouterr()
            exec(compile(cell.source.replace("%pip", "pass  #"), cell.id, "exec"), names)
            said = capsys.readouterr().out
            names["said"] += said if "no-grading" in cell.metadata.get("tags", []) else ""
    return names


# What the grading file expects, and what it puts tests to.


def blocks(grading: dict, number: int) -> dict[str, list[type]]:
    """Return the hidden blocks of a question."""
    made: dict[str, list[type]] = {}
    for key, codes in grading[f"BLOCKS{number}"].items():
        for code in [codes] if isinstance(codes, str) else codes:
            names: dict = {"__name__": "block"}
            exec(code, names)
            made.setdefault(key, []).append(names["Block"])
    return made


CASES = {
    1: ("double", [((6,), (6, 4, 3)), ((4, 3, 5), (4, 3, 5))]),
    2: ("dilated_gate", [((6,), (6, 4)), ((5, 3), (5, 3))]),
    3: ("fused", [((6,), (6, 4)), ((4, 3), (4, 3))]),
    4: ("similar", [((), ())]),
    5: ("coordinate", [((6,), (6, 4)), ((4, 3), (4, 3))]),
}


@pytest.mark.parametrize("number", SHAPES)
def test_right_blocks_are_right_and_wrong_ones_are_not(grading, number) -> None:
    """Values and gradients of each hidden block, against the equations in numpy and their differences."""
    import torch

    name, cases = CASES[number]
    draws = {1: "of_double", 2: "of_dilated", 3: "of_fused", 5: "of_coordinate"}
    for key, kinds in blocks(grading, number).items():
        for kind in kinds:
            errors = []
            for arguments, sizes in cases:
                p = {"scale": np.float32([0.6])} if number == 4 else grading[draws[number]](77, *sizes)
                channels = sizes[0] if sizes else 4
                for shape in ((3, channels, 6, 7), (1, channels, 5, 9)):
                    inputs = [0.5 * grading["drawn"](78 + i, *shape) for i in range(SHAPES[number][1])]
                    block = kind(*arguments).double()
                    block.load_state_dict({name: torch.tensor(value) for name, value in p.items()})
                    given = [torch.tensor(x).double().requires_grad_() for x in inputs]
                    out = block(*given)
                    exact = grading[name]({k: v.astype("float64") for k, v in p.items()}, *map(np.float64, inputs))
                    errors.append(np.abs(out.detach().numpy() - exact).max())
                    (out * torch.linspace(-1, 1, out.numel(), dtype=out.dtype).reshape(out.shape)).sum().backward()
                    have = dict(block.named_parameters())
                    grads = [*(have[name].grad for name in p), *(x.grad for x in given)]
                    ways = grading["directions"]([*p.values(), *inputs], 5)
                    slope = sum(
                        (0 if g is None else (g.numpy() * way).sum()) for g, way in zip(grads, ways, strict=True)
                    )
                    errors.append(abs(slope - grading["slope"](grading[name], p, inputs, 5)))
            if key == "right":
                assert max(errors) < 1e-5
            else:
                assert max(errors) > 1e-3


@pytest.mark.parametrize("number", SHAPES)
def test_the_given_mistake_is_the_same_in_other_words(grading, cells, number) -> None:
    import torch

    names: dict = {}
    exec(
        f"import torch\nfrom torch import nn\nfrom torch.nn import functional as F\n{cells[f'q{number}-given']}", names
    )
    (hidden,) = blocks(grading, number)["given"]
    arguments = () if number == 4 else (6,)
    torch.manual_seed(0)
    mine, theirs = names[f"Block{number}"](*arguments), hidden(*arguments)
    for parameter in mine.parameters():
        torch.nn.init.normal_(parameter)
    theirs.load_state_dict(mine.state_dict())
    inputs = [0.5 * torch.randn(3, 6, 6, 7) for _ in range(SHAPES[number][1])]
    torch.testing.assert_close(mine(*inputs), theirs(*inputs))


@pytest.mark.parametrize("number", SHAPES)
def test_a_network_around_a_broken_block_learns(cells, number) -> None:
    """What the notebook says: nothing crashes, shapes are right, and the loss falls."""
    import torch
    from torch import nn

    names: dict = {}
    exec(
        f"import torch\nfrom torch import nn\nfrom torch.nn import functional as F\n{cells[f'q{number}-given']}", names
    )
    torch.manual_seed(0)
    block = names[f"Block{number}"](*(() if number == 4 else (6,)))
    before, after = nn.Conv2d(3, 6, 1), nn.Linear(6, 1)
    x = torch.randn(64, 3, 6, 5)
    y = (x[:, :1] * x[:, 1:2]).mean((2, 3)) + x[:, 2:].relu().mean((2, 3))
    adam = torch.optim.Adam([p for part in (before, block, after) for p in part.parameters()], lr=0.01)
    losses = []
    for _ in range(120):
        inputs = [before(x)] * SHAPES[number][1]
        out = block(*inputs)
        assert out.shape == inputs[0].shape
        losses.append((after(out.relu().mean((2, 3))) - y).square().mean())
        adam.zero_grad()
        losses[-1].backward()
        adam.step()
    assert losses[-1] < 0.5 * losses[0], (losses[0], losses[-1])


def test_the_report_tells_nothing_of_what_is_to_be_found(submit, broken) -> None:
    made = assignments.student(broken)
    said = submit({cell.id: cell.source for cell in made.cells}).text()
    assert [line for line in said.splitlines() if "round" in line or "dead" in line or "axis" in line] == []


def test_parts_are_reported_in_the_order_of_the_notebook(broken, submit) -> None:
    marks = submit({}).marks
    assert [mark.title.split(":")[0] for mark in marks[:7]] == ["test_1"] * 3 + ["What is wrong with Block1"] + [
        "Mended1"
    ] * 3
    assert [mark.number for mark in marks[:7]] == [f"1.{n}" for n in range(1, 8)]


def test_no_hidden_block_can_be_told_by_its_place(grading, broken) -> None:
    orders = [q.parts[0].ask.hidden.values["codes"] for q in broken.assignment.questions[:5]]
    again = [q.parts[0].ask.hidden.values["codes"] for q in grading["ASSIGNMENT"].questions[:5]]
    assert [sorted(codes) for codes in orders] == [sorted(codes) for codes in again]
    assert orders != again
