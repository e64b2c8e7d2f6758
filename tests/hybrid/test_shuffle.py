"""Shuffle Attention: its Spec for the laws, and what holds for this block alone."""

from math import exp
from typing import Any

import pytest
import torch
from einops import rearrange
from hypothesis import strategies as st
from torch import Tensor, nn

from attention.hybrid.shuffle import ShuffleAttention
from tests.laws.laws import LAWS
from tests.laws.spec import BadArguments, Case, Spec, bad_images, cases

Plane = list[list[float]]


def sigmoid(a: float) -> float:
    return 1 / (1 + exp(-a))


def times(gates: Plane, plane: Plane) -> Plane:
    return [[a * b for a, b in zip(one, other, strict=True)] for one, other in zip(gates, plane, strict=True)]


def naive(block: ShuffleAttention, x: list[list[Plane]]) -> tuple[list[Any], dict[str, list[Any]]]:
    """Equations (1) to (3) of the paper for one channel after another, and the shuffle."""
    w1, b1 = block.channel_weight.tolist(), block.channel_bias.tolist()
    w2, b2 = block.element_weight.tolist(), block.element_bias.tolist()
    scale = [1.0] * len(w1) if block.norm.weight is None else block.norm.weight.tolist()
    shift = [0.0] * len(w1) if block.norm.bias is None else block.norm.bias.tolist()
    output, channels, elements = [], [], []
    for sample in x:
        count, half = len(sample[0]) * len(sample[0][0]), len(w1)
        gated: list[Plane] = []
        channels.append([])
        elements.append([])
        for group in range(len(sample) // (2 * half)):
            first = sample[2 * half * group : 2 * half * group + half]
            second = sample[2 * half * group + half : 2 * half * (group + 1)]
            gates = [sigmoid(w1[k] * sum(map(sum, plane)) / count + b1[k]) for k, plane in enumerate(first)]
            gated += [[[gate * value for value in row] for row in p] for gate, p in zip(gates, first, strict=True)]
            channels[-1].append([[[gate]] for gate in gates])
            maps = []
            for k, plane in enumerate(second):
                mean = sum(map(sum, plane)) / count
                variance = sum((value - mean) ** 2 for row in plane for value in row) / count
                normed = [[scale[k] * (v - mean) / (variance + 1e-5) ** 0.5 + shift[k] for v in row] for row in plane]
                maps.append([[sigmoid(w2[k] * value + b2[k]) for value in row] for row in normed])
            gated += [times(one, plane) for one, plane in zip(maps, second, strict=True)]
            elements[-1].append(maps)
        if block.shuffle:
            middle = len(gated) // 2
            gated = [plane for pair in zip(gated[:middle], gated[middle:], strict=True) for plane in pair]
        output.append(gated)
    return output, {"channel": channels, "element": elements}


def apply(block: ShuffleAttention, maps: dict[str, Tensor], x: Tensor) -> Tensor:
    first, second = x.unflatten(1, (block.groups, 2, -1)).unbind(2)
    gated = torch.stack([first * maps["channel"], second * maps["element"]], 2).flatten(1, 3)
    return torch.stack(gated.chunk(2, 1), 2).flatten(1, 2) if block.shuffle else gated


@st.composite
def options(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the constructor's arguments."""
    groups, half = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    return {
        "channels": 2 * groups * half,
        "groups": groups,
        "affine": draw(st.booleans()),
        "shuffle": draw(st.booleans()),
    }


SPEC = Spec(
    name="shuffle",
    cases=cases(options(), height=(1, 5), width=(1, 5)),
    fixed=(
        Case({"channels": 8, "groups": 2}, height=3, width=4),
        Case({"channels": 6, "groups": 3, "affine": False}, batch=3, height=4, width=3, seed=1),
        Case({"channels": 6, "groups": 1, "shuffle": False}, height=2, width=3, seed=2),
    ),
    naive=naive,
    sizes=lambda block, known: {"g": block.groups, "d": known["c"] // (2 * block.groups)},
    apply=apply,
    bad_arguments=(
        BadArguments(
            {"channels": 64},
            ValueError,
            "half of channels=64 is not divisible by groups=64; allowed for groups: 1, 2, 4, 8, 16, 32: each",
        ),
        BadArguments({"channels": 7, "groups": 1}, ValueError, "channels=7 is odd, and each group has two halves"),
        BadArguments({"channels": 0}, ValueError, "channels=0 is not positive"),
        BadArguments({"channels": 16, "groups": -2}, ValueError, "groups=-2 is not positive"),
        BadArguments({"channels": 16, "groups": 4.0}, TypeError, "groups=4.0 is not a whole number"),
        BadArguments({"channels": 16, "groups": 4, "shuffle": 1}, TypeError, "shuffle=1 is neither True nor False"),
    ),
    bad_inputs=bad_images(),
)


def test_the_start_is_a_shuffle_of_equal_gates() -> None:
    """σ(1) everywhere, whatever the image."""
    x = torch.randn(2, 16, 3, 5)
    block = ShuffleAttention(16, groups=4)
    shuffled = torch.stack([x[:, :8], x[:, 8:]], 2).flatten(1, 2)
    torch.testing.assert_close(block(x), shuffled * sigmoid(1.0))
    torch.testing.assert_close(ShuffleAttention(16, groups=4, shuffle=False)(x), x * sigmoid(1.0))


def test_channels_of_both_halves_come_to_stand_side_by_side() -> None:
    x = torch.arange(8.0)[None, :, None, None] + 1
    order = (ShuffleAttention(8, groups=2)(x) / sigmoid(1.0)).round().flatten().tolist()
    assert order == [1, 5, 2, 6, 3, 7, 4, 8]


def reach(blocks: list[ShuffleAttention], group: int, size: int) -> set[int]:
    """Return the groups of the input that a group of the output of a row of blocks depends on."""
    x = torch.randn(1, blocks[0].channels, 3, 4, dtype=torch.float64, requires_grad=True)
    y = x
    for block in blocks:
        y = block(y)
    y[:, group * size : (group + 1) * size].sum().backward()
    return {c // size for c in x.grad.abs().sum((0, 2, 3)).nonzero().flatten().tolist()}


def test_without_the_shuffle_groups_never_meet() -> None:
    """With it one block brings two groups together, and two blocks four."""
    options = {"channels": 16, "groups": 4}
    plain = [SPEC.block(Case(options | {"shuffle": False}, seed=seed)) for seed in (0, 1)]
    mixing = [SPEC.block(Case(options, seed=seed)) for seed in (0, 1)]
    assert all(reach(plain, group, 4) == {group} for group in range(4))
    assert all(len(reach(mixing[:1], group, 4)) == 2 for group in range(4))
    assert all(reach(mixing, group, 4) == {0, 1, 2, 3} for group in range(4))


def test_the_channels_of_a_block_do_not_mix() -> None:
    """Every channel of the output is made of one channel: shuffled, but from itself alone."""
    block, x = SPEC.block(SPEC.fixed[0]), torch.randn(1, 8, 3, 4, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(block, x).abs().sum((0, 2, 3, 4, 6, 7))
    assert ((jacobian > 0).sum(0) == 1).all()
    assert ((jacobian > 0).sum(1) == 1).all()


def test_the_positions_of_an_image_may_be_exchanged() -> None:
    """The elements' gate sees its own value, and the mean and deviation of its channel: no neighbours."""
    block, x = SPEC.block(SPEC.fixed[0]), torch.randn(2, 8, 3, 4, dtype=torch.float64)
    order = torch.randperm(12)

    def exchanged(image: Tensor) -> Tensor:
        return image.flatten(2)[..., order].view_as(image)

    torch.testing.assert_close(block(exchanged(x)), exchanged(block(x)))


def test_the_normalisation_has_a_scale_and_a_shift_too_many() -> None:
    """W₂(γ n + β) + b₂ is (W₂ γ) n + (W₂ β + b₂): a block without them is the same function."""
    block = SPEC.block(Case({"channels": 8, "groups": 2}))
    plain = SPEC.block(Case({"channels": 8, "groups": 2, "affine": False}))
    with torch.no_grad():
        plain.channel_weight.copy_(block.channel_weight)
        plain.channel_bias.copy_(block.channel_bias)
        plain.element_weight.copy_(block.element_weight * block.norm.weight)
        plain.element_bias.copy_(block.element_weight * block.norm.bias + block.element_bias)
    x = torch.randn(2, 8, 3, 4, dtype=torch.float64)
    torch.testing.assert_close(plain(x), block(x))


def test_one_pixel_of_one_sample() -> None:
    """A single number is normalised to 0, where PyTorch's module refuses it."""
    block, x = ShuffleAttention(2, groups=1), torch.randn(1, 2, 1, 1)
    torch.testing.assert_close(block(x), x * sigmoid(1.0))
    with pytest.raises(ValueError, match="more than 1 value"):
        block.norm(x[:, 1:])


# What circulates, in our words: each is caught by a law


class NoShuffle(ShuffleAttention):
    """The channels stay in their groups."""

    def attend(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        output, maps = super().attend(x)
        return rearrange(output, "b (j two) h w -> b (two j) h w", two=2) if self.shuffle else output, maps


class ShuffledByGroups(ShuffleAttention):
    """Shuffled by the number of groups, not by two."""

    def attend(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        output, maps = super().attend(x)
        if self.shuffle:
            output = rearrange(output, "b (j two) h w -> b (two j) h w", two=2)
            output = rearrange(output, "b (g k) h w -> b (k g) h w", g=self.groups)
        return output, maps


class Interleaved(ShuffleAttention):
    """The halves of a group are its even and its odd channels."""

    def attend(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return super().attend(rearrange(x, "b (g k two) h w -> b (g two k) h w", g=self.groups, two=2))


class OneGroup(ShuffleAttention):
    """The channels of a half are normalised together."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.norm.num_groups = 1


class Unshared(ShuffleAttention):
    """Weights of its own for each group's means, beside the shared ones."""

    def __init__(self, channels: int, groups: int = 64, **named: Any) -> None:
        super().__init__(channels, groups, **named)
        self.own = nn.Parameter(torch.zeros(groups, channels // (2 * groups)))

    def attend(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        _, maps = super().attend(x)
        means = x.unflatten(1, (self.groups, 2, -1))[:, :, 0].mean((3, 4))
        gate = ((self.channel_weight + self.own) * means + self.channel_bias).sigmoid()
        maps["channel"] = gate[..., None, None]
        return apply(self, maps, x), maps


class NoNorm(ShuffleAttention):
    """The second half is gated by its values as they are."""

    def attend(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        _, maps = super().attend(x)
        second = x.unflatten(1, (self.groups, 2, -1))[:, :, 1]
        weight, bias = self.element_weight[:, None, None], self.element_bias[:, None, None]
        maps["element"] = (weight * second + bias).sigmoid()
        return apply(self, maps, x), maps


class DeadMean(ShuffleAttention):
    """The gate of the first half is made from the bias alone."""

    def attend(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        _, maps = super().attend(x)
        gate = self.channel_bias[:, None, None].sigmoid().expand_as(maps["channel"])
        maps["channel"] = gate
        return apply(self, maps, x), maps


class StartsAtZero(ShuffleAttention):
    """The start is set in the constructor, and lost when the block is reset."""

    def reset_parameters(self) -> None:
        super().reset_parameters()
        nn.init.zeros_(self.channel_bias)

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        nn.init.ones_(self.channel_bias)


@pytest.mark.parametrize(
    ("wrong", "law", "says"),
    [
        (NoShuffle, 2, "the output differs"),
        (ShuffledByGroups, 2, "the output differs"),
        (Interleaved, 2, "the output differs"),
        (OneGroup, 2, "the output differs"),
        (NoNorm, 2, "the output differs|the map 'element' differs"),
        (DeadMean, 5, "elements of channel_weight never received a gradient"),
        (Unshared, 6, "parameters: counted"),
        (StartsAtZero, 9, "channel_bias does not start as in a fresh block"),
    ],
)
def test_a_law_catches_what_circulates(wrong: type, law: int, says: str) -> None:
    with pytest.raises(AssertionError, match=rf"(?s)law {law} \(.*({says})"):
        LAWS[law](SPEC.with_build(wrong), 40)
