"""Dual attention: its Spec for the laws, and what holds for this block alone."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from einops import rearrange
from hypothesis import strategies as st
from torch import Tensor, nn

from attention import registry
from attention.lab import cost
from attention.laws.gradients import Literal
from attention.official import load_official
from attention.self_attention.danet import PARTS, DualAttention
from tests.laws.laws import LAWS
from tests.laws.spec import BadArguments, Case, Spec, bad_images, cases
from tests.self_attention.test_dot_product import Image, Rows, softmax
from tests.self_attention.test_non_local import convolve, dot, positions


def naive_position(block: DualAttention, sample: list[Rows]) -> tuple[Rows, Rows]:
    """Equations (1) and (2), one pair of positions at a time; a row of E for each position."""
    a = positions(sample)
    k, q, v = (convolve(layer, a) for layer in (block.keys, block.queries, block.values))
    s = [softmax([dot(k_i, q_j) for k_i in k]) for q_j in q]
    alpha = block.alpha.item()
    e = [
        [alpha * sum(s[j][i] * v[i][n] for i in range(len(a))) + a[j][n] for n in range(len(sample))]
        for j in range(len(a))
    ]
    return e, s


def naive_channel(block: DualAttention, sample: list[Rows]) -> tuple[Rows, Rows]:
    """Equations (3) and (4), one pair of channels at a time; a row of E for each channel."""
    a = [[value for row in plane for value in row] for plane in sample]
    sign = -1 if block.reverse else 1
    x = [softmax([sign * dot(a_i, a_j) for a_i in a]) for a_j in a]
    beta = block.beta.item()
    e = [
        [beta * sum(x[j][i] * a[i][n] for i in range(len(a))) + a[j][n] for n in range(len(a[0]))]
        for j in range(len(a))
    ]
    return e, x


def naive(block: DualAttention, x: Image) -> tuple[Image, dict[str, Any]]:
    """Equations (1) to (4) of the paper, and the sum of both answers."""
    output, maps = [], {name: [] for name in ("position", "channel") if block.part in ("both", name)}
    for sample in x:
        height, width = len(sample[0]), len(sample[0][0])
        total = [[0.0] * (height * width) for _ in sample]
        if "position" in maps:
            e, s = naive_position(block, sample)
            maps["position"].append(s)
            total = [[t + e[n][k] for n, t in enumerate(row)] for k, row in enumerate(total)]
        if "channel" in maps:
            e, weights = naive_channel(block, sample)
            maps["channel"].append(weights)
            total = [[t + e[k][n] for n, t in enumerate(row)] for k, row in enumerate(total)]
        output.append([[[row[i * width + j] for j in range(width)] for i in range(height)] for row in total])
    return output, maps


def count(case: Case) -> dict[str, int]:
    """The cost of the form that ``forward`` computes, counted from the equations."""
    o = {"reduction": 8, "part": "both", **case.options}
    c, d, n = o["channels"], o["channels"] // o["reduction"], case.height * case.width
    position = {"parameters": c * c + 2 * c * d + c + 2 * d + 1, "macs": (c * c + 2 * c * d) * n + 2 * c * n * n}
    channel = {"parameters": 1, "macs": 2 * c * c * n}
    parts = [each for name, each in (("position", position), ("channel", channel)) if o["part"] in ("both", name)]
    return {which: sum(each[which] for each in parts) for which in ("parameters", "macs")}


@st.composite
def options(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the constructor's arguments."""
    channels = draw(st.integers(1, 6))
    part = draw(st.sampled_from(PARTS))
    return {
        "channels": channels,
        "reduction": draw(st.sampled_from([r for r in range(1, channels + 1) if channels % r == 0])),
        "part": part,
        "reverse": part != "position" and draw(st.booleans()),
    }


