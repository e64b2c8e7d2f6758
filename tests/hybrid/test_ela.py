"""ELA: its Spec for the laws, and what holds for this block alone."""

from math import exp
from typing import Any

import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from attention.hybrid.ela import SIZES, EfficientLocalAttention
from tests.laws.laws import LAWS
from tests.laws.spec import BadArguments, Case, Spec, bad_images, cases

Plane = list[list[float]]


def strip_gates(conv: nn.Conv1d, norm: nn.GroupNorm, z: list[list[float]], options: tuple[int, int]) -> Plane:
    """The gates of one strip of means, (channels, length): convolution, normalisation, sigmoid; number by number."""
    width, groups = options
    channels, length = len(z), len(z[0])
    kernels = conv.weight.tolist()
    half = len(kernels[0][0]) // 2
    mixed = [[0.0] * length for _ in range(channels)]
    for c in range(channels):
        first = c - c % width  # the channels first, …, first + width - 1 are mixed
        for i in range(length):
            for d in range(width):
                for t in range(-half, half + 1):
                    if 0 <= i + t < length:
                        mixed[c][i] += kernels[c][d][t + half] * z[first + d][i + t]
    size = channels // groups
    for g in range(groups):
        members = [mixed[c][i] for c in range(g * size, (g + 1) * size) for i in range(length)]
        mean = sum(members) / len(members)
        variance = sum((value - mean) ** 2 for value in members) / len(members)
        for c in range(g * size, (g + 1) * size):
            for i in range(length):
                normed = (mixed[c][i] - mean) / (variance + norm.eps) ** 0.5
                mixed[c][i] = 1 / (1 + exp(-(norm.weight[c].item() * normed + norm.bias[c].item())))
    return mixed


def naive(block: EfficientLocalAttention, x: list[list[Plane]]) -> tuple[list[Any], dict[str, list[Any]]]:
    """The strips of means, their gates, and the product of both with each element."""
    options = (block.conv.weight.shape[1], block.norm.num_groups)
    second = (block.conv, block.norm) if block.shared else (block.conv_columns, block.norm_columns)
    output, rows, columns = [], [], []
    for sample in x:
        height, width = len(sample[0]), len(sample[0][0])
        zh = [[sum(plane[i][j] for j in range(width)) / width for i in range(height)] for plane in sample]
        zw = [[sum(plane[i][j] for i in range(height)) / height for j in range(width)] for plane in sample]
        yh, yw = strip_gates(block.conv, block.norm, zh, options), strip_gates(*second, zw, options)
        output.append(
            [
                [[value * yh[c][i] * yw[c][j] for j, value in enumerate(row)] for i, row in enumerate(plane)]
                for c, plane in enumerate(sample)
            ]
        )
        rows.append([[[gate] for gate in gates] for gates in yh])
        columns.append([[gates] for gates in yw])
    return output, {"rows": rows, "columns": columns}


