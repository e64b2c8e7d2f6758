"""Concurrent Squeeze-and-Excitation: its Spec for the laws, and what holds for this block alone."""

from dataclasses import replace
from math import exp
from typing import Any

import pytest
import torch
from einops import reduce
from hypothesis import strategies as st
from torch import Tensor, nn

import attention
from attention import formulas, registry
from attention.channel.se import SqueezeExcitation
from attention.hybrid.scse import COMBINATIONS, ConcurrentSqueezeExcitation
from attention.lab import cost
from tests.laws.laws import LAWS
from tests.laws.spec import BadArguments, Case, Spec, bad_images, cases
from tests.laws.steps import steps_of

Plane = list[list[float]]


def sigmoid(a: float) -> float:
    return 1 / (1 + exp(-a))


def offsets(layer: nn.Module, count: int) -> list[float]:
    return [0.0] * count if layer.bias is None else layer.bias.tolist()


def naive_channel(block: ConcurrentSqueezeExcitation, u: list[Plane]) -> list[float]:
    """σ(W₁ δ(W₂ z)), with z the means."""
    w2, w1 = block.reduce.weight.tolist(), block.expand.weight.tolist()
    z = []
    for plane in u:
        total = 0.0
        for row in plane:
            for value in row:
                total += value
        z.append(total / (len(plane) * len(plane[0])))
    hidden = []
    for weights, offset in zip(w2, offsets(block.reduce, len(w2)), strict=True):
        total = offset + sum(weight * z_c for weight, z_c in zip(weights, z, strict=True))
        hidden.append(total if total > 0 else 0.0)
    found = []
    for weights, offset in zip(w1, offsets(block.expand, len(w1)), strict=True):
        found.append(sigmoid(offset + sum(weight * h for weight, h in zip(weights, hidden, strict=True))))
    return found


def naive_space(block: ConcurrentSqueezeExcitation, u: list[Plane]) -> Plane:
    """σ(W_sq ⋆ U), position by position."""
    (weights,) = block.conv.weight.flatten(1).tolist()
    (offset,) = offsets(block.conv, 1)
    return [
        [
            sigmoid(offset + sum(weight * plane[i][j] for weight, plane in zip(weights, u, strict=True)))
            for j in range(len(u[0][0]))
        ]
        for i in range(len(u[0]))
    ]


def meet(how: str, value: float, s: float, q: float) -> float:
    """One number of the output, of one number of the input and the two gates."""
    if how == "max":
        return s * value if s * value > q * value else q * value
    return {
        "add": s * value + q * value,
        "multiply": (s * value) * (q * value),
        "channel": s * value,
        "space": q * value,
    }[how]


def naive(block: ConcurrentSqueezeExcitation, x: list[list[Plane]]) -> tuple[list[Any], dict[str, list[Any]]]:
    """The paper's equations, in the way to meet that the block was built for."""
    output, channels, spaces = [], [], []
    for u in x:
        s = [0.0] * len(u) if block.combine == "space" else naive_channel(block, u)
        q = [[0.0] * len(u[0][0])] * len(u[0]) if block.combine == "channel" else naive_space(block, u)
        output.append(
            [
                [[meet(block.combine, value, s_c, q[i][j]) for j, value in enumerate(row)] for i, row in enumerate(u_c)]
                for s_c, u_c in zip(s, u, strict=True)
            ]
        )
        channels.append([[[s_c]] for s_c in s])
        spaces.append([q])
    maps = {"channel": channels, "space": spaces}
    return output, {name: value for name, value in maps.items() if block.combine not in {"channel", "space"} - {name}}


def apply(block: ConcurrentSqueezeExcitation, maps: dict[str, Tensor], x: Tensor) -> Tensor:
    """How the gates make the output."""
    both = [x * gate for gate in maps.values()]
    if len(both) == 1:
        return both[0]
    ways = {"add": torch.add, "max": torch.maximum, "multiply": torch.mul}
    return ways[block.combine](*both)


