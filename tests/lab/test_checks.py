"""The machinery of checks: what is asked in which order, what is said, and how to call it.

The exercises themselves, with their right and wrong answers, are tested in ``tests/exercises``.
"""

import linecache
import subprocess
import sys
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from torch import Tensor, nn

from attention.exercises import se
from attention.lab import checks
from attention.lab.checks import CheckFailed, Exercise, Misused, Wrong, check, judge
from attention.registry import chapters


def unwrapped(message: str) -> str:
    """Join the lines of a message."""
    return " ".join(message.split())


def asking(*questions: Any) -> Exercise:
    """Make an exercise of some questions."""
    return Exercise("x.1", "a title", "equation (1.1): a = b", questions, "the hint", "all of it.")


def test_a_result_says_what_was_printed(capsys: pytest.CaptureFixture) -> None:
    result = check("se.1", [0.75, 0.5], strict=True)
    assert result
    assert result.answered
    assert capsys.readouterr().out == result.message + "\n"
    assert result.message.startswith("✓ se.1 · Two gates by hand\n  Verified: ")
    result = check("se.1", ...)
    assert not result
    assert not result.answered
    assert "No answer yet" in capsys.readouterr().out


def test_strict_checks_raise_with_the_message() -> None:
    with pytest.raises(CheckFailed, match="Your gates sum to 1"):
        check("se.1", [0.75, 0.25], strict=True)
    with pytest.raises(CheckFailed, match="No answer yet"):
        check("se.1", ..., strict=True)
    assert issubclass(CheckFailed, AssertionError)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("se.7", 1), "There is no exercise 'se.7' that can be checked. There are se.1, se.2, se.3, se.4, se.5, se.6."),
        (("se.11", 1), "There is no exercise 'se.11' that can be checked"),
        (("se.0", 1), "There is no exercise 'se.0' that can be checked"),
        (("se", 1), "'se' names a chapter. Its exercises are se.1, se.2, se.3, se.4, se.5, se.6."),
        (("SE.1", 1), "There is no exercise 'SE.1'. Did you mean check(\"se.1\", answer)?"),
        (("se1", 1), 'Did you mean check("se.1", answer)?'),
        (("se-1", 1), 'Did you mean check("se.1", answer)?'),
        (("se_1", 1), 'Did you mean check("se.1", answer)?'),
        (("se,1", 1), 'Did you mean check("se.1", answer)?'),
        (("se.1.", 1), 'Did you mean check("se.1", answer)?'),
        ((" se.01 ", 1), 'Did you mean check("se.1", answer)?'),
        (("non-local.3", 1), 'Did you mean check("non_local.3", answer)?'),
        (("nonlocal.3", 1), 'Did you mean check("non_local.3", answer)?'),
        (("cbma.2", 1), 'Did you mean check("cbam.2", answer)?'),
        (("se.", 1), "'se.' names a chapter"),
        (
            ("SE", 1),
            "There are no exercises 'SE'. Chapters with exercises: cbam, eca, fca, gsop, non_local, se, sk, stn.",
        ),
        (("nothing.1", 1), "There are no exercises 'nothing'"),
        (("../se.1", 1), "Did you mean"),
        (("", 1), "There are no exercises ''"),
        (("1", 1), "There are no exercises '1'"),
        (("__init__.1", 1), "There are no exercises '__init__'"),
        ((1,), 'The exercise comes first, as a string, and then the answer: check("se.2", answer). Received int 1 in'),
        ((1, 2), "Received int 1 in its place."),
        (([0.75, 0.5], "se.1"), 'check("se.1", answer). Received list [0.75, 0.5] in its place.'),
        (([0.75, 0.5], "sk1"), 'check("sk.1", answer). Received list [0.75, 0.5] in its place.'),
        ((None, None), "Received None in its place."),
        ((torch.zeros(2), 1), "Received Tensor of dtype torch.float32 and shape (2,) in its place."),
        (("se.1",), 'The answer is missing: check("se.1", answer).'),
    ],
)
def test_a_call_that_is_misspelt_is_told_what_to_write(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(Misused) as caught:
        check(*arguments)
    assert message in str(caught.value), str(caught.value)
    assert isinstance(caught.value, ValueError)


CELL = "from attention.lab.checks import check\nfrom attention.exercises import se\n"


def shown(cell: str, capsys: pytest.CaptureFixture) -> str:
    """Run a cell and return everything that it shows."""
    InteractiveShell().run_cell(CELL + cell)
    out, err = capsys.readouterr()
    return out + err


def test_a_notebook_shows_the_message_once_and_no_traceback(capsys: pytest.CaptureFixture) -> None:
    said = shown("check('se.1', [0.75, 0.25])", capsys)
    assert said.count("✗ se.1") == 1
    assert "Result(" not in said
    for cell in ("check('se.1', [0.75, 0.25], strict=True)", "check('se.1', ..., strict=True)"):
        said = shown(cell, capsys)
        assert said.count("se.1 · Two gates by hand") == 1
        assert "Traceback" not in said
    for cell in ("check('se1', 1)", "check('se.1')", "check(1)"):
        said = shown(cell, capsys)
        assert "check(" in said
        assert "Traceback" not in said
        assert len(said.splitlines()) <= 3


def test_a_notebook_names_the_line_of_the_answer_that_raised(capsys: pytest.CaptureFixture) -> None:
    said = shown("def squeeze(x):\n    a = x + 1\n    return a.mean(dims=7)\ncheck('se.2', squeeze)", capsys)
    assert "your function raised TypeError" in unwrapped(said)
    assert "(line 5: return a.mean(dims=7))" in unwrapped(said)
    said = shown("def squeeze(x):\n    raise NotImplementedError  # one call\ncheck('se.2', squeeze)", capsys)
    assert "No answer yet" in said


def test_checks_work_in_plain_python() -> None:
    code = CELL + "print(repr(check('se.1', [0.75, 0.25])))\ncheck('se.1', 0, strict=True)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "✗ se.1" in done.stdout
    assert "Result(exercise='se.1', passed=False, answered=True)" in done.stdout
    assert done.returncode == 1
    assert "CheckFailed: ✗ se.1" in done.stderr


def test_exercises_are_not_imported_before_they_are_asked_for() -> None:
    code = "import sys, attention.lab.checks; print(any(m.startswith('attention.exercises') for m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_first_question_that_fails_is_the_one_reported() -> None:
    asked = []

    def question(number: int, fails: bool):
        def ask(answer: object) -> None:
            asked.append(number)
            if fails:
                raise Wrong(f"question {number}")

        return ask

    exercise = asking(question(1, False), question(2, True), question(3, True))
    result = judge(exercise, 1)
    assert asked == [1, 2]
    assert "question 2" in result.message
    assert "Hint: the hint" in result.message
    assert judge(replace(exercise, questions=()), 1).message == "✓ x.1 · a title\n  Verified: all of it."


def test_an_error_that_no_question_foresaw_is_a_wrong_answer() -> None:
    shape = partial(checks.expect_shape, shape=(2,), what="it")
    result = judge(asking(shape), [1, 2])
    assert result.answered
    assert not result
    assert unwrapped(result.message) == (
        "✗ x.1 · a title Expected another kind of answer: what was received, list [1, 2], led to AttributeError. "
        "Belongs to: equation (1.1): a = b Hint: Compare what your answer is, or what it returns, with what the "
        "exercise asks for."
    )


def test_an_error_in_code_outside_of_the_package_is_told_with_its_line() -> None:
    cell = "def build():\n    import torch\n    return torch.ones(2, 3) @ torch.ones(4, 5)\n"
    names: dict[str, Any] = {}
    file = "/tmp/ipykernel_7/1234.py"  # as notebooks name their cells
    linecache.cache[file] = (len(cell), None, cell.splitlines(keepends=True), file)
    exec(compile(cell, file, "exec"), names)
    said = unwrapped(judge(asking(lambda build: build()), names["build"]).message)
    assert "led to RuntimeError: mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)" in said
    assert "(line 3: return torch.ones(2, 3) @ torch.ones(4, 5)) Belongs to:" in said


def test_a_question_may_find_that_there_is_no_answer_yet() -> None:
    def unwritten(answer: Any) -> None:
        raise NotImplementedError

    assert not judge(asking(unwritten), [...]).answered


def test_an_interruption_is_no_answer() -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judge(checks.find("se.2"), interrupted)


def test_errors_of_torch_are_no_stubs() -> None:
    """Torch says ``NotImplementedError`` as well, of an operation that a kind of tensor does not have."""
    result = judge(checks.find("se.2"), lambda x: x.to("meta").cpu())
    assert result.answered
    assert "your function raised NotImplementedError: Cannot copy out of meta tensor" in unwrapped(result.message)


def test_an_error_without_words_is_no_stub() -> None:
    def raises(x: Tensor) -> None:
        raise ValueError

    result = judge(checks.find("se.2"), raises)
    assert result.answered
    assert "your function raised ValueError (line" in unwrapped(result.message)


def test_equations_are_numbered_as_in_the_book() -> None:
    written = [entry.name for entry in chapters() if entry.ready]
    number = written.index("cbam") + 1
    assert checks.equation("cbam", 8, "a = b") == f"equation ({number}.8): a = b"
    assert checks.equation("cbam", 2, "a = b", "(3)") == f"equation ({number}.2), (3) in the paper: a = b"


def test_a_number_that_is_none_is_never_close() -> None:
    with pytest.raises(Wrong, match="1 of 2 numbers in the gates is wrong"):
        checks.expect_close(torch.tensor([1.0, float("nan")]), torch.ones(2), "the gates")
    infinite = torch.tensor([torch.inf, 1.0])
    checks.expect_close(infinite, infinite, "the gates")
    with pytest.raises(Wrong, match=r"1 of 2 .* at \[1\]: expected 1, received 3"):
        checks.expect_close(torch.tensor([torch.inf, 3.0]), infinite, "the gates")


def test_close_values_report_the_largest_difference_and_its_place() -> None:
    right = torch.zeros(2, 3)
    wrong = right.clone()
    wrong[1, 2], wrong[0, 1] = 0.5, -0.25
    with pytest.raises(
        Wrong,
        match=r"^2 of 6 numbers in y are wrong. The largest difference is 0.5, at \[1, 2\]: expected 0, received 0.5.$",
    ):
        checks.expect_close(wrong, right, "y")
    checks.expect_close(right + 1e-6, right, "y")
    with pytest.raises(Wrong):
        checks.expect_close(right + 1e-4, right, "y")
    checks.expect_close(1e6 + right + 1, 1e6 + right, "y")  # relative to its size
    with pytest.raises(Wrong) as caught:
        checks.expect_close(torch.tensor(2.0), torch.tensor(1.0), "y")
    assert str(caught.value) == "The number in y is wrong. The largest difference is 1: expected 1, received 2."


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (3, 3), (3.0, 3), (-2, -2), (np.int64(3), 3), (np.float32(3), 3), (np.array([3]), 3), (torch.tensor(3), 3),
        (torch.tensor([[3.0]]), 3), (3.5, None), (True, None), ("3", None), (None, None), (2**70, None),
        (float("nan"), None), (float("inf"), None), (3 + 0j, None), (torch.ones(2), None), (torch.tensor(True), None),
        (torch.zeros((), device="meta"), None), (torch.tensor([3]).to_sparse(), None),
    ],
)  # fmt: skip
def test_whole_numbers_of_any_type_are_read(value: Any, number: int | None) -> None:
    assert checks.whole(value) == number
    if number is None:
        with pytest.raises(Wrong, match="For r=2: expected a count, received "):
            checks.expect_whole(value, "r=2", "a count")
    else:
        assert checks.expect_whole(value, "r=2", "a count") == number


