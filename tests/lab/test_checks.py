"""Checks of exercises: right answers pass, wrong ones are told what is wrong, and nothing raises by accident."""

import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from einops import rearrange, reduce
from IPython.core.interactiveshell import InteractiveShell
from torch import Tensor, nn

from attention.exercises import se
from attention.lab import checks
from attention.lab.checks import CheckFailed, Exercise, Wrong, check, judge
from attention.lab.training import Comparison, Interval, Run

# The solutions, as the chapter gives them.


def squeeze(x):
    return reduce(x, "b c ... -> b c", "mean")


def as_convolutions(block):
    layers = []
    for linear in (block.reduce, block.expand):
        conv = nn.Conv2d(linear.in_features, linear.out_features, 1, bias=linear.bias is not None)
        with torch.no_grad():
            conv.weight.copy_(rearrange(linear.weight, "o i -> o i 1 1"))
            if linear.bias is not None:
                conv.bias.copy_(linear.bias)
        layers.append(conv)
    return nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.Sigmoid())


def smallest_reduction(stages, parameters, budget):
    once = sum(2 * blocks * channels**2 for blocks, channels in stages)
    reduction = 1
    while once / reduction > budget * parameters:
        reduction *= 2
    return reduction


def open_gates(block, epsilon):
    if block.expand.bias is None:
        raise ValueError("without biases the gate is 1/2 where every mean is 0")
    with torch.no_grad():
        block.expand.weight.zero_()
        block.expand.bias.fill_(math.log((1 - epsilon) / epsilon))


def comparison(scores: dict[str, list[float]], parameters: dict[str, int] | None = None) -> Comparison:
    runs = [
        Run(name, seed, score, (), 0.0, (parameters or {}).get(name, 100))
        for name, own in scores.items()
        for seed, score in enumerate(own)
    ]
    return Comparison("a task", "accuracy", 0.1, 10, 8, "cpu", tuple(runs))


SCORES = {"mean": [0.70, 0.74, 0.71], "max": [0.61, 0.66, 0.60]}


def research(scores=SCORES, parameters=None, **changes):
    made = comparison(scores, parameters)
    first, second = list(scores)[:2]
    interval = made.difference(first, second) if len(made.seeds) > 1 else Interval(0.1, 0.0, 0.2, 1, first, second)
    claim = "On this task the mean scores higher than the maximum."
    return {"claim": claim, "comparison": made, "interval": interval, "verdict": interval.verdict} | changes


SOLUTIONS = {
    "se.1": torch.tensor([3 / 4, 1 / 2]),
    "se.2": squeeze,
    "se.3": as_convolutions,
    "se.4": smallest_reduction,
    "se.5": open_gates,
    "se.6": research(),
}

# Wrong answers: what they must be told, in part.


def without_relu(block):
    first, _, second, last = as_convolutions(block)
    return nn.Sequential(first, second, last)


def without_sigmoid(block):
    return as_convolutions(block)[:3]


def fresh_weights(block):
    made = as_convolutions(block)
    for layer in (made[0], made[2]):
        layer.reset_parameters()
    return made


def always_biased(block):
    made = as_convolutions(block)
    hidden, channels = made[0].out_channels, made[0].in_channels
    if made[0].bias is None:
        made[0], made[2] = nn.Conv2d(channels, hidden, 1), nn.Conv2d(hidden, channels, 1)
    return made


def wide_kernel(block):
    made = as_convolutions(block)
    made[0] = nn.Conv2d(made[0].in_channels, made[0].out_channels, 3, padding=1, bias=made[0].bias is not None)
    return made


def uses_linear(block):
    return nn.Sequential(nn.Flatten(), block.reduce, nn.ReLU(), block.expand, nn.Sigmoid(), nn.Unflatten(1, (-1, 1, 1)))


def spoils_block(block):
    made = as_convolutions(block)
    nn.init.zeros_(block.reduce.weight)
    return made


def changes_only_bias(block, epsilon):
    with torch.no_grad():
        block.expand.bias.fill_(math.log((1 - epsilon) / epsilon))


def sets_bias(value):
    def answer(block, epsilon):
        if block.expand.bias is None:
            raise ValueError("no bias")
        with torch.no_grad():
            block.expand.weight.zero_()
            block.expand.bias.fill_(value(epsilon))

    return answer