SPEC = Spec(
    name="danet",
    cases=cases(options(), height=(1, 4), width=(1, 4)),
    fixed=(
        Case({"channels": 4, "reduction": 2}, batch=2, height=2, width=3),
        Case({"channels": 4, "reduction": 4, "reverse": True}, batch=1, height=3, width=2, seed=1),
        Case({"channels": 4, "reduction": 1, "part": "position"}, batch=2, height=2, width=3, seed=2),
        Case({"channels": 5, "part": "channel"}, batch=2, height=2, width=2, seed=3),
    ),
    naive=naive,
    cost=count,
    no_gradient={"keys.bias": "it adds one number to all similarities of a position, which the softmax takes away"},
    exceptions={
        "second derivatives": "PyTorch's fused kernel has only first ones; block.attend(x)[0] is the same and has both"
    },
    bad_arguments=(
        BadArguments({"channels": 12}, ValueError, "channels=12 is not divisible by reduction=8.*1, 2, 3, 4, 6, 12"),
        BadArguments({"channels": 0}, ValueError, "channels=0 is not positive"),
        BadArguments({"channels": 8, "reduction": 0}, ValueError, "reduction=0 is not positive"),
        BadArguments({"channels": 8.0}, TypeError, r"channels=8\.0 is not a whole number"),
        BadArguments({"channels": 8, "part": "space"}, ValueError, "part='space' is not one of 'both', 'position'"),
        BadArguments({"channels": 8, "part": "position", "reverse": True}, ValueError, "reverse=True is about the"),
    ),
    bad_inputs=bad_images(),
)

#: Each module alone, which starts as the identity.
ALONE = replace(SPEC, fixed=SPEC.fixed[2:], identity_at_start=True)


def test_each_module_alone_starts_as_the_identity() -> None:
    LAWS[9](ALONE)


@pytest.mark.parametrize("reverse", [False, True])
def test_both_together_start_as_twice_the_input(reverse: bool) -> None:
    x = torch.randn(2, 8, 5, 6)
    assert torch.equal(DualAttention(8, reverse=reverse)(x), 2 * x)


def awake(channels: int = 8, **options: Any) -> DualAttention:
    """Build a block whose scales are not 0, in float64."""
    block = DualAttention(channels, **options).double().eval()
    with torch.no_grad():
        for name in ("alpha", "beta"):
            if hasattr(block, name):
                getattr(block, name).fill_(0.7)
    return block


def test_both_are_the_sum_of_the_modules() -> None:
    both, x = awake(), torch.randn(2, 8, 4, 5, dtype=torch.float64)
    total = 0
    for part in PARTS[1:]:
        alone = awake(part=part)
        alone.load_state_dict({k: v for k, v in both.state_dict().items() if k in alone.state_dict()})
        total = total + alone(x)
    torch.testing.assert_close(both(x), total)


def test_only_the_scales_learn_in_the_first_step() -> None:
    block = DualAttention(8)
    block(torch.randn(2, 8, 3, 4)).square().sum().backward()
    assert {name for name, p in block.named_parameters() if p.grad is not None and p.grad.any()} == {"alpha", "beta"}


def test_a_channel_that_has_a_twin_takes_from_it_or_avoids_it() -> None:
    """Four channels of length 1, the first two alike, the others at right angles to all."""
    x = torch.zeros(1, 4, 1, 4, dtype=torch.float64)
    x[0, 0, 0, 0] = x[0, 1, 0, 0] = x[0, 2, 0, 2] = x[0, 3, 0, 3] = 1
    e = torch.tensor(1.0, dtype=torch.float64).exp()
    ours = awake(4, part="channel").attend(x)[1]["channel"][0, 0]
    theirs = awake(4, part="channel", reverse=True).attend(x)[1]["channel"][0, 0]
    torch.testing.assert_close(ours, torch.stack([e, e, e**0, e**0]) / (2 * e + 2))
    torch.testing.assert_close(theirs, torch.stack([e**0, e**0, e, e]) / (2 * e + 2))


def test_the_paper_keeps_a_channel_and_the_code_mixes_it_away() -> None:
    """With 64 positions of random numbers a channel is most like itself by far."""
    torch.manual_seed(0)
    x = torch.randn(1, 16, 8, 8, dtype=torch.float64)
    kept, mixed = (awake(16, part="channel", reverse=r).attend(x)[1]["channel"][0].diagonal() for r in (False, True))
    assert kept.min() > 0.99
    assert mixed.max() < 1e-6


