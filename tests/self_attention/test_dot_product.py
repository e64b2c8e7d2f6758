"""Scaled dot-product attention: its Spec for the laws, and what holds for this block alone."""

from math import exp, sqrt
from typing import Any

import pytest
import torch
from hypothesis import strategies as st
from torch import nn

from attention.lab import cost
from attention.self_attention.dot_product import DotProductAttention
from tests.laws.spec import BadArguments, Case, Spec, bad_images, cases

Rows = list[list[float]]
Image = list[list[list[list[float]]]]


def linear(layer: nn.Linear, rows: Rows) -> Rows:
    weights = layer.weight.tolist()
    offsets = [0.0] * len(weights) if layer.bias is None else layer.bias.tolist()
    return [
        [b + sum(w * v for w, v in zip(ws, row, strict=True)) for ws, b in zip(weights, offsets, strict=True)]
        for row in rows
    ]


def softmax(scores: list[float]) -> list[float]:
    largest = max(scores)
    powers = [exp(score - largest) for score in scores]
    return [power / sum(powers) for power in powers]


def naive(block: DotProductAttention, x: Image) -> tuple[Image, dict[str, Any]]:
    """Equation (1) of the paper for each head, one pair of positions at a time."""
    output, maps = [], []
    for sample in x:
        height, width = len(sample[0]), len(sample[0][0])
        rows = [[channel[i][j] for channel in sample] for i in range(height) for j in range(width)]
        q, k, v = (linear(layer, rows) for layer in (block.queries, block.keys, block.values))
        d = len(sample) // block.heads
        heads, joined = [], [[] for _ in rows]
        for head in range(block.heads):
            own = range(head * d, (head + 1) * d)
            pairs = []
            for i in range(len(rows)):
                scores = [sum(q[i][c] * k[j][c] for c in own) / sqrt(d) for j in range(len(rows))]
                pairs.append(softmax(scores))
                joined[i] += [sum(pairs[i][j] * v[j][c] for j in range(len(rows))) for c in own]
            heads.append(pairs)
        mixed = linear(block.out, joined)
        output.append(
            [[[mixed[i * width + j][c] for j in range(width)] for i in range(height)] for c in range(len(sample))]
        )
        maps.append(heads)
    return output, {"pairs": maps}


@st.composite
def options(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the constructor's arguments."""
    channels = draw(st.integers(1, 8))
    divisors = [n for n in range(1, channels + 1) if channels % n == 0]
    return {"channels": channels, "heads": draw(st.sampled_from(divisors)), "bias": draw(st.booleans())}


SPEC = Spec(
    name="dot_product",
    cases=cases(options(), height=(1, 4), width=(1, 4)),
    fixed=(
        Case({"channels": 4, "heads": 2, "bias": True}, batch=2, height=2, width=3),
        Case({"channels": 4}, batch=2, height=3, width=2, seed=1),
        Case({"channels": 6, "heads": 3}, batch=1, height=2, width=2, seed=2),
    ),
    naive=naive,
    sizes=lambda block, known: {"n": block.heads},
    no_gradient={"keys.bias": "it adds one number to all similarities of a query, and the softmax takes that away"},
    exceptions={
        "second derivatives": "PyTorch's fused kernel has only first ones; block.attend(x)[0] is the same and has both"
    },
    bad_arguments=(
        BadArguments({"channels": 8, "heads": 3}, ValueError, "channels=8 is not divisible by heads=3.*1, 2, 4, 8"),
        BadArguments({"channels": 0}, ValueError, "channels=0 is not positive"),
        BadArguments({"channels": 8, "heads": 0}, ValueError, "heads=0 is not positive"),
        BadArguments({"channels": 8.0}, TypeError, r"channels=8\.0 is not a whole number"),
    ),
    bad_inputs=bad_images(),
)


def test_a_pair_computed_by_hand() -> None:
    """Two positions, identity weights, d = 4: similarities 4/2 and 0, weights e²/(e² + 1) and 1/(e² + 1)."""
    block = DotProductAttention(4)
    with torch.no_grad():
        for layer in (block.queries, block.keys, block.values, block.out):
            layer.weight.copy_(torch.eye(4))
    x = torch.tensor([[2.0, 0.0], [0.0, 2.0], [0.0, 0.0], [0.0, 0.0]])[None, :, None]
    pairs = block.attend(x)[1]["pairs"]
    near = exp(2) / (exp(2) + 1)
    torch.testing.assert_close(pairs[0, 0], torch.tensor([[near, 1 - near], [1 - near, near]]))


def test_shuffled_positions_give_shuffled_outputs() -> None:
    block, x = DotProductAttention(8, 2).double(), torch.randn(2, 8, 4, 5, dtype=torch.float64)
    order = torch.randperm(20)
    shuffled = x.flatten(2)[..., order].view_as(x)
    torch.testing.assert_close(block(shuffled), block(x).flatten(2)[..., order].view_as(x))


def test_it_is_pytorchs_multihead_attention() -> None:
    block = DotProductAttention(8, 2, bias=True).double()
    other = nn.MultiheadAttention(8, 2, batch_first=True).double()
    three = (block.queries, block.keys, block.values)
    with torch.no_grad():
        other.in_proj_weight.copy_(torch.cat([layer.weight for layer in three]))
        other.in_proj_bias.copy_(torch.cat([layer.bias for layer in three]))
        other.out_proj.load_state_dict(block.out.state_dict())
    x = torch.randn(2, 8, 3, 4, dtype=torch.float64)
    tokens = x.flatten(2).transpose(1, 2)
    expected, pairs = other(tokens, tokens, tokens, average_attn_weights=False)
    output, maps = block.attend(x)
    torch.testing.assert_close(output.flatten(2).transpose(1, 2), expected)
    torch.testing.assert_close(maps["pairs"], pairs)


@pytest.mark.parametrize("heads", [1, 4])
def test_heads_cost_nothing(heads: int) -> None:
    counted = cost.count(DotProductAttention(32, heads), torch.randn(1, 32, 6, 5))
    assert (counted.parameters, counted.macs) == (4 * 32**2, 4 * 32**2 * 30 + 2 * 32 * 30**2)


class Literal(nn.Module):
    """A block whose forward is its attend."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.block.attend(x)[0]


def test_forward_needs_a_quarter_of_the_memory() -> None:
    block, x = DotProductAttention(64), torch.randn(1, 64, 32, 32)
    for training in (False, True):
        assert cost.peak(block, x, training=training) <= 0.25 * cost.peak(Literal(block), x, training=training)
