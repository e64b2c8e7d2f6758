"""Answers to the exercises on the non-local block: right ones, and wrong ones with what they must be told."""

import math
from typing import Any

import numpy as np
import torch

from tests.exercises.answers import research

EQUATIONS = {
    "non_local.1": ("nl-mean", "nl-embedded"),
    "non_local.2": ("nl-mean", "nl-dot"),
    "non_local.3": ("nl-block",),
    "non_local.4": ("nl-macs",),
    "non_local.5": ("nl-shuffle",),
    "non_local.6": ("nl-embedded",),
}
PRINTED = {
    "non_local.1": (r"the weights $\tfrac16, \tfrac26, \tfrac36$", r"\tfrac36 \cdot 4 = 4$"),
    "non_local.3": ('{"norm.weight", "norm.bias"}',),
}


def reorder(q, k, v):
    return q @ (k.transpose(1, 2) @ v) / k.shape[1]


def smallest_side(channels, reduction):
    side = 1
    while side**2 <= 2 * channels:
        side += 1
    return side


def equivariant(block, x):
    order = torch.randperm(x.shape[2] * x.shape[3])

    def shuffle(x):
        return x.flatten(2)[..., order].view_as(x)

    return torch.allclose(block(shuffle(x)), shuffle(block(x)), atol=1e-5)


RIGHT: dict[str, list[Any]] = {
    "non_local.1": [[1 / 6, 1 / 3, 1 / 2, 4], np.array([1, 2, 3, 24]) / 6, [0.167, 0.333, 0.5, 4]],
    "non_local.2": [reorder, lambda q, k, v: torch.einsum("bnd,bde->bne", q, k.mT @ v / v.shape[1])],
    "non_local.3": [{"norm.weight", "norm.bias"}, ["norm.bias", "norm.weight"], ("norm.weight", "norm.bias")],
    "non_local.4": [smallest_side, lambda c, r: math.isqrt(2 * c) + 1, lambda c, r: math.floor(math.sqrt(2 * c)) + 1.0],
    "non_local.5": [
        equivariant,
        lambda block, x: torch.tensor(equivariant(block, x)),
        lambda block, x: np.bool_(equivariant(block, x)),
    ],
    "non_local.6": [research.report()],
}

#: The weights with the factor 1/√2, and their mean.
SCALED = [2 ** (math.log2(k) / math.sqrt(2)) for k in (1, 2, 3)]
SCALED = [weight / sum(SCALED) for weight in SCALED]
SCALED += [6 * SCALED[0] + 3 * SCALED[1] + 4 * SCALED[2]]

WRONG: list[tuple[str, Any, str | tuple[str, ...]]] = [
    ("non_local.1", [1, 2, 3, 24], "What does 𝒞 divide them by"),
    ("non_local.1", [1 / 6, 1 / 3, 1 / 2, 24], "The weights are right"),
    ("non_local.1", [1 / 3, 1 / 3, 1 / 3, 13 / 3], "That is the plain mean"),
    ("non_local.1", [0, math.log(2) / 3, math.log(3) / 3, math.log(2) + math.log(3) * 4 / 3], "the dot-product form"),
    ("non_local.1", SCALED, "The question is without the factor"),
    ("non_local.1", [1 / 6, 1 / 3, 1 / 2], "Expected shape (4,) for three weights and o, received (3,)."),
    ("non_local.1", [0.5, 1 / 3, 1 / 6, 4], "2 of 4 numbers in the three weights and o are wrong."),
    ("non_local.1", [0.5, 1 / 3, 1 / 6, 4], "look again at [0], [2]"),
    (
        "non_local.2",
        lambda q, k, v: q @ k.transpose(1, 2) @ v / k.shape[1],
        ("The values are right.", "expected fewer than 360,000 bytes held at once, received 1,", "Which order"),
    ),
    ("non_local.2", lambda q, k, v: q @ (k.transpose(1, 2) @ v), "divides by the number of positions"),
    ("non_local.2", lambda q, k, v: q @ (k.transpose(1, 2) @ v) / q.shape[1], "not of those that look"),
    ("non_local.2", lambda q, k, v: (q @ k.transpose(1, 2)).softmax(2) @ v, "That is the softmax form"),
    ("non_local.2", lambda q, k, v: k, "Expected shape (2, 5, 6)"),
    ("non_local.2", lambda q, k: k, "Expected a function of 3 arguments"),
    ("non_local.3", {"norm.weight"}, "first gradient is not 0, received 1 of 2."),
    ("non_local.3", {"norm.weight", "norm.bias", "out.weight"}, "in the first step, received also out.weight."),
    ("non_local.3", {"norm.gamma"}, ("received str 'norm.gamma'.", "There are g.weight")),
    ("non_local.3", "norm.weight", "Expected a set of parameters' names, received str 'norm.weight'."),
    ("non_local.3", set(), "received 0 of 2"),
    ("non_local.4", lambda c, r: math.isqrt(2 * c - 1) + 1, ("expected a side of 5, received 4.", "More than, not as")),
    ("non_local.4", lambda c, r: math.isqrt(4 * c) + 1, "The pairs take two products"),
    ("non_local.4", lambda c, r: math.isqrt(c) + 1, "There are four"),
    ("non_local.4", lambda c, r: 2 * c + 1, "the side of a square"),
    ("non_local.4", lambda c, r: math.isqrt(2 * c // r) + 1, "Does r really stay?"),
    ("non_local.4", lambda c, r: 4.5, "expected a whole number, received float 4.5."),
    ("non_local.4", lambda c, r: math.nan, "expected a whole number, received float nan."),
    ("non_local.4", lambda c, r: math.inf, "expected a whole number, received float inf."),
    ("non_local.5", lambda block, x: True, "For a 3 × 3 convolution: expected False, received True."),
    ("non_local.5", lambda block, x: False, "For a non-local block: expected True, received False."),
    (
        "non_local.5",
        lambda block, x: torch.equal(block(x.flip(3)), block(x).flip(3)),
        ("expected True, received False.", "compare with a tolerance"),
    ),
    (
        "non_local.5",
        lambda block, x: torch.allclose(block(x.flip(0)), block(x).flip(0), atol=1e-5),
        ("For a 3 × 3 convolution: expected False, received True.", "a random one of all positions"),
    ),
    ("non_local.5", lambda block, x: block(x) == x, "expected True or False, received Tensor of dtype torch.bool"),
    *research.wrong("non_local.6", "A factor needs no weights: what else did you change?"),
]
