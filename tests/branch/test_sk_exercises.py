"""The exercises on Selective Kernel: solutions pass, typical wrong answers are told what is wrong."""

import math

import pytest
import torch

from attention.exercises import sk
from attention.lab.checks import check, judge
from attention.lab.training import Comparison, Interval, Run

# The solutions, as the chapter gives them.


def receptive_fields(units):
    fields = []
    for widest in (False, True):
        field, step = 1, 1
        for branches, stride in units:
            branch = branches if widest else 1
            field += 2 * branch * step
            step *= stride
        fields.append(field)
    return tuple(fields)


def select(scores, u):
    a = scores.softmax(dim=1)
    return torch.einsum("b m c, b m c h w -> b c h w", a, u)


def added(stages, branches, groups, reduction, floor):
    total = 0
    for blocks, c in stages:
        d = max(c // reduction, floor)
        kernel = 9 * c**2 // groups + 2 * c
        total += blocks * ((branches - 1) * kernel + (branches + 1) * c * d + 2 * d)
    return total


def prefer(block, branch, epsilon, score=None):
    d = block.fuse[0].out_features
    t = math.log((len(block.select) - 1) * (1 - epsilon) / epsilon) if score is None else score
    with torch.no_grad():
        block.fuse[1].weight.zero_()
        block.fuse[1].bias.fill_(1.0)
        for m, matrix in enumerate(block.select):
            matrix.weight.fill_(t / d if m == branch else 0.0)


SCORES = {"difference": [0.70, 0.74, 0.71], "sum": [0.61, 0.66, 0.60]}


def research(scores=SCORES, parameters=100, **changes):
    runs = [
        Run(name, seed, score, (), 0.0, 100 if name == "sum" else parameters)
        for name, own in scores.items()
        for seed, score in enumerate(own)
    ]
    made = Comparison("a task", "accuracy", 0.5, 10, 8, "cpu", tuple(runs))
    interval = made.difference("difference", "sum")
    claim = "After ten steps the difference scores higher than the sum."
    return {"claim": claim, "comparison": made, "interval": interval, "verdict": interval.verdict} | changes


SOLUTIONS = {
    "sk.1": [1 / 8, 2 / 8, 5 / 8],
    "sk.2": receptive_fields,
    "sk.3": select,
    "sk.4": added,
    "sk.5": prefer,
    "sk.6": research(),
}


def weighted(a, u):
    return (a[..., None, None] * u).sum(1)


def late_stride(units):
    fields = []
    for widest in (False, True):
        field, step = 1, 1
        for branches, stride in units:
            step *= stride
            field += 2 * (branches if widest else 1) * step
        fields.append(field)
    return tuple(fields)


def only_select(block, branch, epsilon):
    with torch.no_grad():
        for m, matrix in enumerate(block.select):
            matrix.weight.fill_(1.0 if m == branch else 0.0)


def zero_all(block, branch, epsilon):
    prefer(block, branch, epsilon)
    with torch.no_grad():
        block.fuse[1].bias.zero_()


def spoil_kernels(block, branch, epsilon):
    prefer(block, branch, epsilon)
    with torch.no_grad():
        block.kernels[0][0].weight.zero_()


def freeze(block, branch, epsilon):
    prefer(block, branch, epsilon)
    block.requires_grad_(False)


WRONG = [
    ("sk.1", [0.0, math.log(2), math.log(5)], "These are the scores"),
    ("sk.1", [1, 0, 3], "This is z"),
    ("sk.1", [1 / 2, 2 / 3, 5 / 6], "each branch decides for itself"),
    ("sk.1", [1, 2, 5], "These are the exponentials"),
    ("sk.1", torch.tensor([-10, math.log(2) - 2, math.log(5) - 8]).softmax(0), "Between W and A stands δ"),
    ("sk.1", [0.125, 0.25, 0.5], "1 of 3 numbers in the three weights is wrong"),
    ("sk.1", [0.125, 0.875], "Expected shape (3,) for the three weights, received (2,)."),
    ("sk.2", late_stride, "A unit's stride widens what comes after it"),
    ("sk.2", lambda units: receptive_fields([(m, 1) for m, _ in units]), "a step is two pixels of the input"),
    ("sk.2", lambda units: receptive_fields(units)[::-1], "The narrow one comes first"),
    ("sk.2", lambda units: tuple(f - 1 for f in receptive_fields(units)), "Without any unit one pixel is seen"),
    ("sk.2", lambda units: receptive_fields(units)[0], "expected two whole numbers"),
    ("sk.2", lambda units: (3.0, 5.0), "expected two whole numbers"),
    ("sk.3", lambda s, u: weighted(s.softmax(2), u), "sum to 1 over the channels"),
    ("sk.3", lambda s, u: weighted(s.softmax(0), u), "sum to 1 over the batch"),
    ("sk.3", lambda s, u: weighted(s.sigmoid(), u), "These weights do not sum to 1"),
    ("sk.3", lambda s, u: select(s, u) / u.shape[1], "That is a mean over the branches"),
    ("sk.3", lambda s, u: u.sum(1), "Where are the weights?"),
    ("sk.3", lambda s, u: s.softmax(1)[..., None, None] * u, "The branches are still apart"),
    ("sk.4", lambda s, m, g, r, f: added(s, m, g, r, 1), "never smaller than the floor"),
    (
        "sk.4",
        lambda s, m, g, r, f: added(s, m, g, r, f) + sum(n * (9 * c * c // g + 2 * c) for n, c in s),
        "One of the branches was there before",
    ),
    ("sk.4", lambda s, m, g, r, f: added([(1, c) for _, c in s], m, g, r, f), "How many blocks has a stage?"),
    ("sk.4", lambda s, m, g, r, f: added(s, m, 1, r, f), "sees C/G channels only"),
    (
        "sk.4",
        lambda s, m, g, r, f: added(s, m, g, r, f) - sum(n * 2 * max(c // r, f) for n, c in s),
        "a scale and a shift for each of its d numbers",
    ),
    ("sk.4", lambda s, m, g, r, f: "2.45 M", "expected a whole number of parameters"),
    ("sk.4", lambda s, m, g, r, f: math.inf, "expected a whole number of parameters"),
    ("sk.5", only_select, "still depend on the input"),
    ("sk.5", zero_all, "All branches count alike"),
    ("sk.5", lambda b, m, e: prefer(b, m, e, -math.log((1 - e) / e)), "check a sign, or the branch"),
    ("sk.5", lambda b, m, e: prefer(b, m, e, 50.0), "More than asked"),
    ("sk.5", lambda b, m, e: prefer(b, m, e, math.log((1 - e) / e)), "the others share ε between them"),
    ("sk.5", spoil_kernels, "The branches' own convolutions"),
    ("sk.5", freeze, "no longer has the same trainable parameters"),
    ("sk.6", {"claim": "x"}, "received the keys claim"),
    ("sk.6", research(claim="sums are worse"), "at least five words"),
    ("sk.6", research({k: v[:2] for k, v in SCORES.items()}), "Expected at least 3 seeds, received 2"),
    ("sk.6", research(parameters=164), "Fusing something else needs no weights"),
    ("sk.6", research(interval=Interval(0.1, 0.02, 0.2, 3, "difference", "sum")), "Subtract seed by seed"),
    ("sk.6", research(dict.fromkeys(SCORES, [1.0] * 3)), "all seeds are identical"),
    ("sk.6", research(verdict="undecided"), "Does the interval hold 0?"),
]


def test_every_exercise_has_a_solution_and_four_wrong_answers() -> None:
    assert [each.id for each in sk.EXERCISES] == list(SOLUTIONS)
    for exercise in SOLUTIONS:
        assert sum(name == exercise for name, *_ in WRONG) >= 4


@pytest.mark.parametrize("exercise", SOLUTIONS)
def test_solutions_pass(exercise: str, capsys: pytest.CaptureFixture) -> None:
    assert check(exercise, SOLUTIONS[exercise], strict=True)
    assert "Verified: " in capsys.readouterr().out


@pytest.mark.parametrize("empty", [None, ...])
@pytest.mark.parametrize("exercise", SOLUTIONS)
def test_no_answer_is_not_a_wrong_answer(exercise: str, empty: object, capsys: pytest.CaptureFixture) -> None:
    result = check(exercise, empty)
    assert not result
    assert not result.answered
    assert capsys.readouterr().out.startswith(f"… {exercise} · ")


@pytest.mark.parametrize(("exercise", "answer", "told"), WRONG)
def test_wrong_answers_are_told_what_is_wrong(exercise: str, answer: object, told: str) -> None:
    result = judge(next(each for each in sk.EXERCISES if each.id == exercise), answer)
    assert result.answered
    assert not result.passed
    said = " ".join(result.message.split())
    assert told in said, said
    assert "Belongs to: " in said
    assert "Hint: " in said


@pytest.mark.parametrize("exercise", SOLUTIONS)
@pytest.mark.parametrize("odd", ["a word", 3, lambda *a: None, object(), torch.ones(2), {}])
def test_no_answer_however_odd_breaks_a_check(exercise: str, odd: object) -> None:
    assert not judge(next(each for each in sk.EXERCISES if each.id == exercise), odd)
