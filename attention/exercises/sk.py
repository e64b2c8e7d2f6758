"""The exercises of the chapter on Selective Kernel networks.

Their statements and solutions stand in the chapter; here is what ``check`` asks of an answer.
"""

import math
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attention.branch.sk import SelectiveKernel
from attention.lab.checks import (
    Exercise,
    Wrong,
    call,
    describe,
    equation,
    expect,
    expect_close,
    expect_function,
    expect_numbers,
    expect_parameters,
    expect_research,
    expect_tensor,
    expect_whole,
    span,
    whole,
)

__all__ = ["EXERCISES"]

# sk.1: numbers that a hand can compute. The logarithms are there because e^(ln 5) is 5.
_BEFORE = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
_LN2, _LN5 = math.log(2), math.log(5)
_ROWS = torch.tensor([[0, 5, 0], [_LN2, 1, 0], [2 * _LN5, 4, -_LN5 / 3]], dtype=torch.float64)


def _weights_by_hand(answer: Any) -> None:
    hidden = _BEFORE.relu()
    scores = _ROWS @ hidden
    mistakes = [
        (scores, "These are the scores A h. What makes weights of them that sum to 1?"),
        (hidden, "This is h. The three scores and the softmax are still to come."),
        ((_ROWS @ _BEFORE).softmax(0), "Between W₁ and A stands δ. What does it do to a negative number?"),
        (scores.sigmoid(), "Your weights do not sum to 1: each branch decides for itself."),
        (scores / scores.sum(), "A softmax compares exponentials: e to the score, not the score."),
        (scores.exp(), "These are the exponentials. Divide each by their sum."),
        ((_ROWS.T @ hidden).softmax(0), "Row m holds the score of branch m: multiply rows, not columns."),
    ]
    weights = expect_numbers(answer, (3,), "the three weights")
    expect_close(weights, scores.softmax(0), "the three weights", tolerance=5e-3, reveal=False, mistakes=mistakes)


def _fields(units: Sequence[tuple[int, int]], wide: Callable[[int], int], late: bool = False) -> tuple[int, int]:
    """Compute the receptive fields with the narrowest and with the widest windows."""
    sizes = []
    for widest in (False, True):
        size, step = 1, 1
        for branches, stride in units:
            if late:
                step *= stride
            size += (wide(branches if widest else 1) - 1) * step
            if not late:
                step *= stride
        sizes.append(size)
    return sizes[0], sizes[1]


def _window(branch: int) -> int:
    return 2 * branch + 1


def _finds_fields(answer: Any) -> None:
    expect_function(answer)
    cases: tuple[list[tuple[int, int]], ...] = (
        [(2, 1)],
        [(3, 1)],
        [(2, 1), (2, 1)],
        [(2, 2), (2, 1)],
        [(3, 2), (2, 2), (4, 1), (2, 1)],
        [(2, 1)] * 3 + [(2, 2)] + [(2, 1)] * 3 + [(2, 2)] + [(2, 1)] * 5 + [(2, 2)] + [(2, 1)] * 2,
    )
    mistakes: tuple[tuple[Callable[[list[tuple[int, int]]], tuple[int, int]], str], ...] = (
        (lambda u: _fields(u, _window, late=True), "A unit's stride widens what comes after it, not its own window."),
        (lambda u: _fields([(m, 1) for m, _ in u], _window), "Behind a stride of 2 a step is two pixels of the input."),
        (lambda u: _fields(u, lambda m: m + 1), "A 3 × 3 kernel of dilation m spans how many pixels?"),
        (lambda u: _fields(u, lambda m: 2 * m + 2), "A unit adds its window less one: the middle is there already."),
        (lambda u: _fields(u, _window)[::-1], "The narrow one comes first."),
        (lambda u: tuple(size - 1 for size in _fields(u, _window)), "Without any unit one pixel is seen, not none."),
    )
    for units in cases:
        about = f"units={units}" if len(units) < 5 else f"{len(units)} units"
        received = call(answer, list(units), about=about)
        given = _pair(received)
        if given is None:
            raise Wrong(
                f"For {about}: expected two whole numbers, received {describe(received)}.",
                "Return (narrow, wide): the two receptive fields, in pixels.",
            )
        right = _fields(units, _window)
        if given != right:
            hint = next((hint for wrong, hint in mistakes if wrong(units) == given), "")
            raise Wrong(f"For {about}: expected {right}, received {given}.", hint)


def _pair(value: Any) -> tuple[int, int] | None:
    """Read two whole numbers from a tuple, a list, an array or a tensor; anything else is ``None``."""
    try:
        several = isinstance(value, tuple | list) or (isinstance(value, Tensor | np.ndarray) and len(value) == 2)
        first, second = map(whole, value) if several else (None, None)
    except (RuntimeError, TypeError, ValueError):  # not two; a tensor without a length or without numbers
        return None
    return None if first is None or second is None else (first, second)


