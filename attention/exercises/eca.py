"""The exercises of the chapter on Efficient Channel Attention.

Their statements and solutions stand in the chapter; here is what ``check`` asks of an answer.
"""

from copy import deepcopy
from typing import Any

import torch
from torch import nn
from torch.nn.functional import conv1d, pad

from attention.channel.eca import EfficientChannelAttention
from attention.lab.checks import (
    Exercise,
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
    expect_unchanged,
)

__all__ = ["EXERCISES"]

#: eca.1: the kernel, as the logarithms of these; one mean is 1 and all others are 0, so each gate shows one weight.
_TAPS = torch.tensor([2.0, 3.0, 4.0], dtype=torch.float64)


def _reads_the_kernel(answer: Any) -> None:
    right = _TAPS.log()
    mistakes = [
        (right.flip(0), "Gate 2 lies before channel 3: with which d does the sum reach from 2 to 3?"),
        (_TAPS, "These are the numbers inside of the logarithms: σ(ln a) = a / (1 + a)."),
        (_TAPS / (1 + _TAPS), "These are gates. The weights stand inside of the sigmoid."),
        (_TAPS.flip(0) / (1 + _TAPS.flip(0)), "These are gates. The weights stand inside of the sigmoid."),
        (-right, "Check a sign: a gate above ½ comes from a positive number."),
        (_TAPS.log2(), "These are logarithms to the base 2; σ has e."),
    ]
    weights = expect_numbers(answer, (3,), "the three weights")
    expect_close(weights, right, "the three weights", tolerance=5e-3, reveal=False, mistakes=mistakes)


def _block(channels: int, kernel_size: int) -> EfficientChannelAttention:
    block = EfficientChannelAttention(channels, kernel_size).double()
    with torch.no_grad():
        block.conv.weight.normal_()
    return block


