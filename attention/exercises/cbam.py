"""The exercises of the chapter on CBAM.

Their statements and solutions stand in the chapter; here is what ``check`` asks of an answer.
"""

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from attention.hybrid.cbam import ConvolutionalBlockAttention
from attention.lab.checks import (
    Exercise,
    call,
    describe,
    equation,
    expect,
    expect_close,
    expect_function,
    expect_numbers,
    expect_refusal,
    expect_research,
    expect_tensor,
    expect_unchanged,
)

__all__ = ["EXERCISES"]

# cbam.1: numbers that a hand can compute. Logarithms are there because σ(ln a) = a / (1 + a).
_X = torch.tensor([[[2.0, 2.0], [2.0, 2.0]], [[0.0, 4.0], [0.0, 0.0]]], dtype=torch.float64)
_W1 = torch.tensor([[-1.0, 1.0]], dtype=torch.float64)
_W2 = torch.tensor([[3.0], [1 / 3]], dtype=torch.float64).log() / 2
_KERNEL = torch.tensor([16.0, 1 / 4], dtype=torch.float64).log()  # of the mean, of the maximum


def _by_hand(logits: Tensor, source: str = "x'") -> Tensor:
    """Compute the four numbers from the channels' logits; ``source`` says what the positions' gate is computed from."""
    channel = logits.sigmoid()
    seen = _X if source == "x" else _X * channel[:, None, None]
    space = (_KERNEL[0] * seen.mean(0) + _KERNEL[1] * seen.amax(0)).sigmoid()
    return torch.cat([channel, space[0]])


def _gates_by_hand(answer: Any) -> None:
    mean, highest = _X.mean((1, 2)), _X.amax((1, 2))
    each = (_W2 @ (_W1 @ mean).relu(), _W2 @ (_W1 @ highest).relu())
    right = _by_hand(each[0] + each[1])
    early = "Each statistic passes W₁ and δ by itself, and what comes out is added, not averaged."
    mistakes = [
        (_by_hand(_W2 @ (_W1 @ (mean + highest)).relu()), early),
        (_by_hand(_W2 @ (_W1 @ mean) + _W2 @ (_W1 @ highest)), early),
        (_by_hand(each[0]), "These are the gates from the means alone. What do the maxima add?"),
        (_by_hand(each[0] + each[1], "x"), "The second gate is computed from x', behind the first one."),
        (torch.cat([each[0] + each[1], right[2:]]), "The first two lack their sigmoid."),
        (torch.cat([right[:2], right[2:].logit()]), "The last two lack their sigmoid."),
        (torch.cat([each[0] + each[1], right[2:].logit()]), "What keeps a gate between 0 and 1?"),
        (right[[1, 0, 2, 3]], "The gate of the first channel comes first."),
        (right[[0, 1, 3, 2]], "The position at the left comes first."),
    ]
    numbers = expect_numbers(answer, (4,), "the four gates")
    expect_close(numbers, right, "the four gates", tolerance=5e-3, reveal=False, mistakes=mistakes)


def _pools_over_channels(answer: Any) -> None:
    expect_function(answer)
    for shape in ((4, 3, 5, 6), (3, 1, 5, 2), (2, 6, 1, 1)):
        x = torch.randn(shape, dtype=torch.float64)
        right = torch.stack([x.mean(1), x.amax(1)], dim=1)
        b, c, h, w = shape
        wrong = {
            (b, h, w): "That is one statistic. Two are asked for, on an axis of their own.",
            (b, 1, h, w): "That is one statistic. Two are asked for.",
            (2, b, h, w): "The two statistics take the place of the channels: axis 1, behind the batch.",
            (b, h, w, 2): "The two statistics take the place of the channels: axis 1, behind the batch.",
            (b, 2 * c): "These are statistics over positions, as the channels' gate needs them.",
            (b, c, 2): "These are statistics over positions, as the channels' gate needs them.",
            (b, 2, c): "These are statistics over positions, as the channels' gate needs them.",
            (b, c, 1, 1): "These are statistics over positions, as the channels' gate needs them.",
        }
        wrong.pop(tuple(right.shape), None)
        about = f"x of shape {shape}"
        pooled = expect_tensor(call(answer, x, about=about), right, f"the statistics of {about}", shapes=wrong)
        mistakes = [
            (right.flip(1), "The mean comes first here, then the maximum."),
            (torch.stack([x.sum(1), x.amax(1)], dim=1), "The first is a sum. Divide it by the number of channels."),
            (torch.stack([x.mean(1), x.abs().amax(1)], dim=1), "The maximum is that of the numbers with their signs."),
            (torch.stack([x.mean(1), x.mean(1)], dim=1), "That is the mean twice: the branch of the maximum is dead."),
        ]
        expect_close(pooled, right, f"the statistics of {about}", mistakes=mistakes)