def _selects(answer: Any) -> None:
    expect_function(answer)
    for shape in ((2, 2, 3, 4, 5), (3, 4, 2, 1, 1), (1, 3, 5, 2, 2)):
        u, scores = torch.randn(shape), 2 * torch.randn(shape[:3])
        right = (scores.softmax(1)[..., None, None] * u).sum(1)

        def weighted(a: Tensor, u: Tensor = u) -> Tensor:
            return (a[..., None, None] * u).sum(1)

        mistakes = [
            (weighted(scores.softmax(2)), "Your weights sum to 1 over the channels. Which of them compete?"),
            (weighted(scores.softmax(0)), "Your weights sum to 1 over the batch: a sample depends on its neighbours."),
            (weighted(scores.sigmoid()), "These weights do not sum to 1: they come from a softmax."),
            (weighted(scores), "These are the scores, not weights."),
            (right / shape[1], "That is a mean over the branches; the weights have divided already."),
            (u.sum(1), "All branches count 1 here. Where are the weights?"),
            (u.mean(1), "All branches count alike here. Where are the weights?"),
        ]
        shapes = {shape: "The branches are still apart: the equation of y adds them up."}
        about = f"scores of shape {shape[:3]} and u of shape {shape}"
        received = expect_tensor(call(answer, scores, u, about=about), right, f"y for {about}", shapes=shapes)
        expect_close(received, right, f"y for {about}", mistakes=mistakes)


_Stages = tuple[tuple[int, int], ...]
_SKNET50: _Stages = ((3, 128), (4, 256), (6, 512), (3, 1024))


