"""Spatial and channel synergistic attention: its Spec for the laws, and what holds for this block alone."""

from dataclasses import replace
from math import exp
from typing import Any

import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from attention.hybrid.scsa import GATES, POOLS, SpatialChannelSynergisticAttention
from attention.lab import cost
from tests.laws.laws import LAWS
from tests.laws.spec import BadArguments, Case, Spec, bad_images, cases

Strip = list[list[float]]
Plane = list[list[float]]


def sigmoid(a: float) -> float:
    return 1 / (1 + exp(-a))


def softmax(scores: list[float]) -> list[float]:
    powers = [exp(score - max(scores)) for score in scores]
    return [power / sum(powers) for power in powers]


def gates(block: SpatialChannelSynergisticAttention, scores: list[float]) -> list[float]:
    return softmax(scores) if block.gate == "softmax" else [sigmoid(score) for score in scores]


def normalised(layer: nn.GroupNorm, x: Strip, groups: int) -> Strip:
    """GN: x is a list over channels of all their numbers."""
    found = []
    size = len(x) // groups
    for g in range(groups):
        numbers = [value for c in range(g * size, (g + 1) * size) for value in x[c]]
        mean = sum(numbers) / len(numbers)
        deviation = (sum((value - mean) ** 2 for value in numbers) / len(numbers) + layer.eps) ** 0.5
        for c in range(g * size, (g + 1) * size):
            scale, shift = layer.weight[c].item(), layer.bias[c].item()
            found.append([(value - mean) / deviation * scale + shift for value in x[c]])
    return found


def naive_strips(block: SpatialChannelSynergisticAttention, z: Strip, norm: nn.GroupNorm) -> Strip:
    """The gates of rows or of columns; outside the map all is 0."""
    moved, c = [], 0
    for layer in block.strips:
        for (kernel,), offset in zip(layer.weight.tolist(), layer.bias.tolist(), strict=True):
            half, out = len(kernel) // 2, []
            for n in range(len(z[c])):
                total = offset
                for k, weight in enumerate(kernel):
                    if 0 <= n + k - half < len(z[c]):
                        total += weight * z[c][n + k - half]
                out.append(total)
            moved.append(out)
            c += 1
    return [gates(block, row) for row in normalised(norm, moved, len(block.strips))]


