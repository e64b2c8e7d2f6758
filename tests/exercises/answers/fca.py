"""Answers to the exercises on Frequency Channel Attention: right ones, and wrong ones with what they must be told."""

from copy import deepcopy
from math import cos, pi, sqrt
from typing import Any

import numpy as np
import torch
from torch import nn

from attention.channel.fca import FrequencyChannelAttention
from tests.exercises.answers import research

EQUATIONS = {
    "fca.1": ("fca-wave", "fca-coefficient"),
    "fca.2": ("fca-wave",),
    "fca.3": ("fca-coefficient", "fca-gates"),
    "fca.4": ("fca-wave",),
    "fca.5": ("fca-mean",),
    "fca.6": ("fca-coefficient",),
}
#: The numbers of a printed solution that is no code, as they stand there.
PRINTED = {"fca.1": (r"$z = 1$", r"$z = 0$", r"= 1.379$")}
EDGE = cos(pi / 14)


def waves(size):
    place = torch.arange(size) + 0.5
    matrix = (pi * torch.arange(size)[:, None] * place / size).cos() * (2 / size) ** 0.5
    matrix[0] = size**-0.5
    return matrix


def by_loop(size):
    matrix = torch.empty(size, size)
    for u in range(size):
        for i in range(size):
            matrix[u, i] = (sqrt(2 / size) if u else sqrt(1 / size)) * cos(pi * u * (i + 0.5) / size)
    return matrix


def signed(block, sign):
    other = deepcopy(block)
    part = block.channels // len(block.frequencies)
    with torch.no_grad():
        for k, pair in enumerate(block.frequencies):
            other.reduce.weight[:, k * part : (k + 1) * part] *= sign(pair)
    return other


def mirrored(block):
    return signed(block, lambda pair: (-1) ** pair[1])


def patterns_left(pairs, height, width):
    return len({(u * (height // 7), v * (width // 7)) for u, v in pairs})


def from_se(se, height, width):
    return scaled(se, sqrt(height * width))


def scaled(se, divisor, frequencies=((0, 0),)):
    block = FrequencyChannelAttention(se.channels, se.channels // len(se.reduce.weight), frequencies)
    block.to(se.reduce.weight).load_state_dict(se.state_dict())
    with torch.no_grad():
        block.reduce.weight /= divisor
    return block


RIGHT: dict[str, list[Any]] = {
    "fca.1": [[1, 0, sqrt(2) * EDGE], np.array([1, 0, 1.379]), torch.tensor([1.0, 0.0, 1.379])],
    "fca.2": [waves, by_loop],
    "fca.3": [mirrored],
    "fca.4": [patterns_left],
    "fca.5": [from_se],
    "fca.6": [research.report()],
}


def spoils_block(block):
    with torch.no_grad():
        block.reduce.weight.neg_()
    return block


def spoils_se(se, height, width):
    made = from_se(se, height, width)
    with torch.no_grad():
        se.reduce.weight.zero_()
    return made


def corners(size):
    matrix = (pi * torch.arange(size)[:, None] * torch.arange(size) / size).cos() * (2 / size) ** 0.5
    matrix[0] = size**-0.5
    return matrix


def too_long(size):
    matrix = waves(size)
    matrix[0] *= 2**0.5
    return matrix


def without_factors(size):
    return (pi * torch.arange(size)[:, None] * (torch.arange(size) + 0.5) / size).cos()


WRONG: list[tuple[str, Any, str | tuple[str, ...]]] = [
    ("fca.1", [1, sqrt(2) * EDGE, 0], "Along which does this map vary?"),
    ("fca.1", [1, 0, EDGE], "The factor of a frequency above 0"),
    ("fca.1", [7, 0, 7 * EDGE], "sums without the factors"),
    ("fca.1", [1, 0, sqrt(2)], "not at 0: the cosine there is"),
    ("fca.1", [1 / 7, 0, sqrt(2) * EDGE / 7], "the mean, or a multiple of it?"),
    ("fca.1", [1, 0], "Expected shape (3,) for the three coefficients, received (2,)."),
    ("fca.2", lambda size: waves(size).T, "is your matrix transposed?"),
    ("fca.2", corners, "at the middle of each pixel"),
    ("fca.2", too_long, "√2 times too long"),
    ("fca.2", without_factors, "These waves have no factors."),
    ("fca.2", lambda size: waves(size)[0], "Expected shape (7, 7)"),
    ("fca.3", lambda block: deepcopy(block), "Which coefficients change?"),
    ("fca.3", lambda block: signed(block, lambda pair: (-1) ** pair[0]), "Left and right are across."),
    ("fca.3", lambda block: signed(block, lambda pair: -1), "the mean does not"),
    ("fca.3", spoils_block, "it changed it"),
    ("fca.3", lambda block: nn.Sequential(mirrored(block)), "received Sequential"),
    ("fca.4", lambda pairs, h, w: len(pairs), "Are the rescaled ones?"),
    ("fca.4", lambda pairs, h, w: 1 if min(h, w) < 7 else patterns_left(pairs, h, w), "loses that axis only"),
    ("fca.4", lambda pairs, h, w: patterns_left(pairs, w, h), "The height goes with u"),
    ("fca.4", lambda pairs, h, w: len({(u * h // 7, v * w // 7) for u, v in pairs}), "not after"),
    ("fca.4", lambda pairs, h, w: set(pairs), "received set of length 8"),
    ("fca.4", lambda pairs, h, w: 3 + patterns_left(pairs, h, w), "then count the different ones"),
    ("fca.5", lambda se, h, w: scaled(se, 1), "what must W_1 be divided by?"),
    ("fca.5", lambda se, h, w: scaled(se, h * w), "twice, or by HW"),
    ("fca.5", lambda se, h, w: scaled(se, (h * w) ** -0.5), "You multiplied."),
    ("fca.5", spoils_se, "it changed it"),
    ("fca.5", lambda se, h, w: se, "Expected a FrequencyChannelAttention, received SqueezeExcitation"),
    ("fca.5", lambda se, h, w: scaled(se, 1, ((0, 1),)), "Expected the frequency (0, 0) alone"),
    *research.wrong("fca.6", "Other fixed patterns need no other number of weights: what else did you change?"),
]