@pytest.mark.parametrize("part", PARTS)
def test_every_position_is_reached_as_the_modules_say(part: str) -> None:
    """The positions' module couples all positions; the channels' couples them too, through the similarities alone."""
    torch.manual_seed(0)
    block = awake(4, reduction=2, part=part)
    x = 0.3 * torch.randn(1, 4, 2, 3, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(block, x)
    assert (jacobian != 0).all()


def test_positions_shuffled_give_outputs_shuffled() -> None:
    block, x = awake(), torch.randn(2, 8, 3, 4, dtype=torch.float64)
    order = torch.randperm(12)
    shuffled = x.flatten(2)[..., order].view_as(x)
    torch.testing.assert_close(block(shuffled), block(x).flatten(2)[..., order].view_as(x))


# What it costs


def test_the_entry_has_the_cost_of_the_default() -> None:
    case = Case({"channels": 64}, height=14, width=9)
    assert count(case) == {
        which: cost.evaluate("danet", which, channels=64, height=14, width=9) for which in count(case)
    }


def test_cost_of_256_channels() -> None:
    """82,241 parameters for positions and 1 for channels; the equations' multiply–adds, and those of ``forward``."""
    c, n, x = 256, 14 * 14, torch.randn(1, 256, 14, 14)
    position, channel = (DualAttention(c, part=part) for part in ("position", "channel"))
    assert cost.count(channel, x).parameters == 1
    assert cost.count(channel, x).macs == 2 * c * c * n
    literal, fast = cost.count(Literal(position), x), cost.count(position, x)
    assert literal.parameters == fast.parameters == 82_241
    assert literal.macs == 5 * c * c * n // 4 + 9 * c * n * n // 8
    assert fast.macs == 5 * c * c * n // 4 + 2 * c * n * n


@pytest.mark.parametrize("training", [False, True])
def test_forward_never_holds_all_pairs(training: bool) -> None:
    """4,096 positions: the matrix of all pairs alone would take 64 MiB."""
    block, x = DualAttention(8, reduction=2), torch.randn(1, 8, 64, 64, requires_grad=True)
    matrix = 4 * 4096**2
    assert cost.peak(block, x, training=training) < matrix / 20
    assert cost.peak(Literal(block), x, training=training) > matrix


# What circulates, in our words: each is caught by a law


class Wrong(DualAttention):
    """A spoilt block computes one form, the literal one."""

    def forward(self, x: Tensor) -> Tensor:
        return self.attend(x)[0]


class ScaledByRoot(Wrong):
    """The similarities of positions divided by the root of their width."""

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        k, q, v = super()._project(x)
        return k / (1 + k.shape[2]) ** 0.5, q, v


class SoftmaxOverAskers(Wrong):
    """The softmax over the positions that ask, not over those that are asked."""

    def attend(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        k, q, v = self._project(x)
        s = (q @ k.transpose(1, 2)).softmax(dim=1)
        return self._position(s @ v, x), {"position": s}


class ReversedSimilarity(Wrong):
    """The authors' channel module where the paper's was asked for."""

    def __init__(self, channels: int, reduction: int = 8, part: str = "both", reverse: bool = False) -> None:
        super().__init__(channels, reduction, part, reverse)
        self.turned = part != "position"

    def _channel(self, x: Tensor) -> tuple[Tensor, Tensor]:
        given, self.reverse = self.reverse, self.turned
        try:
            return super()._channel(x)
        finally:
            self.reverse = given


class NoShortcut(Wrong):
    """The answer of the positions' module without what was there."""

    def _position(self, mean: Tensor, x: Tensor) -> Tensor:
        return super()._position(mean, x) - x


class Transposed(Wrong):
    """Positions put back as if the map were read column by column: right on square symmetric maps alone."""

    def _position(self, mean: Tensor, x: Tensor) -> Tensor:
        return x + self.alpha * rearrange(mean, "b (w h) c -> b c h w", h=x.shape[2])


class WideQueries(Wrong):
    """Queries and keys as wide as the input, whatever the reduction."""

    def __init__(self, channels: int, reduction: int = 8, part: str = "both", reverse: bool = False) -> None:
        super().__init__(channels, reduction, part, reverse)
        if part != "channel":
            self.queries, self.keys = (nn.Conv2d(channels, channels, 1) for _ in range(2))


class ScaleOfOne(Wrong):
    """Scales that start at 1."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        for scale in self.parameters(recurse=False):
            nn.init.ones_(scale)


POSITION = replace(SPEC, fixed=SPEC.fixed[2:3], cases=st.just(SPEC.fixed[2]))


@pytest.mark.parametrize(
    ("wrong", "number", "spec", "says"),
    [
        (ScaledByRoot, 2, SPEC, "the output differs"),
        (ReversedSimilarity, 2, SPEC, "the output differs"),
        (NoShortcut, 2, SPEC, "the output differs"),
        (Transposed, 2, SPEC, "the output differs"),
        (SoftmaxOverAskers, 3, POSITION, r"summed over its axes \(2,\), differs"),
        (WideQueries, 6, SPEC, "parameters: counted"),
        (ScaleOfOne, 9, ALONE, "the output at initialisation"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_a_law_catches_what_circulates(wrong: type, number: int, spec: Spec, says: str) -> None:
    with pytest.raises(AssertionError, match=rf"law {number} \([\s\S]*({says})"):
        LAWS[number](spec.with_build(wrong), 25)


# The official code


def official(x: Tensor, weights: dict[str, Tensor]) -> Tensor:
    """The sum of the authors' two modules, in our words: similarities by sums over products, one query at a time."""

    def conv(name: str) -> Tensor:
        matrix = weights[f"sa.{name}_conv.weight"].flatten(1)
        return torch.einsum("oc,bcn->bon", matrix, flat) + weights[f"sa.{name}_conv.bias"][:, None]

    flat = x.flatten(2)
    query, key, value = (conv(name) for name in ("query", "key", "value"))
    position = torch.zeros_like(flat)
    for j in range(flat.shape[2]):
        powers = torch.einsum("bd,bdn->bn", query[:, :, j], key).exp()
        position[:, :, j] = torch.einsum("bn,bcn->bc", powers, value) / powers.sum(1, keepdim=True)
    channel = torch.zeros_like(flat)
    for j in range(flat.shape[1]):
        energy = torch.einsum("bn,bcn->bc", flat[:, j], flat)
        powers = (energy.amax(1, keepdim=True) - energy - energy.max() + energy.min()).exp()
        channel[:, j] = torch.einsum("bc,bcn->bn", powers, flat) / powers.sum(1, keepdim=True)
    return 2 * x + (weights["sa.gamma"] * position + weights["sc.gamma"] * channel).view_as(x)


def test_the_official_weights_and_function() -> None:
    c, draw = 16, torch.Generator().manual_seed(3)
    shapes = {
        "sa.query_conv.weight": (c // 8, c, 1, 1),
        "sa.query_conv.bias": (c // 8,),
        "sa.key_conv.weight": (c // 8, c, 1, 1),
        "sa.key_conv.bias": (c // 8,),
        "sa.value_conv.weight": (c, c, 1, 1),
        "sa.value_conv.bias": (c,),
        "sa.gamma": (1,),
        "sc.gamma": (1,),
    }
    weights = {name: 0.5 * torch.randn(shape, generator=draw, dtype=torch.float64) for name, shape in shapes.items()}
    x = torch.randn(2, c, 3, 5, generator=draw, dtype=torch.float64)
    block = DualAttention(c, **registry.entry("danet").official["options"]).double()
    load_official(block, {f"head.{name}": value for name, value in weights.items()}, prefix="head.")
    expected = official(x, weights)
    for found in (block(x), block.attend(x)[0]):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    assert not torch.allclose(DualAttention(c).double()(x), expected)
