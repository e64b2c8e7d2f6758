"""CBAM: its Spec for the laws, and what holds for this block alone."""

from math import exp
from typing import Any

import pytest
import torch
from einops import reduce
from hypothesis import strategies as st
from torch import Tensor, nn

from attention.backbones.resnet import resnet50
from attention.channel.se import SqueezeExcitation
from attention.experiments.cbam import record_claims, record_padding, tasks
from attention.hybrid.cbam import ORDERS, ConvolutionalBlockAttention
from attention.lab import cost, record, style
from attention.lab.session import Budget
from attention.lab.tasks import GateOf
from attention.lab.tasks.pictures import picture
from attention.lab.training import Comparison, compare
from tests.laws.laws import LAWS
from tests.laws.spec import BadArguments, Case, Spec, bad_images, cases

Plane = list[list[float]]
PAIRS = (("mean", "max"), ("max", "mean"), ("mean", "mean"), ("max", "max"))


def sigmoid(a: float) -> float:
    return 1 / (1 + exp(-a))


def pick(statistic: str, numbers: list[float]) -> float:
    """The mean or the maximum, one number at a time."""
    total, largest = 0.0, numbers[0]
    for number in numbers:
        total += number
        largest = number if number > largest else largest
    return total / len(numbers) if statistic == "mean" else largest


def naive_channel(block: ConvolutionalBlockAttention, f: list[Plane]) -> list[float]:
    """Equation (2): s^ch = σ(W₂ δ(W₁ z^avg) + W₂ δ(W₁ z^max))."""
    w1, w2 = block.reduce.weight.tolist(), block.expand.weight.tolist()
    b1 = [0.0] * len(w1) if block.reduce.bias is None else block.reduce.bias.tolist()
    b2 = [0.0] * len(w2) if block.expand.bias is None else block.expand.bias.tolist()
    sums = [0.0] * len(w2)
    for statistic in block.statistics:
        z = [pick(statistic, [value for row in plane for value in row]) for plane in f]
        hidden = []
        for weights, offset in zip(w1, b1, strict=True):
            total = offset
            for c, weight in enumerate(weights):
                total += weight * z[c]
            hidden.append(total if total > 0 else 0.0)
        for c, (weights, offset) in enumerate(zip(w2, b2, strict=True)):
            sums[c] += offset
            for k, weight in enumerate(weights):
                sums[c] += weight * hidden[k]
    return [sigmoid(total) for total in sums]


def naive_space(block: ConvolutionalBlockAttention, f: list[Plane]) -> Plane:
    """Equation (3): s^pos = σ(f(t^avg ∥ t^max)), outside the map all is 0."""
    height, width = len(f[0]), len(f[0][0])
    stacked = [
        [[pick(statistic, [plane[i][j] for plane in f]) for j in range(width)] for i in range(height)]
        for statistic in block.statistics
    ]
    (kernel,) = block.conv.weight.tolist()
    half = len(kernel[0]) // 2
    gate = []
    for i in range(height):
        row = []
        for j in range(width):
            total = 0.0
            for s, weights in zip(stacked, kernel, strict=True):
                for di in range(-half, half + 1):
                    for dj in range(-half, half + 1):
                        if 0 <= i + di < height and 0 <= j + dj < width:
                            total += weights[di + half][dj + half] * s[i + di][j + dj]
            if isinstance(block.norm, nn.BatchNorm2d):
                norm = block.norm
                deviation = (norm.running_var.item() + norm.eps) ** 0.5
                total = norm.weight.item() * (total - norm.running_mean.item()) / deviation + norm.bias.item()
            row.append(sigmoid(total))
        gate.append(row)
    return gate


def times(f: list[Plane], channel: list[float] | None, space: Plane | None) -> list[Plane]:
    """Multiply with one gate or the other, equation (1)."""
    return [
        [
            [value * (1.0 if channel is None else channel[c]) * (1.0 if space is None else space[i][j])
             for j, value in enumerate(row)]
            for i, row in enumerate(plane)
        ]
        for c, plane in enumerate(f)
    ]  # fmt: skip


