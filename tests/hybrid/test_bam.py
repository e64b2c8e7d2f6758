"""BAM: its Spec for the laws, and what holds for this block alone."""

from math import exp
from typing import Any

import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from attention.hybrid.bam import COMBINATIONS, BottleneckAttention
from tests.laws.laws import LAWS
from tests.laws.spec import BadArguments, Case, Spec, bad_images, cases

Plane = list[list[float]]


def sigmoid(a: float) -> float:
    return 1 / (1 + exp(-a))


def normed(norm: nn.Module, c: int, value: float) -> float:
    """Batch normalisation in eval mode, of one number of channel c."""
    if isinstance(norm, nn.Identity):
        return value
    deviation = (norm.running_var[c].item() + norm.eps) ** 0.5
    return norm.weight[c].item() * (value - norm.running_mean[c].item()) / deviation + norm.bias[c].item()


def dense(layer: nn.Linear, norm: nn.Module, z: list[float]) -> list[float]:
    """A linear layer and what normalises it."""
    result = []
    for k, (weights, total) in enumerate(zip(layer.weight.tolist(), layer.bias.tolist(), strict=True)):
        for weight, value in zip(weights, z, strict=True):
            total += weight * value
        result.append(normed(norm, k, total))
    return result


def convolved(layer: nn.Conv2d, norm: nn.Module, f: list[Plane], spread: int = 1) -> list[Plane]:
    """A convolution of taps so far apart, outside the map all is 0, and what normalises it."""
    height, width, half = len(f[0]), len(f[0][0]), layer.kernel_size[0] // 2
    result = []
    for k, (kernels, bias) in enumerate(zip(layer.weight.tolist(), layer.bias.tolist(), strict=True)):
        plane = []
        for i in range(height):
            row = []
            for j in range(width):
                total = bias
                for kernel, seen in zip(kernels, f, strict=True):
                    for di in range(-half, half + 1):
                        for dj in range(-half, half + 1):
                            at, by = i + spread * di, j + spread * dj
                            if 0 <= at < height and 0 <= by < width:
                                total += kernel[di + half][dj + half] * seen[at][by]
                row.append(normed(norm, k, total))
            plane.append(row)
        result.append(plane)
    return result


def positive(f: Any) -> Any:
    return [positive(each) for each in f] if isinstance(f, list) else max(f, 0.0)


def naive(block: BottleneckAttention, x: list[list[Plane]]) -> tuple[list[Any], dict[str, list[Any]]]:
    """Equations (3), (4), (2) and (1) of the paper, one number at a time."""
    fc, conv = list(block.channel), list(block.space)
    output, gates = [], []
    for f in x:
        height, width = len(f[0]), len(f[0][0])
        z = [sum(value for row in plane for value in row) / (height * width) for plane in f]
        channel = dense(fc[3], fc[4], positive(dense(fc[0], fc[1], z)))
        seen = f
        for at in (0, 3, 6):
            seen = positive(convolved(conv[at], conv[at + 1], seen, block.dilation))
        (space,) = convolved(conv[9], conv[10], seen)
        gate = []
        for score in channel:
            pairs = [[(score, other) for other in row] for row in space]
            if block.combine == "sum":
                gate.append([[sigmoid(a + b) for a, b in row] for row in pairs])
            elif block.combine == "product":
                gate.append([[sigmoid(a * b) for a, b in row] for row in pairs])
            else:
                gate.append([[sigmoid(a if a > b else b) for a, b in row] for row in pairs])
        gates.append(gate)
        output.append(
            [
                [[value + value * gate[c][i][j] for j, value in enumerate(row)] for i, row in enumerate(plane)]
                for c, plane in enumerate(f)
            ]
        )
    return output, {"element": gates}


