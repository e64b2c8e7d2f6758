"""Polarized self-attention: its Spec for the laws, and what holds for this block alone."""

from dataclasses import replace
from math import exp
from typing import Any

import pytest
import torch
from einops import rearrange
from hypothesis import strategies as st
from torch import Tensor, nn

from attention.hybrid.polarized import ORDERS, SPACES, PolarizedSelfAttention
from attention.lab import cost
from tests.laws.laws import LAWS
from tests.laws.spec import BadArguments, Case, Spec, bad_images, cases

Plane = list[list[float]]


def sigmoid(a: float) -> float:
    return 1 / (1 + exp(-a))


def softmax(scores: list[float]) -> list[float]:
    powers = [exp(score - max(scores)) for score in scores]
    return [power / sum(powers) for power in powers]


def dot(a: list[float], b: list[float]) -> float:
    total = 0.0
    for left, right in zip(a, b, strict=True):
        total += left * right
    return total


def normalised(z: list[float], layer: nn.LayerNorm) -> list[float]:
    mean = sum(z) / len(z)
    variance = sum((value - mean) ** 2 for value in z) / len(z)
    scale, shift = layer.weight.tolist(), layer.bias.tolist()
    return [(value - mean) / (variance + layer.eps) ** 0.5 * a + b for value, a, b in zip(z, scale, shift, strict=True)]


def linear(z: list[float], layer: nn.Linear) -> list[float]:
    offsets = [0.0] * layer.out_features if layer.bias is None else layer.bias.tolist()
    return [dot(row, z) + offset for row, offset in zip(layer.weight.tolist(), offsets, strict=True)]


def projected(f: list[Plane], layer: nn.Conv2d) -> list[list[float]]:
    """A 1 × 1 convolution: for each of its outputs a list over positions."""
    (height, width), weights = (len(f[0]), len(f[0][0])), layer.weight.flatten(1).tolist()
    return [[dot(row, [plane[i][j] for plane in f]) for i in range(height) for j in range(width)] for row in weights]


def naive_channel(block: PolarizedSelfAttention, f: list[Plane]) -> list[float]:
    """A^ch = σ(LN(W_z (W_v X × softmax over positions of W_q X)))."""
    (scores,) = projected(f, block.channel_query)
    a = softmax(scores)
    z = [dot(values, a) for values in projected(f, block.channel_value)]
    if isinstance(block.up, nn.Sequential):
        first, norm, _, second = block.up
        hidden = [max(value, 0.0) for value in normalised(linear(z, first), norm)]
        z = linear(hidden, second)
    else:
        z = linear(z, block.up)
    if isinstance(block.norm, nn.LayerNorm):
        z = normalised(z, block.norm)
    return [sigmoid(value) for value in z]


def naive_space(block: PolarizedSelfAttention, f: list[Plane]) -> Plane:
    """A^sp = σ(softmax over channels of the mean of W_q' X, times W_v' X)."""
    height, width = len(f[0]), len(f[0][0])
    q = [sum(values) / (height * width) for values in projected(f, block.space_query)]
    rows = projected(f, block.space_value)
    if block.space == "query":
        q = softmax(q)
    if block.space == "values":
        rows = [softmax(row) for row in rows]
    s = [dot(q, [row[n] for row in rows]) for n in range(height * width)]
    if block.space == "product":
        s = softmax(s)
    return [[sigmoid(s[i * width + j]) for j in range(width)] for i in range(height)]


def naive(block: PolarizedSelfAttention, x: list[list[Plane]]) -> tuple[list[Any], dict[str, list[Any]]]:
    """The two branches, in parallel or in sequence."""
    output, channels, spaces = [], [], []
    for f in x:
        channel = naive_channel(block, f)
        first = [[[value * a for value in row] for row in plane] for plane, a in zip(f, channel, strict=True)]
        space = naive_space(block, first if block.order == "sequential" else f)
        output.append([
            [
                [
                    one * space[i][j] if block.order == "sequential" else one + f[c][i][j] * space[i][j]
                    for j, one in enumerate(row)
                ]
                for i, row in enumerate(plane)
            ]
            for c, plane in enumerate(first)
        ])  # fmt: skip
        channels.append([[[gate]] for gate in channel])
        spaces.append([space])
    return output, {"channel": channels, "space": spaces}


def applied(block: PolarizedSelfAttention, maps: dict[str, Tensor], x: Tensor) -> Tensor:
    if block.order == "sequential":
        return x * maps["channel"] * maps["space"]
    return x * (maps["channel"] + maps["space"])


