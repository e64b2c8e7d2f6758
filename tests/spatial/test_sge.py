"""Spatial Group-wise Enhance: its Spec for the laws, and what holds for this block alone."""

from dataclasses import replace
from math import exp, sqrt
from typing import Any

import pytest
import torch
from einops import rearrange, repeat
from hypothesis import strategies as st
from torch import Tensor, nn

import attention
from attention import registry
from attention.backbones.resnet import resnet50
from attention.lab import cost
from attention.spatial.sge import EPSILON, SpatialGroupEnhance
from tests.laws.laws import LAWS
from tests.laws.spec import BadArguments, Case, Spec, bad_images, cases

Image = list[list[list[list[float]]]]


def naive(block: SpatialGroupEnhance, x: Image) -> tuple[Image, dict[str, Image]]:
    """The paper's equations, group by group and position by position."""
    gamma, beta = block.weight.tolist(), block.bias.tolist()
    output, gates = [], []
    for sample in x:
        size = len(sample) // len(gamma)
        height, width = len(sample[0]), len(sample[0][0])
        m = height * width
        enhanced, maps = [], []
        for k in range(len(gamma)):
            group = sample[k * size : (k + 1) * size]
            g = []
            for plane in group:
                total = 0.0
                for row in plane:
                    for value in row:
                        total += value
                g.append(total / m)
            c = [[0.0] * width for _ in range(height)]
            mean = 0.0
            for i in range(height):
                for j in range(width):
                    for g_k, plane in zip(g, group, strict=True):
                        c[i][j] += g_k * plane[i][j]
                    mean += c[i][j] / m
            squares = 0.0
            for row in c:
                for value in row:
                    squares += (value - mean) ** 2
            divisor = m - 1 if block.unbiased and m > 1 else m
            s = sqrt(squares / divisor)
            gate = [[1 / (1 + exp(-(gamma[k] * (value - mean) / (s + 1e-5) + beta[k]))) for value in row] for row in c]
            enhanced += [[[plane[i][j] * gate[i][j] for j in range(width)] for i in range(height)] for plane in group]
            maps.append(gate)
        output.append(enhanced)
        gates.append(maps)
    return output, {"space": gates}


