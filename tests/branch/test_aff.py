"""Attentional feature fusion: its Spec for the laws, and what holds for this block alone."""

from dataclasses import replace
from math import exp
from typing import Any

import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from attention import registry
from attention.branch import aff
from attention.branch.aff import AttentionalFeatureFusion, MultiScaleChannelAttention
from attention.lab import cost
from attention.official import load_official
from tests.laws.laws import LAWS
from tests.laws.spec import BadArguments, BadInputs, Case, Spec, bad_images, cases, images

Plane = list[list[float]]


def opinion(branch: nn.Sequential, values: list[float]) -> list[float]:
    """Convolution, normalisation, ReLU, convolution, normalisation: at one position."""
    first, one, _, second, two = branch
    for layer, norm, last in ((first, one, False), (second, two, True)):
        result = []
        for k, row in enumerate(layer.weight.flatten(1).tolist()):
            total = layer.bias[k].item()
            for c, weight in enumerate(row):
                total += weight * values[c]
            total = (total - norm.running_mean[k].item()) / (norm.running_var[k].item() + norm.eps) ** 0.5
            total = norm.weight[k].item() * total + norm.bias[k].item()
            result.append(total if last else max(0.0, total))
        values = result
    return values


def one_round(module: nn.Module, u: list[Plane], x: list[Plane], y: list[Plane]) -> tuple[list[Plane], list[Plane]]:
    """M = σ(L ⊕ g) and Z = M ⊗ X + (1 − M) ⊗ Y, one element at a time."""
    channels, height, width = len(u), len(u[0]), len(u[0][0])
    means = [sum(value for row in plane for value in row) / (height * width) for plane in u]
    g = opinion(module.whole, means)
    m, z = ([[[0.0] * width for _ in range(height)] for _ in range(channels)] for _ in range(2))
    for i in range(height):
        for j in range(width):
            local = opinion(module.local, [u[c][i][j] for c in range(channels)])
            for c in range(channels):
                m[c][i][j] = 1 / (1 + exp(-local[c] - g[c]))
                z[c][i][j] = m[c][i][j] * x[c][i][j] + (1 - m[c][i][j]) * y[c][i][j]
    return m, z


def naive(
    block: AttentionalFeatureFusion, x: list[list[Plane]], y: list[list[Plane]]
) -> tuple[list[Any], dict[str, list[Any]]]:
    """The equations of AFF, and of iAFF: the first mixture in place of the sum."""
    output, maps = [], {name: [] for name in block.maps}
    for one, other in zip(x, y, strict=True):
        u = [
            [[a + b for a, b in zip(row, second, strict=True)] for row, second in zip(plane, partner, strict=True)]
            for plane, partner in zip(one, other, strict=True)
        ]
        for name, module in zip(maps, block.rounds, strict=True):
            m, u = one_round(module, u, one, other)
            maps[name].append(m)
        output.append([[[(2 if block.doubled else 1) * value for value in row] for row in plane] for plane in u])
    return output, maps