def zeroes_all(block, epsilon):
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.zero_()
        block.expand.bias.fill_(math.log((1 - epsilon) / epsilon))


def freezes(block, epsilon):
    open_gates(block, epsilon)
    block.requires_grad_(False)


def widens(block, epsilon):
    open_gates(block, epsilon)
    block.double()


def reshapes(block, epsilon):
    open_gates(block, epsilon)
    block.expand.weight.data = torch.zeros(1)


def never_refuses(block, epsilon):
    if block.expand.bias is not None:
        open_gates(block, epsilon)


def stumbles(block, epsilon):
    with torch.no_grad():
        block.expand.weight.zero_()
        block.expand.bias.fill_(math.log((1 - epsilon) / epsilon))


def in_place(x):
    x -= x
    return squeeze(x)


def raises(x):
    raise KeyError("my mistake")


WRONG = [
    ("se.1", [math.log(3), 0.0], "What keeps a gate between 0 and 1?"),
    ("se.1", [0.5, 0.25], "Between the two layers stands δ"),
    ("se.1", (0.75, 0.25), "Your gates sum to 1"),
    ("se.1", np.array([81 / 82, 0.5]), "divides by the number of pixels"),
    ("se.1", [0.9, 0.9], "not the maximum"),
    ("se.1", [0.75, 0.75], "multiply rows, not columns"),
    ("se.1", [1, 0], "the hidden vector"),
    ("se.1", [2, 1], "the squeezed vector z"),
    ("se.1", [0.75, 0.6], "1 of 2 numbers in the two gates is wrong. You have [0.75, 0.6]; look again at [1]."),
    ("se.1", torch.zeros(2, 2, 2), "Expected two gates, shape (2,), received shape (2, 2, 2)."),
    ("se.1", [0.75], "Expected shape (2,) for the two gates, received (1,)."),
    ("se.1", [0.75, math.nan], "Expected finite numbers"),
    ("se.1", "3/4 and 1/2", "received str '3/4 and 1/2'"),
    ("se.1", [True, False], "Expected the two gates as real numbers"),
    ("se.1", [[0.75], [0.5, 1.0]], "received list"),
    ("se.1", [torch.tensor(0.75, requires_grad=True), torch.tensor(0.5)], "as numbers of shape (2,), received list"),
    ("se.2", lambda x: reduce(x, "b c ... -> b c", "sum"), "These are sums"),
    ("se.2", lambda x: reduce(x, "b c ... -> b c", "max"), "These are maxima"),
    ("se.2", lambda x: x.mean(tuple(range(2, x.ndim)), keepdim=True), "received (2, 3, 1, 1)"),
    ("se.2", lambda x: reduce(x, "b c ... -> c", "mean"), "one mean for the whole batch"),
    ("se.2", lambda x: x.mean(1), "a mean over channels"),
    ("se.2", lambda x: x.mean(-1), "over the last axis only"),
    ("se.2", lambda x: reduce(x, "b c h w -> b c", "mean"), "Called with x of shape (2, 3, 7), your function raised"),
    ("se.2", lambda x: squeeze(x).numpy(), "Expected a torch.Tensor"),
    ("se.2", lambda x: squeeze(x).float(), "Expected dtype torch.float64"),
    ("se.2", lambda x: squeeze(x) / 0, "Expected finite numbers"),
    ("se.2", lambda x: squeeze(x.mean(0, keepdim=True)).expand(2, -1), "The largest difference is"),
    ("se.2", lambda x: None, "your function returned None"),
    ("se.2", lambda: None, "raised TypeError"),
    ("se.2", raises, "raised KeyError: 'my mistake' (line"),
    ("se.2", in_place, "changed its input"),
    ("se.2", squeeze(torch.ones(2, 3, 4)), "Pass the function itself"),
    ("se.2", nn.Flatten, "received the class Flatten"),
    ("se.3", without_relu, "What stands between the two layers?"),
    ("se.3", without_sigmoid, "before the last function"),
    ("se.3", fresh_weights, "The largest difference is"),
    ("se.3", always_biased, "expected no biases in both layers, received biases"),
    ("se.3", wide_kernel, "received (3, 12, 3, 3) and (12, 3, 1, 1)"),
    ("se.3", uses_linear, "both Conv2d, received Linear, Linear"),
    ("se.3", spoils_block, "your function changed the block"),
    ("se.3", lambda block: lambda z: z, "Expected an nn.Module, received function"),
    ("se.3", lambda block: nn.ReLU(), "received none"),
    ("se.4", lambda s, p, b: smallest_reduction(s, 2 * p, b), "How many matrices has a block?"),
    ("se.4", lambda s, p, b: smallest_reduction([(1, c) for _, c in s], p, b), "How many blocks has a stage?"),
    ("se.4", lambda s, p, b: smallest_reduction([(n, math.sqrt(c)) for n, c in s], p, b), "how many entries?"),
    ("se.4", lambda s, p, b: smallest_reduction([(n, c / 4) for n, c in s], p, b), "take its output channels"),
    ("se.4", lambda s, p, b: 2 * smallest_reduction(s, p, b), "A smaller ratio fits as well"),
    ("se.4", lambda s, p, b: math.ceil(sum(2 * n * c * c for n, c in s) / (b * p)), "Only powers of two"),
    ("se.4", lambda s, p, b: sum(2 * n * c * c for n, c in s) / p, "Return the reduction ratio itself"),
    ("se.4", lambda s, p, b: "16", "expected a power of two, received str '16'"),
    ("se.4", lambda s, p, b: math.inf, "expected a power of two, received float inf"),
    ("se.4", lambda s, p, b: 10**400, "expected a power of two, received int."),
    ("se.4", lambda s, p, b: 10**5000, "expected a power of two, received int."),
    ("se.4", 128, "Expected a function, received int 128"),
    ("se.5", changes_only_bias, "still depend on the input"),
    ("se.5", sets_bias(lambda e: 0.0), "σ(0) = ½"),
    ("se.5", sets_bias(lambda e: 1 - e), "it is what comes out that should be 1 − ε"),
    ("se.5", sets_bias(lambda e: math.log(e / (1 - e))), "check a sign"),
    ("se.5", sets_bias(lambda e: 50.0), "Wider open than asked"),
    ("se.5", zeroes_all, "the gradient of W₂ is zero"),
    ("se.5", freezes, "no longer has its four trainable parameters"),
    ("se.5", widens, "of the same shapes and dtype"),
    ("se.5", reshapes, "of the same shapes and dtype"),
    ("se.5", never_refuses, "expected a ValueError, but your function returned"),
    ("se.5", stumbles, "expected a ValueError, received AttributeError"),
    ("se.5", lambda block: None, "raised TypeError"),
    ("se.6", {"claim": "x"}, "received the keys claim"),
    ("se.6", [1, 2, 3], "received list"),
    ("se.6", research(claim="max is worse"), "at least five words"),
    ("se.6", research(comparison=SCORES), "a training.Comparison, received dict"),
    ("se.6", research({"mean": [0.7, 0.8], "max": [0.6, 0.65]}), "Expected at least 3 seeds, received 2"),
    ("se.6", research(parameters={"mean": 100, "max": 164}), "differ in parameters: 100 and 164"),
    (
        "se.6",
        research(interval=Interval.paired([1, 2, 3], [0, 0, 1], first="a", second="b")),
        "two of mean, max, received a and b",
    ),
    (
        "se.6",
        research(interval=Interval(0.1, 0.02, 0.2, 3, "mean", "max")),
        "Subtract seed by seed",
    ),
    ("se.6", research({"mean": [1.0, 1.0, 1.0], "max": [1.0, 1.0, 1.0]}), "all seeds are identical"),
    ("se.6", research(verdict="yes"), "one of higher, lower, undecided, received str 'yes'"),
    ("se.6", research(verdict=np.array(["higher", "lower"])), "one of higher, lower, undecided, received ndarray"),
    ("se.6", research(verdict="undecided"), "Does the interval hold 0?"),
]


