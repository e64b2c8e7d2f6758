"""Criss-cross attention: its Spec for the laws, and what holds for this block alone."""

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
from attention.self_attention import ccnet
from attention.self_attention.ccnet import CrissCrossAttention
from tests.laws.laws import LAWS
from tests.laws.spec import BadArguments, Case, Spec, bad_images, cases
from tests.self_attention.test_dot_product import Image, Rows, softmax


def conv(layer: nn.Conv2d, sample: list[Rows]) -> list[Rows]:
    """A 1 × 1 convolution of one image: channel by channel, row by row."""
    weight, bias = layer.weight.flatten(1).tolist(), layer.bias.tolist()
    height, width = range(len(sample[0])), range(len(sample[0][0]))
    return [
        [[b + sum(w * sample[c][i][j] for c, w in enumerate(ws)) for j in width] for i in height]
        for ws, b in zip(weight, bias, strict=True)
    ]


def one_pass(block: CrissCrossAttention, sample: list[Rows]) -> tuple[list[Rows], Rows]:
    """Equations (1) and (2) for one image: every position and the height + width − 1 of its criss-cross."""
    q, k, v = (conv(layer, sample) for layer in (block.queries, block.keys, block.values))
    height, width = len(sample[0]), len(sample[0][0])
    gamma = block.gamma.item() if block.scale else 1.0
    output, weights = [[row[:] for row in plane] for plane in sample], []
    for i in range(height):
        for j in range(width):
            cross = [(m, j) for m in range(height) if m != i] + [(i, m) for m in range(width)]
            similar = [sum(q[c][i][j] * k[c][y][x] for c in range(len(q))) for y, x in cross]
            a = dict(zip(cross, softmax(similar), strict=True))
            for c, plane in enumerate(output):
                plane[i][j] += gamma * sum(a[y, x] * v[c][y][x] for y, x in cross)
            column = [0.0 if m == i else a[m, j] for m in range(height)]
            weights.append(column + [a[i, m] for m in range(width)])
    return output, weights


def naive(block: CrissCrossAttention, x: Image) -> tuple[Image, dict[str, Any]]:
    """The passes, one image at a time."""
    output, maps = [], {f"pass_{number}": [] for number in range(1, block.passes + 1)}
    for sample in x:
        features = sample
        for found in maps.values():
            features, weights = one_pass(block, features)
            found.append(weights)
        output.append(features)
    return output, maps


