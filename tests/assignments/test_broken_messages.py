"""What assignment 2 says of a test that fails a right block: the test's own line, and the cause where it is known.

No process is started: the lines that try a test on hidden blocks run here, on blocks of two lines.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from attention.grading.child import compiled

ROOT = Path(__file__).resolve().parents[2]
GRADING: dict[str, Any] = {"__name__": "grading_file"}
exec(compile((ROOT / "assignments" / "broken.grading.py").read_text(), "broken.grading.py", "exec"), GRADING)

BLOCK = "import torch\nclass Block(torch.nn.Linear):\n    def __init__(self):\n        super().__init__(1, 1)"
HELPED = """
def compare(found, right):
    off = (found - right).abs().max()
    assert off < 1e-5, f"off by {off}"

def test_1(block_class):
    x = torch.ones(1)
    compare(block_class()(x), x + 7)
"""
FORMATTED = """
def test_1(block_class):
    off = block_class()(torch.ones(1)).abs() + 1
    assert off.max() < 1e-5, f"off by {off}"
"""
RAISED = "def test_1(block_class):\n    raise AssertionError(f'{block_class} is wrong')"
UNDEFINED = """
def test_1(block_class):
    x = torch.zeros(3)
    mean = (x / x.sum()).mean()
    assert mean < 1, "the mean is too large"
"""
INSIDE = """
def test_1(block_class):
    block = block_class()
    (block(torch.zeros(1)) / 0).sum().backward()
    assert block.weight.grad.abs().max() < 9
"""


def said(source: str) -> tuple[str, str]:
    """Return what is said of a test that fails for right blocks, and the hint."""
    names: dict[str, Any] = {"torch": torch, "np": np}
    exec(compiled(source, "<cell 4>")[0], names)
    names |= {"codes": [BLOCK] * 5, "seeds": [1]}
    exec(GRADING["TRY"].replace("TEST", "test_1"), names)
    rows = names["answer"]
    outcomes = GRADING["Outcomes"](1, {"right": [BLOCK] * 2, "given": BLOCK, "elsewhere": BLOCK, "other": [BLOCK]})
    found = {("given", 0): rows[:1], ("right", 0): rows[1:2], ("right", 1): rows[2:3]}
    wrong = outcomes.strict(found, {"rows": rows, "lines": {4: source.splitlines()}})
    return str(wrong), wrong.known


@pytest.mark.parametrize(
    ("source", "line"),
    [
        (HELPED, "(code cell 4, line 8: compare(block_class()(x), x + 7))."),
        (FORMATTED, "(code cell 4, line 4: assert off.max() < 1e-5)."),
        (RAISED, "(code cell 4, line 2: raise AssertionError)."),
        (UNDEFINED, '(code cell 4, line 5: assert mean < 1, "the mean is too large").'),
    ],
)
def test_the_line_is_the_tests_own_and_as_it_can_be_read(source: str, line: str) -> None:
    assert said(source)[0].endswith(f"test_1 was to pass a right block, but it failed {line}")


@pytest.mark.parametrize(("source", "nan"), [(HELPED, False), (FORMATTED, False), (UNDEFINED, True), (INSIDE, True)])
def test_rounding_is_not_named_where_nan_is_the_cause(source: str, nan: bool) -> None:
    hint = said(source)[1]
    assert hint.startswith("There is nan among the numbers") == nan
    assert hint.startswith("Allow for rounding") != nan
    assert hint.endswith("Does it pass Mended1?")


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("assert off < 1, f'{off}'", "assert off < 1"),
        ("assert same(a, f'{b}'), f'{off}'", "assert same(a, f'{b}')"),
        ("assert same(a, f'{b}')", "assert same(a, f'{b}')"),
        ("assert off < 1, 'off'", "assert off < 1, 'off'"),
        ('raise AssertionError(f"{x}, {y}")', "raise AssertionError"),
        ("compare(a, f'{b}')", "compare(a, f'{b}')"),
        ("assert (", "assert ("),
    ],
)
def test_a_message_that_is_still_to_be_filled_in_is_left_out(line: str, shown: str) -> None:
    assert GRADING["without_message"](line) == shown