def naive(block: ConvolutionalBlockAttention, x: list[list[Plane]]) -> tuple[list[Any], dict[str, list[Any]]]:
    """Equations (1), (2) and (3) of the paper, in the order that the block was built for."""
    output, channels, spaces = [], [], []
    for f in x:
        if block.order == "space-channel":
            space = naive_space(block, f)
            channel = naive_channel(block, times(f, None, space))
        else:
            channel = naive_channel(block, f)
            space = naive_space(block, f if block.order == "parallel" else times(f, channel, None))
        output.append(times(f, channel, space))
        channels.append([[[gate]] for gate in channel])
        spaces.append([space])
    return output, {"channel": channels, "space": spaces}


@st.composite
def options(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the constructor's arguments."""
    channels = draw(st.integers(1, 8))
    norm = draw(st.booleans())
    return {
        "channels": channels,
        "reduction": draw(st.sampled_from([r for r in range(1, channels + 1) if channels % r == 0])),
        "kernel_size": draw(st.sampled_from([1, 3, 7])),
        "bias": draw(st.booleans()),
        "norm": norm,
        "zero_init": norm and draw(st.booleans()),
        "order": draw(st.sampled_from(ORDERS)),
        "statistics": draw(st.sampled_from(PAIRS)),
    }


OFFICIAL = {"bias": True, "norm": True, "zero_init": True, "statistics": ("max", "mean")}

SPEC = Spec(
    name="cbam",
    cases=cases(options(), height=(1, 5), width=(1, 5)),
    fixed=(
        Case({"channels": 8, "reduction": 2}, batch=2, height=4, width=5),  # as small as lets every weight of 7 × 7 act
        Case({"channels": 16} | OFFICIAL, batch=3, height=5, width=4, seed=1),  # one hidden unit
        Case({"channels": 6, "reduction": 2, "kernel_size": 3, "bias": True, "order": "space-channel"}, seed=2),
        Case({"channels": 4, "reduction": 1, "order": "parallel", "statistics": ("max", "max")}, height=4, seed=3),
    ),
    naive=naive,
    apply=lambda block, maps, x: x * maps["channel"] * maps["space"],
    bad_arguments=(
        BadArguments({"channels": 30}, ValueError, "channels=30 is not divisible by reduction=16"),
        BadArguments({"channels": 0}, ValueError, "channels=0 is not positive"),
        BadArguments({"channels": 16, "reduction": -2}, ValueError, "reduction=-2 is not positive"),
        BadArguments({"channels": 16, "reduction": 4.0}, TypeError, "reduction=4.0 is not a whole number"),
        BadArguments({"channels": 16, "kernel_size": 0}, ValueError, "kernel_size=0 is not positive"),
        BadArguments({"channels": 16, "kernel_size": (7, 7)}, TypeError, r"kernel_size=\(7, 7\) is not a whole number"),
        BadArguments({"channels": 16, "kernel_size": 4}, ValueError, "kernel_size=4 is even.*1, 3, 5"),
        BadArguments({"channels": 16, "zero_init": True}, ValueError, "zero_init=True.*needs norm=True"),
        BadArguments({"channels": 16, "order": "sc"}, ValueError, "order='sc' is not one of channel-space"),
        BadArguments({"channels": 16, "statistics": ("mean",)}, ValueError, "statistics=.* must be two"),
        BadArguments({"channels": 16, "statistics": ("mean", "std")}, ValueError, "each one of mean, max"),
    ),
    bad_inputs=bad_images(),
)


def test_gates_computed_by_hand() -> None:
    """Two channels of 1 × 3 pixels, one hidden unit, a kernel that looks at its own pixel only."""
    block = ConvolutionalBlockAttention(2, reduction=2, kernel_size=3).double()
    with torch.no_grad():
        block.reduce.weight.copy_(torch.tensor([[1.0, -1.0]]))
        block.expand.weight.copy_(torch.tensor([[1.0], [-1.0]]))
        block.conv.weight.zero_()
        block.conv.weight[0, :, 1, 1] = torch.tensor([1.0, -1.0])  # mean less maximum
    x = torch.tensor([[[[0.0, 0.0, 3.0]], [[-1.0, 1.0, 0.0]]]], dtype=torch.float64)
    # Means 1 and 0, maxima 3 and 1: hidden numbers 1 and 2, in all 3.
    channel = torch.tensor([sigmoid(3.0), sigmoid(-3.0)], dtype=torch.float64)
    seen = x[0, :, 0] * channel[:, None]
    space = (seen.mean(0) - seen.amax(0)).sigmoid()
    output, maps = block.attend(x)
    torch.testing.assert_close(maps["channel"][0, :, 0, 0], channel)
    torch.testing.assert_close(maps["space"][0, 0, 0], space)
    torch.testing.assert_close(output[0, :, 0], seen * space)


def test_zero_init_opens_every_position_half() -> None:
    block = ConvolutionalBlockAttention(16, bias=True, norm=True, zero_init=True)
    x = torch.randn(4, 16, 5, 6)
    for training in (True, False):
        space = block.train(training).attend(x)[1]["space"]
        assert torch.equal(space, torch.full_like(space, 0.5))


def test_zero_init_learns_from_the_second_step_on() -> None:
    """The kernel has no gradient while the normalisation's weight is 0; the weight itself has one."""
    block = ConvolutionalBlockAttention(8, 2, norm=True, zero_init=True)
    block(torch.randn(4, 8, 5, 6)).square().sum().backward()
    assert not block.conv.weight.grad.any()
    assert block.norm.weight.grad.any()


@pytest.mark.parametrize("order", ORDERS)
def test_the_output_is_the_input_times_both_gates(order: str) -> None:
    block, x = ConvolutionalBlockAttention(8, 2, order=order).double(), torch.randn(2, 8, 4, 5, dtype=torch.float64)
    output, maps = block.attend(x)
    torch.testing.assert_close(output, x * maps["channel"] * maps["space"])


def test_what_the_order_changes() -> None:
    """The gate that comes first, and in parallel both, is the one computed from the input itself."""
    x, found = torch.randn(2, 8, 4, 5, dtype=torch.float64), {}
    for order in ORDERS:
        torch.manual_seed(0)
        found[order] = ConvolutionalBlockAttention(8, 2, order=order).double().attend(x)[1]
    same = torch.testing.assert_close
    same(found["channel-space"]["channel"], found["parallel"]["channel"])
    same(found["space-channel"]["space"], found["parallel"]["space"])
    assert not torch.allclose(found["space-channel"]["channel"], found["parallel"]["channel"])
    assert not torch.allclose(found["channel-space"]["space"], found["parallel"]["space"])


def test_stacking_order_matters_for_weights_alone() -> None:
    ours, theirs = (ConvolutionalBlockAttention(8, 2, statistics=pair).double() for pair in PAIRS[:2])
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 8, 4, 5, dtype=torch.float64)
    assert not torch.allclose(ours(x), theirs(x))
    with torch.no_grad():
        theirs.conv.weight.copy_(ours.conv.weight.flip(1))
    torch.testing.assert_close(theirs(x), ours(x))


