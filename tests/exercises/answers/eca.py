"""Answers to the exercises on ECA: right ones, and wrong ones with what they must be told."""

import math
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import conv1d, pad

from attention.channel.eca import EfficientChannelAttention
from tests.exercises.answers import research

EQUATIONS = {
    "eca.1": ("eca-conv",),
    "eca.2": ("eca-band", "eca-conv"),
    "eca.3": ("eca-conv",),
    "eca.4": ("eca-conv",),
    "eca.5": ("eca-scale",),
    "eca.6": ("eca-conv",),
}
#: The numbers of a printed solution that is no code, as they stand there.
PRINTED = {"eca.1": (r"$w_{-1} = 0.693$", r"$w_0 = 1.099$", r"$w_1 = 1.386$")}
KERNEL = [math.log(2), math.log(3), math.log(4)]


def as_matrix(weight, channels):
    half = len(weight) // 2
    matrix = weight.new_zeros(channels, channels)
    for c in range(channels):
        for d in range(-half, half + 1):
            if 0 <= c + d < channels:
                matrix[c, c + d] = weight[half + d]
    return matrix


def by_convolution(weight, channels):
    rows = torch.eye(channels, dtype=weight.dtype)[:, None]
    return conv1d(rows, weight[None, None], padding=len(weight) // 2)[:, 0].T


def reverse(block):
    other = deepcopy(block)
    with torch.no_grad():
        other.conv.weight.copy_(block.conv.weight.flip(2))
    return other


def closed(z, weight):
    half = len(weight) // 2
    return sum(w * z.roll(half - i, 1) for i, w in enumerate(weight)).sigmoid()


class Doubled(nn.Module):
    def __init__(self, block, factor=2):
        super().__init__()
        self.block, self.factor = block, factor

    def forward(self, x):
        return self.factor * self.block(x)


def transparent(block):
    nn.init.zeros_(block.conv.weight)
    return Doubled(block)


RIGHT: dict[str, list[Any]] = {
    "eca.1": [KERNEL, [0.693, 1.099, 1.386], np.array(KERNEL), torch.tensor(KERNEL)],
    "eca.2": [as_matrix, by_convolution],
    "eca.3": [reverse],
    "eca.4": [
        closed,
        lambda z, w: conv1d(pad(z[:, None], (len(w) // 2,) * 2, mode="circular"), w[None, None])[:, 0].sigmoid(),
    ],
    "eca.5": [transparent],
    "eca.6": [research.report()],
}


def wrapped(weight, channels):
    half = len(weight) // 2
    rows = torch.eye(channels, dtype=weight.dtype)
    return sum(rows.roll(d - half, 1) * weight[d] for d in range(len(weight)))


def spoils(block):
    with torch.no_grad():
        block.conv.weight.copy_(block.conv.weight.flip(2))
    return block


def wraps(block):
    return nn.Sequential(reverse(block))


class Unturned(EfficientChannelAttention):
    """Turns the list back and leaves it so: what comes out are the old outputs in the old order."""

    def attend(self, x):
        return super().attend(x.flip(1))


def unturned(block):
    other = Unturned(block.channels, block.kernel_size).double()
    other.load_state_dict(block.state_dict())
    return other


class Identity(nn.Module):
    def __init__(self, block, multiply=0.0):
        super().__init__()
        self.block, self.multiply = block, multiply

    def forward(self, x):
        return x + self.multiply * self.block(x)


class Forgets(Doubled):
    """Doubles as long as the kernel is 0."""

    def forward(self, x):
        return self.block(x) if self.block.conv.weight.any() else 2 * self.block(x)


class Stays(Doubled):
    """The identity, with a gradient that comes from nowhere."""

    def forward(self, x):
        return x + 0 * self.block(x).detach() + (self.block(x) - self.block(x).detach())


def zeroed(kind, *options):
    def answer(block):
        nn.init.zeros_(block.conv.weight)
        return kind(block, *options)

    return answer


WRONG: list[tuple[str, Any, str | tuple[str, ...]]] = [
    ("eca.1", KERNEL[::-1], "Gate 2 lies before channel 3"),
    ("eca.1", [2, 3, 4], "the numbers inside of the logarithms"),
    ("eca.1", [2 / 3, 3 / 4, 4 / 5], "These are gates"),
    ("eca.1", [-w for w in KERNEL], "Check a sign"),
    ("eca.1", [1, math.log2(3), 2], "logarithms to the base 2"),
    ("eca.1", KERNEL[:2], "Expected shape (3,) for the three weights, received (2,)."),
    ("eca.2", lambda w, c: as_matrix(w, c).T, "Row c holds what gate c sees"),
    ("eca.2", lambda w, c: as_matrix(w.flip(0), c), "or the kernel turned round"),
    ("eca.2", wrapped, "The first and the last channel are no neighbours"),
    ("eca.2", lambda w, c: as_matrix(w, c).sigmoid(), "The sigmoid comes after"),
    ("eca.2", lambda w, c: w, "Expected shape (6, 6)"),
    ("eca.2", lambda w: w, "Expected a function of 2 arguments"),
    ("eca.3", lambda block: deepcopy(block), "Which neighbour does w_1 meet when the list is turned?"),
    ("eca.3", spoils, "it changed it"),
    ("eca.3", wraps, "Expected an EfficientChannelAttention, received Sequential"),
    ("eca.3", unturned, "in the order in which they came in"),
    ("eca.3", lambda block: block.conv.weight, "received Parameter"),
    ("eca.4", lambda z, w: conv1d(z[:, None], w[None, None], padding=len(w) // 2)[:, 0].sigmoid(), "still meet zeros"),
    ("eca.4", lambda z, w: closed(z, w.flip(0)), "Which neighbour does the first weight meet?"),
    ("eca.4", lambda z, w: closed(z, w).logit(), "before the sigmoid"),
    (
        "eca.4",
        lambda z, w: conv1d(pad(z[:, None], (len(w) // 2,) * 2, mode="reflect"), w[None, None])[:, 0].sigmoid(),
        "mirrored at its ends",
    ),
    ("eca.4", lambda z, w: closed(z, w)[0], "Expected shape (2, 6)"),
    ("eca.5", zeroed(Doubled, 1), "What factor gives x back?"),
    ("eca.5", lambda block: Doubled(block), "The largest difference is"),
    ("eca.5", zeroed(Identity), ("Expected a gradient for the kernel", "none but 0")),
    ("eca.5", zeroed(Stays), "the identity for ever"),
    ("eca.5", zeroed(Forgets), "The factor should stay"),
    ("eca.5", lambda block: lambda x: x, ("Expected an nn.Module", "Return a module that holds the block.")),
    ("eca.5", lambda block: nn.Identity(), "received one without it"),
    *research.wrong("eca.6", "Other neighbours need no other number of weights: what else did you change?"),
]