def test_every_exercise_has_a_solution_and_four_wrong_answers() -> None:
    assert [each.id for each in se.EXERCISES] == list(SOLUTIONS) == [f"se.{i}" for i in range(1, 7)]
    for exercise in SOLUTIONS:
        assert sum(name == exercise for name, *_ in WRONG) >= 4


@pytest.mark.parametrize("exercise", SOLUTIONS)
def test_solutions_pass(exercise: str, capsys: pytest.CaptureFixture) -> None:
    result = check(exercise, SOLUTIONS[exercise], strict=True)
    assert result
    assert result.passed
    assert result.answered
    printed = capsys.readouterr().out
    assert printed == result.message + "\n"
    assert printed.startswith(f"✓ {exercise} · ")
    assert "Verified: " in printed


@pytest.mark.parametrize("empty", [None, ...])
@pytest.mark.parametrize("exercise", SOLUTIONS)
def test_no_answer_is_not_a_wrong_answer(exercise: str, empty: object, capsys: pytest.CaptureFixture) -> None:
    result = check(exercise, empty)
    assert not result
    assert not result.answered
    printed = capsys.readouterr().out
    assert printed.startswith(f"… {exercise} · ")
    assert "No answer yet" in printed


def test_a_function_that_is_not_written_yet_is_no_answer() -> None:
    def later(*arguments):
        raise NotImplementedError

    for exercise in ("se.2", "se.3", "se.4", "se.5"):
        assert not judge(checks.find(exercise), later).answered


