"""The grader with whole submissions: right, wrong and unfinished ones."""

import json
import sys
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

from tests.grading.submissions import (
    ANSWER,
    COST,
    GATE,
    IMPORTS,
    MOST,
    SOLUTION,
    SQUEEZE,
    STUB,
    lost,
    notebook,
    run_command,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere memory is not limited")


HOG = "hog = []\nwhile True:\n    hog.append(bytearray(10_000_000))"


def test_the_solution_gets_full_marks_within_the_memory_of_gradescope(grading_file: Path, tmp_path: Path) -> None:
    # With a cell that takes all the memory that it can get.
    (tmp_path / "mine.ipynb").write_text(notebook(HOG, *SOLUTION))
    results, report = tmp_path / "out" / "results.json", tmp_path / "out" / "report.md"
    given = ("--assignment", grading_file, "--results", results, "--report", report)
    done, peak = run_command(tmp_path, *given)  # a folder of one notebook, as Gradescope gives it
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(results.read_text())
    assert found["score"] == 15 == sum(test.get("max_score", 0) for test in found["tests"])
    assert {test["name"] for test in found["tests"] if "score" not in test} == {"4.2 What it says"}
    assert all(test["status"] == "passed" for test in found["tests"] if "score" in test)
    assert set(found) == {"score", "output", "output_format", "visibility", "execution_time", "tests", "extra_data"}
    assert "Code cell 1 was left out: it needed more than 400 MB of memory." in found["output"]
    assert "**15 of 15 points**" in report.read_text() == done.stdout[:-1]
    if sys.platform == "linux":
        assert 300 < peak < MOST
        assert found["extra_data"]["memory_mb"]["grader"] < 64  # no torch on this side


def test_the_stub_gets_nothing(graded) -> None:
    result = graded(IMPORTS, STUB, answer="<!-- answer 4 -->\nYour answer here.")
    assert result.score == 0
    assert {mark.state for mark in result.marks if mark.number != "4.2"} == {"open"}
    assert result.text().count("Not answered yet.") == 10


def test_what_a_person_reads_is_named_and_its_rubric_is_not_told(graded) -> None:
    result = graded(IMPORTS, STUB)
    text = result.text()
    assert "## 4 · Why a product: 1 of 1; up to 2, by hand\n" in text
    assert "✎ **What it says** (up to 2, by hand)" in text
    assert "names the exclusive or" not in text + str(result.gradescope())


OTHERS = {
    "einops, convolutions and floats": (
        "import torch, numpy\nfrom torch import nn\nfrom einops import reduce",
        "squeeze = lambda x: reduce(x, 'b c h w -> b c', 'mean') if x.ndim == 4 else wrong()\n"
        "def wrong():\n    class MyError(ValueError): pass\n    raise MyError('SHAPE')",
        """
        class Gate(nn.Sequential):
            def __init__(self, c, reduction):
                d = c // reduction
                first, second = nn.Conv2d(c, d, 1, bias=False), nn.Conv2d(d, c, 1, bias=False)
                super().__init__(first, nn.ReLU(), second, nn.Sigmoid())

            def forward(self, x):
                return x * super().forward(squeeze(x)[..., None, None])
        """,
        "cost = lambda c, r: numpy.float64(2 * c * c / r)",
    ),
    "parameters by hand": (
        "import torch",
        """
        def squeeze(x):
            batch, channels, height, width = x.shape if x.ndim == 4 else refuse(x)
            return x.reshape(batch, channels, height * width).sum(-1) / (height * width)
        def refuse(x):
            raise ValueError("this is no shape for a map")
        """,
        """
        class Gate(torch.nn.Module):
            def __init__(self, channels, reduction):
                super().__init__()
                self.down = torch.nn.Parameter(torch.randn(channels // reduction, channels))
                self.up = torch.nn.Parameter(torch.randn(channels, channels // reduction))

            def forward(self, x):
                z = squeeze(x)
                s = torch.einsum("cd,bd->bc", self.up, torch.einsum("dc,bc->bd", self.down, z).clamp(min=0))
                return torch.einsum("bchw,bc->bchw", x, 1 / (1 + (-s).exp()))
        """,
        "def cost(c, r):\n    return torch.tensor(2 * c * c // r)",
    ),
    "the book's own block, and a cell that fails": (
        "import torch\nfrom attention import SqueezeExcitation\nfrom attention import lab\nundefined",
        "class Gate(SqueezeExcitation):\n    def __init__(self, c, reduction):\n"
        "        super().__init__(c, reduction, False)",
        SQUEEZE,
        "@torch.no_grad()\ndef cost(c, r):\n    return sum(p.numel() for p in Gate(c, r).parameters())",
    ),
}


@pytest.mark.parametrize("code", OTHERS.values(), ids=OTHERS)
def test_right_answers_may_be_written_otherwise(graded, code: tuple[str, ...]) -> None:
    result = graded(*map(dedent, code))
    assert lost(result) == {}


MEAN = "x.mean((2, 3))"
ALONE = {GATE: GATE.replace("squeeze(x)", MEAN)}  # so that what is wrong with squeeze stays there


def instead(cell: str, old: str, new: str) -> dict[str, str]:
    assert old in cell
    return {cell: cell.replace(old, new)}


# What is changed in the solution, what that loses, and what is said of it.
WRONG = {
    "sums, and the square forgotten": (
        instead(SQUEEZE, "mean", "sum") | instead(COST, "**2", ""),
        {"1.2": 2, "1.3": 2, "2.2": 3, "2.3": 2, "3.1": 1, "3.2": 1},
        ("Hint: These are sums.", "Belongs to: z = mean of x", "Expected 512 for the answer, received 8."),
    ),
    "axes kept, and a cost for one block only": (
        instead(SQUEEZE, "(2, 3))", "(2, 3), keepdim=True)") | ALONE | {COST: "def cost(c, r):\n    return 512"},
        {"1.1": 1, "1.2": 2, "1.3": 2, "3.2": 1},
        ("Expected shape (2, 6) for the squeezed map, received (2, 6, 1, 1).",),
    ),
    "in place": (
        instead(SQUEEZE, MEAN, "x.mul_(2).mean((2, 3)) / 2") | ALONE,
        {"1.2": 1},
        ("The result is right, but the function changed its input.",),
    ),
    "float64 is no mistake": (instead(SQUEEZE, MEAN, "x.double().mean((2, 3))") | ALONE, {}, ()),
    "a list, and a name lacking": (
        instead(SQUEEZE, MEAN, f"{MEAN}.tolist()") | ALONE | {COST: "raise TypeError('too early')\n" + COST},
        {"1.1": 1, "1.2": 2, "1.3": 2, "3.1": 1, "3.2": 1},
        ("Expected a torch tensor for the squeezed map", "`cost` is not defined, because code cell 4"),
    ),
    "no refusal, biases, and another name": (
        {SQUEEZE: "def squeeze(x):\n    return x.flatten(2).mean(-1)"}
        | instead(GATE, ", bias=False", "")
        | instead(COST, "cost", "costs"),
        {"1.4": 1, "2.1": 1, "2.2": 3, "2.3": 2, "3.1": 1, "3.2": 1},
        (
            "Expected a ValueError, received IndexError",
            "Expected parameters (2, 6), (6, 2); yours are reduce.weight (2, 6), reduce.bias (2,)",
            "The notebook defines no `cost`. It defines `costs`: is that the one?",
        ),
    ),
    "no product, and few words": (
        instead(GATE, "return x * ", "return 0 * x + ") | {ANSWER: "<!-- answer 4 -->\nbecause because"},
        {"2.2": 3, "2.3": 2, "4.1": 1},
        ("at least 8 different words, received 1", "The shape of the result is right, its values are not."),
    ),
}


@pytest.mark.parametrize(("changes", "points", "lines"), WRONG.values(), ids=WRONG)
def test_a_wrong_answer_loses_exactly_its_points(graded, changes, points, lines) -> None:
    assert set(changes) <= {*SOLUTION, ANSWER}
    result = graded(*(changes.get(cell, cell) for cell in SOLUTION), answer=changes.get(ANSWER, ANSWER))
    assert lost(result) == points
    for line in lines:
        assert line in result.text()
    assert result.trouble == []


def test_hidden_numbers_are_not_shown(graded) -> None:
    leak = (
        "def squeeze(x):\n    if x.shape[0] == 3:\n        print(x)\n        open('/' + str(x.tolist()))\n    return x",
        "class Gate(nn.Module):\n    pass",
        "def cost(c, r):\n    if c == 256:\n        raise type(f'E{c}', (ValueError,), {})(f'{c}')\n    return 1",
    )
    text = graded(IMPORTS, *leak).text()
    number = str(abs(np.random.default_rng(2).normal(size=84).astype("float32")[0]))[:5]
    assert number not in text
    assert "256" not in text
    assert "Your code raised ValueError for an input that is not shown." in text
    assert "it tried something that the grader does not allow" in text