def _extra(stages: _Stages, branches: int, groups: int, reduction: int, floor: int) -> int:
    """Compute what the blocks of a network have more than grouped convolutions with their normalisations."""
    total = 0
    for blocks, c in stages:
        d = max(c // reduction, floor)
        total += blocks * ((branches - 1) * (9 * c * c // groups + 2 * c) + (branches + 1) * c * d + 2 * d)
    return total


def _counts_extra(answer: Any) -> None:
    expect_function(answer)
    cases: tuple[tuple[_Stages, int, int, int, int], ...] = (
        (((1, 64),), 2, 32, 16, 32),
        (((2, 64),), 3, 16, 2, 16),
        (((1, 32), (2, 96)), 2, 8, 16, 4),
        (_SKNET50, 2, 32, 16, 32),
        (_SKNET50, 3, 32, 16, 32),
        (_SKNET50, 2, 32, 8, 16),
    )

    def without_floor(s: _Stages, m: int, g: int, r: int, _: int) -> int:
        return _extra(s, m, g, r, 1)

    def every_branch(s: _Stages, m: int, g: int, r: int, f: int) -> int:
        return _extra(s, m, g, r, f) + sum(n * (9 * c * c // g + 2 * c) for n, c in s)

    mistakes: tuple[tuple[Callable[..., int], str], ...] = (
        (without_floor, "d is never smaller than the floor L."),
        (every_branch, "One of the branches was there before: only M − 1 are new."),
        (lambda s, m, g, r, f: _extra(tuple((1, c) for _, c in s), m, g, r, f), "How many blocks has a stage?"),
        (lambda s, m, g, r, f: _extra(s, m, 1, r, f), "A kernel of a grouped convolution sees C/G channels only."),
        (
            lambda s, m, g, r, f: _extra(s, m, g, r, f) - sum(n * 2 * max(c // r, f) for n, c in s),
            "The normalisation of W₁ z has a scale and a shift for each of its d numbers.",
        ),
        (
            lambda s, m, g, r, f: _extra(s, m, g, r, f) - sum(n * (m - 1) * 2 * c for n, c in s),
            "Each new branch brings a batch normalisation of C channels as well.",
        ),
        (
            lambda s, m, g, r, f: _extra(s, m, g, r, f) - sum(n * c * max(c // r, f) for n, c in s),
            "There are M + 1 matrices between C and d numbers: W₁, and an A for each branch.",
        ),
    )
    for stages, m, g, r, f in cases:
        about = f"stages={stages}, branches={m}, groups={g}, reduction={r} and floor={f}"
        received = call(answer, stages, m, g, r, f, about=about)
        hint = "Return the count as a number: 12_345, not 12.3 k."
        count = expect_whole(received, about, "a whole number of parameters", hint)
        right = _extra(stages, m, g, r, f)
        if count != right:
            hint = next((hint for wrong, hint in mistakes if wrong(stages, m, g, r, f) == count), "")
            raise Wrong(f"For {about}: expected {right:,}, received {count:,}.", hint)


def _prefers(answer: Any) -> None:
    expect_function(answer)
    for branches, branch, epsilon in ((2, 0, 0.1), (2, 1, 0.01), (3, 1, 0.05)):
        block = SelectiveKernel(4, branches, groups=2, reduction=1, floor=3)
        with torch.no_grad():
            for parameter in block.parameters():
                parameter.normal_()
        before = deepcopy(dict(block.named_parameters()))
        about = f"a block of {branches} branches, branch={branch} and epsilon={epsilon}"
        call(answer, block, branch, epsilon, about=about, returns=False)
        after = dict(block.named_parameters())
        expect_parameters(block, before)
        expect(
            all(torch.equal(p, before[name]) for name, p in after.items() if name.startswith("kernels")),
            "Expected the branches' own convolutions and normalisations as they were, received others.",
            "They may come from a trained network: only what fuses and selects is yours to set.",
        )
        for training in (False, True):
            block.train(training)
            for scale in (1.0, 0.0, 100.0):
                u = scale * torch.randn(8, branches, 4, 3, 3)
                a = block.weights(u).detach().double()[:, :, :, 0, 0]
                mode = "training" if training else "eval mode"
                _judge_preference(a, branch, epsilon, f"{about}, inputs of size {scale:g}, {mode}")
        total = block.eval().weights(torch.randn(8, branches, 4, 3, 3))[:, branch].log().sum()
        if total.requires_grad:
            total.backward()
        expect(
            all(bool(m.weight.grad is not None and m.weight.grad.any()) for m in block.select),
            "The weights are right. Expected a gradient for each matrix of select, received none but 0 for one: that "
            "choice could never be learned.",
            "The matrices learn from h. Is h zero?",
        )


def _judge_preference(a: Tensor, branch: int, epsilon: float, where: str) -> None:
    """Ask that the branch's weight is 1 − ε in every channel and sample, and name the mistake where one is known."""
    target, got = 1 - epsilon, a[:, branch]
    low, high = float(got.min()), float(got.max())
    if max(target - low, high - target) <= epsilon / 100:
        return
    count = a.shape[1]
    naive = 1 / (1 + (count - 1) * epsilon / (1 - epsilon))
    if high - low > epsilon / 50:
        hint = "Your weights still depend on the input. What carries it to the scores?"
    elif abs(low - 1 / count) < 1e-3:
        hint = "All branches count alike: all scores are the same. What is h, and what do the matrices make of it?"
    elif abs(low - epsilon) < epsilon / 100:
        hint = "Your weight is ε, not 1 − ε: check a sign, or the branch."
    elif count > 2 and float(a.mean((0, 2)).sub(target).abs().min()) < epsilon / 100:
        hint = "That is another branch: they count from 0."
    elif abs(low - naive) < 1e-3:
        hint = "With more than two branches, the others share ε between them."
    elif low > target:
        hint = "More than asked: the more certain the choice, the smaller the gradient of every score."
    else:
        hint = "Which score t makes e^t / (e^t + M − 1) the weight that was asked for?"
    raise Wrong(f"For {where}: expected weights of {target:g}, received {span(low, high)}.", hint)


def _reports_research(answer: Any) -> None:
    expect_research(answer, "Fusing something else needs no weights: what else did you change?")


_HIDDEN = equation("sk", 4, "h = δ(ℬ(W₁ z))", "(3)")
_SELECT = equation("sk", 5, "a^m_c = exp((A^m h)_c) / Σ_k exp((A^k h)_c)", "(5)")
_SUM = equation("sk", 6, "y_c = Σ_m a^m_c u^m_c", "(6)")
_FUSE = equation("sk", 3, "z_c = 1/(HW) Σ_i Σ_j Σ_m u^m_c(i, j)", "(1) and (2)")

EXERCISES = (
    Exercise(
        "sk.1",
        "Three weights by hand",
        f"{_HIDDEN}; and {_SELECT}",
        (_weights_by_hand,),
        "Go in three steps and write down each result: h, three scores, three exponentials over their sum.",
        "all three weights, to 0.005.",
    ),
    Exercise(
        "sk.2",
        "How far a stack of units sees",
        equation("sk", 2, "w_m = 2m + 1, the window of a 3 × 3 kernel of dilation m"),
        (_finds_fields,),
        "Start with one pixel and a step of one. Each unit adds its window less one, times the step.",
        "the smallest and the largest receptive field of six stacks, with two to four branches and with strides.",
    ),
    Exercise(
        "sk.3",
        "Select, for any number of branches",
        f"{_SELECT}; and {_SUM}",
        (_selects,),
        "Which axis holds what competes? In (batch, branches, channels) it is the second.",
        "the weighted sum for two, three and four branches, for a single sample and for a single pixel.",
    ),
    Exercise(
        "sk.4",
        "What SKNet-50 adds",
        equation("sk", 10, "a block on C channels has 9MC²/G + 2MC + (M + 1)Cd + 2d parameters"),
        (_counts_extra,),
        "Take the parameters of a block, and subtract those of the convolution that was there before.",
        "the parameters that six networks gain, SKNet-50 with two and with three branches among them.",
    ),
    Exercise(
        "sk.5",
        "A block that starts as a plain convolution",
        _SELECT,
        (_prefers,),
        "Make h a constant that is not 0, and then a score that is the same for every input.",
        "the wanted weight for inputs of size 0, 1 and 100, in training and in evaluation, for two and for three "
        "branches; the branches are untouched, and every matrix of scores can learn.",
    ),
    Exercise(
        "sk.6",
        "What should be fused?",
        _FUSE,
        (_reports_research,),
        "State the claim before you run anything; then compare with the same seeds, and read the interval.",
        "at least three seeds, models of equal size, the paired interval of their differences, and a verdict that "
        "follows from it. Whether the claim is interesting, only you can judge.",
    ),
)