@pytest.mark.parametrize(("exercise", "answer", "told"), WRONG, ids=[f"{e}: {t[:40]}" for e, _, t in WRONG])
def test_wrong_answers_are_told_what_is_wrong(exercise: str, answer: object, told: str) -> None:
    result = judge(checks.find(exercise), answer)
    assert not result
    assert result.answered
    unwrapped = " ".join(result.message.split())
    assert told in unwrapped
    assert unwrapped.startswith(f"✗ {exercise} · ")
    assert "Belongs to: " in unwrapped
    assert unwrapped.count("Hint: ") == 1
    assert max(map(len, result.message.splitlines())) <= 92


def test_messages_do_not_give_hand_computed_answers_away() -> None:
    for answer in ([0.1, 0.2], [0.75, 0.1], [0.1, 0.5], [1, 2]):
        message = judge(checks.find("se.1"), answer).message
        for value, right in zip(answer, ("0.75", "0.5"), strict=True):
            assert (right in message) == (f"{value:g}" == right)


@pytest.mark.parametrize("exercise", SOLUTIONS)
def test_no_answer_however_odd_breaks_a_check(exercise: str) -> None:
    odd = [
        0, -1.5, "", "x", b"x", True, [], {}, set(), object(), type, print, int, len, np.zeros(3), np.zeros((2, 0)),
        torch.zeros(()), torch.zeros(0), torch.zeros(2, dtype=torch.complex64), torch.zeros(2, 2, dtype=torch.int8),
        nn.ReLU(), nn.Linear(2, 2), lambda *a: a, lambda *a: a[0], lambda *a: ..., lambda *a: torch.zeros(()),
        lambda *a: np.float64(3), lambda *a: "x", lambda *a: -4, lambda *a: True, lambda *a: nn.Conv2d(1, 1, 1),
        lambda *a: math.nan, {"claim": None, "comparison": None, "interval": None, "verdict": None},
        research(interval=3), research(verdict=None), research(verdict=[]), research(claim=None),
    ]  # fmt: skip
    for answer in odd:
        result = judge(checks.find(exercise), answer)
        assert not result or answer is SOLUTIONS[exercise]


def test_answers_may_be_numpy_lists_or_carry_gradients() -> None:
    for gates in ([0.75, 0.5], (0.75, 0.5), np.array([0.75, 0.5]), torch.tensor([0.75, 0.5], requires_grad=True)):
        assert judge(checks.find("se.1"), gates)
    assert judge(checks.find("se.1"), torch.tensor([0.75, 0.5], dtype=torch.bfloat16))
    weight = torch.ones(1, requires_grad=True)
    assert judge(checks.find("se.2"), lambda x: squeeze(x * weight).to(x.dtype))
    assert judge(checks.find("se.4"), lambda s, p, b: torch.tensor(smallest_reduction(s, p, b)))
    assert judge(checks.find("se.4"), lambda s, p, b: np.int64(smallest_reduction(s, p, b)))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_answers_may_live_on_a_gpu() -> None:
    assert judge(checks.find("se.1"), torch.tensor([0.75, 0.5], device="cuda"))
    assert judge(checks.find("se.2"), lambda x: squeeze(x.cuda()))
    assert judge(checks.find("se.3"), lambda block: as_convolutions(block).cuda())


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("exercise", SOLUTIONS)
def test_the_callers_mode_does_not_matter(exercise: str, mode: type) -> None:
    with mode():
        assert judge(checks.find(exercise), SOLUTIONS[exercise])
        assert not torch.is_grad_enabled()


