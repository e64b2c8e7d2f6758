"""GAM: its Spec for the laws, and what holds for this block alone."""

from dataclasses import replace
from math import exp
from typing import Any

import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from attention.hybrid.gam import PADDINGS, GlobalAttention
from tests.laws.laws import LAWS
from tests.laws.spec import BadArguments, Case, Spec, bad_images, cases

Plane = list[list[float]]


def sigmoid(a: float) -> float:
    return 1 / (1 + exp(-a))


def linear(layer: nn.Linear, values: list[float]) -> list[float]:
    result = []
    for weights, total in zip(layer.weight.tolist(), layer.bias.tolist(), strict=True):
        for weight, value in zip(weights, values, strict=True):
            total += weight * value
        result.append(total)
    return result


def convolved(conv: nn.Conv2d, norm: nn.BatchNorm2d, f: list[Plane], groups: int, padding: str) -> list[Plane]:
    """A convolution and the normalisation behind it, one number at a time."""
    height, width, half = len(f[0]), len(f[0][0]), conv.kernel_size[0] // 2
    outputs, inputs = conv.out_channels // groups, len(f) // groups
    result = []
    for k, (kernels, bias) in enumerate(zip(conv.weight.tolist(), conv.bias.tolist(), strict=True)):
        seen = f[k // outputs * inputs : (k // outputs + 1) * inputs]
        deviation = (norm.running_var[k].item() + norm.eps) ** 0.5
        scale, mean, shift = norm.weight[k].item() / deviation, norm.running_mean[k].item(), norm.bias[k].item()
        plane = [[0.0] * width for _ in range(height)]
        for i in range(height):
            for j in range(width):
                total = bias
                for kernel, channel in zip(kernels, seen, strict=True):
                    for di in range(-half, half + 1):
                        for dj in range(-half, half + 1):
                            at, by = i + di, j + dj
                            if padding == "replicate":
                                at, by = min(max(at, 0), height - 1), min(max(by, 0), width - 1)
                            if 0 <= at < height and 0 <= by < width:
                                total += kernel[di + half][dj + half] * channel[at][by]
                plane[i][j] = scale * (total - mean) + shift
        result.append(plane)
    return result


def product(f: list[Plane], gate: list[Plane]) -> list[Plane]:
    return [
        [[a * b for a, b in zip(row, other, strict=True)] for row, other in zip(plane, gates, strict=True)]
        for plane, gates in zip(f, gate, strict=True)
    ]


def naive(block: GlobalAttention, x: list[list[Plane]]) -> tuple[list[Any], dict[str, list[Any]]]:
    """Equations (1) and (2) of the paper, and the two gates as its figures have them."""
    output, channels, spaces = [], [], []
    for f in x:
        height, width = len(f[0]), len(f[0][0])
        channel = [[[0.0] * width for _ in range(height)] for _ in f]
        for i in range(height):
            for j in range(width):
                hidden = [max(a, 0.0) for a in linear(block.reduce, [plane[i][j] for plane in f])]
                for c, a in enumerate(linear(block.expand, hidden)):
                    channel[c][i][j] = sigmoid(a) if block.channel_sigmoid else a
        seen = product(f, channel)
        groups, padding = block.groups, block.conv1.padding_mode
        hidden = [
            [[max(a, 0.0) for a in row] for row in p]
            for p in convolved(block.conv1, block.norm1, seen, groups, padding)
        ]
        size = len(hidden) // groups
        hidden = [hidden[g * size + k] for k in range(size) for g in range(groups)]
        space = [
            [[sigmoid(a) for a in row] for row in plane]
            for plane in convolved(block.conv2, block.norm2, hidden, groups, padding)
        ]
        output.append(product(seen, space))
        channels.append(channel)
        spaces.append(space)
    return output, {"channel": channels, "space": spaces}


@st.composite
def options(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the constructor's arguments, small: the naive convolutions are slow."""
    width, reduction = draw(st.integers(1, 4)), draw(st.integers(1, 2))
    return {
        "channels": width * reduction,
        "reduction": reduction,
        "kernel_size": draw(st.sampled_from([1, 3, 7])),
        "groups": draw(st.sampled_from([g for g in range(1, width + 1) if width % g == 0])),
        "channel_sigmoid": draw(st.booleans()),
        "padding": draw(st.sampled_from(PADDINGS)),
    }


SPEC = Spec(
    name="gam",
    cases=cases(options(), height=(1, 4), width=(1, 4), batch=(1, 2)),
    fixed=(
        Case({"channels": 4, "reduction": 2, "kernel_size": 3}, height=3, width=4),
        Case({"channels": 16, "kernel_size": 3, "padding": "replicate"}, height=2, width=3, seed=1),  # one hidden unit
        Case({"channels": 4, "reduction": 1, "kernel_size": 3, "groups": 2}, batch=3, height=3, width=2, seed=2),
        Case({"channels": 2, "reduction": 2}, height=4, width=5, seed=3),  # as small as lets every weight of 7 × 7 act
    ),
    naive=naive,
    apply=lambda block, maps, x: x * maps["channel"] * maps["space"],
    bad_arguments=(
        BadArguments({"channels": 30}, ValueError, "channels=30 is not divisible by reduction=16"),
        BadArguments({"channels": 0}, ValueError, "channels=0 is not positive"),
        BadArguments({"channels": 64, "groups": 3}, ValueError, "channels/reduction=4 is not divisible by groups=3"),
        BadArguments({"channels": 16, "reduction": 4.0}, TypeError, "reduction=4.0 is not a whole number"),
        BadArguments({"channels": 16, "groups": 0}, ValueError, "groups=0 is not positive"),
        BadArguments({"channels": 16, "kernel_size": 4}, ValueError, "kernel_size=4 is even.*1, 3, 5"),
        BadArguments({"channels": 16, "kernel_size": (7, 7)}, TypeError, r"kernel_size=\(7, 7\) is not a whole number"),
        BadArguments({"channels": 16, "padding": "same"}, ValueError, "padding='same' is not one of zeros, replicate"),
        BadArguments({"channels": 16, "channel_sigmoid": 1}, TypeError, "channel_sigmoid=1 is neither True nor False"),
    ),
    bad_inputs=bad_images(),
)

#: The form of the copies, whose first gate is any number. It stands apart, for it alone breaks law 13.
COPY = replace(
    SPEC,
    fixed=(
        Case({"channels": 4, "reduction": 4, "kernel_size": 3, "channel_sigmoid": False}, height=3, width=4, seed=4),
    ),
    exceptions={
        "half": "without its sigmoid the first gate times an input of a thousand is more than float16 holds, and the "
        "convolutions behind it make NaN of that; use bfloat16, or the sigmoid"
    },
)


@pytest.mark.parametrize("number", [number for number in LAWS if number not in (1, 2, 3, 4, 6, 11)])
def test_the_form_of_the_copies_obeys_the_laws_of_fixed_cases_too(number: int) -> None:
    """The other laws draw it among their cases."""
    LAWS[number](COPY)


def test_gates_computed_by_hand() -> None:
    """Of one pixel with two channels: hidden 2 and -1, of which ReLU leaves 2; then each convolution's middle tap."""
    block = GlobalAttention(2, reduction=1, kernel_size=3).double().eval()
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.zero_()
        block.reduce.weight.copy_(torch.tensor([[2.0, 0.0], [0.0, 1.0]]))
        block.expand.weight.copy_(torch.tensor([[1.0, 1.0], [-1.0, 5.0]]))
        for conv, norm in ((block.conv1, block.norm1), (block.conv2, block.norm2)):
            conv.weight[..., 1, 1] = torch.eye(2)
            norm.weight.fill_(1.0)
            norm.running_var.fill_(1 - norm.eps)
    output, maps = block.attend(torch.tensor([1.0, -1.0], dtype=torch.float64)[None, :, None, None])
    seen = [sigmoid(2.0), -sigmoid(-2.0)]
    assert maps["channel"].flatten().tolist() == pytest.approx([sigmoid(2.0), sigmoid(-2.0)])
    assert maps["space"].flatten().tolist() == pytest.approx([sigmoid(seen[0]), 0.5])
    assert output.flatten().tolist() == pytest.approx([seen[0] * sigmoid(seen[0]), seen[1] / 2])


def test_the_channel_gate_sees_one_position_and_the_space_gate_a_neighbourhood() -> None:
    block, x = SPEC.block(Case({"channels": 4, "reduction": 2})), torch.randn(1, 4, 17, 15, dtype=torch.float64)
    other = x.clone()
    other[..., 8, 7] += 3
    before, after = block.attend(x)[1], block.attend(other)[1]
    moved = {name: (after[name] - before[name]).abs().amax((0, 1)) > 1e-12 for name in before}
    assert moved["channel"].nonzero().tolist() == [[8, 7]]
    reached = (moved["space"].nonzero() - torch.tensor([8, 7])).abs().amax(0)
    assert reached.tolist() == [6, 6]  # two convolutions of 7 × 7 reach three pixels each


def groups_seen(block: GlobalAttention, group: int) -> set[int]:
    """Return the groups of the channels that the space gate of a group depends on."""
    size = block.channels // block.groups
    x = torch.randn(2, block.channels, 3, 4, dtype=torch.float64, requires_grad=True)
    block.space_gate(x)[:, group * size : (group + 1) * size].sum().backward()
    return {c // size for c in x.grad.abs().sum((0, 2, 3)).nonzero().flatten().tolist()}


def test_the_shuffle_between_the_convolutions_lets_groups_meet() -> None:
    block = SPEC.block(Case({"channels": 8, "reduction": 1, "kernel_size": 1, "groups": 2}))
    with torch.no_grad():
        block.norm1.bias.fill_(20.0)  # every ReLU is open
    assert all(groups_seen(block, group) == {0, 1} for group in range(2))


def test_without_its_sigmoid_the_first_gate_is_any_number() -> None:
    x = 10 * torch.randn(2, 16, 6, 5)
    gate = GlobalAttention(16, channel_sigmoid=False).eval().attend(x)[1]["channel"]
    assert gate.min() < 0
    assert gate.abs().max() > 1
    bounded = GlobalAttention(16).eval().attend(x)[1]["channel"]
    assert bounded.min() >= 0
    assert bounded.max() <= 1


def test_padding_changes_the_border_alone() -> None:
    """Three pixels of each convolution see what is beyond the border."""
    x, found = torch.randn(1, 4, 20, 18, dtype=torch.float64), {}
    for padding in PADDINGS:
        found[padding] = SPEC.block(Case({"channels": 4, "reduction": 2, "padding": padding}))(x)
    differs = (found["zeros"] - found["replicate"]).abs().amax((0, 1)) > 1e-9
    assert not differs[6:-6, 6:-6].any()
    assert differs[0].all()


def test_any_layout_of_the_input_will_do() -> None:
    """A crop, and a map with height and width exchanged, on which copies with view() fail."""
    block, x = SPEC.block(SPEC.fixed[0]), torch.randn(2, 4, 6, 7, dtype=torch.float64)
    for each in (x[..., 1:5, 2:6], x.mT, x.to(memory_format=torch.channels_last)):
        torch.testing.assert_close(block(each), block(each.contiguous()))


# What circulates, in our words: each is caught by a law


class NoSigmoid(GlobalAttention):
    """The channel gate without its sigmoid."""

    def channel_gate(self, x: Tensor) -> Tensor:
        a = self.expand(self.reduce(x.movedim(1, 3)).relu())
        return a.movedim(3, 1)


class Replicated(GlobalAttention):
    """The border repeated, and called zeros."""

    def attend(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        modes = [(conv, conv.padding_mode, conv._reversed_padding_repeated_twice) for conv in (self.conv1, self.conv2)]
        try:
            for conv, *_ in modes:
                conv.padding_mode = "replicate"
                conv._reversed_padding_repeated_twice = [conv.padding[0]] * 4
            return super().attend(x)
        finally:
            for conv, mode, repeated in modes:
                conv.padding_mode, conv._reversed_padding_repeated_twice = mode, repeated


class ShuffledGate(GlobalAttention):
    """The finished gate shuffled: each channel gets that of another."""

    def attend(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        channel = self.channel_gate(x)
        seen = x * channel
        space = self.norm2(self.conv2(self.norm1(self.conv1(seen)).relu())).sigmoid()
        space = space.unflatten(1, (self.groups, -1)).transpose(1, 2).flatten(1, 2)
        return seen * space, {"channel": channel, "space": space}


class WrongOrder(GlobalAttention):
    """The axes of the permuted map read in another order than they were laid out."""

    def channel_gate(self, x: Tensor) -> Tensor:
        a = self.expand(self.reduce(x.movedim(1, 3)).relu())
        return a.reshape(x.shape).sigmoid()


class Parallel(GlobalAttention):
    """Both gates computed from the input."""

    def attend(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        channel, space = self.channel_gate(x), self.space_gate(x)
        return x * channel * space, {"channel": channel, "space": space}


class Pooled(GlobalAttention):
    """The channels' gate from the mean of each channel."""

    def channel_gate(self, x: Tensor) -> Tensor:
        return super().channel_gate(x.mean((2, 3), keepdim=True).expand_as(x))


class WithoutBias(GlobalAttention):
    """The two matrices without biases."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.reduce.bias = self.expand.bias = None


@pytest.mark.parametrize(
    ("wrong", "law", "says"),
    [
        (WrongOrder, 2, "the output differs"),
        (ShuffledGate, 2, "the output differs"),
        (Parallel, 2, "the output differs"),
        (Pooled, 2, "the output differs"),
        (Replicated, 2, "the output differs"),
        (NoSigmoid, 3, "but a sigmoid lies in"),
        (WithoutBias, 6, "parameters: counted"),
    ],
)
def test_a_law_catches_what_circulates(wrong: type, law: int, says: str) -> None:
    with pytest.raises(AssertionError, match=rf"(?s)law {law} \(.*({says})"):
        LAWS[law](SPEC.with_build(wrong), 40)