@st.composite
def options(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the constructor's arguments."""
    bottleneck = draw(st.booleans())
    return {
        "channels": draw(st.sampled_from([8, 16] if bottleneck else [2, 4, 6, 10])),
        "order": draw(st.sampled_from(ORDERS)),
        "norm": draw(st.booleans()),
        "bottleneck": bottleneck,
        "space": draw(st.sampled_from(SPACES)),
    }


PSA_P: dict[str, Any] = {"norm": False, "space": "product"}
PSA_S: dict[str, Any] = {"order": "sequential", "norm": False, "bottleneck": True, "space": "values"}

SPEC = Spec(
    name="polarized",
    cases=cases(options(), height=(1, 5), width=(1, 5)),
    fixed=(
        Case({"channels": 8}, height=3, width=4),
        Case({"channels": 6, "order": "sequential"}, batch=3, height=4, width=3, seed=1),
        Case({"channels": 6} | PSA_P, seed=2),
        Case({"channels": 24} | PSA_S | {"space": "query"}, height=3, width=2, seed=3),
    ),
    naive=naive,
    apply=applied,
    bad_arguments=(
        BadArguments({"channels": 0}, ValueError, "channels=0 is not positive"),
        BadArguments({"channels": 7}, ValueError, "channels=7 is not divisible by 2; allowed: 2, 4"),
        BadArguments({"channels": 12, "bottleneck": True}, ValueError, "channels=12 is not divisible by 8 with bott"),
        BadArguments({"channels": 8.0}, TypeError, "channels=8.0 is not a whole number"),
        BadArguments({"channels": 8, "order": "space-channel"}, ValueError, "order='space-channel' is not one of par"),
        BadArguments({"channels": 8, "space": "softmax"}, ValueError, "space='softmax' is not one of query, product"),
    ),
    bad_inputs=bad_images(),
)
#: The authors' sequential code: its softmax is taken over positions, and the sum that follows is over channels.
VALUES = replace(SPEC, fixed=(Case({"channels": 24} | PSA_S, height=3, width=2, seed=4),))


def test_law_3_finds_the_axis_of_the_sequential_code() -> None:
    with pytest.raises(AssertionError, match=r"it is axis 1 that is summed over next"):
        LAWS[3](VALUES, 1)


@pytest.mark.parametrize("law", [1, 2, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14])
def test_the_sequential_code_keeps_the_other_laws(law: int) -> None:
    LAWS[law](VALUES, 20)


def test_the_softmax_of_the_mean_query_sums_to_1_over_channels() -> None:
    block, x = PolarizedSelfAttention(8).double(), torch.randn(2, 8, 4, 5, dtype=torch.float64)
    with torch.no_grad():
        block.space_value.weight.zero_()
        block.space_value.weight[:, 0] = 1.0  # every value is the first channel, so their weighted mean is too
    torch.testing.assert_close(block.space_gate(x), x[:, :1].sigmoid())


def test_the_channels_gate_reads_one_position_where_the_query_is_sharp() -> None:
    block, x = PolarizedSelfAttention(4, norm=False).double(), torch.randn(1, 4, 3, 3, dtype=torch.float64)
    with torch.no_grad():
        block.channel_query.weight.zero_()
        block.channel_query.weight[0, 0] = 1000.0
    best = x[0, 0].flatten().argmax()
    values = block.channel_value(x)[0].flatten(1)[:, best]
    torch.testing.assert_close(block.channel_gate(x)[0, :, 0, 0], block.up(values).sigmoid())


def test_the_positions_gate_of_the_parallel_code_hardly_moves() -> None:
    """A softmax over 14 × 14 positions, then a sigmoid: between 1/2 and σ(1), and near 1/2 almost everywhere."""
    torch.manual_seed(0)
    block, x = PolarizedSelfAttention(64, **PSA_P), torch.randn(4, 64, 14, 14)
    space = block.attend(x)[1]["space"]
    assert space.min() >= 0.5
    assert space.max() <= sigmoid(1.0)
    assert abs(space.mean() - 0.5) < 0.002
    ours = PolarizedSelfAttention(64).attend(x)[1]["space"]
    assert ours.std() > 5 * space.std()
    assert ours.min() < 0.45


def test_in_sequence_the_positions_gate_sees_what_the_first_gate_lets_through() -> None:
    x = torch.randn(2, 8, 4, 5, dtype=torch.float64)
    parallel, sequential = (PolarizedSelfAttention(8, order).double() for order in ORDERS)
    sequential.load_state_dict(parallel.state_dict())
    one, two = (block.attend(x)[1] for block in (parallel, sequential))
    torch.testing.assert_close(one["channel"], two["channel"])
    torch.testing.assert_close(two["space"], parallel.space_gate(x * one["channel"]))
    assert not torch.allclose(one["space"], two["space"])


@pytest.mark.parametrize(("options", "parameters"), [({}, 131_840), (PSA_P, 131_328), (PSA_S, 111_200)])
def test_parameters_at_256_channels(options: dict[str, Any], parameters: int) -> None:
    assert sum(p.numel() for p in PolarizedSelfAttention(256, **options).parameters()) == parameters
    known = {k: v for k, v in options.items() if k in ("norm", "bottleneck")}
    assert cost.evaluate("polarized", channels=256, **known) == parameters


def test_what_it_adds_to_a_resnet50() -> None:
    """facts.md: 65.8 M parameters with PSA_p behind every block, 28.08 M behind every 3 × 3 convolution."""
    ends, middles = (
        {width * at: n for width, n in zip((64, 128, 256, 512), (3, 4, 6, 3), strict=True)} for at in (4, 1)
    )
    added = [sum(n * cost.evaluate("polarized", channels=c, norm=False) for c, n in e.items()) for e in (ends, middles)]
    assert [f"{(25_557_032 + more) / 1e6:.2f}" for more in added] == ["65.81", "28.08"]


# What circulates, in our words: each is caught by a law


class SoftmaxOverBatch(PolarizedSelfAttention):
    """The softmax of the channels' gate without a thought for its axis."""

    def channel_gate(self, x: Tensor) -> Tensor:
        a = rearrange(self.channel_query(x), "b 1 h w -> b (h w)").softmax(0)
        z = (rearrange(self.channel_value(x), "b d h w -> b d (h w)") @ a[..., None]).squeeze(2)
        return self.norm(self.up(z)).sigmoid()[..., None, None]


class QueryOverPositions(PolarizedSelfAttention):
    """The query of the positions' gate under a softmax over positions before its mean: 1/HW, whatever the image."""

    def space_gate(self, x: Tensor) -> Tensor:
        q = self.space_query(x).flatten(2).softmax(2).mean(2, keepdim=True)
        values = self.space_value(x).flatten(2)
        return (q.transpose(1, 2) @ values).sigmoid().view(len(x), 1, *x.shape[2:])


class NoNorm(PolarizedSelfAttention):
    """The layer normalisation left out, in the place where the paper has it."""

    def __init__(self, channels: int, *args: Any, **options: Any) -> None:
        super().__init__(channels, *args, **options)
        self.norm = nn.Identity()


class ConvolutionsWithBias(PolarizedSelfAttention):
    """Biases in the 1 × 1 convolutions, as in the most popular copy."""

    def __init__(self, channels: int, *args: Any, **options: Any) -> None:
        super().__init__(channels, *args, **options)
        self.channel_query = nn.Conv2d(channels, 1, 1)
        self.channel_value = nn.Conv2d(channels, channels // 2, 1)


class SequenceOfTheInput(PolarizedSelfAttention):
    """In sequence, the second gate computed from the input itself."""

    def attend(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        channel, space = self.channel_gate(x), self.space_gate(x)
        y = x * channel * space if self.order == "sequential" else x * channel + x * space
        return y, {"channel": channel, "space": space}


class SquareMaps(PolarizedSelfAttention):
    """Height and width exchanged where positions become a picture again."""

    def space_gate(self, x: Tensor) -> Tensor:
        gate = super().space_gate(x)
        return gate.flatten(2).view(len(x), 1, x.shape[3], x.shape[2]).transpose(2, 3)


class NoSigmoid(PolarizedSelfAttention):
    """The product of query and values as the gate, which has no bounds."""

    def space_gate(self, x: Tensor) -> Tensor:
        return super().space_gate(x).logit()


@pytest.mark.parametrize(
    ("wrong", "law", "says"),
    [
        (SoftmaxOverBatch, 4, "batch"),
        (QueryOverPositions, 2, "output"),
        (NoNorm, 6, "parameters"),
        (ConvolutionsWithBias, 6, "parameters"),
        (SequenceOfTheInput, 2, "output"),
        (SquareMaps, 2, "output"),
        (NoSigmoid, 3, "reaches from"),
    ],
)
def test_a_law_catches_what_circulates(wrong: type, law: int, says: str) -> None:
    with pytest.raises(AssertionError, match=rf"law {law} \((.|\n)*{says}"):
        LAWS[law](SPEC.with_build(wrong), 25)
