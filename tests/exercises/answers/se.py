"""Answers to the exercises on Squeeze-and-Excitation: right ones, and wrong ones with what they must be told."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from einops import rearrange, reduce
from torch import nn

from tests.exercises.answers import research

EQUATIONS = {
    "se.1": ("se-squeeze", "se-excite"),
    "se.2": ("se-squeeze",),
    "se.3": ("se-excite",),
    "se.4": ("se-params",),
    "se.5": ("se-excite",),
    "se.6": ("se-squeeze",),
}
#: The numbers of a printed solution that is no code, as they stand there.
PRINTED = {"se.1": (r"(\tfrac34, \tfrac12)",)}


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


class Gates(nn.Module):
    """The two convolutions as a module of one's own, with functions in between."""

    def __init__(self, block):
        super().__init__()
        self.first, _, self.second, _ = as_convolutions(block)

    def forward(self, z):
        return torch.sigmoid(self.second(torch.relu(self.first(z))))


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


RIGHT: dict[str, list[Any]] = {
    "se.1": [
        [3 / 4, 1 / 2],
        (0.75, 0.5),
        [Fraction(3, 4), Fraction(1, 2)],
        np.array([0.75, 0.5]),
        np.array([0.5, 0.75])[::-1],
        torch.tensor([0.75, 0.5], requires_grad=True),
        torch.tensor([0.75, 0.5], dtype=torch.bfloat16),
    ],
    "se.2": [
        squeeze,
        lambda x: x.flatten(2).mean(2),
        lambda x: x.sum(tuple(range(2, x.ndim))) / x[0, 0].numel(),
        lambda x: squeeze(x * torch.ones(1, requires_grad=True).to(x.dtype)),
        torch.nn.Sequential(nn.Flatten(2), nn.AdaptiveAvgPool1d(1), nn.Flatten(1)),
    ],
    "se.3": [as_convolutions, lambda block: Gates(block)],
    "se.4": [
        smallest_reduction,
        lambda s, p, b: torch.tensor(smallest_reduction(s, p, b)),
        lambda s, p, b: np.int64(smallest_reduction(s, p, b)),
        lambda s, p, b: 2 ** max(0, math.ceil(math.log2(sum(2 * n * c * c for n, c in s) / (b * p)))),
    ],
    "se.5": [open_gates],
    "se.6": [research.report()],
}


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


def half_biased(block):
    made = as_convolutions(block)
    made[0] = nn.Conv2d(made[0].in_channels, made[0].out_channels, 1, bias=False)
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


def cuts_off(block, epsilon):
    open_gates(block, epsilon)
    block.expand.register_forward_hook(lambda module, inputs, output: output.detach())


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


def leaves(x):
    raise SystemExit(3)