def test_a_number_that_is_none_is_never_close() -> None:
    with pytest.raises(Wrong, match="1 of 2 numbers in the gates is wrong"):
        checks.expect_close(torch.tensor([1.0, math.nan]), torch.ones(2), "the gates")
    checks.expect_close(torch.tensor([math.inf, 1.0]), torch.tensor([math.inf, 1.0]), "the gates")


def test_checks_leave_the_random_state_as_it_was() -> None:
    torch.manual_seed(1234)  # not the seed that questions run from
    state = torch.get_rng_state()
    for exercise, answer in SOLUTIONS.items():
        judge(checks.find(exercise), answer)
    assert torch.equal(torch.get_rng_state(), state)


def test_checks_say_the_same_each_time() -> None:
    for exercise, answer, _ in [*WRONG, ("se.4", lambda *a: object(), ""), ("se.6", research(interval=object()), "")]:
        torch.manual_seed(1)
        first = judge(checks.find(exercise), answer).message
        torch.manual_seed(2)
        second = judge(checks.find(exercise), answer).message
        assert first == second
        assert " at 0x" not in first


def test_strict_checks_raise_with_the_message() -> None:
    with pytest.raises(CheckFailed, match="Your gates sum to 1"):
        check("se.1", [0.75, 0.25], strict=True)
    with pytest.raises(CheckFailed, match="No answer yet"):
        check("se.1", ..., strict=True)


@pytest.mark.parametrize(
    ("identifier", "error", "message"),
    [
        ("se.11", ValueError, "is not one of se.1, se.2, .*did you mean 'se.1'"),
        ("nothing.1", ValueError, "there are no exercises 'nothing'"),
        ("../se.1", ValueError, "there are no exercises"),
        ("", ValueError, "there are no exercises"),
        (2, TypeError, "expected a string such as 'se.2', received int"),
    ],
)
def test_unknown_exercises_are_refused(identifier: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        check(identifier, 1)


def test_a_notebook_shows_the_message_once_and_no_traceback(capsys: pytest.CaptureFixture) -> None:
    shell = InteractiveShell()
    shell.run_cell("from attention.lab.checks import check\ncheck('se.1', [0.75, 0.25])")
    out, err = capsys.readouterr()
    assert out.count("✗ se.1") == 1
    assert "Result(" not in out
    shell.run_cell("check('se.1', [0.75, 0.25], strict=True)")
    out, err = capsys.readouterr()
    assert (out + err).count("✗ se.1") == 1
    assert "Traceback" not in out + err


def test_the_first_question_that_fails_is_the_one_reported() -> None:
    asked = []

    def question(number: int, fails: bool):
        def ask(answer: object) -> None:
            asked.append(number)
            if fails:
                raise Wrong(f"question {number}")

        return ask

    exercise = Exercise("x.1", "t", "e", (question(1, False), question(2, True), question(3, True)), "the hint", "v")
    result = judge(exercise, 1)
    assert asked == [1, 2]
    assert "question 2" in result.message
    assert "Hint: the hint" in result.message
    assert judge(replace(exercise, questions=()), 1).message == "✓ x.1 · t\n  Verified: v"


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


def test_exercises_are_not_imported_before_they_are_asked_for() -> None:
    code = "import sys, attention.lab.checks; print(any(m.startswith('attention.exercises') for m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_solutions_are_of_tensors(capsys: pytest.CaptureFixture) -> None:
    """The numbers of se.1 are those that a hand gets: means 2 and 1, hidden 1 and 0, and σ(ln 3) = 3/4."""
    x, first, second = se._X, se._W1, se._W2
    mean = x.mean((1, 2))
    assert mean.tolist() == [2, 1]
    hidden: Tensor = (first @ mean).relu()
    assert hidden.tolist() == [1, 0]
    torch.testing.assert_close((second @ hidden).sigmoid(), torch.tensor([0.75, 0.5], dtype=torch.float64))