def windows(block: SpatialChannelSynergisticAttention, x: list[Plane]) -> Strip:
    """What pooling leaves: a list over channels of one number for each window."""
    height, width = len(x[0]), len(x[0][0])
    side = (block.window or 0, block.window or 0)
    if block.window is None:
        side = (height, width)
    cut = (min(side[0], height), min(side[1], width))
    corners = [(i * cut[0], j * cut[1]) for i in range(height // cut[0]) for j in range(width // cut[1])]
    inside = [[[plane[i + p][j + q] for p in range(cut[0]) for q in range(cut[1])] for i, j in corners] for plane in x]
    if block.pool == "average":
        return [[sum(numbers) / len(numbers) for numbers in channel] for channel in inside]
    if block.pool == "maximum":
        return [[max(numbers) for numbers in channel] for channel in inside]
    found = []
    for kernels in block.recombine.weight.tolist():
        out = []
        for i, j in corners:
            total = 0.0
            for plane, kernel in zip(x, kernels, strict=True):
                for p in range(cut[0]):
                    for q in range(cut[1]):
                        total += kernel[p][q] * plane[i + p][j + q]
            out.append(total)
        found.append(out)
    return found


def naive_channels(block: SpatialChannelSynergisticAttention, x: list[Plane]) -> tuple[list[float], list[Plane]]:
    """The gate of the channels, and the weights A of each head."""
    p = normalised(block.norm, windows(block, x), 1)
    scaled = {}
    for name in "qkv":
        layer = getattr(block, name)
        offsets = [0.0] * len(p) if layer.bias is None else layer.bias.tolist()
        scales = layer.weight.flatten().tolist()
        scaled[name] = [[a * value + b for value in row] for row, a, b in zip(p, scales, offsets, strict=True)]
    d = len(p) // block.heads
    means, weights = [], []
    for head in range(block.heads):
        ours = range(head * d, (head + 1) * d)
        matrix = []
        for i in ours:
            scores = []
            for j in ours:
                total = 0.0
                for left, right in zip(scaled["q"][i], scaled["k"][j], strict=True):
                    total += left * right
                scores.append(total / d**0.5)
            row = softmax(scores)
            matrix.append(row)
            read = [sum(a * scaled["v"][j][n] for a, j in zip(row, ours, strict=True)) for n in range(len(p[0]))]
            means.append(sum(read) / len(read))
        weights.append(matrix)
    return gates(block, means), weights


def naive(block: SpatialChannelSynergisticAttention, x: list[list[Plane]]) -> tuple[list[Any], dict[str, list[Any]]]:
    """SMSA, then PCSA."""
    output: list[Any] = []
    maps: dict[str, list[Any]] = {"rows": [], "columns": [], "channels": [], "channel": []}
    for f in x:
        height, width = len(f[0]), len(f[0][0])
        rows = naive_strips(block, [[sum(row) / width for row in plane] for plane in f], block.norm_rows)
        means = [[sum(row[j] for row in plane) / height for j in range(width)] for plane in f]
        columns = naive_strips(block, means, block.norm_columns)
        seen = [
            [[value * rows[c][i] * columns[c][j] for j, value in enumerate(row)] for i, row in enumerate(plane)]
            for c, plane in enumerate(f)
        ]
        channel, weights = naive_channels(block, seen)
        output.append([[[value * a for value in row] for row in plane] for plane, a in zip(seen, channel, strict=True)])
        maps["rows"].append([[[gate] for gate in row] for row in rows])
        maps["columns"].append([[row] for row in columns])
        maps["channels"].append(weights[0] if block.heads == 1 else weights)
        maps["channel"].append([[[gate]] for gate in channel])
    return output, maps


def costs(case: Case) -> dict[str, int]:
    """The formulas hold for the four kernels and an average over windows; the others have more or less of both."""
    given = {"kernels": (3, 5, 7, 9), "window": 7, "pool": "average", **case.options}
    kernels, window, pool = given.pop("kernels"), given.pop("window"), given.pop("pool")
    channels, (height, width) = given["channels"], (case.height, case.width)
    sizes = {"height": height, "width": width, **given, "window": window or max(height, width)}
    parameters, macs = (cost.evaluate("scsa", which, **sizes) for which in ("parameters", "macs"))
    more = channels * sum(kernels) // len(kernels) - 6 * channels
    found = {"parameters": parameters + more, "macs": macs + more * (height + width)}
    if pool == "recombination":
        found["parameters"] += (channels * window) ** 2
        found["macs"] += (channels * window) ** 2 * max(1, height // window) * max(1, width // window)
    return found


@st.composite
def options(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the constructor's arguments."""
    kernels = draw(st.sampled_from([(3, 5, 7, 9), (3,), (1, 5)]))
    channels = draw(st.sampled_from([4, 8] if len(kernels) == 4 else [2, 4, 6]))
    window = draw(st.sampled_from([1, 2, 3, 7, None]))
    return {
        "channels": channels,
        "heads": draw(st.sampled_from([1, 2, channels])),
        "window": window,
        "kernels": kernels,
        "pool": draw(st.sampled_from(POOLS)) if window else "average",
        "gate": draw(st.sampled_from(GATES)),
        "bias": draw(st.booleans()),
    }


SPEC = Spec(
    name="scsa",
    cases=cases(options(), height=(1, 5), width=(1, 5)),
    fixed=(
        Case({"channels": 8, "window": 2}, batch=1, height=5, width=3),  # as small as lets every weight of 9 act
        Case({"channels": 4, "kernels": (3,), "heads": 2, "pool": "maximum", "window": 2}, height=4, width=3, seed=1),
        Case({"channels": 4, "kernels": (1, 3), "pool": "recombination", "window": 2, "bias": True}, height=2, seed=2),
    ),
    naive=naive,
    apply=lambda block, maps, x: x * maps["rows"] * maps["columns"] * maps["channel"],
    cost=costs,
    bad_arguments=(
        BadArguments({"channels": 30}, ValueError, "channels=30 is not divisible by the number of kernels, 4"),
        BadArguments({"channels": 8, "heads": 3}, ValueError, "channels=8 is not divisible by heads=3; allowed"),
        BadArguments({"channels": 0}, ValueError, "channels=0 is not positive"),
        BadArguments({"channels": 8, "window": -1}, ValueError, "window=-1 is not positive"),
        BadArguments({"channels": 8, "window": 7.0}, TypeError, "window=7.0 is not a whole number"),
        BadArguments({"channels": 8, "heads": 2.0}, TypeError, "heads=2.0 is not a whole number"),
        BadArguments({"channels": 8, "kernels": 3}, TypeError, "kernels=3 is one number; give several"),
        BadArguments({"channels": 8, "kernels": (3, 4)}, ValueError, r"kernels=\(3, 4\) must be .* odd lengths"),
        BadArguments({"channels": 8, "kernels": (3, "5")}, TypeError, r"kernels\[1\]='5' is not a whole number"),
        BadArguments({"channels": 8, "pool": "max_pool"}, ValueError, "pool='max_pool' is not one of average, max"),
        BadArguments({"channels": 8, "gate": "softmax2d"}, ValueError, "gate='softmax2d' is not one of sigmoid"),
        BadArguments({"channels": 8, "window": None, "pool": "maximum"}, ValueError, "pool='maximum' needs a window"),
    ),
    bad_inputs=bad_images(),
    exceptions={
        "dynamic size": "torch.export keeps one window apart from several: give open heights and widths a minimum of "
        "two windows, torch.export.Dim('height', min=14), or build the block with window=None"
    },
)
#: Softmax in the place of the sigmoids: a shift that is the same at every place of a channel has no effect then.
SHIFT = "a softmax over the places of a channel does not see what is added to all of them"
SOFTMAX = replace(
    SPEC,
    fixed=(
        Case({"channels": 8, "heads": 2, "window": 2, "gate": "softmax"}, batch=1, height=6, width=4, seed=4),
        Case({"channels": 6, "kernels": (3, 5, 3), "window": None, "gate": "softmax"}, height=3, width=3, seed=3),
    ),
    no_gradient={"norm_rows.bias": SHIFT, "norm_columns.bias": SHIFT},
)


@pytest.mark.parametrize("law", [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14])
def test_the_softmax_gates_keep_the_laws(law: int) -> None:
    LAWS[law](SOFTMAX, 20)


def test_a_map_smaller_than_the_window_is_one_window() -> None:
    x = torch.randn(2, 8, 4, 5, dtype=torch.float64)
    block, other = (SpatialChannelSynergisticAttention(8, window=w).double() for w in (7, None))
    other.load_state_dict(block.state_dict())
    torch.testing.assert_close(block(x), other(x))


def test_what_does_not_fill_a_window_is_not_seen_by_the_channels() -> None:
    block, x = SpatialChannelSynergisticAttention(4, window=3).double(), torch.randn(1, 4, 7, 8, dtype=torch.float64)
    changed = x.clone()
    changed[:, :, 6:], changed[..., 6:] = 1.0, 1.0
    torch.testing.assert_close(block.channel_gate(changed), block.channel_gate(x))


def test_rows_and_columns_share_their_strips_and_not_their_norms() -> None:
    block, x = SpatialChannelSynergisticAttention(8).double(), torch.randn(2, 8, 7, 7, dtype=torch.float64)
    turned = block.attend(x.transpose(2, 3))[1]["columns"]
    torch.testing.assert_close(turned.squeeze(2), block.attend(x)[1]["rows"].squeeze(3))
    nn.init.constant_(block.norm_columns.bias, 1.0)
    assert not torch.allclose(block.attend(x.transpose(2, 3))[1]["columns"], turned)


def test_heads_read_from_their_own_channels_alone() -> None:
    x = torch.randn(1, 8, 3, 3)
    for heads, shape in ((2, (1, 2, 4, 4)), (1, (1, 8, 8))):
        assert SpatialChannelSynergisticAttention(8, heads, window=1).attend(x)[1]["channels"].shape == shape


def test_recombination_is_a_matrix_of_all_pixels_of_a_window() -> None:
    block = SpatialChannelSynergisticAttention(4, window=2, pool="recombination").double()
    x = torch.randn(2, 4, 4, 6, dtype=torch.float64)
    pixels = nn.functional.unfold(x, 2, stride=2)  # channel, row, column
    expected = (block.recombine.weight.flatten(1) @ pixels).view(2, 4, 2, 3)
    torch.testing.assert_close(block.recombine(x), expected)
    averaged = SpatialChannelSynergisticAttention(4, window=2).double()
    averaged.load_state_dict(block.state_dict(), strict=False)
    with torch.no_grad():
        block.recombine.weight.copy_(torch.eye(4)[:, :, None, None].expand(4, 4, 2, 2) / 4)
    torch.testing.assert_close(block(x), averaged(x))


@pytest.mark.parametrize("window", [7, 2])
def test_maps_of_two_windows_and_more_export(window: int) -> None:
    """What the Spec's exception says to do instead."""
    block = SpatialChannelSynergisticAttention(8, window=window).eval()
    height, width = (torch.export.Dim(name, min=2 * window) for name in ("height", "width"))
    size = {0: torch.export.Dim("batch"), 2: height, 3: width}
    program = torch.export.export(block, (torch.randn(2, 8, 15, 16),), dynamic_shapes=(size,)).module()
    for shape in ((3, 8, 2 * window, 23), (1, 8, 28, 29)):
        x = torch.randn(shape)
        torch.testing.assert_close(program(x), block(x))


def test_without_windows_every_size_exports() -> None:
    block = SpatialChannelSynergisticAttention(8, window=None).eval()
    size = {0: torch.export.Dim("batch"), 2: torch.export.Dim("height"), 3: torch.export.Dim("width")}
    program = torch.export.export(block, (torch.randn(2, 8, 15, 16),), dynamic_shapes=(size,)).module()
    x = torch.randn(3, 8, 2, 5)
    torch.testing.assert_close(program(x), block(x))


@pytest.mark.parametrize(("channels", "parameters"), [(256, 4096), (64, 1024)])
def test_parameters(channels: int, parameters: int) -> None:
    assert sum(p.numel() for p in SpatialChannelSynergisticAttention(channels).parameters()) == parameters
    assert cost.evaluate("scsa", channels=channels) == parameters


def test_what_it_adds_behind_the_3_by_3_convolutions_of_a_resnet() -> None:
    width = {64: 3, 128: 4, 256: 6, 512: 3}
    added = sum(n * cost.evaluate("scsa", channels=c) for c, n in width.items())
    assert added == 60_416
    assert 25_557_032 + added == 25_617_448
    assert 44_549_160 + added + 17 * cost.evaluate("scsa", channels=256) == 44_679_208


# What circulates, in our words: each is caught by a law


class Wrong(SpatialChannelSynergisticAttention):
    """Steps that can be spoilt, one at a time; as it stands it is right."""

    def pairs(self, q: Tensor, k: Tensor) -> Tensor:
        return (q @ k.transpose(2, 3) * q.shape[2] ** -0.5).softmax(3)

    def read(self, a: Tensor, v: Tensor) -> Tensor:
        return (a @ v).mean(3)

    def channel_gate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        side = [min(self.window or size, size) for size in x.shape[2:]]
        if self.pool == "maximum":
            x = nn.functional.max_pool2d(x, side)
        elif self.pool == "average":
            x = nn.functional.avg_pool2d(x, side)
        else:
            fill = [self.window - size for size in side]
            x = self.recombine(nn.functional.pad(x, (0, fill[1], 0, fill[0])))
        norm = self.norm
        p = torch.group_norm(x, norm.num_groups, norm.weight, norm.bias, norm.eps)
        q, k, v = (layer(p).flatten(2).unflatten(1, (self.heads, -1)) for layer in (self.q, self.k, self.v))
        a = self.pairs(q, k)
        return self._gate(self.read(a, v).flatten(1)[..., None, None], 1), a


class SoftmaxOverColumns(Wrong):
    """The softmax over the channels that take, not over those that give."""

    def pairs(self, q: Tensor, k: Tensor) -> Tensor:
        return (q @ k.transpose(2, 3) * q.shape[2] ** -0.5).softmax(2)


class NoScale(Wrong):
    """The square root left out."""

    def pairs(self, q: Tensor, k: Tensor) -> Tensor:
        return (q @ k.transpose(2, 3)).softmax(3)


class Transposed(Wrong):
    """The weights applied from the wrong side."""

    def read(self, a: Tensor, v: Tensor) -> Tensor:
        return (a.transpose(2, 3) @ v).mean(3)


class StripsForEachDirection(SpatialChannelSynergisticAttention):
    """Strips of their own for rows and columns, where the paper shares them."""

    def __init__(self, channels: int, *args: Any, **options: Any) -> None:
        super().__init__(channels, *args, **options)
        self.others = nn.ModuleList(nn.Conv1d(s.in_channels, s.in_channels, s.kernel_size[0]) for s in self.strips)


class FullProjections(SpatialChannelSynergisticAttention):
    """Queries, keys and values mixed over the channels, where the paper scales each channel."""

    def __init__(self, channels: int, *args: Any, **options: Any) -> None:
        super().__init__(channels, *args, **options)
        self.q = nn.Conv2d(channels, channels, 1, bias=False)


class OneNormForAll(SpatialChannelSynergisticAttention):
    """The gates of rows and columns normalised over all channels together."""

    def __init__(self, channels: int, *args: Any, **options: Any) -> None:
        super().__init__(channels, *args, **options)
        self.norm_rows = nn.GroupNorm(1, channels)
        self.norm_columns = nn.GroupNorm(1, channels)


class ExchangedPriors(SpatialChannelSynergisticAttention):
    """The channels' gate multiplied onto the input, so that rows and columns only guide it."""

    def attend(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        maps = super().attend(x)[1]
        return x * maps["channel"], maps


@pytest.mark.parametrize(
    ("wrong", "law", "says"),
    [
        (SoftmaxOverColumns, 3, "summed over its axes"),
        (NoScale, 2, "output"),
        (Transposed, 2, "output"),
        (StripsForEachDirection, 6, "parameters"),
        (FullProjections, 6, "parameters"),
        (OneNormForAll, 2, "output"),
        (ExchangedPriors, 3, "maps applied"),
    ],
)
def test_a_law_catches_what_circulates(wrong: type, law: int, says: str) -> None:
    with pytest.raises(AssertionError, match=rf"law {law} \((.|\n)*{says}"):
        LAWS[law](SPEC.with_build(wrong), 25)


def test_the_frame_of_the_wrong_ones_is_right() -> None:
    case = SPEC.fixed[0]
    right, frame, x = SPEC.block(case), SPEC.with_build(Wrong).block(case), SPEC.inputs(case)[0]
    torch.testing.assert_close(frame(x), right(x))
