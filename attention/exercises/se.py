"""The exercises of the chapter on Squeeze-and-Excitation.

Their statements and solutions stand in the chapter; here is what ``check`` asks of an answer.
"""

from collections.abc import Callable
from copy import deepcopy
from functools import cache
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from attention.channel.se import SqueezeExcitation
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
    expect_refusal,
    expect_research,
    expect_tensor,
    expect_unchanged,
    expect_whole,
    span,
)

__all__ = ["EXERCISES"]

# se.1: numbers that a hand can compute. The logarithm of 3 is there because σ(ln 3) is a simple fraction.
_X = torch.tensor([[[1.0, 3.0], [2.0, 2.0]], [[5.0, -3.0], [1.0, 1.0]]], dtype=torch.float64)
_W1 = torch.tensor([[1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64)
_W2 = torch.tensor([[3.0, 3.0], [1.0, 3.0]], dtype=torch.float64).log()


def _gates_by_hand(answer: Any) -> None:
    mean, total, highest = _X.mean((1, 2)), _X.sum((1, 2)), _X.amax((1, 2))
    hidden = (_W1 @ mean).relu()
    mistakes = [
        (_W2 @ hidden, "These are the numbers before the last step. What keeps a gate between 0 and 1?"),
        (hidden, "This is the hidden vector of the bottleneck. One layer and one function are still to come."),
        (mean, "This is the squeezed vector z. The excitation is still to come."),
        ((_W2 @ _W1 @ mean).sigmoid(), "Between the two layers stands δ. What does it do to a negative number?"),
        ((_W2 @ hidden).softmax(0), "Your gates sum to 1. SE lets each channel decide for itself."),
        ((_W2 @ (_W1 @ total).relu()).sigmoid(), "The squeeze divides by the number of pixels."),
        ((_W2 @ (_W1 @ highest).relu()).sigmoid(), "The squeeze is not the maximum."),
        ((_W2.T @ hidden).sigmoid(), "Row c of W₂ belongs to gate c: multiply rows, not columns."),
    ]
    scaled = "The question ends at the gates: there is one per channel, before it multiplies the input."
    gates = expect_numbers(answer, (2,), "the two gates", shapes={(2, 2, 2): scaled})
    right = (_W2 @ hidden).sigmoid()
    expect_close(gates, right, "the two gates", tolerance=5e-3, reveal=False, mistakes=mistakes)


def _squeezes(answer: Any) -> None:
    expect_function(answer)
    for shape in ((2, 3, 4, 5), (2, 3, 1, 1), (2, 3, 7), (2, 3, 2, 4, 5)):
        x = torch.randn(shape)
        pixels = tuple(range(2, x.ndim))
        wrong = {
            (*shape[:2], *(1 for _ in pixels)): "The squeezed vector has no axes of size 1: (batch, channels).",
            (shape[0], *shape[2:]): "That is a mean over channels. Which axes does the sum run over?",
            shape[1:2]: "That is one mean for the whole batch. Each sample has its own.",
            shape[:1]: "That is one mean per sample. Each channel has its own.",
            shape[:-1]: "You averaged over the last axis only.",
            shape: "Nothing was averaged: every pixel is still there.",
        }
        wrong.pop(shape[:2], None)
        about = f"x of shape {shape}"
        returned = call(answer, x, about=about)
        squeezed = expect_tensor(returned, x.mean(pixels), f"the squeezed {about}", shapes=wrong)
        mistakes = [
            (x.sum(pixels), "These are sums. The squeeze divides by the number of pixels."),
            (x.amax(pixels), "These are maxima. The squeeze is a mean."),
        ]
        expect_close(squeezed, x.mean(pixels), f"the squeezed {about}", mistakes=mistakes)
    wide = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    returned = call(answer, wide, about="a float64 tensor")
    expect_tensor(returned, wide.mean((2, 3)), "the squeezed float64 tensor")


def _excites_by_convolution(answer: Any) -> None:
    expect_function(answer)
    for bias in (True, False):
        block = _random_block(12, 4, bias)
        before = deepcopy(block.state_dict())
        about = f"SqueezeExcitation(12, reduction=4, bias={bias})"
        made = call(answer, block, about=about)
        expect_unchanged(block, before, about, "Copy weights into new layers; do not reshape the block's own.")
        expect(
            isinstance(made, nn.Module),
            f"Expected an nn.Module, received {describe(made)}.",
            "nn.Sequential puts layers one behind the other, and is a module itself.",
        )
        layers = [m for m in made.modules() if next(m.parameters(recurse=False), None) is not None]
        kinds = [type(m).__name__ for m in layers]
        expect(
            kinds == ["Conv2d", "Conv2d"],
            f"Expected two layers with weights, both Conv2d, received {', '.join(kinds) or 'none'}.",
            "The layers with weights are nn.Conv2d; functions without weights may stand between and after them.",
        )
        shapes = [tuple(m.weight.shape) for m in layers]
        expect(
            shapes == [(3, 12, 1, 1), (12, 3, 1, 1)],
            f"Expected weights of shape (3, 12, 1, 1) and (12, 3, 1, 1), received {shapes[0]} and {shapes[1]}.",
            "A matrix (out, in) becomes the kernel (out, in, 1, 1).",
        )
        biases = [m.bias is not None for m in layers]
        expect(
            biases == [bias, bias],
            f"For {about}, expected {'biases' if bias else 'no biases'} in both layers, received {_layers(biases)}.",
            "bias=… of nn.Conv2d decides; the block's own layers tell whether there is one.",
        )
        z = torch.randn(5, 12, 1, 1)
        hidden = block.reduce(z.flatten(1))
        gates = block.expand(hidden.relu()).sigmoid()
        mistakes = [
            (block.expand(hidden.relu()), "These are the numbers before the last function, which makes gates of them."),
            (block.expand(hidden).sigmoid(), "What stands between the two layers?"),
        ]
        what = f"the gates of {about}"
        received = expect_tensor(
            call(made, z.to(layers[0].weight.device), about="z of shape (5, 12, 1, 1)"),
            rearrange(gates, "b c -> b c 1 1"),
            what,
        )
        mistakes = [(rearrange(values, "b c -> b c 1 1"), hint) for values, hint in mistakes]
        expect_close(received, rearrange(gates, "b c -> b c 1 1").detach(), what, mistakes=mistakes)


def _layers(biases: list[bool]) -> str:
    """Say in words which of two layers have a bias."""
    return {(True, True): "biases", (False, False): "none"}.get(tuple(biases), "one in one layer only")


def _random_block(channels: int, reduction: int, bias: bool) -> SqueezeExcitation:
    block = SqueezeExcitation(channels, reduction, bias)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.normal_()
    return block


_Stages = tuple[tuple[int, int], ...]
_RESNET50: _Stages = ((3, 256), (4, 512), (6, 1024), (3, 2048))


def _smallest(cost: Callable[[int, int], float], stages: _Stages, limit: float) -> int:
    """Find the smallest power of two with which the cost, ``cost(blocks, channels) / r`` summed, keeps a limit."""
    reduction = 1
    while sum(cost(blocks, channels) for blocks, channels in stages) / reduction > limit:
        reduction *= 2
    return reduction


_COST_MISTAKES: tuple[tuple[Callable[[int, int], float], str], ...] = (
    (lambda n, c: n * c * c, "How many matrices has a block?"),
    (lambda n, c: 2 * c * c, "How many blocks has a stage?"),
    (lambda n, c: 2 * n * c, "A matrix from C to C/r channels has how many entries?"),
    (lambda n, c: 2 * n * (c / 4) ** 2, "The block stands at the end of the branch: take its output channels."),
)


@cache
def _resnet50_parameters() -> int:
    from attention.backbones.resnet import resnet50

    with torch.device("meta"):  # sizes without memory
        return sum(p.numel() for p in resnet50().parameters())


def _finds_reduction(answer: Any) -> None:
    expect_function(answer)
    cases = [
        (((1, 64),), 6400, 0.02),
        (((1, 64),), 8192, 1.0),
        (((8, 16),), 1024, 1.0),  # exactly the budget with r = 4
        (((2, 32), (3, 64)), 50_000, 0.03),
        *((_RESNET50, _resnet50_parameters(), budget) for budget in (0.2, 0.1, 0.05, 0.02, 0.01)),
    ]
    for stages, size, budget in cases:
        about = f"stages={stages}, parameters={size} and budget={budget}"
        received = call(answer, stages, size, budget, about=about)
        ratio = expect_whole(received, about, "a power of two", "Return the reduction ratio itself, a whole number.")
        right = _smallest(lambda n, c: 2 * n * c * c, stages, budget * size)
        if ratio == right:
            continue
        wrong = (hint for cost, hint in _COST_MISTAKES if _smallest(cost, stages, budget * size) == ratio)
        hint = next(wrong, "")
        if ratio == 2 * right:
            hint = "A smaller ratio fits as well: the overhead may be as large as the budget, and not larger."
        elif ratio < 1 or ratio & (ratio - 1):
            hint = "Only powers of two are asked for: 1, 2, 4, …"
        raise Wrong(f"For {about}: expected r = {right}, received {ratio}.", hint)


def _opens_gates(answer: Any) -> None:
    expect_function(answer)
    for epsilon in (0.1, 0.01):
        block = _random_block(8, 4, True)
        before = deepcopy(dict(block.named_parameters()))
        about = f"a block with biases and epsilon={epsilon}"
        call(answer, block, epsilon, about=about, returns=False)
        expect_parameters(block, before)
        for scale in (0.0, 1.0, 100.0):
            gates = block.weights(scale * torch.randn(16, 8, 3, 3)).detach().double()
            _judge_gates(gates, epsilon, f"inputs of size {scale:g}")
        total = block.weights(torch.randn(64, 8, 3, 3)).sum()
        if total.requires_grad:
            total.backward()
        expect(
            bool(block.expand.weight.grad is not None and block.expand.weight.grad.any()),
            "The gates are right. Expected a gradient for W₂, received none but 0: the block could never learn to look "
            "at its input.",
            "Only one of the two layers needs to change; what happens when its input is always 0?",
        )
    expect_refusal(
        answer,
        _random_block(8, 4, False),
        0.1,
        about="a block without biases",
        hint="Without biases, what is the gate when every mean is 0, whatever the weights? Ask for biases first.",
    )


def _judge_gates(gates: Tensor, epsilon: float, where: str) -> None:
    """Ask that all gates are 1 − ε, to a hundredth of ε, and name the mistake where one is known."""
    target = 1 - epsilon
    low, high = float(gates.min()), float(gates.max())
    if max(target - low, high - target) <= epsilon / 100:
        return
    message = f"For {where}: expected every gate to be {target:g}, received {span(low, high)}."
    hint = ""
    if high - low > epsilon / 50:
        hint = "Your gates still depend on the input. Which weights carry it to the gate?"
    elif abs(low - 0.5) < 1e-3:
        hint = "σ(0) = ½: something has to lift the number that goes into the sigmoid."
    elif abs(low - epsilon) < epsilon / 100:
        hint = "Your gates are ε, not 1 − ε: check a sign."
    elif abs(low - float(torch.tensor(target).sigmoid())) < 1e-3:
        hint = "You set the number that goes into the sigmoid to 1 − ε; it is what comes out that should be 1 − ε."
    elif low > target:
        hint = "Wider open than asked: the slope of the sigmoid there is s(1 − s), and so is every gradient."
    raise Wrong(message, hint)


def _reports_research(answer: Any) -> None:
    expect_research(answer, "Another squeeze needs no weights: what else did you change?")


_SQUEEZE = equation("se", 2, "z_c = 1/(HW) Σ_i Σ_j u_c(i, j)", "(2)")
_EXCITE = equation("se", 3, "s = σ(W₂ δ(W₁ z))", "(3)")

EXERCISES = (
    Exercise(
        "se.1",
        "Two gates by hand",
        f"{_SQUEEZE}; and {_EXCITE}",
        (_gates_by_hand,),
        "Go in four steps and write down each result: two means, two hidden numbers, two numbers, two gates.",
        "both gates, to 0.005.",
    ),
    Exercise(
        "se.2",
        "One squeeze for sequences, pictures and volumes",
        _SQUEEZE,
        (_squeezes,),
        "An ellipsis in an einops pattern stands for any number of axes.",
        "one mean per sample and channel for inputs with one, two and three axes of space and for a single pixel; the "
        "dtype is kept, the input is left alone.",
    ),
    Exercise(
        "se.3",
        "The excitation as two convolutions",
        _EXCITE,
        (_excites_by_convolution,),
        "On a map of one pixel, a convolution with a 1 × 1 kernel multiplies a vector by a matrix.",
        "two 1 × 1 convolutions give the block's gates, with biases and without, and have as many parameters; the "
        "block itself is unchanged.",
    ),
    Exercise(
        "se.4",
        "How narrow must the bottleneck be?",
        equation("se", 7, "2C²/r parameters for a block on C channels without biases"),
        (_finds_reduction,),
        "Write the overhead as a number divided by r, and double r until it fits.",
        "the smallest power of two for four small networks and for ResNet-50 with budgets of 20, 10, 5, 2 and 1%.",
    ),
    Exercise(
        "se.5",
        "A block that starts wide open",
        _EXCITE,
        (_opens_gates,),
        "A gate that is the same for every input comes from a bias alone.",
        "every gate is 1 − ε, for two values of ε and inputs of size 0, 1 and 100; W₂ receives a gradient; a block "
        "without biases is refused.",
    ),
    Exercise(
        "se.6",
        "Does the mean have to be the statistic?",
        f"{_SQUEEZE}, with another statistic in the place of the mean",
        (_reports_research,),
        "State the claim before you run anything; then compare with the same seeds, and read the interval.",
        "at least three seeds, models of equal size, the paired interval of their differences, and a verdict that "
        "follows from it. Whether the claim is interesting, only you can judge.",
    ),
)