@st.composite
def options(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the constructor's arguments, small: the naive convolutions are slow."""
    channels = draw(st.integers(1, 6))
    return {
        "channels": channels,
        "reduction": draw(st.sampled_from([r for r in range(1, channels + 1) if channels % r == 0])),
        "dilation": draw(st.integers(1, 4)),
        "combine": draw(st.sampled_from(list(COMBINATIONS))),
        "hidden_norm": draw(st.booleans()),
    }


SPEC = Spec(
    name="bam",
    cases=cases(options(), height=(1, 5), width=(1, 5)),
    fixed=(
        Case({"channels": 4, "reduction": 2, "dilation": 1}, height=3, width=4),
        Case({"channels": 4, "reduction": 2, "combine": "product", "hidden_norm": True}, height=5, width=6, seed=1),
        Case({"channels": 3, "reduction": 1, "dilation": 2, "combine": "max"}, batch=3, height=4, width=3, seed=2),
    ),
    naive=naive,
    apply=lambda block, maps, x: x + x * maps["element"],
    bad_arguments=(
        BadArguments({"channels": 30}, ValueError, "channels=30 is not divisible by reduction=16"),
        BadArguments({"channels": 0}, ValueError, "channels=0 is not positive"),
        BadArguments({"channels": 16, "reduction": -2}, ValueError, "reduction=-2 is not positive"),
        BadArguments({"channels": 16, "reduction": 4.0}, TypeError, "reduction=4.0 is not a whole number"),
        BadArguments({"channels": 16, "dilation": 0}, ValueError, "dilation=0 is not positive"),
        BadArguments({"channels": 16, "dilation": (4, 4)}, TypeError, r"dilation=\(4, 4\) is not a whole number"),
        BadArguments({"channels": 16, "combine": "mean"}, ValueError, "combine='mean' is not one of sum, product, max"),
        BadArguments({"channels": 16, "hidden_norm": 1}, TypeError, "hidden_norm=1 is neither True nor False"),
    ),
    bad_inputs=bad_images(),
)


def scores(block: BottleneckAttention, channel: float, space: float) -> Tensor:
    """Return the gates of a block whose two scores are the same everywhere."""
    with torch.no_grad():
        for branch, value in ((block.channel, channel), (block.space, space)):
            layers = [each for each in branch if hasattr(each, "weight") and hasattr(each, "bias")]
            layers[-1].weight.zero_()
            layers[-1].bias.fill_(value)
    return block.eval().attend(torch.randn(1, block.channels, 3, 4))[1]["element"]


@pytest.mark.parametrize("hidden_norm", [False, True])
@pytest.mark.parametrize(("combine", "score"), [("sum", -4.0), ("product", 4.0), ("max", -2.0)])
def test_two_scores_that_say_no(combine: str, score: float, hidden_norm: bool) -> None:
    """Both are -2: their sum and their maximum close the gate, their product opens it."""
    gate = scores(BottleneckAttention(16, combine=combine, hidden_norm=hidden_norm), -2.0, -2.0)
    torch.testing.assert_close(gate, torch.full_like(gate, sigmoid(score)))


def test_before_the_sigmoid_the_gate_has_rank_two() -> None:
    """As channels by positions the sum of two scores has rank 2, their product rank 1."""
    for combine, rank in (("sum", 2), ("product", 1)):
        block = SPEC.block(Case({"channels": 8, "reduction": 2, "dilation": 1, "combine": combine}))
        gate = block.attend(torch.randn(1, 8, 5, 6, dtype=torch.float64))[1]["element"]
        assert torch.linalg.matrix_rank(gate.logit().flatten(2)[0], rtol=1e-6) == rank


def test_an_element_is_at_least_kept_and_at_most_doubled() -> None:
    x = torch.randn(2, 16, 6, 5)
    ratio = BottleneckAttention(16).eval()(x) / x
    assert (ratio >= 1).all()
    assert (ratio <= 2).all()


@pytest.mark.parametrize("dilation", [1, 2, 4])
def test_a_position_sees_as_far_as_two_dilated_convolutions_reach(dilation: int) -> None:
    block = BottleneckAttention(4, 2, dilation, hidden_norm=True).double().eval()
    with torch.no_grad():
        for layer in block.space:
            if isinstance(layer, nn.Conv2d):
                layer.weight.fill_(1.0)
    x = torch.zeros(1, 4, 21, 23, dtype=torch.float64)
    before = block.space_score(x)
    x[..., 10, 11] = 1
    reached = (block.space_score(x) - before)[0, 0].nonzero()
    assert (reached - torch.tensor([10, 11])).abs().amax(0).tolist() == [2 * dilation, 2 * dilation]
    assert len(reached) == 25


def test_the_mean_is_taken_over_all_columns() -> None:
    """The authors' code pools squares of the height: of 14 × 20 it leaves 6 columns out."""
    block, x = BottleneckAttention(16).eval(), torch.randn(1, 16, 14, 20)
    other = x.clone()
    other[..., 14:] += 1
    assert not torch.allclose(block.channel_score(x), block.channel_score(other))


def test_a_batch_of_one_is_refused_in_training() -> None:
    block = BottleneckAttention(16)
    with pytest.raises(ValueError, match=r"x: expected at least 2 samples in training, received shape \(1, 16, 5, 6\)"):
        block(torch.randn(1, 16, 5, 6))
    assert block.eval()(torch.randn(1, 16, 5, 6)).shape == (1, 16, 5, 6)


# What circulates, in our words: each is caught by a law


class Product(BottleneckAttention):
    """The two scores multiplied where the equation adds them."""

    def attend(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        gate = (self.channel_score(x) * self.space_score(x)).sigmoid()
        return x + x * gate, {"element": gate}


class HiddenNorms(BottleneckAttention):
    """Batch normalisation behind the hidden layers where the equations have it at the end."""

    def __init__(self, *arguments: Any, hidden_norm: bool = False, **named: Any) -> None:
        super().__init__(*arguments, hidden_norm=not hidden_norm, **named)


class ThinPadding(BottleneckAttention):
    """A padding of 1 whatever the dilation: the map of positions shrinks."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        for layer in (self.space[3], self.space[6]):
            layer.padding = (1, 1)


class NotDilated(BottleneckAttention):
    """The wide convolutions are ordinary ones."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        for layer in (self.space[3], self.space[6]):
            layer.padding = layer.dilation = (1, 1)


class SquarePool(BottleneckAttention):
    """The mean over squares of the map's height, of which the first is taken."""

    def channel_score(self, x: Tensor) -> Tensor:
        return super().channel_score(x[..., : x.shape[2]])


class NoResidual(BottleneckAttention):
    """The gate alone, without the element that it is added to."""

    def attend(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        output, maps = super().attend(x)
        return output - x, maps


class GateOfTwo(BottleneckAttention):
    """1 + M is called the map."""

    def attend(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        output, maps = super().attend(x)
        return output, {"element": 1 + maps["element"]}


class Batched(BottleneckAttention):
    """The mean of a channel is taken over the batch too."""

    def channel_score(self, x: Tensor) -> Tensor:
        return super().channel_score(x.mean(0, keepdim=True).expand_as(x))


@pytest.mark.parametrize(
    ("wrong", "law", "says"),
    [
        (ThinPadding, 1, "RuntimeError|must match"),
        (Product, 2, "the output differs"),
        (NotDilated, 2, "the output differs"),
        (SquarePool, 2, "the output differs"),
        (NoResidual, 3, "against the maps applied"),
        (GateOfTwo, 3, "but a sigmoid lies in"),
        (Batched, 4, "sample . alone"),
        (HiddenNorms, 6, "parameters: counted"),
    ],
)
def test_a_law_catches_what_circulates(wrong: type, law: int, says: str) -> None:
    with pytest.raises(AssertionError, match=rf"(?s)law {law} \(.*({says})"):
        LAWS[law](SPEC.with_build(wrong), 40)