WRONG: list[tuple[str, Any, str | tuple[str, ...]]] = [
    ("se.1", [math.log(3), 0.0], "What keeps a gate between 0 and 1?"),
    ("se.1", [0.5, 0.25], "Between the two layers stands δ"),
    ("se.1", (0.75, 0.25), "Your gates sum to 1"),
    ("se.1", np.array([81 / 82, 0.5]), "divides by the number of pixels"),
    ("se.1", [0.9, 0.9], "not the maximum"),
    ("se.1", [0.75, 0.75], "multiply rows, not columns"),
    ("se.1", [1, 0], "the hidden vector"),
    ("se.1", [2, 1], "the squeezed vector z"),
    ("se.1", [0.75, 0.6], "1 of 2 numbers in the two gates is wrong. You have [0.75, 0.6]; look again at [1]."),
    ("se.1", torch.zeros(2, 2, 2), ("for the two gates, received (2, 2, 2).", "ends at the gates")),
    ("se.1", [0.75], "Expected shape (2,) for the two gates, received (1,)."),
    ("se.1", 0.75, "received (), a single number."),
    ("se.1", [0.75, math.nan], ("Expected finite numbers", "received [0.75, nan]", "a division by 0")),
    ("se.1", "3/4 and 1/2", "received str '3/4 and 1/2'"),
    ("se.1", ["3/4", "1/2"], "received list ['3/4', '1/2']"),
    ("se.1", [True, False], "Expected the two gates as real numbers of shape (2,), received list [True, False]."),
    ("se.1", [[0.75], [0.5, 1.0]], "received list"),
    ("se.1", [torch.tensor(0.75, requires_grad=True), torch.tensor(0.5)], "real numbers of shape (2,), received list"),
    ("se.2", lambda x: reduce(x, "b c ... -> b c", "sum"), ("The largest difference is", "These are sums")),
    ("se.2", lambda x: reduce(x, "b c ... -> b c", "max"), "These are maxima"),
    (
        "se.2",
        lambda x: x.mean(tuple(range(2, x.ndim)), keepdim=True),
        ("Expected shape (2, 3)", "received (2, 3, 1, 1)", "no axes of size 1"),
    ),
    ("se.2", lambda x: reduce(x, "b c ... -> c", "mean"), "one mean for the whole batch"),
    ("se.2", lambda x: reduce(x, "b c ... -> b", "mean"), "one mean per sample"),
    ("se.2", lambda x: x.mean(), "received (), a single number."),
    ("se.2", lambda x: x.mean(1), "a mean over channels"),
    ("se.2", lambda x: x.mean(-1), "over the last axis only"),
    ("se.2", lambda x: x, "Nothing was averaged"),
    ("se.2", lambda x: reduce(x, "b c h w -> b c", "mean"), "Called with x of shape (2, 3, 7), your function raised"),
    ("se.2", lambda x: squeeze(x).numpy(), ("Expected a torch.Tensor", "received ndarray", "Stay within torch")),
    ("se.2", lambda x: squeeze(x).float(), "Expected dtype torch.float64"),
    ("se.2", lambda x: squeeze(x) / 0, ("Expected finite numbers", "a division by 0")),
    ("se.2", lambda x: squeeze(x.mean(0, keepdim=True)).expand(2, -1), "The largest difference is"),
    ("se.2", lambda x: None, ("to return something", "it returned None.", "a return statement")),
    ("se.2", lambda: None, "Expected a function of 1 argument, to be called with x of shape (2, 3, 4, 5); received"),
    ("se.2", lambda x, dim: x.mean(dim), "received <lambda>(x, dim)"),
    ("se.2", raises, "raised KeyError: 'my mistake' (line"),
    ("se.2", leaves, "raised SystemExit: 3"),
    ("se.2", in_place, ("leave its input alone", "work in place")),
    ("se.2", squeeze(torch.ones(2, 3, 4)), ("Expected a function, received Tensor", "by its name alone")),
    ("se.2", nn.Flatten, ("Expected a function, received the class Flatten.", "not a class")),
    ("se.3", without_relu, "What stands between the two layers?"),
    ("se.3", without_sigmoid, "before the last function"),
    ("se.3", fresh_weights, "The largest difference is"),
    ("se.3", always_biased, "expected no biases in both layers, received biases"),
    ("se.3", half_biased, "expected biases in both layers, received one in one layer only"),
    ("se.3", wide_kernel, "received (3, 12, 3, 3) and (12, 3, 1, 1)"),
    ("se.3", uses_linear, "both Conv2d, received Linear, Linear"),
    ("se.3", spoils_block, ("leave the block alone", "it changed it", "Copy weights into new layers")),
    ("se.3", lambda block: lambda z: z, "Expected an nn.Module, received function"),
    ("se.3", lambda block: nn.ReLU(), "received none"),
    ("se.3", lambda block: nn.Sequential(as_convolutions(block), nn.Flatten()), "received (5, 12)"),
    ("se.4", lambda s, p, b: smallest_reduction(s, 2 * p, b), ("expected r = 64, received 32.", "How many matrices")),
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
    ("se.5", sets_bias(lambda e: math.log(e / (1 - e))), ("expected every gate to be 0.9", "check a sign")),
    ("se.5", sets_bias(lambda e: 50.0), "Wider open than asked"),
    ("se.5", cuts_off, "Expected a gradient for W₂, received none but 0"),
    ("se.5", zeroes_all, "Expected a gradient for W₂, received none but 0"),
    (
        "se.5",
        freezes,
        ("received (reduce.weight (2, 8) torch.float32 frozen)", "and 1 more"),
    ),
    ("se.5", widens, "received (reduce.weight (2, 8) torch.float64), (reduce.bias (2,) torch.float64)"),
    (
        "se.5",
        reshapes,
        "parameters: (expand.weight (8, 2) torch.float32); received (expand.weight (1,) torch.float32).",
    ),
    ("se.5", never_refuses, "expected a ValueError, but your function returned None."),
    ("se.5", stumbles, "expected a ValueError, received AttributeError"),
    ("se.5", lambda block: None, "Expected a function of 2 arguments"),
    *research.wrong("se.6", "Another squeeze needs no weights: what else did you change?"),
]
