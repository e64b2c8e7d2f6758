"""Channel prior convolutional attention: its Spec for the laws, and what holds for this block alone."""

from math import erf, exp, sqrt
from typing import Any

import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from attention.hybrid.cbam import ConvolutionalBlockAttention
from attention.hybrid.cpca import ChannelPriorAttention
from attention.lab import cost
from tests.laws.laws import LAWS
from tests.laws.spec import BadArguments, Case, Spec, bad_images, cases

Plane = list[list[float]]


def sigmoid(a: float) -> float:
    return 1 / (1 + exp(-a))


def gelu(a: float) -> float:
    return a * (1 + erf(a / sqrt(2))) / 2


def perceptron(block: ChannelPriorAttention, z: list[float]) -> list[float]:
    """m(z) = W₁ δ(W₀ z + b₀) + b₁."""
    for layer in (block.reduce, block.expand):
        found = []
        for row, offset in zip(layer.weight.tolist(), layer.bias.tolist(), strict=True):
            total = offset
            for weight, value in zip(row, z, strict=True):
                total += weight * value
            found.append(max(total, 0.0) if layer is block.reduce else total)
        z = found
    return z


def naive_channel(block: ChannelPriorAttention, f: list[Plane]) -> list[float]:
    numbers = [[value for row in plane for value in row] for plane in f]
    mean = perceptron(block, [sum(values) / len(values) for values in numbers])
    largest = perceptron(block, [max(values) for values in numbers])
    if block.two_sigmoids:
        return [sigmoid(a) + sigmoid(b) for a, b in zip(mean, largest, strict=True)]
    return [sigmoid(a + b) for a, b in zip(mean, largest, strict=True)]


def depthwise(layer: nn.Conv2d, f: list[Plane]) -> list[Plane]:
    """Each channel under a kernel of its own; outside the map all is 0."""
    height, width = len(f[0]), len(f[0][0])
    found = []
    for plane, (kernel,), offset in zip(f, layer.weight.tolist(), layer.bias.tolist(), strict=True):
        up, left = len(kernel) // 2, len(kernel[0]) // 2
        out = [[offset] * width for _ in range(height)]
        for i in range(height):
            for j in range(width):
                for p in range(max(0, i - up), min(height, i + up + 1)):
                    for q in range(max(0, j - left), min(width, j + left + 1)):
                        out[i][j] += kernel[p - i + up][q - j + left] * plane[p][q]
        found.append(out)
    return found


def mixed(layer: nn.Conv2d, f: list[Plane]) -> list[Plane]:
    """The 1 × 1 convolution."""
    found = []
    for weights, offset in zip(layer.weight.flatten(1).tolist(), layer.bias.tolist(), strict=True):
        out = [[offset] * len(f[0][0]) for _ in f[0]]
        for weight, plane in zip(weights, f, strict=True):
            for i, row in enumerate(plane):
                for j, value in enumerate(row):
                    out[i][j] += weight * value
        found.append(out)
    return found


def each(function: Any, *volumes: list[Plane]) -> list[Plane]:
    """A function of the numbers at the same place."""
    return [
        [[function(*values) for values in zip(*rows, strict=True)] for rows in zip(*planes, strict=True)]
        for planes in zip(*volumes, strict=True)
    ]


def naive(block: ChannelPriorAttention, x: list[list[Plane]]) -> tuple[list[Any], dict[str, list[Any]]]:
    """The equations of CA and SA, and their product."""
    output, channels, spaces = [], [], []
    for f in x:
        if block.surround:
            f = each(gelu, mixed(block.mix, f))
        gates = naive_channel(block, f)
        prior = [[[value * gate for value in row] for row in plane] for plane, gate in zip(f, gates, strict=True)]
        first = depthwise(block.window, prior)
        total = first
        for across, down in block.strips:
            total = each(lambda a, b: a + b, total, depthwise(down, depthwise(across, first)))
        factors = mixed(block.mix, total)
        y = each(lambda a, b: a * b, factors, prior)
        output.append(mixed(block.mix, y) if block.surround else y)
        channels.append([[[gate]] for gate in gates])
        spaces.append(factors)
    return output, {"channel": channels, "space": spaces}


def applied(block: ChannelPriorAttention, maps: dict[str, Tensor], x: Tensor) -> Tensor:
    if not block.surround:
        return x * maps["channel"] * maps["space"]
    return block.mix(nn.functional.gelu(block.mix(x)) * maps["channel"] * maps["space"])