def _writes_the_matrix(answer: Any) -> None:
    expect_function(answer)
    for channels, k in ((6, 3), (9, 5), (3, 7), (5, 1)):
        weight = torch.randn(k, dtype=torch.float64)
        about = f"weight of shape ({k},) and channels={channels}"
        right = conv1d(torch.eye(channels).double()[:, None], weight[None, None], padding=k // 2)[:, 0].T
        received = expect_tensor(call(answer, weight, channels, about=about), right, f"the matrix for {about}")
        around = sum(torch.eye(channels).double().roll(d - k // 2, 1) * weight[d] for d in range(k))
        mistakes = [
            (right.T, "Row c holds what gate c sees: is your matrix its transpose, or the kernel turned round?"),
            (around, "The first and the last channel are no neighbours: outside of the list stands 0."),
            (right.sigmoid(), "The sigmoid comes after the matrix."),
        ]
        expect_close(received, right.contiguous(), f"the matrix for {about}", mistakes=mistakes)


def _turns_round(answer: Any) -> None:
    expect_function(answer)
    for channels, k in ((8, 3), (7, 5), (4, 1)):
        block = _block(channels, k)
        before = deepcopy(block.state_dict())
        about = f"EfficientChannelAttention({channels}, kernel_size={k})"
        made = call(answer, block, about=about)
        expect_unchanged(block, before, about, "Make another block, or a deep copy.")
        expect(
            isinstance(made, EfficientChannelAttention),
            f"Expected an EfficientChannelAttention, received {describe(made)}.",
            "The block itself can do it: nothing has to turn the list before it or behind it.",
        )
        x = torch.randn(3, channels, 2, 2, dtype=torch.float64)
        right = block(x).flip(1).detach()
        what = "the outputs for channels in reverse order"
        received = expect_tensor(call(made, x.flip(1), about="x with its channels reversed"), right, what)
        mistakes = [
            (
                block(x.flip(1)).detach(),
                "Your block is the old one. Which neighbour does w_1 meet when the list is turned?",
            ),
            (block(x).detach(), "The channels should come out in the order in which they came in, the reversed one."),
        ]
        expect_close(received, right, what, mistakes=mistakes)


def _goes_round(answer: Any) -> None:
    expect_function(answer)
    for channels, k in ((6, 3), (8, 5), (7, 1)):
        z, weight = torch.randn(2, channels, dtype=torch.float64), torch.randn(k, dtype=torch.float64)
        m = k // 2
        around, kernel = pad(z[:, None], (m, m), mode="circular"), weight[None, None]
        logits = conv1d(around, kernel)[:, 0]
        right = logits.sigmoid()
        mistakes = [
            (conv1d(z[:, None], kernel, padding=m)[:, 0].sigmoid(), "The ends still meet zeros: what is z behind C?"),
            (conv1d(around, kernel.flip(2))[:, 0].sigmoid(), "Which neighbour does the first weight meet?"),
            (logits, "These are the numbers before the sigmoid."),
        ]
        if k > 1:
            mirrored = pad(z[:, None], (m, m), mode="reflect")
            mistakes.append(
                (conv1d(mirrored, kernel)[:, 0].sigmoid(), "That list is mirrored at its ends, not closed.")
            )
        about = f"z of shape (2, {channels}) and weight of shape ({k},)"
        what = f"the gates for {about}"
        received = expect_tensor(call(answer, z, weight, about=about), right, what)
        expect_close(received, right, what, mistakes=mistakes)


def _changes_nothing(answer: Any) -> None:
    expect_function(answer)
    for channels, k in ((8, 3), (16, 5)):
        block = _block(channels, k)
        before = deepcopy(dict(block.named_parameters()))
        about = f"EfficientChannelAttention({channels}, kernel_size={k})"
        made = call(answer, block, about=about)
        expect(
            isinstance(made, nn.Module),
            f"Expected an nn.Module, received {describe(made)}.",
            "Return a module that holds the block.",
        )
        inside = [m for m in made.modules() if m is block]
        expect(
            bool(inside),
            "Expected a module that holds the block itself, received one without it.",
            "Keep the block that you are given: self.block = block, and no copy.",
        )
        expect_parameters(block, before)
        x = torch.randn(4, channels, 3, 3, dtype=torch.float64)
        received = expect_tensor(call(made, x, about="x"), x, "the output at the start")
        halved = [(x / 2, "Your gates are ½, and so is what comes out. What factor gives x back?")]
        expect_close(received, x, "the output at the start", mistakes=halved)
        (made(x) * torch.randn_like(x)).sum().backward()
        expect(
            bool(block.conv.weight.grad is not None and block.conv.weight.grad.any()),
            "The output is right. Expected a gradient for the kernel, received none but 0: it could never learn.",
            "Run the block in forward; do not replace it by the identity.",
        )
        with torch.no_grad():
            block.conv.weight.normal_()
        what = "the output once the kernel has learned something"
        later = expect_tensor(call(made, x, about="x"), x, what)
        mistakes = [
            (x, "Your module is the identity for ever: the gates no longer act."),
            (block(x).detach(), "The factor should stay when the kernel changes."),
        ]
        expect_close(later, 2 * block(x).detach(), what, mistakes=mistakes)


def _reports_research(answer: Any) -> None:
    expect_research(answer, "Other neighbours need no other number of weights: what else did you change?")


_CONV = equation("eca", 4, "s_c = σ(Σ_d w_d z_{c+d}), z = 0 outside the list")

EXERCISES = (
    Exercise(
        "eca.1",
        "Read the kernel off the gates",
        _CONV,
        (_reads_the_kernel,),
        "Write down the sums for c = 2, 3 and 4. In each only one term is not 0.",
        "three weights, to 0.005.",
    ),
    Exercise(
        "eca.2",
        "The matrix behind the convolution",
        f"{equation('eca', 3, 's_c = σ(Σ_d w_{c, d} z_{c+d})')}; and {_CONV}",
        (_writes_the_matrix,),
        "Which entries of row c are not 0, and which of the k weights stands there?",
        "four sizes, also a kernel that is longer than the list; the weights are left alone.",
    ),
    Exercise(
        "eca.3",
        "The one relabelling that survives",
        _CONV,
        (_turns_round,),
        "Reverse the list and write the sum of one gate down again.",
        "reversed channels give reversed outputs, for three kernel sizes; the given block is unchanged.",
    ),
    Exercise(
        "eca.4",
        "A list without ends",
        _CONV,
        (_goes_round,),
        "Count the index c + d round: behind C comes 1.",
        "gates of three sizes; means and weights are left alone.",
    ),
    Exercise(
        "eca.5",
        "A start that changes nothing",
        equation("eca", 5, "y_c = s_c x_c"),
        (_changes_nothing,),
        "What is the gate where all weights are 0, and what must it be multiplied by?",
        "the output equals the input at the start, the kernel gets a gradient, and acts once it has changed.",
    ),
    Exercise(
        "eca.6",
        "Which neighbours?",
        f"{_CONV}, with other channels in the place of c + d",
        (_reports_research,),
        "State the claim before you run anything; then compare with the same seeds, and read the interval.",
        "at least three seeds, models of equal size, the paired interval of their differences, and a verdict that "
        "follows from it. Whether the claim is interesting, only you can judge.",
    ),
)
