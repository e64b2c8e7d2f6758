"""The exercises of the chapter on Frequency Channel Attention.

Their statements and solutions stand in the chapter; here is what ``check`` asks of an answer.
"""

from copy import deepcopy
from math import cos, pi, sqrt
from typing import Any

import torch
from torch import Tensor

from attention.channel.fca import FrequencyChannelAttention
from attention.channel.se import SqueezeExcitation
from attention.lab.checks import (
    Exercise,
    call,
    describe,
    equation,
    expect,
    expect_close,
    expect_function,
    expect_numbers,
    expect_research,
    expect_tensor,
    expect_unchanged,
    expect_whole,
)

__all__ = ["EXERCISES"]


def _sums_by_hand(answer: Any) -> None:
    edge = cos(pi / 14)
    right = torch.tensor([1.0, 0.0, sqrt(2) * edge], dtype=torch.float64)
    mistakes = [
        (
            torch.tensor([1.0, sqrt(2) * edge, 0.0], dtype=torch.float64),
            "The first number of a pair counts down a column, the second along a row. Along which does this map vary?",
        ),
        (
            torch.tensor([1.0, 0.0, edge], dtype=torch.float64),
            "The factor of a frequency above 0 is √(2/7), that of 0 is √(1/7).",
        ),
        (
            torch.tensor([7.0, 0.0, 7 * edge], dtype=torch.float64),
            "These are sums without the factors of the waves: each wave has one, down and across.",
        ),
        (
            torch.tensor([1.0, 0.0, sqrt(2)], dtype=torch.float64),
            "The first pixel lies at ½ of a pixel, not at 0: the cosine there is cos(π/14).",
        ),
        (
            torch.tensor([1 / 7, 0.0, sqrt(2) * edge / 7], dtype=torch.float64),
            "Is the coefficient at (0, 0) the mean, or a multiple of it?",
        ),
    ]
    given = expect_numbers(answer, (3,), "the three coefficients")
    expect_close(given, right, "the three coefficients", tolerance=5e-3, reveal=False, mistakes=mistakes)


def _basis(size: int) -> Tensor:
    place = torch.arange(size, dtype=torch.float64) + 0.5
    waves = (pi * torch.arange(size, dtype=torch.float64)[:, None] * place / size).cos() * sqrt(2 / size)
    waves[0] = 1 / sqrt(size)
    return waves


def _makes_the_waves(answer: Any) -> None:
    expect_function(answer)
    for size in (7, 14, 4):
        about = f"size={size}"
        right = _basis(size).to(torch.get_default_dtype())
        what = f"the waves for {about}"
        received = expect_tensor(call(answer, size, about=about), right, what)
        corner = (pi * torch.arange(size)[:, None] * torch.arange(size) / size).cos() * sqrt(2 / size)
        corner[0] = 1 / sqrt(size)
        flat = right.clone()
        flat[0] *= sqrt(2)
        bare = right * sqrt(size / 2)
        bare[0] = 1.0
        mistakes = [
            (right.T.contiguous(), "A row is one frequency, a column one pixel: is your matrix transposed?"),
            (corner, "The cosine is taken at the middle of each pixel, i + ½."),
            (flat, "The wave of frequency 0 is √2 times too long: its factor is √(1/size)."),
            (bare, "These waves have no factors. Of what length is each?"),
        ]
        expect_close(received, right, what, mistakes=mistakes)


def _block(channels: int, frequencies: Any) -> FrequencyChannelAttention:
    block = FrequencyChannelAttention(channels, 2, frequencies).double()
    with torch.no_grad():
        for each in block.parameters():
            each.normal_()
    return block


def _mirrors(answer: Any) -> None:
    expect_function(answer)
    for frequencies in (((0, 0), (0, 1), (1, 0), (1, 1)), ((0, 2), (0, 3), (5, 0), (4, 5))):
        block = _block(8, frequencies)
        before = deepcopy(block.state_dict())
        about = f"a block with the frequencies {frequencies}"
        made = call(answer, block, about=about)
        expect_unchanged(block, before, about, "Make another block, or a deep copy.")
        expect(
            isinstance(made, FrequencyChannelAttention),
            f"Expected a FrequencyChannelAttention, received {describe(made)}.",
            "The block itself can do it: other weights are enough.",
        )
        x = torch.randn(3, 8, 7, 7, dtype=torch.float64)
        right = block(x).flip(3).detach()
        what = "the outputs for a mirrored map"
        received = expect_tensor(call(made, x.flip(3), about="x, mirrored"), right, what)
        signs = torch.tensor([(-1.0) ** u for u, _ in frequencies], dtype=torch.float64).repeat_interleave(2)
        down, every = deepcopy(block), deepcopy(block)
        with torch.no_grad():
            down.reduce.weight.mul_(signs)
            every.reduce.weight.neg_()
        mistakes = [
            (
                block(x.flip(3)).detach(),
                "Your block is the old one. Which coefficients change?",
            ),
            (down(x.flip(3)).detach(), "You changed the signs for waves down. Left and right are across."),
            (every(x.flip(3)).detach(), "Not all coefficients change their sign: the mean does not."),
        ]
        expect_close(received, right, what, mistakes=mistakes)