def test_truth_values_of_any_type_are_read() -> None:
    for value in (True, np.bool_(True), np.array([True]), torch.tensor(True), torch.tensor([True])):
        assert checks.expect_truth(value, "x") is True
    for value in (1, "True", None, torch.tensor([True, False]), torch.tensor(1.0)):
        with pytest.raises(Wrong, match="For x: expected True or False, received "):
            checks.expect_truth(value, "x")


def test_an_input_that_is_changed_in_any_way_is_noticed() -> None:
    def resizes(x: Tensor) -> int:
        x.resize_(1)
        return 1

    def converts(x: Tensor) -> int:
        x.data = x.double()
        return 1

    def negates(x: Tensor) -> int:
        x.neg_()
        return 1

    for function in (resizes, converts, negates):
        with pytest.raises(Wrong, match="Called with x, it changed it"):
            checks.call(function, torch.ones(3), about="x")
    assert checks.call(lambda x: x + 1, torch.ones(3), about="x").tolist() == [2, 2, 2]


def test_arguments_are_counted_before_a_function_is_called() -> None:
    called = []

    def function(a: int, b: int = 0) -> int:
        called.append(a)
        return a + b

    assert checks.call(function, 1, about="one number") == 1
    assert checks.call(function, 1, 2, about="two numbers") == 3
    with pytest.raises(Wrong, match=r"Expected a function of 3 arguments, .* received function\(a: int, b: int = 0\)"):
        checks.call(function, 1, 2, 3, about="three numbers")
    assert called == [1, 1]
    assert checks.call(max, 1, 2, about="a function of C, which has no signature") == 2
    with pytest.raises(Wrong, match="Expected a function of 2 arguments"):
        checks.call(nn.ReLU(), torch.ones(1), 2, about="too much")