def expected_cost(case: Case) -> dict[str, int]:
    """The formulas, which hold for both gates; of either alone, its part."""
    options, bias = case.options, int(case.options.get("bias", False))
    c, positions = options["channels"], case.height * case.width
    sse = {"parameters": c + bias, "macs": c * positions}
    if options.get("combine") == "space":
        return sse
    sizes = {"height": case.height, "width": case.width, **options}
    both = {which: formulas.evaluate("scse", which, **sizes) for which in sse}
    return {which: both[which] - sse[which] for which in sse} if options.get("combine") == "channel" else both


@st.composite
def options(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the constructor's arguments."""
    channels = draw(st.integers(1, 10))
    return {
        "channels": channels,
        "reduction": draw(st.sampled_from([r for r in range(1, channels + 1) if channels % r == 0])),
        "combine": draw(st.sampled_from(COMBINATIONS)),
        "bias": draw(st.booleans()),
    }


OFFICIAL = {"combine": "max", "bias": True}

SPEC = Spec(
    name="scse",
    cases=cases(options()),
    fixed=(
        Case({"channels": 8}, batch=2, height=3, width=5),
        Case({"channels": 6} | OFFICIAL, batch=3, height=4, width=3, seed=1),
        Case({"channels": 6, "reduction": 3, "combine": "multiply"}, batch=2, height=2, width=3, seed=2),
    ),
    naive=naive,
    apply=apply,
    cost=expected_cost,
    bad_arguments=(
        BadArguments({"channels": 7}, ValueError, "channels=7 is not divisible by reduction=2.*1, 7"),
        BadArguments({"channels": 0}, ValueError, "channels=0 is not positive"),
        BadArguments({"channels": 8, "reduction": 0}, ValueError, "reduction=0 is not positive"),
        BadArguments({"channels": 8, "reduction": 2.0}, TypeError, "reduction=2.0 is not a whole number"),
        BadArguments({"channels": None}, TypeError, "channels=None is not a whole number"),
        BadArguments({"channels": 8, "combine": "sum"}, ValueError, "combine='sum' is not one of 'add', 'max', 'mul"),
        BadArguments({"channels": 8, "combine": None}, ValueError, "combine=None is not one of"),
    ),
    bad_inputs=bad_images(),
)

#: One gate alone: what law 14 says of the docstring holds for both together, so they are no cases of the Spec.
ALONE = replace(
    SPEC,
    fixed=(
        Case({"channels": 6, "combine": "channel", "bias": True}, height=2, width=3),
        Case({"channels": 5, "combine": "space", "bias": True}, height=3, width=2, seed=1),
    ),
)


@pytest.mark.parametrize("number", [5, 7, 8, 9, 11, 12, 13])
def test_a_gate_alone_obeys_the_laws_too(number: int) -> None:
    LAWS[number](ALONE, 25)


def test_onnx_of_the_positions_alone() -> None:
    """Law 12 takes the first case alone."""
    LAWS[12](replace(ALONE, fixed=ALONE.fixed[1:]))


@pytest.mark.parametrize(("how", "expected"), [("channel", ["z", "excited", "cse"]), ("space", ["q", "sse"])])
def test_steps_of_a_gate_alone(how: str, expected: list[str]) -> None:
    block = ConcurrentSqueezeExcitation(4, combine=how)
    assert [name for name, _ in steps_of(block, torch.randn(1, 4, 2, 3))] == expected == list(block.steps)
    assert list(block.maps) == [how]


def test_gates_computed_by_hand() -> None:
    """Two channels of 1 × 2 pixels, one hidden unit: means 1 and 3, gates σ(2) and σ(−4); positions 2 − 0 and 4 − 2."""
    block = ConcurrentSqueezeExcitation(2).double()
    with torch.no_grad():
        block.reduce.weight.copy_(torch.tensor([[-1.0, 1.0]]))
        block.expand.weight.copy_(torch.tensor([[1.0], [-2.0]]))
        block.conv.weight.copy_(torch.tensor([-1.0, 2.0]).view(1, 2, 1, 1))
    x = torch.tensor([[[[0.0, 2.0]], [[2.0, 4.0]]]], dtype=torch.float64)
    s, q = (torch.tensor(each, dtype=torch.float64).sigmoid() for each in ([[2.0], [-4.0]], [[4.0, 6.0]]))
    output, maps = block.attend(x)
    torch.testing.assert_close(maps["channel"][0, :, :, 0], s)
    torch.testing.assert_close(maps["space"][0, 0], q)
    torch.testing.assert_close(output[0, :, 0], x[0, :, 0] * (s + q))


def same_weights(how: str) -> ConcurrentSqueezeExcitation:
    torch.manual_seed(0)
    return ConcurrentSqueezeExcitation(8, combine=how).double()


def test_the_ways_to_meet() -> None:
    x = torch.randn(2, 8, 4, 5, dtype=torch.float64)
    maps = same_weights("add").attend(x)[1]
    cse, sse = x * maps["channel"], x * maps["space"]
    for how, expected in {"add": cse + sse, "max": torch.maximum(cse, sse), "multiply": cse * sse}.items():
        torch.testing.assert_close(same_weights(how)(x), expected)


def test_the_larger_result_is_not_always_the_larger_gate() -> None:
    """Of negative numbers, max takes the one that is nearer to 0: the smaller gate."""
    x = torch.randn(2, 8, 4, 5, dtype=torch.float64)
    output, maps = same_weights("max").attend(x)
    low, high = torch.minimum(*maps.values()), torch.maximum(*maps.values())
    torch.testing.assert_close(output, torch.where(x > 0, high, low) * x)


def test_a_product_squares_the_input() -> None:
    """Both gates are open half where all weights are 0."""
    block, x = ConcurrentSqueezeExcitation(4, combine="multiply"), torch.randn(2, 4, 3, 3)
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    torch.testing.assert_close(block(x), x.square() / 4)


@pytest.mark.parametrize("bias", [False, True])
def test_the_channels_alone_are_se(bias: bool) -> None:
    block, se = ConcurrentSqueezeExcitation(8, combine="channel", bias=bias), SqueezeExcitation(8, 2, bias=bias)
    se.load_state_dict(block.state_dict())
    x = torch.randn(2, 8, 4, 5)
    torch.testing.assert_close(block(x), se(x))


def test_the_positions_alone_have_no_reduction() -> None:
    block = ConcurrentSqueezeExcitation(7, combine="space")
    assert [name for name, _ in block.named_parameters()] == ["conv.weight"]


def test_a_position_sees_itself_alone() -> None:
    """One pixel changed: the gate of positions changes there and nowhere else, that of channels everywhere."""
    block, x = ConcurrentSqueezeExcitation(8, bias=True).double(), torch.randn(1, 8, 4, 5, dtype=torch.float64)
    nn.init.constant_(block.reduce.bias, 10.0)  # no hidden unit sleeps
    other = x.clone()
    other[..., 2, 3] += 1
    before, after = block.attend(x)[1], block.attend(other)[1]
    changed = (before["space"] != after["space"]).nonzero().tolist()
    assert changed == [[0, 0, 2, 3]]
    assert (before["channel"] != after["channel"]).all()


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (OFFICIAL, 66_177),
        ({"bias": False}, 65_792),
        ({"combine": "channel", "bias": True}, 65_920),
        ({"combine": "space", "bias": True}, 257),
    ],
)
def test_parameters(options: dict[str, Any], count: int) -> None:
    assert sum(p.numel() for p in ConcurrentSqueezeExcitation(256, **options).parameters()) == count


