"""Efficient multi-scale attention: its Spec for the laws, and what holds for this block alone."""

from math import exp
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from einops import rearrange
from hypothesis import strategies as st
from torch import Tensor, nn

from attention import registry
from attention.hybrid.ema import EfficientMultiScaleAttention
from attention.lab import cost
from attention.official import load_official
from tests.laws.laws import LAWS
from tests.laws.spec import BadArguments, Case, Spec, bad_images, cases

Plane = list[list[float]]


def sigmoid(a: float) -> float:
    return 1 / (1 + exp(-a))


def softmax(scores: list[float]) -> list[float]:
    powers = [exp(score - max(scores)) for score in scores]
    return [power / sum(powers) for power in powers]


def mean(plane: Plane) -> float:
    total = 0.0
    for row in plane:
        for value in row:
            total += value
    return total / (len(plane) * len(plane[0]))


def linear(layer: nn.Conv2d, z: list[list[float]]) -> list[list[float]]:
    """The matrix W₁ on each place of a strip: z is a list over channels of lists over places."""
    weights, offsets = layer.weight.flatten(1).tolist(), layer.bias.tolist()
    found = []
    for row, offset in zip(weights, offsets, strict=True):
        places = []
        for n in range(len(z[0])):
            total = offset
            for c, weight in enumerate(row):
                total += weight * z[c][n]
            places.append(total)
        found.append(places)
    return found


def convolved(layer: nn.Conv2d, x: list[Plane]) -> list[Plane]:
    """The 3 × 3 convolution; outside the map all is 0."""
    height, width = len(x[0]), len(x[0][0])
    found = []
    for kernels, offset in zip(layer.weight.tolist(), layer.bias.tolist(), strict=True):
        plane = [[offset] * width for _ in range(height)]
        for i in range(height):
            for j in range(width):
                for c, kernel in enumerate(kernels):
                    for di in range(3):
                        for dj in range(3):
                            p, q = i + di - 1, j + dj - 1
                            if 0 <= p < height and 0 <= q < width:
                                plane[i][j] += kernel[di][dj] * x[c][p][q]
        found.append(plane)
    return found


def naive_group(block: EfficientMultiScaleAttention, x: list[Plane]) -> Plane:
    """The gate of one group, with each equation of the docstring in turn."""
    height, width = len(x[0]), len(x[0][0])
    rows = linear(block.strips, [[sum(row) / width for row in plane] for plane in x])
    columns = linear(block.strips, [[sum(row[j] for row in plane) / height for j in range(width)] for plane in x])
    x1 = []
    for c, plane in enumerate(x):
        gated = [
            [plane[i][j] * sigmoid(rows[c][i]) * sigmoid(columns[c][j]) for j in range(width)] for i in range(height)
        ]
        centre = mean(gated)
        variance = mean([[(value - centre) ** 2 for value in row] for row in gated])
        scale, shift = block.norm.weight[c].item(), block.norm.bias[c].item()
        deviation = (variance + block.norm.eps) ** 0.5
        x1.append([[(value - centre) / deviation * scale + shift for value in row] for row in gated])
    x2 = convolved(block.window, x)
    a1, a2 = (softmax([mean(plane) for plane in each]) for each in (x1, x2))
    gate = []
    for i in range(height):
        row = []
        for j in range(width):
            total = 0.0
            for c in range(len(x)):
                total += a1[c] * x2[c][i][j] + a2[c] * x1[c][i][j]
            row.append(sigmoid(total))
        gate.append(row)
    return gate