@st.composite
def options(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the constructor's arguments."""
    groups = draw(st.integers(1, 4))
    return {"channels": groups * draw(st.integers(1, 4)), "groups": groups, "unbiased": draw(st.booleans())}


SPEC = Spec(
    name="sge",
    cases=cases(options()),
    fixed=(
        Case({"channels": 6, "groups": 2}, batch=3, height=3, width=5),
        Case({"channels": 6, "groups": 3, "unbiased": True}, batch=2, height=4, width=3, seed=1),
        Case({"channels": 4, "groups": 1}, batch=2, height=3, width=2, seed=2),
        Case({"channels": 64}, batch=2, height=2, width=3, seed=3),  # groups of one channel
    ),
    naive=naive,
    sizes=lambda block, known: {"g": block.groups},
    apply=lambda block, maps, x: x * repeat(maps["space"], "b g h w -> b (g k) h w", k=block.channels // block.groups),
    bad_arguments=(
        BadArguments({"channels": 96}, ValueError, "channels=96 is not divisible by groups=64.*1, 2, 3"),
        BadArguments({"channels": 0}, ValueError, "channels=0 is not positive"),
        BadArguments({"channels": 64, "groups": -8}, ValueError, "groups=-8 is not positive"),
        BadArguments({"channels": 64, "groups": 8.0}, TypeError, "groups=8.0 is not a whole number"),
        BadArguments({"channels": "64"}, TypeError, "channels='64' is not a whole number"),
        BadArguments({"channels": 64, "unbiased": 1}, TypeError, "unbiased=1 is neither True nor False"),
    ),
    bad_inputs=bad_images(),
)


def test_a_map_computed_by_hand() -> None:
    """One group of two channels on 1 × 2 pixels: g = (2, 1), c = (8, 2), and ĉ = ±3 / (3 + ε)."""
    block = SpatialGroupEnhance(2, groups=1).double()
    with torch.no_grad():
        block.weight.fill_(2.0)
        block.bias.fill_(-1.0)
    x = torch.tensor([[[[3.0, 1.0]], [[2.0, 0.0]]]], dtype=torch.float64)
    hat = 3 / (3 + 1e-5)
    expected = torch.tensor([2 * hat - 1, -2 * hat - 1], dtype=torch.float64).sigmoid()
    output, maps = block.attend(x)
    torch.testing.assert_close(maps["space"][0, 0, 0], expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(output, x * expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("unbiased", [False, True])
def test_a_fresh_block_lets_the_same_share_of_everything_through(unbiased: bool) -> None:
    block, x = SpatialGroupEnhance(128, unbiased=unbiased), torch.randn(2, 128, 5, 4)
    torch.testing.assert_close(block(x), x * 0.7310586, rtol=1e-6, atol=1e-6)
    assert block.weight.tolist() == [0.0] * 64
    assert block.bias.tolist() == [1.0] * 64


@pytest.mark.parametrize(("side", "ratio"), [(7, 1.0104), (14, 1.0026)])
def test_the_two_deviations(side: int, ratio: float) -> None:
    """√(m / (m − 1)): one percent on the smallest maps of a ResNet."""
    x = torch.randn(1, 8, side, side, dtype=torch.float64)
    logits = []
    for unbiased in (False, True):
        block = SpatialGroupEnhance(8, groups=1, unbiased=unbiased).double()
        nn.init.ones_(block.weight)
        nn.init.zeros_(block.bias)
        logits.append(block.weights(x).logit())
    assert (logits[0] / logits[1]).mean().item() == pytest.approx(ratio, abs=1e-4)


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("x", [torch.randn(2, 4, 1, 1), torch.zeros(2, 4, 3, 3), torch.full((1, 4, 3, 2), 5.0)])
def test_a_map_without_deviation_leaves_the_bias(unbiased: bool, x: Tensor) -> None:
    """One pixel, or all alike: ĉ is 0, and gradients are finite."""
    block = SpatialGroupEnhance(4, groups=2, unbiased=unbiased).double()
    nn.init.ones_(block.weight)
    x = x.double().requires_grad_()
    output, maps = block.attend(x)
    torch.testing.assert_close(maps["space"], torch.full_like(maps["space"], 1 / (1 + exp(-1))))
    output.sum().backward()
    assert x.grad.isfinite().all()
    assert block.weight.grad.isfinite().all()


def test_groups_do_not_see_each_other() -> None:
    block = SPEC.block(SPEC.fixed[1])
    x = torch.randn(1, 6, 4, 5, dtype=torch.float64)
    changed = x.clone()
    changed[:, 2:4] = torch.randn(1, 2, 4, 5, dtype=torch.float64)
    alike = (block.attend(changed)[1]["space"] == block.attend(x)[1]["space"]).flatten(2).all(2)
    assert alike.tolist() == [[True, False, True]]


def test_the_map_moves_with_the_image_and_does_not_change_with_its_contrast() -> None:
    """A shuffle of the positions shuffles the map; a brighter image has the same one but for ε."""
    block, x = SPEC.block(SPEC.fixed[0]), torch.randn(1, 6, 4, 5, dtype=torch.float64)
    gate = block.weights(x)
    order = torch.randperm(20)
    shuffled = x.flatten(2)[..., order].view_as(x)
    torch.testing.assert_close(block.weights(shuffled), gate.flatten(2)[..., order].view_as(gate))
    torch.testing.assert_close(block.weights(10 * x), gate, rtol=1e-3, atol=1e-3)


def test_the_mean_vector_resembles_itself_most() -> None:
    """A thing on a dark ground pulls the mean to itself; where the ground is brighter, the ground passes."""
    block = SpatialGroupEnhance(4, groups=1).double()
    nn.init.ones_(block.weight)
    thing, ground = torch.tensor([[3.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]], dtype=torch.float64)
    for strength, passes in ((0.1, True), (3.0, False)):
        x = strength * ground[None, :, None, None].repeat(1, 1, 6, 6)
        x[:, :, 2:4, 2:4] = thing[:, None, None]
        gate = block.weights(x)[0, 0]
        assert bool(gate[2, 2] > gate[0, 0]) == passes


def test_parameters_of_the_published_network() -> None:
    """64 weights and 64 biases in each of sixteen units."""
    total = cost.on_paper(lambda: resnet50(attention=SpatialGroupEnhance), (3, 224, 224)).parameters
    assert total == 25_559_080


def test_costs_of_one_block() -> None:
    counted = cost.check("sge", SpatialGroupEnhance(256), torch.randn(1, 256, 14, 14))
    assert (counted.parameters, counted.macs) == (128, 256 * 14 * 14)


# The official code


def official(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The function of the authors' layer, in plain torch: groups as samples, and PyTorch's own deviation."""
    count = weight.shape[1]
    split = torch.stack(x.chunk(count, 1), 1)  # b g k h w
    similar = torch.einsum("bgk,bgkhw->bghw", split.mean((3, 4)), split)
    centred = similar - similar.mean((2, 3), keepdim=True)
    normal = centred / (torch.std(centred, (2, 3), keepdim=True) + 1e-5)
    return (split * torch.sigmoid(normal * weight + bias)[:, :, None]).flatten(1, 2)


@pytest.mark.parametrize(("channels", "size"), [(64, (7, 5)), (256, (3, 4))])
def test_official_weights_load_and_give_the_official_function(channels: int, size: tuple[int, int]) -> None:
    found = registry.entry("sge").official
    block = attention.create("sge", channels, **found["options"]).double()
    weights = {name: torch.randn(1, 64, 1, 1, dtype=torch.float64) for name in ("weight", "bias")}
    attention.load_official(block, weights)
    x = torch.randn(3, channels, *size, dtype=torch.float64)
    torch.testing.assert_close(block(x), official(x, **weights), rtol=0, atol=1e-11)
    assert set(found["names"].values()) == set(block.state_dict())
    plain = SpatialGroupEnhance(channels).double()
    plain.load_state_dict(block.state_dict())
    assert not torch.allclose(plain(x), official(x, **weights), atol=1e-6)


def test_onnx_with_the_other_deviation() -> None:
    """Law 12 takes the first case alone."""
    LAWS[12](replace(SPEC, fixed=SPEC.fixed[1:2]))


# What circulates, in our words: each is caught by a law


class _Changed(SpatialGroupEnhance):
    """The same, with the similarities and their normalisation in methods that a variant replaces."""

    def group(self, x: Tensor) -> Tensor:
        return rearrange(x, "b (g k) h w -> b g k h w", g=self.groups)

    def ungroup(self, y: Tensor) -> Tensor:
        return rearrange(y, "b g k h w -> b (g k) h w")

    def similar(self, u: Tensor) -> Tensor:
        return (u * u.mean((3, 4), keepdim=True)).sum(2)

    def normalise(self, c: Tensor) -> Tensor:
        s = c.std((2, 3), correction=int(self.unbiased and c[0, 0].numel() > 1), keepdim=True)
        return (c - c.mean((2, 3), keepdim=True)) / (s + EPSILON)

    def attend(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        u = self.group(x)
        gate = (self.normalise(self.similar(u)) * self.weight[:, None, None] + self.bias[:, None, None]).sigmoid()
        return self.ungroup(u * gate[:, :, None]), {"space": gate}


class EpsilonInside(_Changed):
    """ε added to the variance, as a group normalisation does, not to the deviation."""

    def normalise(self, c: Tensor) -> Tensor:
        centred = c - c.mean((2, 3), keepdim=True)
        divisor = 1 if not self.unbiased or c[0, 0].numel() == 1 else 1 - 1 / c[0, 0].numel()
        return centred / (centred.square().mean((2, 3), keepdim=True) / divisor + EPSILON).sqrt()


class NoEpsilon(_Changed):
    """ε left out: 0 divided by 0 where a map has one pixel."""

    def normalise(self, c: Tensor) -> Tensor:
        return super().normalise(c) * (1 + EPSILON / c.std((2, 3), correction=0, keepdim=True))


class OtherDeviation(_Changed):
    """The deviation that divides by m − 1, where the block is to divide by m."""

    def normalise(self, c: Tensor) -> Tensor:
        if c[0, 0].numel() == 1:
            return super().normalise(c)
        return (c - c.mean((2, 3), keepdim=True)) / (c.std((2, 3), keepdim=True) + EPSILON)


class Interleaved(_Changed):
    """Every G-th channel taken for a group."""

    def group(self, x: Tensor) -> Tensor:
        return rearrange(x, "b (k g) h w -> b g k h w", g=self.groups)

    def ungroup(self, y: Tensor) -> Tensor:
        return rearrange(y, "b g k h w -> b (k g) h w")


class NotNormalised(_Changed):
    """The similarity as it is."""

    def normalise(self, c: Tensor) -> Tensor:
        return c


class Cosine(_Changed):
    """The cosine for the inner product."""

    def similar(self, u: Tensor) -> Tensor:
        return torch.cosine_similarity(u, u.mean((3, 4), keepdim=True), dim=2)


class OverTheBatch(_Changed):
    """Mean and deviation over all samples."""

    def normalise(self, c: Tensor) -> Tensor:
        return (c - c.mean((0, 2, 3), keepdim=True)) / (c.std((0, 2, 3), correction=0, keepdim=True) + EPSILON)


class AWeightForEachChannel(SpatialGroupEnhance):
    """Weights and biases for each channel, as of a group normalisation."""

    def __init__(self, channels: int, groups: int = 64, unbiased: bool = False) -> None:
        super().__init__(channels, groups, unbiased)
        self.norm = nn.GroupNorm(groups, channels)


def test_what_the_variants_share_is_right() -> None:
    LAWS[2](SPEC.with_build(_Changed), 25)


@pytest.mark.parametrize(
    ("wrong", "law"),
    [
        (EpsilonInside, 2),
        (NoEpsilon, 1),
        (OtherDeviation, 2),
        (Interleaved, 2),
        (NotNormalised, 2),
        (Cosine, 2),
        (OverTheBatch, 4),
        (AWeightForEachChannel, 6),
    ],
)
def test_a_law_catches_what_circulates(wrong: type, law: int) -> None:
    with pytest.raises(AssertionError, match=rf"law {law} \("):
        LAWS[law](SPEC.with_build(wrong), 25)