def _counts_patterns(answer: Any) -> None:
    expect_function(answer)
    pairs = [(0, 0), (0, 1), (6, 0), (0, 5), (5, 2), (1, 0), (1, 2), (4, 0)]
    for height, width in ((7, 7), (4, 4), (4, 14), (14, 6), (13, 13), (1, 28)):
        down, across = height // 7, width // 7
        right = len({(u * down, v * across) for u, v in pairs})
        about = f"height={height} and width={width}"
        received = expect_whole(
            call(answer, pairs, height, width, about=about), about, "the number of different patterns"
        )
        sevenths = len({(u * height // 7, v * width // 7) for u, v in pairs})
        swapped = len({(u * across, v * down) for u, v in pairs})
        hint = "Write down u · ⌊H/7⌋ and v · ⌊W/7⌋ for each pair, then count the different ones."
        if received == 1 and right > 1:
            hint = "One axis below 7 loses that axis only: what is left of the other?"
        elif received == len(pairs):
            hint = "Every pair of the list is another. Are the rescaled ones?"
        elif received == swapped:
            hint = "The height goes with u, the width with v."
        elif received == sevenths:
            hint = "H/7 is rounded down before u is multiplied with it, not after."
        expect(received == right, f"Expected {right} different patterns for {about}, received {received}.", hint)


def _starts_from_se(answer: Any) -> None:
    expect_function(answer)
    for channels, reduction, height, width in ((8, 2, 7, 7), (12, 4, 6, 10)):
        se = SqueezeExcitation(channels, reduction).double()
        with torch.no_grad():
            for each in se.parameters():
                each.normal_()
        before = deepcopy(se.state_dict())
        about = f"a trained SE of {channels} channels and maps of {height} × {width}"
        made = call(answer, se, height, width, about=about)
        expect_unchanged(se, before, about, "Copy its weights before you change them.")
        expect(
            isinstance(made, FrequencyChannelAttention),
            f"Expected a FrequencyChannelAttention, received {describe(made)}.",
            "FrequencyChannelAttention(…, frequencies=((0, 0),)) has the layers of SE.",
        )
        expect(
            set(made.frequencies) == {(0, 0)},
            f"Expected the frequency (0, 0) alone, received {made.frequencies}.",
            "Which frequency is a multiple of the mean?",
        )
        x = torch.randn(3, channels, height, width, dtype=torch.float64)
        right = se(x).detach()
        received = expect_tensor(call(made.double(), x, about="x"), right, "the outputs")

        def scaled(factor: float, block: SqueezeExcitation = se) -> SqueezeExcitation:
            other = deepcopy(block)
            with torch.no_grad():
                other.reduce.weight.mul_(factor)
            return other

        root = sqrt(height * width)
        mistakes = [
            (scaled(root)(x).detach(), "Your block sees means multiplied by √(HW): what must W_1 be divided by?"),
            (scaled(1 / root)(x).detach(), "You divided by √(HW) twice, or by HW."),
            (scaled(root**2)(x).detach(), "You multiplied. The coefficient is larger than the mean already."),
        ]
        expect_close(received, right, "the outputs", mistakes=mistakes)


def _reports_research(answer: Any) -> None:
    expect_research(answer, "Other fixed patterns need no other number of weights: what else did you change?")


_WAVE = equation("fca", 2, "b_u(i) = α_u cos(πu/7 · (i + ½))")
_COEFFICIENT = equation("fca", 3, "z_c = Σ_ij x_c(i, j) b_u(i) b_v(j)")
_MEAN = equation("fca", 4, "z_c at (0, 0) = √(HW) · mean of x_c")

EXERCISES = (
    Exercise(
        "fca.1",
        "Three coefficients by hand",
        f"{_WAVE}; and {_COEFFICIENT}",
        (_sums_by_hand,),
        "The sum over the rows is the same for all of them. What does it give at u = 0, and at u = 1?",
        "three coefficients, to 0.005.",
    ),
    Exercise(
        "fca.2",
        "All waves of one axis",
        _WAVE,
        (_makes_the_waves,),
        "Multiply your matrix with its transpose: what should come out?",
        "matrices of three sizes.",
    ),
    Exercise(
        "fca.3",
        "Left becomes right",
        f"{_COEFFICIENT}; and {equation('fca', 5, 's = σ(W_2 δ(W_1 z))')}",
        (_mirrors,),
        "Compute the waves of v = 0, 1 and 2 from right to left.",
        "mirrored maps of 7 × 7 give mirrored outputs, for two lists of frequencies; the given block is unchanged.",
    ),
    Exercise(
        "fca.4",
        "How many patterns are left",
        _WAVE,
        (_counts_patterns,),
        "Start with a side of 4: what is ⌊4/7⌋?",
        "six sizes, of which three have a side below 7.",
    ),
    Exercise(
        "fca.5",
        "From SE to FcaNet",
        _MEAN,
        (_starts_from_se,),
        "What does the block see where SE sees a mean of 1?",
        "the same outputs as SE on two sizes; SE is unchanged.",
    ),
    Exercise(
        "fca.6",
        "Which patterns?",
        f"{_COEFFICIENT}, with other patterns",
        (_reports_research,),
        "State the claim before you run anything; then compare with the same seeds, and read the interval.",
        "at least three seeds, models of equal size, the paired interval of their differences, and a verdict that "
        "follows from it. Whether the claim is interesting, only you can judge.",
    ),
)