def test_without_its_maximum_the_channel_gate_is_se() -> None:
    """The mean named twice: the sum doubles, as SE's with its second layer doubled."""
    block, se = ConvolutionalBlockAttention(8, 2, statistics=("mean", "mean")), SqueezeExcitation(8, 2)
    with torch.no_grad():
        se.reduce.weight.copy_(block.reduce.weight)
        se.expand.weight.copy_(2 * block.expand.weight)
    x = torch.randn(2, 8, 4, 5)
    torch.testing.assert_close(block.channel_gate(x), se.weights(x))


def test_one_map_of_positions_is_shared_by_all_channels() -> None:
    """Output over input, as a matrix of channels by positions, has rank 1."""
    block, x = ConvolutionalBlockAttention(8, 2).double(), torch.randn(1, 8, 4, 5, dtype=torch.float64)
    ratio = (block(x) / x).flatten(2)[0]
    assert torch.linalg.matrix_rank(ratio, rtol=1e-9) == 1


def test_the_space_gate_moves_with_the_image() -> None:
    """Away from the border, shifting the input shifts the map; the channels' gate stays."""
    block, x = ConvolutionalBlockAttention(4, 2).double(), torch.zeros(1, 4, 12, 20, dtype=torch.float64)
    x[..., 4:8, 4:8] = torch.randn(1, 4, 4, 4, dtype=torch.float64)
    before, after = (block.attend(each)[1] for each in (x, x.roll(6, dims=3)))
    torch.testing.assert_close(after["channel"], before["channel"])
    torch.testing.assert_close(after["space"], before["space"].roll(6, dims=3))