def test_an_endless_message_of_an_error_is_cut() -> None:
    def raises(x: Tensor) -> None:
        raise RuntimeError("word " * 10_000)

    message = judge(checks.find("se.2"), raises).message
    assert "your function raised RuntimeError: word word" in unwrapped(message)
    assert len(message) < 1500


def test_a_refusal_is_a_value_error_and_nothing_else() -> None:
    def raises(error: type[Exception]):
        def function(x: int) -> None:
            raise error("no")

        return function

    checks.expect_refusal(raises(ValueError), 1, about="1", hint="h")
    for error in (TypeError, NotImplementedError, SystemExit):
        with pytest.raises(Wrong, match=f"For 1, expected a ValueError, received {error.__name__}: no"):
            checks.expect_refusal(raises(error), 1, about="1", hint="h")
    with pytest.raises(Wrong, match=r"For 1, expected a ValueError, but your function returned int 2\."):
        checks.expect_refusal(lambda x: 2, 1, about="1", hint="h")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (3, "int 3"), ("abc", "str 'abc'"), ("a" * 50, "str of length 50"), (nn.ReLU, "the class ReLU"),
        (torch.zeros(2, 3), "Tensor of dtype torch.float32 and shape (2, 3)"), (list(range(50)), "list of length 50"),
        (np.zeros(2), "ndarray of dtype float64 and shape (2,)"), (object(), "object"), (lambda: 0, "function"),
        (nn.Linear(2, 2), "Linear"), (None, "None"),
    ],
)  # fmt: skip
def test_values_are_described_by_type_and_shape(value: Any, told: str) -> None:
    assert checks.describe(value) == told


def test_a_number_that_python_does_not_print_is_described() -> None:
    assert checks.describe(10**5000) == "int"


def test_the_numbers_of_the_first_exercise_are_those_that_a_hand_gets() -> None:
    """Means 2 and 1, hidden 1 and 0, and σ(ln 3) = 3/4."""
    x, first, second = se._X, se._W1, se._W2
    mean = x.mean((1, 2))
    assert mean.tolist() == [2, 1]
    hidden: Tensor = (first @ mean).relu()
    assert hidden.tolist() == [1, 0]
    torch.testing.assert_close((second @ hidden).sigmoid(), torch.tensor([0.75, 0.5], dtype=torch.float64))


def test_a_block_that_an_answer_changed_is_noticed() -> None:
    block = nn.Linear(2, 2)
    before = {name: value.clone() for name, value in block.state_dict().items()}
    checks.expect_unchanged(block, before, "a layer", "Copy it.")
    with torch.no_grad():
        block.bias.add_(1)
    with pytest.raises(Wrong, match=r"leave the block alone\. Called with a layer, it changed it"):
        checks.expect_unchanged(block, before, "a layer", "Copy it.")