def costs(case: Case) -> dict[str, int]:
    """The formulas hold for strips of 7, 11 and 21; others have other kernels, and two biases each."""
    options = {name: value for name, value in case.options.items() if name != "strips"}
    strips, channels = case.options.get("strips", (7, 11, 21)), options["channels"]
    sizes = {"height": case.height, "width": case.width, **options}
    parameters, macs = (cost.evaluate("cpca", which, **sizes) for which in ("parameters", "macs"))
    more = 2 * (sum(strips) - 39) * channels
    return {
        "parameters": parameters + more + 2 * (len(strips) - 3) * channels,
        "macs": macs + more * case.height * case.width,
    }


@st.composite
def options(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the constructor's arguments."""
    channels = draw(st.integers(1, 4))
    return {
        "channels": channels,
        "reduction": draw(st.sampled_from([r for r in range(1, channels + 1) if channels % r == 0])),
        "strips": draw(st.sampled_from([(7, 11, 21), (3,), (1, 5)])),
        "two_sigmoids": draw(st.booleans()),
        "surround": draw(st.booleans()),
    }


OFFICIAL: dict[str, Any] = {"reduction": 4, "two_sigmoids": True, "surround": True}

SPEC = Spec(
    name="cpca",
    cases=cases(options(), height=(1, 4), width=(1, 4), batch=(1, 2)),
    fixed=(
        Case({"channels": 2, "reduction": 2}, height=11, width=12),  # as small as lets every weight of 21 act
        Case({"channels": 4, "strips": (3,)} | OFFICIAL, batch=3, height=3, width=4, seed=1),
        Case({"channels": 3, "reduction": 1, "strips": (3, 5), "two_sigmoids": True}, height=4, width=3, seed=2),
    ),
    naive=naive,
    apply=applied,
    cost=costs,
    bad_arguments=(
        BadArguments({"channels": 24}, ValueError, "channels=24 is not divisible by reduction=16"),
        BadArguments({"channels": 0}, ValueError, "channels=0 is not positive"),
        BadArguments({"channels": 16, "reduction": 4.0}, TypeError, "reduction=4.0 is not a whole number"),
        BadArguments({"channels": 16, "strips": 7}, TypeError, "strips=7 is one number; give several"),
        BadArguments({"channels": 16, "strips": (7, 2.0)}, TypeError, r"strips\[1\]=2.0 is not a whole number"),
        BadArguments({"channels": 16, "strips": (7, -1)}, ValueError, r"strips\[1\]=-1 is not positive"),
        BadArguments({"channels": 16, "strips": (7, 4)}, ValueError, r"strips=\(7, 4\) must be .* odd lengths"),
        BadArguments({"channels": 16, "strips": ()}, ValueError, r"strips=\(\) must be one or more"),
    ),
    bad_inputs=bad_images(),
)


def test_every_channel_has_a_map_of_its_own() -> None:
    """Factors as a matrix of channels by positions: of full rank, where CBAM's output over input has rank 1."""
    x = torch.randn(1, 4, 5, 6, dtype=torch.float64)
    ours = ChannelPriorAttention(4, 2).double().attend(x)[1]["space"].flatten(2)[0]
    cbam = (ConvolutionalBlockAttention(4, 2).double()(x) / x).flatten(2)[0]
    assert torch.linalg.matrix_rank(ours, rtol=1e-9) == 4
    assert torch.linalg.matrix_rank(cbam, rtol=1e-9) == 1


def test_factors_have_either_sign_and_no_bound() -> None:
    block, x = ChannelPriorAttention(8, 2), torch.randn(2, 8, 9, 9)
    small, large = (block.factors(scale * x) for scale in (1.0, 1000.0))
    assert small.min() < 0 < small.max()
    assert large.abs().max() > 100 * small.abs().max()


def test_two_sigmoids_reach_up_to_2() -> None:
    x = torch.randn(2, 8, 5, 5)
    for two, low, high in ((False, 0.0, 1.0), (True, 1.0, 2.0)):
        block = ChannelPriorAttention(8, 2, two_sigmoids=two)
        with torch.no_grad():
            block.expand.bias.fill_(3.0)
        gate = block.channel_gate(x)
        assert low < gate.min() <= gate.max() <= high
        assert block.maps["channel"].kind == ("real" if two else "sigmoid")


def test_how_far_one_pixel_is_seen() -> None:
    """5 × 5, then a cross product of 21 by 21: 2 + 10 pixels each way."""
    block, x = ChannelPriorAttention(2, 2).double(), torch.zeros(1, 2, 31, 31, dtype=torch.float64)
    with torch.no_grad():
        for name, parameter in block.named_parameters():
            parameter.fill_(0.0 if "bias" in name else 1.0)
    x[..., 15, 15] = 1.0
    seen = block.factors(x)[0, 0].nonzero()
    assert seen.amin(0).tolist() == [3, 3]
    assert seen.amax(0).tolist() == [27, 27]


@pytest.mark.parametrize(("options", "parameters"), [(OFFICIAL, 127_040), ({}, 102_416)])
def test_parameters_at_256_channels(options: dict[str, Any], parameters: int) -> None:
    assert sum(p.numel() for p in ChannelPriorAttention(256, **options).parameters()) == parameters
    assert cost.evaluate("cpca", channels=256, reduction=options.get("reduction", 16)) == parameters


def test_the_layer_that_is_used_three_times_costs_no_parameters() -> None:
    sizes = {"channels": 32, "height": 10, "width": 12, "reduction": 4}
    once, thrice = (cost.evaluate("cpca", "macs", surround=s, **sizes) for s in (False, True))
    assert thrice - once == 2 * 32**2 * 120
    plain, surrounded = (ChannelPriorAttention(32, surround=s) for s in (False, True))
    assert [p.shape for p in plain.parameters()] == [p.shape for p in surrounded.parameters()]


# What circulates, in our words: each is caught by a law


class OneMapForAll(ChannelPriorAttention):
    """The factors' mean over channels: one map of positions, as CBAM has it."""

    def factors(self, x: Tensor) -> Tensor:
        return super().factors(x).mean(1, keepdim=True).expand_as(x)


class SigmoidOfFactors(ChannelPriorAttention):
    """A sigmoid on the map of positions."""

    def factors(self, x: Tensor) -> Tensor:
        return super().factors(x).sigmoid()


class TwoSigmoids(ChannelPriorAttention):
    """Two sigmoids added, declared as one gate."""

    def channel_gate(self, x: Tensor) -> Tensor:
        z = torch.stack([x.mean((2, 3)), x.amax((2, 3))])
        return self.expand(self.reduce(z).relu()).sigmoid().sum(0)[..., None, None]


class FactorsOfTheInput(ChannelPriorAttention):
    """The factors multiplied onto the input, not onto the channel prior."""

    def attend(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        inner = nn.functional.gelu(self.mix(x)) if self.surround else x
        channel = self.channel_gate(inner)
        space = self.factors(inner * channel)
        y = inner * space
        return self.mix(y) if self.surround else y, {"channel": channel, "space": space}


class NoIdentity(ChannelPriorAttention):
    """The strips alone, without the branch that passes the 5 × 5 window on."""

    def factors(self, x: Tensor) -> Tensor:
        first = self.window(x)
        return self.mix(sum(strip(first) for strip in self.strips))


class StripsSideBySide(ChannelPriorAttention):
    """Rows and columns beside one another, where the second follows the first."""

    def factors(self, x: Tensor) -> Tensor:
        first = self.window(x)
        return self.mix(first + sum(across(first) + down(first) for across, down in self.strips))


class ThreeLayers(ChannelPriorAttention):
    """A 1 × 1 convolution of its own for each of the three places."""

    def __init__(self, channels: int, *args: Any, **options: Any) -> None:
        super().__init__(channels, *args, **options)
        self.before, self.after = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)


@pytest.mark.parametrize(
    ("wrong", "law", "says"),
    [
        (OneMapForAll, 2, "output"),
        (SigmoidOfFactors, 2, "output"),
        (TwoSigmoids, 3, "reaches from"),
        (FactorsOfTheInput, 3, "maps applied"),
        (NoIdentity, 2, "output"),
        (StripsSideBySide, 2, "output"),
        (ThreeLayers, 6, "parameters"),
    ],
)
def test_a_law_catches_what_circulates(wrong: type, law: int, says: str) -> None:
    with pytest.raises(AssertionError, match=rf"law {law} \((.|\n)*{says}"):
        LAWS[law](SPEC.with_build(wrong), 25)
