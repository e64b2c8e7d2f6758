"""Answers to the exercises on Selective Kernel: right ones, and wrong ones with what they must be told."""

import math
from typing import Any

import numpy as np
import torch

from tests.exercises.answers import research

EQUATIONS = {
    "sk.1": ("sk-hidden", "sk-select"),
    "sk.2": ("sk-window",),
    "sk.3": ("sk-select", "sk-sum"),
    "sk.4": ("sk-params",),
    "sk.5": ("sk-select",),
    "sk.6": ("sk-fuse",),
}
PRINTED = {"sk.1": (r"$\tfrac18$, $\tfrac28$ and $\tfrac58$",)}


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


def one_by_one(scores, u):
    """Select with a loop over branches."""
    total = scores.exp().sum(1)
    return sum((scores[:, m].exp() / total)[:, :, None, None] * u[:, m] for m in range(u.shape[1]))


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


def pushes_others_down(block, branch, epsilon):
    """Prefer a branch by lower scores for the others."""
    prefer(block, branch, epsilon)
    with torch.no_grad():
        shift = block.select[branch].weight.clone()
        for matrix in block.select:
            matrix.weight.sub_(shift)


RIGHT: dict[str, list[Any]] = {
    "sk.1": [[1 / 8, 2 / 8, 5 / 8], torch.tensor([0.0, math.log(2), math.log(5)]).softmax(0)],
    "sk.2": [
        receptive_fields,
        lambda units: list(receptive_fields(units)),
        lambda units: np.array(receptive_fields(units)),
        lambda units: torch.tensor(receptive_fields(units)),
    ],
    "sk.3": [select, one_by_one],
    "sk.4": [added, lambda *a: np.int64(added(*a)), lambda *a: float(added(*a)), lambda *a: torch.tensor(added(*a))],
    "sk.5": [prefer, pushes_others_down],
    "sk.6": [research.report()],
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


def whole_windows(units):
    """Add each window whole: the pixel in the middle is counted again."""
    fields = []
    for widest in (False, True):
        field, step = 1, 1
        for branches, stride in units:
            field += (2 * (branches if widest else 1) + 1) * step
            step *= stride
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


def cuts_off(block, branch, epsilon, matrices=1):
    prefer(block, branch, epsilon)
    for matrix in block.select[:matrices]:
        matrix.register_forward_hook(lambda module, inputs, output: output.detach())


def dilation_for_size(units):
    """Take a dilation of m for a kernel that spans m + 1 pixels."""
    fields = []
    for widest in (False, True):
        field, step = 1, 1
        for branches, stride in units:
            field += (branches if widest else 1) * step
            step *= stride
        fields.append(field)
    return tuple(fields)


def counts_from_one(block, branch, epsilon):
    prefer(block, (branch - 1) % len(block.select), epsilon)


WRONG: list[tuple[str, Any, str | tuple[str, ...]]] = [
    ("sk.1", [0.0, math.log(2), math.log(5)], "These are the scores"),
    ("sk.1", [1, 0, 3], "This is h"),
    ("sk.1", [1 / 2, 2 / 3, 5 / 6], "each branch decides for itself"),
    ("sk.1", [1, 2, 5], "These are the exponentials"),
    ("sk.1", torch.tensor([-10, math.log(2) - 2, math.log(5) - 8]).softmax(0), "Between W₁ and A stands δ"),
    ("sk.1", [0, math.log(2) / math.log(10), math.log(5) / math.log(10)], "A softmax compares exponentials"),
    (
        "sk.1",
        torch.tensor([6 * math.log(5), 17.0, -math.log(5)]).softmax(0),
        "Row m holds the score of branch m: multiply rows, not columns",
    ),
    ("sk.1", [0.125, 0.25, 0.5], ("1 of 3 numbers in the three weights is wrong", "look again at [2]")),
    ("sk.1", [0.125, 0.875], "Expected shape (3,) for the three weights, received (2,)."),
    ("sk.2", late_stride, "A unit's stride widens what comes after it"),
    ("sk.2", whole_windows, "expected (3, 5), received (4, 6). Belongs"),
    ("sk.2", dilation_for_size, ("expected (3, 5), received (2, 3).", "spans how many pixels?")),
    ("sk.2", whole_windows, "the middle is there already"),
    ("sk.2", lambda units: receptive_fields([(m, 1) for m, _ in units]), "a step is two pixels of the input"),
    ("sk.2", lambda units: receptive_fields(units)[::-1], ("expected (3, 5), received (5, 3)", "The narrow one comes")),
    ("sk.2", lambda units: tuple(f - 1 for f in receptive_fields(units)), "Without any unit one pixel is seen"),
    ("sk.2", lambda units: receptive_fields(units)[0], "expected two whole numbers, received int 3."),
    ("sk.2", lambda units: (3.5, 5.0), "expected two whole numbers, received tuple (3.5, 5.0)."),
    ("sk.3", lambda s, u: weighted(s.softmax(2), u), "sum to 1 over the channels"),
    ("sk.3", lambda s, u: weighted(s.softmax(0), u), "sum to 1 over the batch"),
    ("sk.3", lambda s, u: weighted(s.sigmoid(), u), "These weights do not sum to 1"),
    ("sk.3", lambda s, u: weighted(s, u), "These are the scores, not weights"),
    ("sk.3", lambda s, u: select(s, u) / u.shape[1], "That is a mean over the branches"),
    ("sk.3", lambda s, u: u.sum(1), "Where are the weights?"),
    ("sk.3", lambda s, u: u.mean(1), "All branches count alike here"),
    (
        "sk.3",
        lambda s, u: s.softmax(1)[..., None, None] * u,
        ("Expected shape (2, 3, 4, 5)", "received (2, 2, 3, 4, 5)", "The branches are still apart"),
    ),
    ("sk.4", lambda s, m, g, r, f: added(s, m, g, r, 1), "never smaller than the floor"),
    (
        "sk.4",
        lambda s, m, g, r, f: added(s, m, g, r, f) + sum(n * (9 * c * c // g + 2 * c) for n, c in s),
        ("expected 7,488, received 8,768.", "One of the branches was there before"),
    ),
    ("sk.4", lambda s, m, g, r, f: added([(1, c) for _, c in s], m, g, r, f), "How many blocks has a stage?"),
    ("sk.4", lambda s, m, g, r, f: added(s, m, 1, r, f), "sees C/G channels only"),
    (
        "sk.4",
        lambda s, m, g, r, f: added(s, m, g, r, f) - sum(n * 2 * max(c // r, f) for n, c in s),
        "a scale and a shift for each of its d numbers",
    ),
    (
        "sk.4",
        lambda s, m, g, r, f: added(s, m, g, r, f) - sum(n * (m - 1) * 2 * c for n, c in s),
        "brings a batch normalisation of C channels",
    ),
    (
        "sk.4",
        lambda s, m, g, r, f: added(s, m, g, r, f) - sum(n * c * max(c // r, f) for n, c in s),
        "There are M + 1 matrices",
    ),
    ("sk.4", lambda s, m, g, r, f: "2.45 M", "expected a whole number of parameters, received str '2.45 M'."),
    ("sk.4", lambda s, m, g, r, f: math.inf, "expected a whole number of parameters, received float inf."),
    ("sk.5", only_select, "still depend on the input"),
    ("sk.5", zero_all, "All branches count alike"),
    ("sk.5", lambda b, m, e: prefer(b, m, e, -math.log((1 - e) / e)), "check a sign, or the branch"),
    ("sk.5", lambda b, m, e: prefer(b, m, e, 50.0), "More than asked"),
    ("sk.5", lambda b, m, e: prefer(b, m, e, math.log((1 - e) / e)), "the others share ε between them"),
    ("sk.5", counts_from_one, ("expected weights of 0.9, received 0.1000.", "the branch")),
    ("sk.5", lambda b, m, e: prefer(b, m if len(b.select) == 2 else 2, e), "That is another branch"),
    ("sk.5", lambda b, m, e: prefer(b, m, e, 1.0), ("received 0.7311.", "Which score t")),
    ("sk.5", cuts_off, ("Expected a gradient for each matrix of select", "Is h zero?")),
    ("sk.5", lambda b, m, e: cuts_off(b, m, e, 3), "Expected a gradient for each matrix of select"),
    ("sk.5", spoil_kernels, ("Expected the branches' own convolutions", "received others")),
    ("sk.5", freeze, ("Expected the block to keep its trainable parameters", "frozen")),
    *research.wrong("sk.6", "Fusing something else needs no weights: what else did you change?"),
]