def test_costs_of_one_block() -> None:
    x = torch.randn(1, 256, 14, 14)
    counted = cost.check("scse", ConcurrentSqueezeExcitation(256, **OFFICIAL), x, bias=True)
    assert counted.macs == 256**2 + 256 * 14 * 14


# The official code


def official(x: Tensor, w: dict[str, Tensor], larger: bool = True) -> Tensor:
    """The function of the authors' layer, in plain torch; or with the sum, as a well-known copy has it."""
    hidden = (x.mean((2, 3)) @ w["cSE.fc1.weight"].T + w["cSE.fc1.bias"]).clamp(min=0)
    channel = (hidden @ w["cSE.fc2.weight"].T + w["cSE.fc2.bias"]).sigmoid()[:, :, None, None]
    logits = torch.einsum("bchw,c->bhw", x, w["sSE.conv.weight"].flatten()) + w["sSE.conv.bias"]
    space = logits.sigmoid()[:, None]
    return torch.max(x * channel, x * space) if larger else x * channel + x * space


def weights_of(channels: int, reduction: int) -> dict[str, Tensor]:
    """Make up weights under the official names, of the official shapes."""
    shapes = {
        "cSE.fc1.weight": (channels // reduction, channels),
        "cSE.fc1.bias": (channels // reduction,),
        "cSE.fc2.weight": (channels, channels // reduction),
        "cSE.fc2.bias": (channels,),
        "sSE.conv.weight": (1, channels, 1, 1),
        "sSE.conv.bias": (1,),
    }
    return {name: torch.randn(shape, dtype=torch.float64) / channels**0.5 for name, shape in shapes.items()}


@pytest.mark.parametrize("channels", [4, 64])
def test_official_weights_load_and_give_the_official_function(channels: int) -> None:
    found = registry.entry("scse").official
    block, weights = attention.create("scse", channels, **found["options"]).double(), weights_of(channels, 2)
    attention.load_official(block, weights)
    x = torch.randn(3, channels, 5, 4, dtype=torch.float64)
    torch.testing.assert_close(block(x), official(x, weights), rtol=0, atol=1e-12)
    assert set(weights) <= set(found["names"])
    assert set(found["names"].values()) == set(block.state_dict())


def test_the_sum_with_biases_and_reduction_16_is_the_best_known_copy() -> None:
    block, weights = ConcurrentSqueezeExcitation(32, reduction=16, bias=True).double(), weights_of(32, 16)
    attention.load_official(block, weights)
    x = torch.randn(3, 32, 5, 4, dtype=torch.float64)
    torch.testing.assert_close(block(x), official(x, weights, larger=False), rtol=0, atol=1e-12)


# What circulates, in our words: each is caught by a law


class NoRelu(ConcurrentSqueezeExcitation):
    """The two linear layers with nothing between them."""

    def channel_gate(self, x: Tensor) -> Tensor:
        return self.expand(self.reduce(reduce(x, "b c h w -> b c", "mean"))).sigmoid()[..., None, None]


class PooledFirst(ConcurrentSqueezeExcitation):
    """The means of the channels taken before the positions are weighed."""

    def space_gate(self, x: Tensor) -> Tensor:
        return super().space_gate(reduce(x, "b c h w -> b c 1 1", "mean"))


class MeanOfChannels(ConcurrentSqueezeExcitation):
    """The plain mean of the channels for the learnt mixture."""

    def space_gate(self, x: Tensor) -> Tensor:
        return reduce(x, "b c h w -> b 1 h w", "mean").sigmoid()


class AGateForEachNumber(ConcurrentSqueezeExcitation):
    """A convolution to as many channels as come in, not to one."""

    def __init__(self, channels: int, reduction: int = 2, **options: Any) -> None:
        super().__init__(channels, reduction, **options)
        self.conv = nn.Conv2d(channels, channels, 1, bias=options.get("bias", False))


class SoftmaxOfPositions(ConcurrentSqueezeExcitation):
    """Positions that compete."""

    def space_gate(self, x: Tensor) -> Tensor:
        return self.conv(x).flatten(2).softmax(2).view_as(x[:, :1])


class AlwaysAdds(ConcurrentSqueezeExcitation):
    """The sum, whatever was asked for."""

    def attend(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        maps = super().attend(x)[1]
        return sum(x * gate for gate in maps.values()), maps


class OneAfterTheOther(ConcurrentSqueezeExcitation):
    """The positions weighed in what the channels' gate let through."""

    def attend(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        maps = super().attend(x)[1]
        if len(maps) == 2:
            maps["space"] = self.space_gate(x * maps["channel"])
        return apply(self, maps, x), maps


@pytest.mark.parametrize(
    ("wrong", "law"),
    [
        (NoRelu, 2),
        (PooledFirst, 3),
        (MeanOfChannels, 5),
        (AGateForEachNumber, 6),
        (SoftmaxOfPositions, 2),
        (AlwaysAdds, 3),
        (OneAfterTheOther, 2),
    ],
)
def test_a_law_catches_what_circulates(wrong: type, law: int) -> None:
    with pytest.raises(AssertionError, match=rf"law {law} \("):
        LAWS[law](SPEC.with_build(wrong), 25)