def test_the_size_of_the_published_network() -> None:
    """28,089,624 parameters: SE with biases, and 100 more in each of sixteen units."""
    official = cost.on_paper(
        lambda: resnet50(attention=lambda c: ConvolutionalBlockAttention(c, **OFFICIAL), stride_in="1x1"), (3, 224, 224)
    )
    assert official.parameters == 28_089_624
    assert f"{official.macs / 1e9:.3f}" == "3.864"


def test_state_dict_has_no_surprises() -> None:
    names = [name for name, _ in ConvolutionalBlockAttention(16, bias=True, norm=True).named_parameters()]
    assert names == [
        "reduce.weight",
        "reduce.bias",
        "expand.weight",
        "expand.bias",
        "conv.weight",
        "norm.weight",
        "norm.bias",
    ]


# What circulates, in our words: each is caught by a law


class DeadMax(ConvolutionalBlockAttention):
    """The mean's logits twice, where the maximum's should be added."""

    def channel_gate(self, x: Tensor) -> Tensor:
        a = self.expand(self.reduce(reduce(x, "b c h w -> b c", self.statistics[0])).relu())
        return (a + a).sigmoid()[..., None, None]


class ExtraResidual(ConvolutionalBlockAttention):
    """The input added to the output."""

    def attend(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        output, maps = super().attend(x)
        return x + output, maps


class TwoBottlenecks(ConvolutionalBlockAttention):
    """Layers of its own for each statistic."""

    def __init__(self, channels: int, reduction: int = 16, **options: Any) -> None:
        super().__init__(channels, reduction, **options)
        width = channels // reduction
        self.second = nn.Sequential(nn.Linear(channels, width), nn.ReLU(), nn.Linear(width, channels))

    def channel_gate(self, x: Tensor) -> Tensor:
        first, second = (reduce(x, "b c h w -> b c", each) for each in self.statistics)
        return (self.expand(self.reduce(first).relu()) + self.second(second)).sigmoid()[..., None, None]


class NoSigmoid(ConvolutionalBlockAttention):
    """The map without its sigmoid."""

    def space_gate(self, x: Tensor) -> Tensor:
        return super().space_gate(x).logit()


class OneSum(ConvolutionalBlockAttention):
    """The statistics added before the layers, not after."""

    def channel_gate(self, x: Tensor) -> Tensor:
        z = sum(reduce(x, "b c h w -> b c", each) for each in self.statistics)
        return self.expand(self.reduce(z).relu()).sigmoid()[..., None, None]


@pytest.mark.parametrize(
    ("wrong", "law"), [(DeadMax, 2), (ExtraResidual, 3), (TwoBottlenecks, 6), (NoSigmoid, 3), (OneSum, 2)]
)
def test_a_law_catches_what_circulates(wrong: type, law: int) -> None:
    with pytest.raises(AssertionError, match=rf"law {law} \("):
        LAWS[law](SPEC.with_build(wrong), 25)


MAKERS = (
    "beside_the_mark",
    "cued_place",
    "edge_or_middle",
    "lamp_if_together",
    "lamp_where_cued",
    "own_regions",
    "peak_or_level",
    "spot_that_is_cued",
    "together",
)


# The tasks: what must fail does so for the reason that is given


def windows(x: Tensor, side: int) -> Tensor:
    """List the windows of each sample, (samples, windows, values), in an order that does not tell where they were."""
    found = nn.functional.unfold(x, side, padding=side // 2).transpose(1, 2)
    order = found.mul(torch.arange(1, found.shape[2] + 1).sqrt()).sum(2).argsort(1)
    return found.gather(1, order[..., None].expand_as(found))


@pytest.mark.parametrize("distance", [1, 2, 3])
def test_beside_the_mark_is_what_it_says(distance: int) -> None:
    x, y = tasks.beside_the_mark(3, distance=distance, train=300, test=10, noise=0).train
    for image, label in zip(x, y, strict=True):
        mark = (image[1] == 1).nonzero()
        assert len(mark) == 7
        spots = {sign: (image[0] == sign).nonzero()[0] for sign in (1, -1)}
        gaps = {sign: int((at - mark).abs().amax(1).min()) for sign, at in spots.items()}
        assert gaps[1 if label else -1] == distance
        assert gaps[-1 if label else 1] > 3, "no window of 7 × 7 around the other spot holds the mark"
    assert y.float().mean() == 0.5


@pytest.mark.parametrize(("distance", "side", "blind"), [(3, 1, True), (1, 1, True), (3, 3, True), (1, 3, False)])
def test_windows_that_are_too_small_are_the_same_in_both_classes(distance: int, side: int, blind: bool) -> None:
    """Exchange the signs of the spots: the class changes, the collection of windows does not."""
    x, _ = tasks.beside_the_mark(1, distance=distance, train=50, test=10, noise=0).train
    other = x * torch.tensor([-1.0, 1.0])[:, None, None]
    assert torch.equal(windows(x, side), windows(other, side)) == blind


def test_peak_or_level_hides_each_half_from_one_statistic() -> None:
    x, y = tasks.peak_or_level(train=2000, test=10).train
    mean, highest = reduce(x, "b c h w -> b c", "mean"), reduce(x, "b c h w -> b c", "max")
    assert mean[:, :8].abs().max() < 1e-6
    assert (highest[:, 8:] == 1).all()
    assert ((highest[:, :8] > 1.2) == (y[:, :8] > 0.5)).float().mean() > 0.99
    assert ((mean[:, 8:] > 0.03) == (y[:, 8:] > 0.5)).float().mean() > 0.97
    assert abs(torch.corrcoef(y.T)[0, 1:]).max() < 0.1


def test_own_regions_shared_and_not() -> None:
    for shared in (True, False):
        x, target = tasks.own_regions(train=100, test=10, shared=shared).train
        kept = target.view_as(x) != 0
        torch.testing.assert_close(target.view_as(x)[kept], x[kept])
        assert bool((kept[:, 0] == kept[:, 1]).all()) == shared


def test_the_limit_of_a_shared_map_is_reached_by_descent_and_never_passed() -> None:
    task = tasks.own_regions(side=6, train=10, test=20)
    x, y = task.test[0], task.test[1].view(20, 2, 6, 6)
    torch.manual_seed(0)
    best = torch.full((20,), float("inf"))
    for _ in range(5):  # from several starts, as the error is not convex in gates and map together
        g, m = torch.randn(20, 2, 1, 1, requires_grad=True), torch.randn(20, 1, 6, 6, requires_grad=True)
        optimiser = torch.optim.Adam([g, m], lr=0.1)
        for _ in range(600):
            error = (g.sigmoid() * m.sigmoid() * x - y).square().sum((1, 2, 3))
            optimiser.zero_grad()
            error.sum().backward()
            optimiser.step()
        best = torch.minimum(best, error.detach())
    reached = 1 - (best.sum() / (y - y.mean(0)).square().sum()).item()
    limit = tasks.shared_map_limit(task)
    assert limit - 0.02 < reached < limit + 0.003  # the grid of the limit's gates has steps
    assert tasks.shared_map_limit(tasks.own_regions(shared=True, train=10, test=20)) > 0.999


def test_cued_place_hides_the_cue_from_every_window_of_a_spot() -> None:
    x, y = tasks.cued_place(train=200, test=10, noise=0).train
    spots = x[:, :2].amax((1, 2))
    assert (spots[:, 14:] == 0).all(), "three pixels more, and a window would hold the cue"
    wanted = torch.where((x[:, 2, 0, -1] > 0)[:, None], x[:, 0].flatten(1), x[:, 1].flatten(1))
    assert torch.equal(y, wanted)
    assert (y.sum(1) == 9).all()


def test_the_limit_of_a_map_that_has_not_seen_the_cue() -> None:
    task = tasks.cued_place(noise=0)
    x, y = task.test
    either = reduce(x[:, :2], "b c h w -> b (h w)", "max") / 2
    score = 1 - ((either - y).square().sum() / (y - y.mean(0)).square().sum()).item()
    assert score == pytest.approx(tasks.cued_place_limit(task), abs=1e-6)


def test_together_hides_its_labels_from_statistics_of_channels() -> None:
    x, y = tasks.together(train=400, test=10, noise=0).train
    assert (x.sum((2, 3)) == 9).all()
    both = (x[:, 0] * x[:, -1]).sum((1, 2)) > 0
    assert torch.equal(both, y[:, 0] > 0.5)
    assert torch.equal(both, y[:, -1] < 0.5)
    assert y.mean() == 0.5
    assert (y.sum(1) == 4).all()


def test_what_the_cue_asks_for_at_the_output() -> None:
    """The spot's own channel where it is cued; and the lamp at the same place, which is lit everywhere else too."""
    gates = tasks.cued_place(5, train=100, test=10)
    x, kept = tasks.spot_that_is_cued(5, train=100, test=10).train
    assert torch.equal(x, gates.train[0])
    kept, place = kept.view(-1, 3, 9, 18), gates.train[1].view(-1, 9, 18)
    bright = x[:, 2, 0, -1] > 0
    for image, out, spot, first in zip(x, kept, place, bright.tolist(), strict=True):
        wanted = 0 if first else 1
        assert torch.equal(out[wanted], image[wanted] * spot)
        assert not out[1 - wanted].any()
        assert not out[2].any()
    x, lamp = tasks.lamp_where_cued(5, train=100, test=10, noise=0).train
    assert (x[:, 3] == 1).all()
    assert torch.equal(lamp, tasks.cued_place(5, train=100, test=10, noise=0).train[1])


def test_no_map_that_is_blind_to_the_cue_passes_the_limit_of_the_lamp() -> None:
    """Any numbers at both spots, with the best gate that knows the cue: never better than one half at both."""
    task = tasks.lamp_where_cued(noise=0)
    x, y = task.test
    spots = x[:, :2].flatten(2)
    limit = tasks.cued_place_limit(task)
    for a, b in ((0.5, 0.5), (1.0, 0.0), (0.9, 0.4), (0.1, 0.2)):
        m = a * spots[:, 0] + b * spots[:, 1]
        gate = ((m * y).sum(1) / m.square().sum(1)).clamp(0, 1)
        score = 1 - ((gate[:, None] * m - y).square().sum() / (y - y.mean(0)).square().sum()).item()
        assert score <= limit + 0.02, "the limit is of the expectation; cues in a test are not quite balanced"


def test_the_lamp_if_together_and_its_limit() -> None:
    task = tasks.lamp_if_together(train=50, test=100, noise=0)
    x, y = task.test
    both = (x[:, 0] * x[:, 7]).sum((1, 2)) > 0
    assert torch.equal(y, both.float()[:, None].expand(-1, 162))
    more, lit = tasks.lamp_if_together(12345, train=40000, test=1, noise=0).train
    share = torch.zeros(9, 18)
    for i in range(9):
        for j in range(18):
            window = more[:, :8, max(i - 3, 0) : i + 4, max(j - 3, 0) : j + 4].amax((1, 2, 3))
            share[i, j] = lit[window == 0, 0].mean()
    wrong = 0.0
    for image, label in zip(x, both.float(), strict=True):
        at = image[:8].amax(0).nonzero()
        for i in range(9):
            for j in range(18):
                if (at - torch.tensor([i, j])).abs().amax(1).min() > 3:
                    wrong += (label - share[i, j]).square().item()
    score = 1 - wrong / (y - y.mean(0)).square().sum().item()
    assert tasks.lamp_if_together_limit(task) == pytest.approx(score, abs=1e-3)
    assert share.min() > 0.5, "an empty window tells of spots that lie together"


def test_the_limit_of_gates_of_channels_is_found_by_search() -> None:
    task = tasks.spot_that_is_cued(train=10, test=8)
    x, y = (each.double() for each in task.test)
    x, y = x.flatten(2), y.view(8, 3, -1)
    tried = torch.linspace(0, 1, 2001).double()
    error = sum((tried[:, None] * x[b, c] - y[b, c]).square().sum(1).min() for b in range(8) for c in range(3))
    assert tasks.channel_gates_limit(task) == pytest.approx(
        1 - (error / (y - y.mean(0)).square().sum()).item(), abs=1e-4
    )


def test_a_lamp_is_the_last_channel_of_the_last_block() -> None:
    x = torch.randn(2, 4, 3, 5)
    double, triple = nn.Conv2d(4, 4, 1, groups=4, bias=False), nn.Conv2d(4, 4, 1, groups=4, bias=False)
    nn.init.constant_(double.weight, 2.0)
    nn.init.constant_(triple.weight, 3.0)
    assert torch.equal(tasks.lamp_of(double, triple)(x), 6 * x[:, 3].flatten(1))


def test_edge_or_middle_is_what_it_says() -> None:
    x, y = tasks.edge_or_middle(2, train=400, test=10, noise=0).train
    assert (x.sum((2, 3)) == torch.tensor([1.0, 0.0])).all()
    places = x[:, 0].flatten(1).argmax(1)
    rows, columns = places // 12, places % 12
    to_edge = torch.stack([rows, columns, 11 - rows, 11 - columns]).amin(0)
    assert torch.equal(to_edge >= 4, y == 1)
    assert torch.equal(to_edge < 2, y == 0)
    assert y.float().mean() == 0.5


def test_who_pads_in_circles_gives_both_classes_the_same() -> None:
    """A picture that is moved around, from the middle to the edge: the same answer; with zeros around it, another."""
    x = tasks.edge_or_middle(1, train=20, test=10).train[0]
    torch.manual_seed(0)
    block = ConvolutionalBlockAttention(16, 2, bias=True, norm=True)
    for mode, same in (("circular", True), ("zeros", False), ("reflect", False), ("replicate", False)):
        reader = tasks.padded(tasks.reader(block), mode).eval()
        before, after = reader(x), reader(x.roll((5, 3), dims=(2, 3)))
        assert torch.allclose(before, after, atol=1e-3) == same, mode


def test_padding_is_refused_by_its_name() -> None:
    with pytest.raises(ValueError, match="mode='zero' is not one of zeros, reflect, replicate, circular"):
        tasks.padded(nn.Conv2d(1, 1, 3, padding=1), "zero")


def test_own_maps_see_their_own_channel_alone() -> None:
    torch.manual_seed(0)
    control, x = tasks.OwnMaps(2), torch.randn(1, 2, 9, 9)
    before, after = control(x), control(torch.cat([x[:, :1], -x[:, 1:]], dim=1))
    assert torch.equal(before[:, 0], after[:, 0])
    assert not torch.equal(before[:, 1].abs(), after[:, 1].abs())


def test_a_map_that_pads_in_circles_prefers_no_place() -> None:
    """Images moved around in all ways: zeros give the mean map a shape, and without them it is flat."""
    torch.manual_seed(0)
    images = torch.rand(2, 1, 32, 32)
    for arm, build in record_padding.NETWORKS.items():
        torch.manual_seed(1)
        model = build()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.ones_(module.weight)  # those of the blocks start at 0
        means = record_padding.place_alone(model, images)
        assert [tuple(mean.shape) for mean in means] == [(16, 16), (8, 8)]
        # The first block's stride is half of the shifts: its map repeats every second place.
        spread = [(mean[::2, ::2] - mean[0, 0]).abs().max().item() for mean in means]
        assert (max(spread) < 1e-5) == (arm == "nowhere"), arm


def test_the_middle_of_a_map() -> None:
    mean = torch.zeros(8, 8)
    mean[2:6, 2:6] = 1
    assert record_padding.middle_less_edge(mean) == 1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: tasks.beside_the_mark(distance=4), "distance=4 is not one of 1, 2, 3"),
        (lambda: tasks.peak_or_level(channels=5), "channels=5 is odd"),
        (lambda: tasks.together(channels=3), "channels=3 is odd"),
        (lambda: tasks.own_regions(train=0), "train=0 is not positive"),
        (lambda: tasks.cued_place(test=-1), "test=-1 is not positive"),
    ],
)
def test_tasks_refuse_bad_arguments(call: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize("make", [getattr(tasks, name) for name in MAKERS])
def test_the_same_seed_gives_the_same_task_and_another_another(make: Any) -> None:
    first, again, other = (make(seed, train=20, test=10).train[0] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("make", [tasks.own_regions, tasks.cued_place])
def test_channels_of_a_task_without_classes_are_shown_by_sample(make: Any) -> None:
    fig, _ = picture(make(train=20, test=10), 4)
    assert [ax.get_title() for ax in fig.axes[:4]] == [f"sample {i}" for i in range(1, 5)]
    style.show(fig, "refuses text that overlaps")


def test_models_of_the_tasks_have_the_shapes_that_are_asked_for() -> None:
    task = tasks.cued_place(train=20, test=10)
    space = GateOf(ConvolutionalBlockAttention(3, 1), "space")
    assert space(task.test[0]).shape == task.test[1].shape
    assert tasks.reader(channels=4)(torch.randn(2, 2, 5, 6)).shape == (2, 2)


# The records


def test_a_live_seed_gives_what_was_recorded() -> None:
    recorded = Comparison.from_dict(record.load("cbam.claims")["experiment"]["far"])
    models, task, options = record_claims.EXPERIMENTS["far"]
    live = compare({name: models[name] for name in ("SE", "7 × 7")}, task, seeds=(0,), **options)
    for name in live.names:
        assert live.scores(name)[0] == pytest.approx(recorded.scores(name)[0], abs=0.02)


def test_the_recorded_claims_name_the_models_of_today() -> None:
    kept = record.load("cbam.claims")["experiment"]
    assert list(kept) == list(record_claims.EXPERIMENTS)
    for name, (models, _, options) in record_claims.EXPERIMENTS.items():
        found = Comparison.from_dict(kept[name])
        assert (found.names, found.steps, len(found.seeds)) == (tuple(models), options["steps"], 8)


def test_no_recorded_score_passes_a_limit_that_is_computed() -> None:
    """Each seed has its own data, and so a limit of its own."""
    kept = {name: Comparison.from_dict(found) for name, found in record.load("cbam.claims")["experiment"].items()}
    for seed in kept["cued"].seeds:
        limit = tasks.cued_place_limit(tasks.lamp_where_cued(seed))
        assert all(kept["cued"].scores(arm)[seed] < limit for arm in ("SE", "positions first", "parallel"))
        limit = tasks.lamp_if_together_limit(tasks.lamp_if_together(seed))
        assert all(kept["together"].scores(arm)[seed] < limit for arm in ("SE", "channels first", "parallel"))
        assert kept["together"].scores("positions first")[seed] > limit
    limit = tasks.shared_map_limit(tasks.own_regions(0))
    assert kept["own regions"].scores("CBAM")[0] < kept["longer"].scores("CBAM")[0] < limit


@pytest.mark.parametrize("script", [record_claims, record_padding], ids=["claims", "padding"])
def test_a_recording_runs_and_keeps_every_arm(script: Any) -> None:
    smoke = Budget("smoke", torch.device("cpu"))
    kept = script.summary([script.one_run(smoke, **run) for run in script.runs(smoke)], smoke)
    if script is record_claims:
        found = {name: list(Comparison.from_dict(each).names) for name, each in kept.items()}
        assert found == {name: list(models) for name, (models, *_) in script.EXPERIMENTS.items()}
        return
    assert Comparison.from_dict(kept["edge"]).names == script.PADDINGS
    assert list(Comparison.from_dict(kept["canvas"]).names) == list(script.NETWORKS)
    assert {len(seed) for arm in kept["middle less edge"].values() for seed in arm} == {2}
    assert max(abs(block) for seed in kept["middle less edge"]["nowhere"] for block in seed) < 1e-5