def _random_block(**options: Any) -> ConvolutionalBlockAttention:
    block = ConvolutionalBlockAttention(6, reduction=2, **options).double().eval()
    with torch.no_grad():
        for tensor in (*block.parameters(), *block.buffers()):
            if tensor.is_floating_point():
                tensor.normal_()
        if isinstance(block.norm, nn.BatchNorm2d):
            block.norm.running_var.fill_(0.3)
    return block


def _restacks(answer: Any) -> None:
    expect_function(answer)
    for options in ({}, {"bias": True, "norm": True}):
        theirs = _random_block(statistics=("max", "mean"), **options)
        ours = _random_block(**options)
        state = theirs.state_dict()
        before = deepcopy(state)
        about = f"a state dict with the keys {', '.join(state)}"
        made = call(answer, state, about=about)
        expect(
            list(state) == list(before) and all(torch.equal(state[key], before[key]) for key in before),
            f"Expected your function to leave {about} alone; it changed the dict, or a tensor in it.",
            "Make a new one: dict(state) copies the keys, not the tensors; put a new tensor in the place of the old.",
        )
        expect(
            isinstance(made, dict),
            f"Expected a state dict, received {describe(made)}.",
            "Return a dictionary with the same keys: {**state, key: tensor} is state with one entry replaced.",
        )
        expect(
            set(made) == set(before),
            f"Expected the keys {', '.join(before)}, received {', '.join(map(str, made)) or 'none'}.",
            "Every key stays; only one tensor changes.",
        )
        for key, value in before.items():
            entry = expect_tensor(made[key], value, f"the entry {key!r}")
            expect(
                key == "conv.weight" or torch.equal(entry, value),
                f"Expected the entry {key!r} as it was, received other numbers.",
                "Which layer receives the two statistics side by side? The others treat both alike.",
            )
        ours.load_state_dict(made)
        x = torch.randn(2, 6, 8, 9, dtype=torch.float64)
        hint = ""
        kernel, old = made["conv.weight"], before["conv.weight"]
        if torch.equal(kernel, old):
            hint = "The kernel is as it was, and now reads means where it has learned to read maxima."
        elif torch.equal(kernel, old.flip(2, 3)) or torch.equal(kernel, old.flip(1, 2, 3)):
            hint = "The picture is not turned: only the two input channels of the convolution change places."
        gap = float((ours(x) - theirs(x)).detach().abs().max())
        expect(
            gap < 1e-9,
            f"Expected two blocks with the same outputs; with the state dict received they differ by up to {gap:.3g}.",
            hint,
        )


