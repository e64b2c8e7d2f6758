"""The exercises of the chapter on the non-local block.

Their statements and solutions stand in the chapter; here is what ``check`` asks of an answer.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from attention.channel.se import SqueezeExcitation
from attention.lab import cost
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
    expect_research,
    expect_tensor,
    expect_truth,
    expect_whole,
)
from attention.self_attention.dot_product import DotProductAttention
from attention.self_attention.non_local import NonLocal

__all__ = ["EXERCISES"]

# non_local.1: a query and three keys whose inner products are 0, ln 2 and ln 3.
_SCORES = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64).log()
_VALUES = torch.tensor([6.0, 3.0, 4.0], dtype=torch.float64)


def _mean_by_hand(answer: Any) -> None:
    def both(weights: Tensor) -> Tensor:
        return torch.cat([weights, (weights @ _VALUES)[None]])

    right = both(_SCORES.softmax(0))
    mistakes = [
        (both(_SCORES.exp()), "Your weights are the similarities f themselves. What does 𝒞 divide them by?"),
        (both(_SCORES / 3), "That is the dot-product form. The embedded Gaussian takes the exponential first."),
        (both((_SCORES / math.sqrt(2)).softmax(0)), "The question is without the factor 1/√d."),
        (both(torch.full((3,), 1 / 3).double()), "That is the plain mean. Which key matches the query best?"),
        (
            torch.cat([right[:3], (_SCORES.exp() @ _VALUES)[None]]),
            "The weights are right; o is their sum of products with v, and the weights sum to 1.",
        ),
    ]
    numbers = expect_numbers(answer, (4,), "three weights and o")
    expect_close(numbers, right, "the three weights and o", tolerance=5e-3, reveal=False, mistakes=mistakes)


class _Called(nn.Module):
    """A function of three tensors as a module, so that its cost can be counted."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, *tensors: Tensor) -> Tensor:
        return self.function(*tensors)


def _reorders(answer: Any) -> None:
    expect_function(answer)
    for shape, seen in (((2, 5, 3), 5), ((1, 6, 4), 2)):
        q, k = torch.randn(shape), torch.randn(shape[0], seen, shape[2])
        v = torch.randn(shape[0], seen, 2 * shape[2])
        about = f"q {tuple(q.shape)}, k {tuple(k.shape)} and v {tuple(v.shape)}"
        right = q @ k.transpose(1, 2) @ v / seen
        received = expect_tensor(call(answer, q, k, v, about=about), right, f"the output for {about}")
        mistakes = [
            (right * seen, "The dot-product form divides by the number of positions that are looked at."),
            (right * seen / shape[1], "Divide by the number of positions that are looked at, not of those that look."),
            ((q @ k.transpose(1, 2)).softmax(2) @ v, "That is the softmax form, which knows no such short cut."),
        ]
        expect_close(received, right, f"the output for {about}", mistakes=mistakes)
    n, d = 600, 4
    tensors = [torch.randn(1, n, d) for _ in range(3)]
    most = cost.peak(_Called(answer), *tensors)
    expect(
        most < 4 * n * n / 4,
        f"The values are right. For N = {n} and d = {d}, expected fewer than {n * n:,} bytes held at once, received "
        f"{most:,}: a matrix of all pairs takes {4 * n * n:,}.",
        "A product of three matrices may be computed from the left or from the right. Which order is smaller?",
    )


def _first_gradients() -> set[str]:
    block = NonLocal(8, bias=True)
    block(torch.randn(4, 8, 3, 3)).square().sum().backward()
    return {name for name, p in block.named_parameters() if p.grad is not None and p.grad.any()}


def _names_what_learns(answer: Any) -> None:
    names = [name for name, _ in NonLocal(8, bias=True).named_parameters()]
    if isinstance(answer, str) or not isinstance(answer, set | frozenset | list | tuple):
        raise Wrong(
            f"Expected a set of parameters' names, received {describe(answer)}.",
            'A set looks like {"g.weight", "g.bias"}; which names belong in it is the question.',
        )
    strange = [name for name in answer if not isinstance(name, str) or name not in names]
    expect(
        not strange,
        f"Expected names that named_parameters() gives, received {', '.join(map(describe, strange))}.",
        f"There are {', '.join(names)}.",
    )
    given, right = set(answer), _first_gradients()
    if given == right:
        return
    extra = sorted(given - right)
    if extra:
        hint = "Follow the gradient back from the output. The first thing that it meets multiplies by a weight of 0."
        raise Wrong(
            "Expected only parameters that receive a gradient other than 0 in the first step, received also "
            f"{', '.join(extra)}.",
            hint,
        )
    hint = "BN(a) = weight · normalised(a) + bias. What are the two derivatives when weight = bias = 0?"
    raise Wrong(
        f"Expected all parameters whose first gradient is not 0, received {len(given)} of {len(right)}.",
        hint,
    )