@st.composite
def options(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the constructor's arguments."""
    channels = draw(st.integers(1, 6))
    return {
        "channels": channels,
        "reduction": draw(st.sampled_from([r for r in range(1, channels + 1) if channels % r == 0])),
        "passes": draw(st.integers(1, 3)),
        "scale": draw(st.booleans()),
    }


def calm(block: CrissCrossAttention, generator: torch.Generator) -> None:
    """Halve queries and values: nothing is normalised between the passes, and what grows in one grows in the next."""
    for layer in (block.queries, block.values):
        layer.weight.mul_(0.5)


SPEC = Spec(
    name="ccnet",
    cases=cases(options(), height=(1, 4), width=(1, 5)),
    fixed=(
        Case({"channels": 4, "reduction": 2}, batch=2, height=2, width=3),
        Case({"channels": 4, "reduction": 4, "passes": 1, "scale": True}, batch=1, height=3, width=2, seed=1),
        Case({"channels": 3, "reduction": 1, "passes": 3}, batch=2, height=3, width=2, seed=2),
    ),
    prepare=calm,
    naive=naive,
    sizes=lambda block, known: {"n": known["h"] + known["w"]},
    no_gradient={"keys.bias": "it adds one number to all similarities of a position, which the softmax takes away"},
    bad_arguments=(
        BadArguments({"channels": 12}, ValueError, "channels=12 is not divisible by reduction=8.*1, 2, 3, 4, 6, 12"),
        BadArguments({"channels": 0}, ValueError, "channels=0 is not positive"),
        BadArguments({"channels": 8, "reduction": 0}, ValueError, "reduction=0 is not positive"),
        BadArguments({"channels": 8, "passes": 0}, ValueError, "passes=0 is not positive"),
        BadArguments({"channels": 8, "passes": 1.5}, TypeError, r"passes=1\.5 is not a whole number"),
    ),
    bad_inputs=bad_images(),
)

#: With the learnt factor, which starts at 0.
SCALED = replace(
    SPEC,
    fixed=(SPEC.fixed[1], Case({"channels": 4, "reduction": 1, "passes": 3, "scale": True}, height=2, width=5, seed=3)),
    identity_at_start=True,
)


def test_with_its_factor_a_fresh_block_is_the_identity() -> None:
    LAWS[9](SCALED)


def test_only_the_factor_learns_in_the_first_step() -> None:
    block = CrissCrossAttention(8, scale=True)
    block(torch.randn(2, 8, 3, 4)).square().sum().backward()
    assert {name for name, p in block.named_parameters() if p.grad.any()} == {"gamma"}


@pytest.mark.parametrize(("passes", "reached"), [(1, 15), (2, 63), (3, 63)])
def test_one_pass_reaches_a_cross_and_two_reach_everything(passes: int, reached: int) -> None:
    """On 7 × 9 positions, by the Jacobian: 15 of 63 after one pass, the row and the column; 63 after two."""
    torch.manual_seed(0)
    block = CrissCrossAttention(4, reduction=2, passes=passes).double()
    jacobian = torch.autograd.functional.jacobian(block, torch.randn(1, 4, 7, 9, dtype=torch.float64))
    touched = (jacobian != 0).any(0).any(3).any(0).any(2)  # (i, j, p, q): whether (i, j) follows (p, q)
    assert (touched.flatten(2).sum(2) == reached).all()
    if passes == 1:
        assert touched[2, 3].nonzero().tolist() == [[p, q] for p in range(7) for q in range(9) if p == 2 or q == 3]


def test_two_passes_are_one_pass_twice() -> None:
    one, two = CrissCrossAttention(8, passes=1).double(), CrissCrossAttention(8).double()
    one.load_state_dict(two.state_dict())
    x = torch.randn(2, 8, 4, 5, dtype=torch.float64)
    between, first = one.attend(x)
    after, second = one.attend(between)
    output, maps = two.attend(x)
    torch.testing.assert_close(output, after)
    torch.testing.assert_close(maps["pass_1"], first["pass_1"])
    torch.testing.assert_close(maps["pass_2"], second["pass_1"])


def test_equal_keys_give_the_plain_mean_of_a_cross() -> None:
    """All similarities are 0: each of the 3 + 4 − 1 positions counts 1/6, none of them twice."""
    block = CrissCrossAttention(2, reduction=1, passes=1).double()
    with torch.no_grad():
        block.keys.weight.zero_()
        block.keys.bias.zero_()
        block.values.weight.copy_(torch.eye(2)[..., None, None])
        block.values.bias.zero_()
    x = torch.randn(1, 2, 3, 4, dtype=torch.float64)
    cross = x.sum(2, keepdim=True) + x.sum(3, keepdim=True) - x
    torch.testing.assert_close(block(x), x + cross / 6)


def test_a_single_row_is_attention_over_all_of_it() -> None:
    """In a map of one row the column holds nothing but the position itself."""
    block, x = CrissCrossAttention(4, reduction=2, passes=1).double(), torch.randn(1, 4, 1, 6, dtype=torch.float64)
    q, k, v = (layer(x)[0, :, 0] for layer in (block.queries, block.keys, block.values))
    torch.testing.assert_close(block(x)[0, :, 0], x[0, :, 0] + v @ (q.T @ k).softmax(1).T)


def test_a_turned_picture_gives_the_turned_answer() -> None:
    """Rows and columns are treated alike."""
    block, x = CrissCrossAttention(4, reduction=2).double(), torch.randn(2, 4, 3, 5, dtype=torch.float64)
    torch.testing.assert_close(block(x.transpose(2, 3)), block(x).transpose(2, 3))


# What it costs


def test_cost_of_256_channels() -> None:
    """82,241 parameters with γ; for each pass the equations' multiply–adds, with the place that is computed twice."""
    c, h, w, x = 256, 14, 9, torch.randn(1, 256, 14, 9)
    for passes in (1, 2):
        counted = cost.count(CrissCrossAttention(c, passes=passes, scale=True), x)
        assert counted.parameters == cost.evaluate("ccnet", channels=c, scale=True) == 82_241
        assert counted.macs == passes * (5 * c * c * h * w // 4 + 9 * c * h * w * (h + w) // 8)


@pytest.mark.parametrize("training", [False, True])
def test_memory_grows_with_rows_and_columns_not_with_pairs(training: bool) -> None:
    """Twice the side: positions times height + width grow by 8, pairs by 16."""
    block = CrissCrossAttention(2, reduction=2)
    small, large = (
        cost.peak(block, torch.randn(1, 2, side, side, requires_grad=True), training=training) for side in (48, 96)
    )
    assert large / small < 8.1
    assert large < 4 * 96**4 / 10  # the matrix of all pairs, in bytes


def test_forward_lets_go_of_the_weights_of_each_pass() -> None:
    x = torch.randn(1, 2, 48, 48)
    few, many = (CrissCrossAttention(2, reduction=2, passes=passes) for passes in (1, 4))
    assert cost.peak(many, x) < 1.2 * cost.peak(few, x)
    assert cost.peak(Literal(many), x) > 1.5 * cost.peak(few, x)


# What circulates, in our words: each is caught by a law


class CentreTwice(CrissCrossAttention):
    """No −∞: the position itself counts in its column and in its row."""

    def _once(self, x: Tensor) -> tuple[Tensor, Tensor]:
        q, k, v = self.queries(x), self.keys(x), self.values(x)
        d = ccnet._affinity(q, k)
        own = rearrange((q * k).sum(1), "b h w -> b (h w) 1")
        a = torch.where(d.isinf(), own, d).softmax(2)
        return x + ccnet._aggregate(a, v), a


class NeverItself(CrissCrossAttention):
    """−∞ on both diagonals: a position takes nothing of itself."""

    def _once(self, x: Tensor) -> tuple[Tensor, Tensor]:
        v = self.values(x)
        d = ccnet._affinity(self.queries(x), self.keys(x))
        column, row = rearrange(d, "b (h w) n -> b h w n", h=x.shape[2]).split(list(x.shape[2:]), 3)
        row = row.masked_fill(torch.eye(x.shape[3], dtype=torch.bool), -1e9)
        a = rearrange(torch.cat([column, row], 3), "b h w n -> b (h w) n").softmax(2)
        return x + ccnet._aggregate(a, v), a


class TwoSoftmaxes(CrissCrossAttention):
    """Row and column each sum to 1."""

    def _once(self, x: Tensor) -> tuple[Tensor, Tensor]:
        v = self.values(x)
        d = ccnet._affinity(self.queries(x), self.keys(x))
        column, row = d.split(list(x.shape[2:]), 2)
        a = torch.cat([column.softmax(2).nan_to_num(), row.softmax(2)], 2)
        return x + ccnet._aggregate(a, v), a


class WeightsOfTheirOwn(CrissCrossAttention):
    """Convolutions of its own for the second pass."""

    def __init__(self, channels: int, reduction: int = 8, passes: int = 2, scale: bool = False) -> None:
        super().__init__(channels, reduction, passes, scale)
        self.second = CrissCrossAttention(channels, reduction, passes, scale)


class OnePass(CrissCrossAttention):
    """The number of passes is taken and not used."""

    def attend(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        output, a = self._once(x)
        return output, dict.fromkeys(self.maps, a)


class NoShortcut(CrissCrossAttention):
    """The weighted mean alone."""

    def _once(self, x: Tensor) -> tuple[Tensor, Tensor]:
        output, a = super()._once(x)
        return output - x, a


class FactorOfOne(CrissCrossAttention):
    """γ starts at 1."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        nn.init.ones_(self.gamma)


class SquareMaps(CrissCrossAttention):
    """Rows taken for columns: right where the map is square and its features alike both ways."""

    def _once(self, x: Tensor) -> tuple[Tensor, Tensor]:
        v = self.values(x)
        a = ccnet._affinity(self.queries(x), self.keys(x)).softmax(2)
        return x + ccnet._aggregate(a, v.transpose(2, 3)), a


@pytest.mark.parametrize(
    ("wrong", "number", "spec", "says"),
    [
        (SquareMaps, 1, SPEC, "RuntimeError|einops|output .*, documented"),
        (CentreTwice, 2, SPEC, "the map 'pass_1' differs"),
        (NeverItself, 2, SPEC, "the output differs"),
        (OnePass, 2, SPEC, "the output differs"),
        (NoShortcut, 2, SPEC, "the output differs"),
        (TwoSoftmaxes, 3, SPEC, "reaches from|summed over its axes"),
        (WeightsOfTheirOwn, 6, SPEC, "parameters: counted"),
        (FactorOfOne, 9, SCALED, "the output at initialisation"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_a_law_catches_what_circulates(wrong: type, number: int, spec: Spec, says: str) -> None:
    with pytest.raises(AssertionError, match=rf"law {number} \([\s\S]*({says})"):
        LAWS[number](spec.with_build(wrong), 25)


# The official code


def official(x: Tensor, weights: dict[str, Tensor]) -> Tensor:
    """The authors' module applied once, in our words: one position at a time, with lists of its criss-cross."""

    def convolved(name: str) -> Tensor:
        matrix = weights[f"{name}_conv.weight"].flatten(1)
        return torch.einsum("oc,bchw->bohw", matrix, x) + weights[f"{name}_conv.bias"][:, None, None]

    query, key, value = (convolved(name) for name in ("query", "key", "value"))
    output = x.clone()
    for i in range(x.shape[2]):
        for j in range(x.shape[3]):
            others = [m for m in range(x.shape[2]) if m != i]
            keys, values = (torch.cat([t[:, :, others, j], t[:, :, i]], 2) for t in (key, value))
            powers = torch.einsum("bd,bdn->bn", query[:, :, i, j], keys).exp()
            mean = torch.einsum("bn,bcn->bc", powers, values) / powers.sum(1, keepdim=True)
            output[:, :, i, j] += weights["gamma"] * mean
    return output


@pytest.mark.parametrize("recurrence", [1, 2])
def test_the_official_weights_and_function(recurrence: int) -> None:
    c, draw = 16, torch.Generator().manual_seed(3)
    shapes = {"gamma": (1,)}
    for name, width in (("query", c // 8), ("key", c // 8), ("value", c)):
        shapes |= {f"{name}_conv.weight": (width, c, 1, 1), f"{name}_conv.bias": (width,)}
    weights = {name: 0.5 * torch.randn(shape, generator=draw, dtype=torch.float64) for name, shape in shapes.items()}
    x = torch.randn(2, c, 3, 5, generator=draw, dtype=torch.float64)
    given = registry.entry("ccnet").official["options"]
    assert given["passes"] == 1
    block = CrissCrossAttention(c, **{**given, "passes": recurrence}).double()
    load_official(block, {f"head.cca.{name}": value for name, value in weights.items()}, prefix="head.cca.")
    expected = x
    for _ in range(recurrence):
        expected = official(expected, weights)
    for found in (block(x), block.attend(x)[0]):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