def _folds(answer: Any) -> None:
    expect_function(answer)
    for kernel_size in (3, 7):
        block = _random_block(norm=True, kernel_size=kernel_size)
        before = deepcopy(block.state_dict())
        about = f"a block with norm=True and kernel_size={kernel_size}"
        made = call(answer, block, about=about)
        expect_unchanged(
            block, before, about, "Compute new tensors; *= and methods that end in an underscore work in place."
        )
        kernel, bias = _pair(made, about, "kernel and bias")
        kernel = expect_tensor(kernel, block.conv.weight, "the kernel")
        bias = expect_tensor(bias, block.norm.bias, "the bias")
        s, norm = torch.randn(4, 2, 8, 9, dtype=torch.float64), block.norm
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        old = functional.conv2d(s, block.conv.weight, padding=kernel_size // 2)
        right = norm(old).detach()
        received = functional.conv2d(s, kernel, bias, padding=kernel_size // 2)
        bare = norm.weight / norm.running_var
        mistakes = [
            (scale * old, "The kernel is right. What does the normalisation add, and what does it take away?"),
            (scale * old + norm.bias, "The running mean is subtracted too, and scaled with the rest."),
            (scale * old + norm.bias - norm.running_mean, "The running mean is subtracted before the scaling."),
            (old + (norm.bias - scale * norm.running_mean), "The bias is right. The kernel is scaled as well."),
            (bare * (old - norm.running_mean) + norm.bias, "The variance is not the standard deviation."),
            (
                norm.weight / norm.running_var.sqrt() * (old - norm.running_mean) + norm.bias,
                "Nearly. The normalisation adds eps to the variance.",
            ),
        ]
        mistakes = [(values.detach(), hint) for values, hint in mistakes]
        expect_close(received, right, f"what your kernel makes of random maps, for {about}", mistakes=mistakes)


def _splits(answer: Any) -> None:
    expect_function(answer)
    for channels, height, width in ((3, 4, 5), (1, 2, 2), (6, 1, 3)):
        channel = torch.rand(channels, dtype=torch.float64) * 0.9 + 0.05
        space = torch.rand(height, width, dtype=torch.float64) * 0.9 + 0.05
        gates = channel[:, None, None] * space
        about = f"gates of shape {tuple(gates.shape)} that are such a product"
        made = call(answer, gates, about=about)
        made = _pair(made, about, "gates of the channels and map")
        given = [expect_tensor(made[0], channel, "the gates of the channels")]
        given.append(expect_tensor(made[1], space, "the gates of the positions"))
        for what, values in zip(("channels", "positions"), given, strict=True):
            low, high = float(values.min()), float(values.max())
            expect(
                low >= 0 and high <= 1 + 1e-9,
                f"Expected gates of the {what} between 0 and 1, received gates from {low:.3g} to {high:.3g}.",
                "A factor can be moved from one to the other. When are both at most 1? Think of the largest gate.",
            )
        product = given[0][:, None, None] * given[1]
        expect_close(product, gates, f"the product, for {about}", tolerance=1e-6)
    mixed = torch.rand(3, 4, 5, dtype=torch.float64)
    nearly = gates.clone()
    nearly[0, 0, 0] *= 0.5
    for gates, about in ((mixed, "random gates"), (nearly, "a product in which one gate was halved")):
        hint = "Multiply what you found and compare it with what was asked for."
        expect_refusal(answer, gates.clone(), about=about, hint=hint)


def _pair(made: Any, about: str, names: str) -> tuple[Any, Any]:
    """Ask for two things in a tuple or a list."""
    expect(
        isinstance(made, tuple | list) and len(made) == 2,
        f"Called with {about}: expected a pair of tensors, {names}, received {describe(made)}.",
        "return first, second makes a pair.",
    )
    return made[0], made[1]


def _reports_research(answer: Any) -> None:
    expect_research(answer, "Let the new statistic take the place of one of the two: statistics need no weights.")


_CHANNEL = equation("cbam", 4, "s_ch = σ(W₂ δ(W₁ z_avg) + W₂ δ(W₁ z_max))", "(2)")
_SPACE = equation("cbam", 2, "s_pos = σ(f(t_avg ∥ t_max))", "(3)")

EXERCISES = (
    Exercise(
        "cbam.1",
        "Both gates by hand",
        f"{_CHANNEL}; and {_SPACE}",
        (_gates_by_hand,),
        "Two means, two maxima; two hidden numbers; two gates. Then x', and on it the same for positions.",
        "two gates of channels and two of positions, to 0.005.",
    ),
    Exercise(
        "cbam.2",
        "The statistics of a position",
        equation("cbam", 1, "t_avg(p) = 1/C Σ_c x_c(p), t_max(p) = max_c x_c(p)", "(3)"),
        (_pools_over_channels,),
        "Which axis disappears, and which one takes its place?",
        "mean and maximum over channels, in this order, for several shapes; the dtype is kept, the input left alone.",
    ),
    Exercise(
        "cbam.3",
        "Weights that were trained with the other order",
        _SPACE,
        (_restacks,),
        "The kernel has shape (1, 2, k, k). Which of its axes runs over the two statistics?",
        "a block of the other order gives the same outputs with your state dict; all other entries are untouched.",
    ),
    Exercise(
        "cbam.4",
        "Fold the normalisation into the kernel",
        equation("cbam", 9, "s_pos = σ(γ (a − μ) / √(v + ε) + β)"),
        (_folds,),
        "Write γ (a − μ) / √(v + ε) + β as a number times a, plus a number.",
        "one convolution with a bias does what convolution and normalisation did, for two kernel sizes.",
    ),
    Exercise(
        "cbam.5",
        "Which gates can CBAM make?",
        equation("cbam", 8, "y_c(p) = s_ch,c s_pos(p) x_c(p), for all three orders"),
        (_splits,),
        "Divide the gates of one channel by those of another. What must be true of the quotient?",
        "gates of three shapes were split into two factors between 0 and 1, and gates that are no product refused.",
    ),
    Exercise(
        "cbam.6",
        "Does one statistic more help?",
        equation("cbam", 3, "z_avg,c = 1/(HW) Σ_p x_c(p), z_max,c = max_p x_c(p)", "(2)"),
        (_reports_research,),
        "State the claim before you run anything; then compare with the same seeds, and read the interval.",
        "at least three seeds, models of equal size, the paired interval of their differences, and a verdict that "
        "follows from it. Whether the claim is interesting, only you can judge.",
    ),
)