def _finds_side(answer: Any) -> None:
    expect_function(answer)
    for channels in (8, 16, 64, 200, 256, 1024):
        for reduction in (1, 2, 4):
            about = f"channels={channels} and reduction={reduction}"
            received = call(answer, channels, reduction, about=about)
            right = math.isqrt(2 * channels) + 1
            hint = "The side of a map is a whole number of positions."
            side = expect_whole(received, about, "a whole number", hint)
            if side == right:
                continue
            wrong = {
                math.isqrt(2 * channels - 1) + 1: "More than, not as many as: with H·W = 2C both are equal.",
                math.isqrt(4 * channels) + 1: "The pairs take two products: the similarities, and the weighted sum.",
                math.isqrt(channels) + 1: "There are four 1 × 1 convolutions, and all four count.",
                2 * channels + 1: "That is the number of positions; the question is for the side of a square of them.",
                math.isqrt(2 * channels // reduction) + 1: "Does r really stay? Both counts have C/r as a factor.",
            }
            raise Wrong(f"For {about}: expected a side of {right}, received {side}.", wrong.get(side, ""))


def _tells_equivariance(answer: Any) -> None:
    expect_function(answer)

    class Coordinates(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + torch.linspace(-1, 1, x.shape[3], dtype=x.dtype)

    blocks = {
        "a non-local block": (_awake(NonLocal(4)), True),
        "a non-local block with the dot product": (_awake(NonLocal(4, similarity="dot product")), True),
        "scaled dot-product attention": (DotProductAttention(4, heads=2), True),
        "Squeeze-and-Excitation": (SqueezeExcitation(4, reduction=2), True),
        "a 3 × 3 convolution": (nn.Conv2d(4, 4, 3, padding=1), False),
        "a non-local block with sub-sampling": (_awake(NonLocal(4, subsample=2)), False),
        "a module that adds coordinates": (Coordinates(), False),
        "a 1 × 1 convolution": (nn.Conv2d(4, 4, 1), True),
    }
    for name, (block, right) in blocks.items():
        block.eval()
        x = torch.randn(2, 4, 5, 6)
        called = call(answer, block, x, about=f"{name} and x of shape (2, 4, 5, 6)")
        received = expect_truth(called, name, "Return one truth value: torch.allclose compares whole tensors.")
        hints = {
            True: "It does commute, up to rounding: compare with a tolerance, and shuffle all channels alike.",
            False: "It does not commute with a general shuffle. Is your permutation a random one of all positions?",
        }
        expect(received == right, f"For {name}: expected {right}, received {received}.", hints[right])


def _awake(block: NonLocal) -> NonLocal:
    """A block that is not the identity any more."""
    nn.init.ones_(block.norm.weight)
    return block


def _reports_research(answer: Any) -> None:
    expect_research(answer, "A factor needs no weights: what else did you change?")


_MEAN = equation("non_local", 1, "o_i = Σ_j α_ij v_j, with α_ij = f(x_i, x_j) / 𝒞_i", "(1)")
_DOT = equation("non_local", 4, "f = q_i·k_j and 𝒞_i = N", "(4)")
_EMBEDDED = equation("non_local", 2, "f = exp(q_i·k_j) and 𝒞_i = Σ_j f(x_i, x_j)", "(3)")

EXERCISES = (
    Exercise(
        "non_local.1",
        "A mean of three values by hand",
        f"{_MEAN}; with {_EMBEDDED}",
        (_mean_by_hand,),
        "Three inner products, three exponentials, their sum, three quotients; only then the values.",
        "three weights that sum to 1, and the mean that they make, to 0.005.",
    ),
    Exercise(
        "non_local.2",
        "The dot product without its matrix",
        f"{_MEAN}; with {_DOT}",
        (_reorders,),
        "Write the sum over j as a product of three matrices, and choose where the brackets go.",
        "the dot-product form, also where fewer positions are looked at, and without a matrix of all pairs.",
    ),
    Exercise(
        "non_local.3",
        "What learns in the first step?",
        equation("non_local", 6, "y_i = x_i + BN(W_o o_i), where BN starts with weight and bias 0", "(6)"),
        (_names_what_learns,),
        "Follow the gradient back from the output through BN, W_o, the mean and the softmax.",
        "exactly the parameters with a gradient other than 0 after one backward pass of a fresh block.",
    ),
    Exercise(
        "non_local.4",
        "When do the pairs outweigh the convolutions?",
        equation("non_local", 12, "4C²/r · N + 2C/r · N² multiply–adds, with N = HW positions"),
        (_finds_side,),
        "Divide the two terms by what they have in common.",
        "the smallest side for six widths and three reductions.",
    ),
    Exercise(
        "non_local.5",
        "Does it know where things are?",
        equation("non_local", 9, "NL(π(x)) = π(NL(x)) for each permutation π of the positions"),
        (_tells_equivariance,),
        "Draw one permutation, and apply it once before and once after the block.",
        "the right answer for eight modules, sub-sampling and coordinates among them.",
    ),
    Exercise(
        "non_local.6",
        "Does the factor matter?",
        f"{_EMBEDDED}, against the same with 1/√d in the exponent",
        (_reports_research,),
        "State the claim before you run anything; then compare with the same seeds, and read the interval.",
        "at least three seeds, models of equal size, the paired interval of their differences, and a verdict that "
        "follows from it. Whether the claim is interesting, only you can judge.",
    ),
)
