"""Split attention: its Spec for the laws, and what holds for this block alone."""

from dataclasses import replace
from math import exp
from typing import Any

import pytest
import torch
from einops import rearrange
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import conv2d

from attention import registry
from attention.branch.resnest import SplitAttention
from attention.lab import cost
from attention.official import load_official
from tests.laws.laws import LAWS
from tests.laws.spec import BadArguments, Case, Spec, bad_images, cases

Image = list[list[list[list[float]]]]


def normalise(value: float, norm: nn.Module, channel: int) -> float:
    """Batch normalisation of one number in evaluation mode."""
    centred = value - norm.running_mean[channel].item()
    deviation = (norm.running_var[channel].item() + norm.eps) ** 0.5
    return norm.weight[channel].item() * centred / deviation + norm.bias[channel].item()


def convolve(block: SplitAttention, sample: list[list[list[float]]]) -> list[list[list[float]]]:
    """The grouped 3 × 3 convolution, batch normalisation and ReLU of one image."""
    weight, step, groups = block.conv.weight.tolist(), block.conv.stride[0], block.radix * block.cardinality
    inside, outside = len(sample) // groups, len(weight) // groups
    height, width, result = len(sample[0]), len(sample[0][0]), []
    for o, kernels in enumerate(weight):
        plane = []
        for i in range(0, height, step):
            row = []
            for j in range(0, width, step):
                total = 0.0
                for n, kernel in enumerate(kernels):
                    source = sample[o // outside * inside + n]
                    for p in range(3):
                        for q in range(3):
                            y, x = i + p - 1, j + q - 1
                            if 0 <= y < height and 0 <= x < width:
                                total += kernel[p][q] * source[y][x]
                row.append(max(0.0, normalise(total, block.norm, o)))
            plane.append(row)
        result.append(plane)
    return result


def choose(block: SplitAttention, s: list[float]) -> list[list[float]]:
    """The weights of each split in each channel, cardinal group by cardinal group."""
    first, norm, last = block.fuse[0], block.fuse[1], block.select
    w, b = first.weight.flatten(1).tolist(), first.bias.tolist()
    g, h = last.weight.flatten(1).tolist(), last.bias.tolist()
    size, hidden = len(s) // block.cardinality, len(w) // block.cardinality
    a = [[0.0] * len(s) for _ in range(block.radix)]
    for k in range(block.cardinality):
        z = []
        for d in range(k * hidden, (k + 1) * hidden):
            total = b[d] + sum(w[d][c] * s[k * size + c] for c in range(size))
            z.append(max(0.0, normalise(total, norm, d)))
        for c in range(size):
            scores = []
            for i in range(block.radix):
                row = (k * block.radix + i) * size + c
                scores.append(h[row] + sum(g[row][d] * z[d] for d in range(hidden)))
            powers = [exp(score - max(scores)) for score in scores]
            for i in range(block.radix):
                sigmoid = 1 / (1 + exp(-scores[i]))
                a[i][k * size + c] = sigmoid if block.radix == 1 else powers[i] / sum(powers)
    return a


def naive(block: SplitAttention, x: Image) -> tuple[Image, dict[str, Any]]:
    """The equations of the docstring, one number at a time."""
    output, chosen, r = [], [], block.radix
    for sample in x:
        flat = convolve(block, sample)
        size, height, width = len(flat) // r, len(flat[0]), len(flat[0][0])
        u = [flat[i * size : (i + 1) * size] for i in range(r)]
        s = [
            sum(u[i][c][p][q] for i in range(r) for p in range(height) for q in range(width)) / (height * width)
            for c in range(size)
        ]
        a = choose(block, s)
        output.append(
            [
                [[sum(a[i][c] * u[i][c][p][q] for i in range(r)) for q in range(width)] for p in range(height)]
                for c in range(size)
            ]
        )
        chosen.append([[[[weight]] for weight in split] for split in a])
    return output, {"branch": chosen}


@st.composite
def options(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the constructor's arguments, small: the naive convolution is slow."""
    radix, cardinality = draw(st.sampled_from([(1, 1), (2, 1), (3, 1), (1, 2), (2, 2), (1, 3), (2, 3)]))
    channels = radix * cardinality * draw(st.integers(1, 6 // (radix * cardinality)))
    floor = cardinality * draw(st.integers(1, 2))
    allowed = [r for r in range(1, 5) if max(channels * radix // r, floor) % cardinality == 0]
    return {
        "channels": channels,
        "radix": radix,
        "cardinality": cardinality,
        "reduction": draw(st.sampled_from(allowed)),
        "floor": floor,
        "stride": draw(st.integers(1, 2)),
    }


def output_shape(block: SplitAttention, shape: tuple[int, ...]) -> tuple[int, ...]:
    stride = block.conv.stride[0]
    return (*shape[:2], -(-shape[2] // stride), -(-shape[3] // stride))


SPEC = Spec(
    name="resnest",
    cases=cases(options(), height=(1, 4), width=(1, 4)),
    fixed=(
        Case({"channels": 4, "floor": 3}, height=3, width=4),
        Case({"channels": 8, "radix": 2, "cardinality": 2, "floor": 2}, batch=2, height=4, width=3, seed=1),
        Case({"channels": 4, "radix": 1, "floor": 4, "stride": 2}, batch=2, height=5, width=4, seed=2),
        Case({"channels": 6, "radix": 3, "cardinality": 2, "reduction": 9, "floor": 2}, height=2, width=2, seed=3),
    ),
    naive=naive,
    output_shape=output_shape,
    sizes=lambda block, known: {"m": block.radix},
    apply=lambda block, maps, x: (maps["branch"] * block.split(x)).sum(1),
    tolerance=0.1,  # batch normalisation divides by deviations that bfloat16 knows to two digits
    bad_arguments=(
        BadArguments({"channels": 30, "radix": 4}, ValueError, "channels=30 is not divisible by radix=4 times card.*4"),
        BadArguments({"channels": 6, "cardinality": 2}, ValueError, "radix=2 times cardinality=2; allowed: 4, 8, 12"),
        BadArguments({"channels": 12, "cardinality": 3}, ValueError, "cardinality=3 does not divide the width .*=32"),
        BadArguments({"channels": 0}, ValueError, "channels=0 is not positive"),
        BadArguments({"channels": 32, "radix": 0}, ValueError, "radix=0 is not positive"),
        BadArguments({"channels": 32, "cardinality": -1}, ValueError, "cardinality=-1 is not positive"),
        BadArguments({"channels": 32, "stride": 0}, ValueError, "stride=0 is not positive"),
        BadArguments({"channels": 32, "floor": 0}, ValueError, "floor=0 is not positive"),
        BadArguments({"channels": 32, "reduction": 0.25}, TypeError, r"reduction=0\.25 is not a whole number"),
    ),
    bad_inputs=bad_images(),
)


def test_weights_computed_by_hand() -> None:
    """One channel a split, of means 1 and 2: s = 3, z = 3, scores ln 2 and 0, weights 2/3 and 1/3."""
    block = SplitAttention(2, floor=2).double().eval()
    with torch.no_grad():
        block.fuse[0].weight.copy_(torch.eye(2)[..., None, None])
        block.fuse[0].bias.zero_()
        block.fuse[1].running_var.fill_(1 - block.fuse[1].eps)
        block.select.weight.zero_()
        block.select.weight[0, 0] = torch.tensor(2.0).log() / 3  # the first split's first channel follows z of it
        block.select.bias.zero_()
    u = torch.tensor([[[[[0.0, 2.0]], [[1.0, 1.0]]], [[[3.0, 1.0]], [[1.0, 1.0]]]]], dtype=torch.float64)
    expected = torch.tensor([[2 / 3, 1 / 2], [1 / 3, 1 / 2]], dtype=torch.float64)
    torch.testing.assert_close(block.weights(u)[0, :, :, 0, 0], expected, rtol=1e-6, atol=1e-6)


def test_two_splits_are_a_sigmoid_of_the_difference() -> None:
    block = SPEC.block(SPEC.fixed[0])
    u = block.split(torch.randn(3, 4, 5, 6, dtype=torch.float64))
    scores = block.select(block.fuse(u.sum(1).mean((2, 3), keepdim=True)))
    first, second = scores.chunk(2, dim=1)
    torch.testing.assert_close(block.weights(u)[:, 0], (first - second).sigmoid())


def test_a_single_split_is_a_gate_of_its_own() -> None:
    """With R = 1 the weight is a sigmoid, and does not have to be 1."""
    block, x = SPEC.block(SPEC.fixed[2]), torch.randn(2, 4, 5, 4, dtype=torch.float64)
    output, maps = block.attend(x)
    u = block.split(x)[:, 0]
    gate = block.select(block.fuse(u.mean((2, 3), keepdim=True))).sigmoid()
    torch.testing.assert_close(maps["branch"][:, 0], gate)
    torch.testing.assert_close(output, gate * u)
    assert block.maps["branch"].kind == "sigmoid"


def test_cardinal_groups_share_nothing_but_the_input() -> None:
    """The weights of a group's channels follow the means of these channels alone."""
    block = SPEC.block(SPEC.fixed[1])
    u = torch.rand(1, 2, 8, 3, 3, dtype=torch.float64, requires_grad=True)
    block.weights(u)[:, :, :4].sum(2)[0, 0].backward()
    assert u.grad[:, :, :4].any()
    assert not u.grad[:, :, 4:].any()


@pytest.mark.parametrize(
    ("channels", "radix", "width"), [(64, 2, 32), (128, 2, 64), (256, 2, 128), (64, 1, 32), (64, 4, 64)]
)
def test_hidden_width_has_a_floor(channels: int, radix: int, width: int) -> None:
    assert SplitAttention(channels, radix).select.in_channels == width


def test_a_batch_of_one_is_refused_in_training() -> None:
    block, x = SplitAttention(4), torch.randn(1, 4, 5, 5)
    with pytest.raises(ValueError, match=r"x: expected at least 2 samples in training, received shape \(1, 4, 5, 5\)"):
        block(x)
    assert block.eval()(x).shape == x.shape
    assert block.train()(x.repeat(2, 1, 1, 1)).shape == (2, 4, 5, 5)


def test_cost_of_256_channels() -> None:
    """690,048 parameters; the convolution costs what a plain one with K groups does, whatever the radix."""
    x = torch.randn(1, 256, 14, 14)
    assert cost.count(SplitAttention(256), x).parameters == cost.evaluate("resnest", channels=256) == 690_048
    for radix, cardinality in ((1, 1), (2, 1), (4, 1), (1, 4), (4, 2)):
        block = SplitAttention(256, radix, cardinality)
        plain = nn.Conv2d(256, 256, 3, padding=1, groups=cardinality, bias=False)
        assert block.conv.weight.numel() == plain.weight.numel()
        assert cost.count(block.conv, x).macs == cost.count(plain, x).macs
        cost.check("resnest", block, x, radix=radix, cardinality=cardinality)


# What circulates, in our words: each is caught by a law


class NotTransposed(SplitAttention):
    """The last layer's groups read as if the splits came first."""

    def weights(self, u: Tensor) -> Tensor:
        z = self.fuse(u.sum(1).mean((2, 3), keepdim=True))
        scores = rearrange(self.select(z), "b (m c) 1 1 -> b m c 1 1", m=self.radix)
        return scores.softmax(1) if self.radix > 1 else scores.sigmoid()


class SoftmaxOverChannels(SplitAttention):
    """The weights of a split sum to 1 over its channels."""

    def weights(self, u: Tensor) -> Tensor:
        z = self.fuse(u.sum(1).mean((2, 3), keepdim=True))
        return rearrange(self.select(z), "b (m c) 1 1 -> b m c 1 1", m=self.radix).softmax(2)


class SoftmaxOfOne(SplitAttention):
    """A softmax for a single split too: its weight is always 1."""

    def weights(self, u: Tensor) -> Tensor:
        a = super().weights(u)
        return a / a.sum(1, keepdim=True)


class MeanOfSplits(SplitAttention):
    """Fused by the mean of the splits, not their sum."""

    def weights(self, u: Tensor) -> Tensor:
        return super().weights(u / self.radix)


class NoNorm(SplitAttention):
    """The default of the class, and of two well-known copies: no normalisation anywhere."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.norm, self.fuse[1] = nn.Identity(), nn.Identity()


class NoFloor(SplitAttention):
    """The width of z is C·R/r, however small that is."""

    def __init__(self, channels: int, *options: Any, floor: int = 32, **named: Any) -> None:
        super().__init__(channels, *options, floor=1, **named)


class GroupsWithoutRadix(SplitAttention):
    """The convolution in K groups, not K·R: R times its cost."""

    def __init__(self, channels: int, radix: int = 2, cardinality: int = 1, *options: Any, **named: Any) -> None:
        super().__init__(channels, radix, cardinality, *options, **named)
        stride = self.conv.stride
        self.conv = nn.Conv2d(channels, channels * radix, 3, stride, padding=1, groups=cardinality, bias=False)


class DenseLayers(SplitAttention):
    """The two small layers without groups: the cardinal groups see each other."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        first, last = self.fuse[0], self.select
        self.fuse[0] = nn.Conv2d(first.in_channels, first.out_channels, 1)
        self.select = nn.Conv2d(last.in_channels, last.out_channels, 1)


ONE = replace(SPEC, fixed=SPEC.fixed[2:3])
GROUPED = replace(SPEC, fixed=SPEC.fixed[1:2], cases=st.just(SPEC.fixed[1]))
TWO = replace(SPEC, fixed=SPEC.fixed[:1], cases=st.just(SPEC.fixed[0]))


@pytest.mark.parametrize(
    ("wrong", "number", "spec", "says"),
    [
        (NotTransposed, 2, GROUPED, "the output differs"),
        (MeanOfSplits, 2, SPEC, "the output differs"),
        (SoftmaxOverChannels, 3, TWO, r"summed over its axes \(1,\), differs"),
        (SoftmaxOfOne, 5, ONE, "elements of (fuse|select).* never received a gradient"),
        (NoNorm, 6, SPEC, "parameters: counted"),
        (NoFloor, 6, SPEC, "parameters: counted"),
        (GroupsWithoutRadix, 6, SPEC, "parameters: counted"),
        (DenseLayers, 6, GROUPED, "parameters: counted"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_a_law_catches_what_circulates(wrong: type, number: int, spec: Spec, says: str) -> None:
    with pytest.raises(AssertionError, match=rf"law {number} \([\s\S]*({says})"):
        LAWS[number](spec.with_build(wrong), 25)


# The official code


def normalised(t: Tensor, weights: dict[str, Tensor], name: str, at: slice) -> Tensor:
    mean, var, gain, offset = (
        weights[f"{name}.{part}"][at, None, None] for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (t - mean) / (var + 1e-5).sqrt() * gain + offset


def official(x: Tensor, weights: dict[str, Tensor], radix: int, cardinality: int) -> Tensor:
    """The authors' block in our words, cardinal group by cardinal group, each split by a convolution of its own."""
    c, hidden = x.shape[1] // cardinality, len(weights["fc1.weight"]) // cardinality
    inside, groups = x.shape[1] // (cardinality * radix), []
    for k in range(cardinality):
        splits = []
        for i in range(radix):
            place = i * cardinality + k
            out, source = slice(place * c, (place + 1) * c), x[:, place * inside : (place + 1) * inside]
            u = conv2d(source, weights["conv.weight"][out], padding=1)
            splits.append(normalised(u, weights, "bn0", out).clamp(min=0))
        at = slice(k * hidden, (k + 1) * hidden)
        gap = sum(splits).mean((2, 3), keepdim=True)
        z = conv2d(gap, weights["fc1.weight"][at], weights["fc1.bias"][at])
        z = normalised(z, weights, "bn1", at).clamp(min=0)
        rows = slice(k * radix * c, (k + 1) * radix * c)
        scores = conv2d(z, weights["fc2.weight"][rows], weights["fc2.bias"][rows]).split(c, dim=1)
        powers = [score.exp() for score in scores]
        total = sum(powers) if radix > 1 else 1 + powers[0]  # of one split: the sigmoid
        groups.append(sum(power / total * u for power, u in zip(powers, splits, strict=True)))
    return torch.cat(groups, dim=1)


@pytest.mark.parametrize("radix", [1, 2, 4])
@pytest.mark.parametrize("cardinality", [1, 2, 4])
def test_the_official_weights_and_function(radix: int, cardinality: int) -> None:
    c, hidden, draw = 32, 32, torch.Generator().manual_seed(3)
    shapes = {
        "conv.weight": (c * radix, c // (radix * cardinality), 3, 3),
        "fc1.weight": (hidden, c // cardinality, 1, 1),
        "fc1.bias": (hidden,),
        "fc2.weight": (c * radix, hidden // cardinality, 1, 1),
        "fc2.bias": (c * radix,),
    }
    for name, size in (("bn0", c * radix), ("bn1", hidden)):
        shapes |= {f"{name}.{part}": (size,) for part in ("weight", "bias", "running_mean", "running_var")}
    weights = {name: 0.5 * torch.randn(shape, generator=draw, dtype=torch.float64) for name, shape in shapes.items()}
    for name in ("bn0", "bn1"):
        weights[f"{name}.running_var"] = weights[f"{name}.running_var"].abs() + 0.5
    given = registry.entry("resnest").official["options"]
    block = SplitAttention(c, **{**given, "radix": radix, "cardinality": cardinality}).double().eval()
    assert block.select.in_channels == hidden
    counters = {f"layer1.0.conv2.{name}.num_batches_tracked": torch.tensor(5) for name in ("bn0", "bn1")}
    theirs = {f"layer1.0.conv2.{name}": value for name, value in weights.items()} | counters
    load_official(block, theirs, prefix="layer1.0.conv2.")
    x = torch.randn(2, c, 5, 4, generator=draw, dtype=torch.float64)
    torch.testing.assert_close(block(x), official(x, weights, radix, cardinality), rtol=1e-10, atol=1e-10)