@st.composite
def options(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the constructor's arguments."""
    channels = draw(st.integers(1, 6))
    return {
        "channels": channels,
        "reduction": draw(st.sampled_from([r for r in range(1, channels + 1) if channels % r == 0])),
        "iterative": draw(st.booleans()),
        "doubled": draw(st.booleans()),
    }


def mixture(block: AttentionalFeatureFusion, maps: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
    m = list(maps.values())[-1]
    return (2 if block.doubled else 1) * (y + m * (x - y))


_OTHER = r"y: expected shape \(batch=\d+, channels=\d+, height=\d+, width=\d+\), received shape {shape}"

SPEC = Spec(
    name="aff",
    cases=cases(options(), height=(1, 4), width=(1, 4)),
    fixed=(
        Case({"channels": 4, "reduction": 2}, batch=2, height=3, width=4),
        Case({"channels": 4, "reduction": 1, "doubled": True}, batch=2, height=2, width=2, seed=1),
        Case({"channels": 4, "reduction": 2, "iterative": True}, batch=2, height=3, width=2, seed=2),
    ),
    naive=naive,
    inputs=images(2),
    apply=mixture,
    tolerance=0.1,  # batch normalisation divides by deviations that bfloat16 knows to two digits
    bad_arguments=(
        BadArguments({"channels": 24}, ValueError, "channels=24 is not divisible by reduction=16.*1, 2, 3, 4, 6, 8"),
        BadArguments({"channels": 0}, ValueError, "channels=0 is not positive"),
        BadArguments({"channels": 16, "reduction": 0}, ValueError, "reduction=0 is not positive"),
        BadArguments({"channels": "16"}, TypeError, "channels='16' is not a whole number"),
    ),
    bad_inputs=(
        *bad_images(0),
        *bad_images(1),
        BadInputs("another batch", lambda x: torch.cat([x, x]), ValueError, _OTHER, 1),
        BadInputs("another height", lambda x: torch.cat([x, x], 2), ValueError, _OTHER, 1),
        BadInputs("another width", lambda x: torch.cat([x, x], 3), ValueError, _OTHER, 1),
    ),
)

PLAIN, ITERATED = (replace(SPEC, fixed=SPEC.fixed[i : i + 1], cases=st.just(SPEC.fixed[i])) for i in (0, 2))


def pair(channels: int, *size: int) -> tuple[Tensor, Tensor]:
    return torch.randn(2, channels, *size, dtype=torch.float64), torch.randn(2, channels, *size, dtype=torch.float64)


@pytest.mark.parametrize("iterative", [False, True])
def test_the_output_lies_between_the_inputs(iterative: bool) -> None:
    """The two parts of each element sum to 1, so fusing a map with itself changes nothing."""
    block = SPEC.block(Case({"channels": 4, "reduction": 2, "iterative": iterative}))
    x, y = pair(4, 3, 5)
    z = block(x, y)
    assert (torch.minimum(x, y) - 1e-12 <= z).all()
    assert (z <= torch.maximum(x, y) + 1e-12).all()
    torch.testing.assert_close(block(x, x), x)


def test_exchanged_inputs_exchange_their_parts() -> None:
    """AFF: the choice is made from the sum, which does not know the order; iAFF knows it in its second round."""
    x, y = pair(4, 3, 5)
    block = SPEC.block(SPEC.fixed[0])
    assert torch.equal(block.attend(x, y)[1]["fusion_1"], block.attend(y, x)[1]["fusion_1"])
    torch.testing.assert_close(block(x, y) + block(y, x), x + y)
    block = SPEC.block(SPEC.fixed[2])
    assert not torch.allclose(block(x, y) + block(y, x), x + y)


def test_doubled_and_undecided_it_is_the_addition() -> None:
    block, (x, y) = AttentionalFeatureFusion(16, doubled=True).double().eval(), pair(16, 3, 5)
    with torch.no_grad():
        for branch in (block.rounds[0].local, block.rounds[0].whole):
            branch[4].weight.zero_()
    torch.testing.assert_close(block(x, y), x + y)
    torch.testing.assert_close(block.attend(x, y)[1]["fusion_1"], torch.full_like(x, 0.5))


def test_the_local_part_follows_its_element_and_the_global_part_the_means() -> None:
    torch.manual_seed(0)
    block = MultiScaleChannelAttention(4, 16).double().eval()  # so wide that no ReLU is dead everywhere
    u = torch.randn(1, 4, 3, 3, dtype=torch.float64, requires_grad=True)
    local, whole = block(u)
    (of_local,) = torch.autograd.grad(local[0, :, 1, 2].sum(), u)
    (of_whole,) = torch.autograd.grad(whole.sum(), u)
    assert of_local[0].any(0).nonzero().tolist() == [[1, 2]]
    torch.testing.assert_close(of_whole, of_whole[..., :1, :1].expand_as(u))
    assert of_whole.any()


@pytest.mark.parametrize("iterative", [False, True])
def test_a_batch_of_one_is_refused_in_training(iterative: bool) -> None:
    block, x = AttentionalFeatureFusion(16, iterative=iterative), torch.randn(1, 16, 5, 5)
    with pytest.raises(ValueError, match=r"x: expected at least 2 samples in training, received shape \(1, 16, 5, 5\)"):
        block(x, x)
    assert block.eval()(x, x).shape == x.shape


def test_cost_of_256_channels() -> None:
    """67,456 parameters at r = 4, twice as many iterated."""
    x, y = torch.randn(1, 256, 14, 14), torch.randn(1, 256, 14, 14)
    for iterative, parameters in ((False, 67_456), (True, 134_912)):
        block = AttentionalFeatureFusion(256, 4, iterative=iterative)
        assert cost.check("aff", block, x, y, reduction=4, iterative=iterative).parameters == parameters


@pytest.mark.parametrize(("iterative", "total"), [(False, 30_683_208), (True, 35_809_384)])
def test_size_of_a_resnet_50_that_fuses_in_every_block(iterative: bool, total: int) -> None:
    """A fusion for each addition of the 16 blocks, r = 16, added to the 25,557,032 parameters of ResNet-50."""
    widths = [256] * 3 + [512] * 4 + [1024] * 6 + [2048] * 3
    more = sum(cost.evaluate("aff", channels=width, iterative=iterative) for width in widths)
    assert 25_557_032 + more == total


# What circulates, in our words: each is caught by a law


class DeadBranch(AttentionalFeatureFusion):
    """The authors' port: the second round uses the first round's global branch; its own is never run."""

    def attend(self, x: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        u, maps = x + y, {}
        for name, module in zip(self.maps, self.rounds, strict=True):
            m = maps[name] = (module.local(u) + self.rounds[0].whole(u.mean((2, 3), keepdim=True))).sigmoid()
            u = m * x + (1 - m) * y
        return (2 * u if self.doubled else u), maps


class AlwaysDoubled(AttentionalFeatureFusion):
    """Twice the mixture, where the paper's was asked for."""

    def attend(self, x: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        output, maps = super().attend(x, y)
        return (output if self.doubled else 2 * output), maps


class OneGate(AttentionalFeatureFusion):
    """Both inputs times the same map: a gate on the sum, no choice."""

    def attend(self, x: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        _, maps = super().attend(x, y)
        return list(maps.values())[-1] * (x + y), maps


class Exchanged(AttentionalFeatureFusion):
    """The map goes to the second input, its complement to the first."""

    def attend(self, x: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return super().attend(y, x)


class OnlyMeans(MultiScaleChannelAttention):
    def forward(self, u: Tensor) -> tuple[Tensor, Tensor]:
        mean = u.mean((2, 3), keepdim=True)
        return self.local(mean).expand_as(u), self.whole(mean)


class GlobalTwice(AttentionalFeatureFusion):
    """The local branch sees the means as well: one number for each channel, as in Squeeze-and-Excitation."""

    def __init__(self, channels: int, reduction: int = 16, **options: Any) -> None:
        super().__init__(channels, reduction, **options)
        self.rounds = nn.ModuleList(OnlyMeans(channels, channels // reduction) for _ in self.rounds)


class OneModule(AttentionalFeatureFusion):
    """Both rounds with the same convolutions."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.rounds = nn.ModuleList([self.rounds[0]] * len(self.rounds))


class Unchecked(AttentionalFeatureFusion):
    """A batch of one in training ends in PyTorch's own error."""

    def attend(self, x: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        aff._check(x, y, self.channels)
        u, maps = x + y, {}
        for name, module in zip(self.maps, self.rounds, strict=True):
            local, whole = module(u)
            m = maps[name] = (local + whole).sigmoid()
            u = m * x + (1 - m) * y
        return (2 * u if self.doubled else u), maps


class Broadcasts(AttentionalFeatureFusion):
    """The first of a second input of another batch is taken for all."""

    def attend(self, x: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        if all(isinstance(t, Tensor) and t.ndim == 4 for t in (x, y)) and y.shape[0] != x.shape[0]:
            y = y[:1].expand_as(x)
        return super().attend(x, y)


@pytest.mark.parametrize(
    ("wrong", "number", "spec", "says"),
    [
        (AlwaysDoubled, 2, SPEC, "the output differs"),
        (Exchanged, 2, SPEC, "the output differs"),
        (GlobalTwice, 2, PLAIN, "the output differs"),
        (OneGate, 3, SPEC, "the output, against the maps applied to the inputs"),
        (DeadBranch, 5, ITERATED, r"elements of rounds\.1\.whole.* never received a gradient"),
        (OneModule, 6, ITERATED, "parameters: counted"),
        (Broadcasts, 10, PLAIN, "another batch: accepted"),
        (Unchecked, 11, PLAIN, "Expected more than 1 value per channel when training"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_a_law_catches_what_circulates(wrong: type, number: int, spec: Spec, says: str) -> None:
    with pytest.raises(AssertionError, match=rf"law {number} \([\s\S]*({says})"):
        LAWS[number](spec.with_build(wrong), 25)


# The official code


def branch(weights: dict[str, Tensor], name: str, layers: tuple[int, int, int, int], t: Tensor) -> Tensor:
    """Two 1 × 1 convolutions with their normalisations, under the names of the authors' Sequential."""
    for conv, norm, last in ((*layers[:2], False), (*layers[2:], True)):
        w, b, gain, offset, mean, var = (
            weights[f"{name}.{key}"]
            for key in (f"{conv}.weight", f"{conv}.bias", f"{norm}.weight", f"{norm}.bias", f"{norm}.running_mean",
                        f"{norm}.running_var")
        )  # fmt: skip
        t = torch.einsum("oc,bchw->bohw", w.flatten(1), t) + b[:, None, None]
        t = (t - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt() * gain[:, None, None]
        t = t + offset[:, None, None]
        t = t if last else t.clamp(min=0)
    return t


def gate(weights: dict[str, Tensor], number: str, u: Tensor) -> Tensor:
    local = branch(weights, f"local_att{number}", (0, 1, 3, 4), u)
    return (local + branch(weights, f"global_att{number}", (1, 2, 4, 5), u.mean((2, 3), keepdim=True))).sigmoid()


def official(x: Tensor, residual: Tensor, weights: dict[str, Tensor]) -> Tensor:
    """The authors' AFF, and where there are weights of a second round their iAFF (of MXNet), in our words."""
    first = gate(weights, "", x + residual)
    if "local_att2.0.weight" not in weights:
        return 2 * (first * x + residual - first * residual)
    second = gate(weights, "2", first * x + residual - first * residual)
    return second * x + residual - second * residual


@pytest.mark.parametrize("iterative", [False, True])
def test_the_official_weights_and_function(iterative: bool) -> None:
    c, hidden, draw, shapes = 16, 4, torch.Generator().manual_seed(3), {}
    for number in ("", "2") if iterative else ("",):
        for name, (one, two, three, four) in (("local_att", (0, 1, 3, 4)), ("global_att", (1, 2, 4, 5))):
            name = name + number
            shapes |= {f"{name}.{one}.weight": (hidden, c, 1, 1), f"{name}.{one}.bias": (hidden,)}
            shapes |= {f"{name}.{three}.weight": (c, hidden, 1, 1), f"{name}.{three}.bias": (c,)}
            for norm, size in ((two, hidden), (four, c)):
                keys = ("weight", "bias", "running_mean", "running_var")
                shapes |= {f"{name}.{norm}.{key}": (size,) for key in keys}
    weights = {name: 0.5 * torch.randn(shape, generator=draw, dtype=torch.float64) for name, shape in shapes.items()}
    weights |= {name: value.abs() + 0.5 for name, value in weights.items() if name.endswith("running_var")}
    given = registry.entry("aff").official["options"]
    assert given == {"reduction": 4, "doubled": True}
    given = {"reduction": 4, "iterative": True} if iterative else given
    block = AttentionalFeatureFusion(c, **given).double().eval()
    load_official(block, {f"fuse.{name}": value for name, value in weights.items()}, prefix="fuse.")
    x, y = (torch.randn(2, c, 5, 4, generator=draw, dtype=torch.float64) for _ in range(2))
    torch.testing.assert_close(block(x, y), official(x, y, weights), rtol=1e-10, atol=1e-10)