@st.composite
def options(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the constructor's arguments."""
    channels = draw(st.integers(1, 8))
    divisors = [d for d in range(1, channels + 1) if channels % d == 0]
    return {
        "channels": channels,
        "kernel_size": draw(st.sampled_from([1, 3, 5, 7])),
        "group_width": draw(st.sampled_from(divisors)),
        "norm_groups": draw(st.sampled_from(divisors)),
        "shared": draw(st.booleans()),
    }


SPEC = Spec(
    name="ela",
    cases=cases(options(), height=(1, 6), width=(1, 6)),
    fixed=(
        Case({"channels": 4, "norm_groups": 2}, height=4, width=5),  # as long as lets every tap of seven act
        Case({"channels": 6, "kernel_size": 5, "group_width": 3, "norm_groups": 2}, height=3, width=4, seed=1),
        Case({"channels": 4, "kernel_size": 3, "group_width": 2, "norm_groups": 4, "shared": False}, batch=3, seed=2),
        Case({"channels": 16}, batch=1, height=4, width=5, seed=3),  # each channel normalised alone
    ),
    naive=naive,
    apply=lambda block, maps, x: x * maps["rows"] * maps["columns"],
    bad_arguments=(
        BadArguments({"channels": 0}, ValueError, "channels=0 is not positive"),
        BadArguments({"channels": 24}, ValueError, "channels=24 is not divisible by norm_groups=16.*1, 2, 3, 4, 6, 8"),
        BadArguments({"channels": 16, "group_width": 3}, ValueError, "channels=16 is not divisible by group_width=3"),
        BadArguments({"channels": 16, "group_width": 0}, ValueError, "group_width=0 is not positive"),
        BadArguments({"channels": 16, "kernel_size": 4}, ValueError, "kernel_size=4 is even.*1, 3, 5"),
        BadArguments({"channels": 16, "kernel_size": 7.0}, TypeError, "kernel_size=7.0 is not a whole number"),
        BadArguments({"channels": 16, "norm_groups": "16"}, TypeError, "norm_groups='16' is not a whole number"),
        BadArguments({"channels": 16, "shared": None}, TypeError, "shared=None is neither True nor False"),
    ),
    bad_inputs=bad_images(),
)


@pytest.mark.parametrize(
    ("size", "kernel", "groups", "normed"), [("T", 5, 256, 32), ("B", 7, 256, 16), ("S", 5, 32, 16), ("L", 7, 32, 16)]
)
def test_a_size_by_its_name(size: str, kernel: int, groups: int, normed: int) -> None:
    block = EfficientLocalAttention.of_size(256, size)
    assert (block.conv.kernel_size, block.conv.groups, block.norm.num_groups) == ((kernel,), groups, normed)
    assert block.conv.bias is None
    assert block(torch.randn(2, 256, 3, 5)).shape == (2, 256, 3, 5)


def test_the_defaults_are_the_base_size() -> None:
    names = {name: tuple(p.shape) for name, p in EfficientLocalAttention(64).named_parameters()}
    assert names == {name: tuple(p.shape) for name, p in EfficientLocalAttention.of_size(64, "B").named_parameters()}
    assert set(SIZES) == {"T", "B", "S", "L"}


def test_sizes_that_there_are_not() -> None:
    with pytest.raises(ValueError, match="size='M' is not one of T, B, S, L"):
        EfficientLocalAttention.of_size(64, "M")
    with pytest.raises(ValueError, match="channels=48 is not divisible by norm_groups=32"):
        EfficientLocalAttention.of_size(48, "T")


def test_rows_and_columns_share_their_layers_unless_they_are_told_not_to() -> None:
    """Turned, the shared block is the same function; with layers of its own for each axis it is not."""
    x = torch.randn(2, 4, 5, 6, dtype=torch.float64)
    for shared in (True, False):
        block = SPEC.block(Case({"channels": 4, "norm_groups": 2, "shared": shared}))
        assert torch.allclose(block(x.mT), block(x).mT) == shared


def test_a_channel_keeps_to_itself_until_the_normalisation() -> None:
    """Each channel alone in its group: another channel changes nothing. Normalised together, or mixed, it does."""
    x = torch.randn(1, 4, 5, 6, dtype=torch.float64)
    other = x.clone()
    other[:, 3] += torch.randn(5, 6, dtype=torch.float64)
    for width, groups, apart in ((1, 4, True), (1, 1, False), (4, 4, False)):
        block = SPEC.block(Case({"channels": 4, "group_width": width, "norm_groups": groups}))
        assert torch.allclose(block(x)[:, :3], block(other)[:, :3]) == apart


def test_gates_do_not_depend_on_the_contrast() -> None:
    """Three times the image has the same gates: group normalisation takes the scale out of each sample."""
    block = SPEC.block(Case({"channels": 4, "group_width": 4, "norm_groups": 1}))
    block.norm.eps = 0.0
    x = torch.randn(2, 4, 5, 6, dtype=torch.float64)
    for name, gate in block.attend(x)[1].items():
        torch.testing.assert_close(block.attend(3 * x)[1][name], gate)


def test_a_batch_does_not_change_what_a_sample_gets_in_training() -> None:
    """What the paper asks of group normalisation, and a batch normalisation cannot."""
    block, x = SPEC.block(SPEC.fixed[0], training=True), torch.randn(3, 4, 5, 6, dtype=torch.float64)
    torch.testing.assert_close(block(x)[:1], block(x[:1]))


def test_one_pixel_of_one_sample_is_half_open() -> None:
    """A single number is normalised to 0, where PyTorch's module refuses it."""
    block, x = EfficientLocalAttention(16), torch.randn(1, 16, 1, 1)
    torch.testing.assert_close(block(x), x / 4)
    with pytest.raises(ValueError, match="more than 1 value"):
        block.norm(x[..., 0])


# What circulates, in our words: each is caught by a law


class ExtraActivation(EfficientLocalAttention):
    """A SiLU before the sigmoid: no gate falls below 0.43."""

    def attend(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        _, maps = super().attend(x)
        maps = {name: nn.functional.silu(gate.logit()).sigmoid() for name, gate in maps.items()}
        return x * maps["rows"] * maps["columns"], maps


class AlongTheHeight(EfficientLocalAttention):
    """The columns' gates viewed as those of rows."""

    def attend(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        _, maps = super().attend(x)
        b, c, h, _ = x.shape
        return x * maps["rows"] * maps["columns"].view(b, c, h, 1), maps


class Biased(EfficientLocalAttention):
    """The convolution with a bias, which the normalisation takes out again where channels are alone."""

    def __init__(self, channels: int, *arguments: Any, **named: Any) -> None:
        super().__init__(channels, *arguments, **named)
        self.conv.bias = nn.Parameter(torch.zeros(channels))


class OneGroup(EfficientLocalAttention):
    """All channels normalised together."""

    def attend(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        groups, self.norm.num_groups = self.norm.num_groups, 1
        try:
            return super().attend(x)
        finally:
            self.norm.num_groups = groups


class Unbiased(EfficientLocalAttention):
    """The deviation with n - 1 below."""

    def attend(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        def gate(z: Tensor, conv: nn.Conv1d, norm: nn.GroupNorm) -> Tensor:
            a = conv(z).unflatten(1, (norm.num_groups, -1))
            a = (a - a.mean((2, 3), keepdim=True)) / (a.var((2, 3), keepdim=True) + norm.eps).sqrt()
            return (a.flatten(1, 2) * norm.weight[:, None] + norm.bias[:, None]).sigmoid()

        columns = (self.conv, self.norm) if self.shared else (self.conv_columns, self.norm_columns)
        maps = {
            "rows": gate(x.mean(3), self.conv, self.norm)[..., None],
            "columns": gate(x.mean(2), *columns)[:, :, None],
        }
        return x * maps["rows"] * maps["columns"], maps


class Together(EfficientLocalAttention):
    """Both strips joined, as in Coordinate Attention: the taps reach over the seam."""

    def attend(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        strip = self.conv(torch.cat([x.mean(3), x.mean(2)], 2))
        gates = torch.group_norm(strip, self.norm.num_groups, self.norm.weight, self.norm.bias).sigmoid()
        maps = {"rows": gates[..., : x.shape[2], None], "columns": gates[:, :, None, x.shape[2] :]}
        return x * maps["rows"] * maps["columns"], maps


class Refusing(EfficientLocalAttention):
    """PyTorch's own module, which refuses a group of one number."""

    def attend(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        output, maps = super().attend(x)
        self.norm(self.conv(x.mean(3)))
        return output, maps


class TwoConvolutions(EfficientLocalAttention):
    """Layers of its own for each axis where the listing shares them."""

    def __init__(self, *arguments: Any, shared: bool = True, **named: Any) -> None:
        super().__init__(*arguments, shared=False, **named)


@pytest.mark.parametrize(
    ("wrong", "law", "says"),
    [
        (AlongTheHeight, 1, "RuntimeError|documented"),
        (Refusing, 1, "more than 1 value"),
        (ExtraActivation, 2, "the output differs"),
        (OneGroup, 2, "the output differs"),
        (Unbiased, 2, "the output differs|the output is not finite"),
        (Together, 2, "the output differs"),
        (Biased, 6, "parameters: counted"),
        (TwoConvolutions, 6, "parameters: counted"),
    ],
)
def test_a_law_catches_what_circulates(wrong: type, law: int, says: str) -> None:
    with pytest.raises(AssertionError, match=rf"(?s)law {law} \(.*({says})"):
        LAWS[law](SPEC.with_build(wrong), 40)