def naive(block: EfficientMultiScaleAttention, x: list[list[Plane]]) -> tuple[list[Any], dict[str, list[Any]]]:
    output, gates = [], []
    for sample in x:
        k = len(sample) // block.groups
        ours = [naive_group(block, sample[g * k : (g + 1) * k]) for g in range(block.groups)]
        output.append(
            [
                [[value * ours[c // k][i][j] for j, value in enumerate(row)] for i, row in enumerate(plane)]
                for c, plane in enumerate(sample)
            ]
        )
        gates.append(ours)
    return output, {"space": gates}


SPEC = Spec(
    name="ema",
    cases=cases(
        st.sampled_from([(1, 1), (2, 1), (4, 2), (6, 3), (9, 3), (8, 8), (8, 2)]).map(
            lambda both: {"channels": both[0], "groups": both[1]}
        ),
        height=(1, 5),
        width=(1, 5),
    ),
    fixed=(
        Case({"channels": 6, "groups": 2}, height=4, width=3),
        Case({"channels": 4, "groups": 1}, batch=3, height=3, width=4, seed=1),
        Case({"channels": 32}, height=3, width=3, seed=2),  # a channel a group
    ),
    naive=naive,
    sizes=lambda block, known: {"g": block.groups, "k": block.channels // block.groups},
    apply=lambda block, maps, x: x * maps["space"].repeat_interleave(block.channels // block.groups, 1),
    bad_arguments=(
        BadArguments({"channels": 48}, ValueError, "channels=48 is not divisible by groups=32; allowed for groups: 1"),
        BadArguments({"channels": 0}, ValueError, "channels=0 is not positive"),
        BadArguments({"channels": 8, "groups": -1}, ValueError, "groups=-1 is not positive"),
        BadArguments({"channels": 8, "groups": 2.0}, TypeError, "groups=2.0 is not a whole number"),
    ),
    bad_inputs=bad_images(),
)


def test_the_summary_of_the_first_branch_is_the_same_for_every_image() -> None:
    """A channel that was normalised over its positions has its learnt shift as mean."""
    block = SPEC.block(SPEC.fixed[0])
    steps: dict[str, Tensor] = {}
    block.step = lambda name, value: steps.setdefault(name, value)
    block.attend(torch.randn(5, 6, 4, 7, dtype=torch.float64))
    expected = block.norm.bias.softmax(0).expand(10, 3)
    torch.testing.assert_close(steps["a1"], expected)
    assert steps["a2"].std(0).max() > 0.01


def test_a_fresh_block_weighs_the_second_branch_equally() -> None:
    block, x = EfficientMultiScaleAttention(8, 2).double(), torch.randn(2, 8, 4, 5, dtype=torch.float64)
    each = rearrange(x, "b (g k) h w -> (b g) k h w", g=2)
    x1, x2 = block.branches(each)
    a2 = x2.mean((2, 3)).softmax(1)
    expected = (x2.mean(1) + (a2[..., None, None] * x1).sum(1)).sigmoid()
    torch.testing.assert_close(block.attend(x)[1]["space"].flatten(0, 1), expected)


def test_groups_have_the_same_weights_and_do_not_meet() -> None:
    block, x = EfficientMultiScaleAttention(8, 4).double(), torch.randn(2, 8, 4, 5, dtype=torch.float64)
    moved = block(x.roll(2, 1))
    torch.testing.assert_close(moved, block(x).roll(2, 1))
    changed = x.clone()
    changed[:, :2] += 1
    assert torch.equal(block(changed)[:, 2:], block(x)[:, 2:])


def test_the_first_branch_moves_with_an_image_that_goes_round_and_the_second_does_not() -> None:
    """Strips and means have no border; a 3 × 3 window has one."""
    block, x = EfficientMultiScaleAttention(4, 2).double(), torch.randn(2, 2, 5, 6, dtype=torch.float64)
    (one, two), (moved_one, moved_two) = block.branches(x), block.branches(x.roll(2, 3))
    torch.testing.assert_close(moved_one, one.roll(2, 3))
    assert not torch.allclose(moved_two, two.roll(2, 3))


@pytest.mark.parametrize(("groups", "parameters"), [(32, 672), (8, 10_368)])
def test_parameters_at_256_channels(groups: int, parameters: int) -> None:
    assert sum(p.numel() for p in EfficientMultiScaleAttention(256, groups).parameters()) == parameters
    assert cost.evaluate("ema", channels=256, groups=groups) == parameters


def test_what_it_adds_behind_every_block_of_a_resnet50() -> None:
    blocks = {256: 3, 512: 4, 1024: 6, 2048: 3}
    added = sum(n * cost.evaluate("ema", channels=c) for c, n in blocks.items())
    assert f"{added / 1e6:.3f}" == "0.198"


# The official function, anew with plain torch


def official(x: Tensor, w: dict[str, Tensor], groups: int) -> Tensor:
    b, c, height, width = x.shape
    k = c // groups
    u = x.reshape(b * groups, k, height, width)
    strips = torch.cat([u.mean(3), u.mean(2)], dim=2)  # rows, then columns
    mixed = torch.sigmoid(
        torch.einsum("oc,bcn->bon", w["conv1x1.weight"][..., 0, 0], strips) + w["conv1x1.bias"][:, None]
    )
    gated = u * mixed[:, :, :height, None] * mixed[:, :, None, height:]
    variance, centre = torch.var_mean(gated, dim=(2, 3), unbiased=False, keepdim=True)
    x1 = (gated - centre) / torch.sqrt(variance + 1e-5) * w["gn.weight"][:, None, None] + w["gn.bias"][:, None, None]
    windows = F.unfold(u, 3, padding=1)  # b·g, k·9, positions
    x2 = torch.einsum("od,bdn->bon", w["conv3x3.weight"].flatten(1), windows) + w["conv3x3.bias"][:, None]
    x2 = x2.view_as(u)
    one, two = (torch.softmax(each.mean((2, 3)), dim=1)[:, :, None, None] for each in (x1, x2))
    gate = torch.sigmoid((one * x2 + two * x1).sum(1, keepdim=True))
    return (u * gate).view(b, c, height, width)


@pytest.mark.parametrize(("channels", "options"), [(64, {}), (32, {"groups": 4}), (6, {"groups": 1})])
def test_official_weights_give_the_official_output(channels: int, options: dict[str, int]) -> None:
    assert registry.entry("ema").official["options"] == {}
    groups = options.get("groups", 32)
    k = channels // groups
    shapes = {
        "gn.weight": (k,),
        "gn.bias": (k,),
        "conv1x1.weight": (k, k, 1, 1),
        "conv1x1.bias": (k,),
        "conv3x3.weight": (k, k, 3, 3),
        "conv3x3.bias": (k,),
    }
    torch.manual_seed(1)
    weights = {name: torch.randn(shape, dtype=torch.float64) for name, shape in shapes.items()}
    block = EfficientMultiScaleAttention(channels, **options).double()
    load_official(block, weights)
    x = torch.randn(3, channels, 5, 7, dtype=torch.float64)
    torch.testing.assert_close(block(x), official(x, weights, groups), rtol=1e-9, atol=1e-9)


# What circulates, in our words: each is caught by a law


class OneNorm(EfficientMultiScaleAttention):
    """One normalisation over all channels of a group together, which is another function with as many parameters."""

    def __init__(self, channels: int, groups: int = 32) -> None:
        super().__init__(channels, groups)
        self.norm = nn.GroupNorm(1, channels // groups)


class WeightsForEachGroup(EfficientMultiScaleAttention):
    """Every group with weights of its own."""

    def __init__(self, channels: int, groups: int = 32) -> None:
        super().__init__(channels, groups)
        self.more = nn.ModuleList(nn.Conv2d(channels // groups, channels // groups, 3) for _ in range(1, groups))


class _Crossing(EfficientMultiScaleAttention):
    """The second half, from both branches on."""

    def attend(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        each = rearrange(x, "b (g k) h w -> (b g) k h w", g=self.groups)
        gate = self.gate(*self.branches(each))
        gate = rearrange(gate, "(b g) h w -> b g h w", g=self.groups)
        return x * gate.repeat_interleave(self.channels // self.groups, 1), {"space": gate}


class OwnSummary(_Crossing):
    """Each branch weighed by its own summary, not by the other's."""

    def gate(self, x1: Tensor, x2: Tensor) -> Tensor:
        a1, a2 = (x.mean((2, 3)).softmax(1)[..., None, None] for x in (x1, x2))
        return (a1 * x1 + a2 * x2).sum(1).sigmoid()


class SoftmaxOverGroups(_Crossing):
    """The softmax over the folded axis of batch and groups."""

    def gate(self, x1: Tensor, x2: Tensor) -> Tensor:
        a1, a2 = (x.mean((2, 3)).softmax(0)[..., None, None] for x in (x1, x2))
        return (a1 * x2 + a2 * x1).sum(1).sigmoid()


class NoCrossing(_Crossing):
    """Both branches added: the module without its cross-spatial learning."""

    def gate(self, x1: Tensor, x2: Tensor) -> Tensor:
        return (x1 + x2).mean(1).sigmoid()


class NoSigmoid(_Crossing):
    """The sum itself as the gate."""

    def gate(self, x1: Tensor, x2: Tensor) -> Tensor:
        a1, a2 = (x.mean((2, 3)).softmax(1)[..., None, None] for x in (x1, x2))
        return (a1 * x2 + a2 * x1).sum(1)


class Interleaved(EfficientMultiScaleAttention):
    """A group of every G-th channel, where the paper's are of neighbours."""

    def attend(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        shuffled = rearrange(x, "b (k g) h w -> b (g k) h w", g=self.groups)
        y, maps = super().attend(shuffled)
        return rearrange(y, "b (g k) h w -> b (k g) h w", g=self.groups), maps


@pytest.mark.parametrize(
    ("wrong", "law", "says"),
    [
        (OneNorm, 2, "output"),
        (WeightsForEachGroup, 6, "parameters"),
        (OwnSummary, 2, "output"),
        (SoftmaxOverGroups, 4, "sample"),
        (NoCrossing, 2, "output"),
        (NoSigmoid, 3, "reaches from"),
        (Interleaved, 3, "maps applied"),
    ],
)
def test_a_law_catches_what_circulates(wrong: type, law: int, says: str) -> None:
    with pytest.raises(AssertionError, match=rf"law {law} \((.|\n)*{says}"):
        LAWS[law](SPEC.with_build(wrong), 25)
